"""Estimated token counts: they begin with a rule of thumb and learn from what the services count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_service import Service, answer
from hypothesis import given
from hypothesis import strategies as st

import gathering
from gathering.core.messages import Usage
from gathering.llm.counting import estimate, forget, learn

TEXT = "word " * 200


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget()
    yield
    forget()


def test_a_model_nobody_asked_is_guessed() -> None:
    """Four bytes a token; an empty text has none, any other has one."""
    assert (estimate("p", "m", TEXT), estimate("p", "m", ""), estimate("p", "m", "a")) == (250, 0, 1)


def test_what_a_service_counts_is_learned(service: Service) -> None:
    """After some answers the estimate is near the service's count, for this model alone, and still an estimate."""
    service.will_say({**answer(), "usage": {"prompt_tokens": 404, "completion_tokens": 2}})
    p = gathering.provider("openai-compatible:m", base_url=service.url)
    before = p.get_token_count(TEXT)
    for _ in range(10):
        p.complete([{"role": "user", "content": TEXT}])
    assert before == 250
    assert p.get_token_count(TEXT) == pytest.approx(400, rel=0.05)
    counted = p.count_tokens([{"role": "user", "content": TEXT}])
    assert counted.tokens == pytest.approx(404, rel=0.05)
    assert not counted.exact
    assert gathering.provider("openai-compatible:other", base_url=service.url).get_token_count(TEXT) == 250


def test_pictures_and_silence_teach_nothing() -> None:
    """A picture's tokens are no text's; a service may not count at all."""
    picture = {"role": "user", "content": TEXT, "images": [{"url": "https://h/a.png"}]}
    learn("p", "m", [picture], None, Usage(9000, 1))
    learn("p", "m", [{"role": "user", "content": TEXT}], None, Usage())
    assert estimate("p", "m", TEXT) == 250


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 4000)), max_size=80))
def test_whatever_is_counted_the_estimate_stays_within_bounds(counts: list[tuple[int, int]]) -> None:
    """Two to six bytes a token, also where a service counts nonsense."""
    forget()
    for tokens, size in counts:
        learn("p", "m", [{"role": "user", "content": "x" * size}], None, Usage(tokens, 1))
    assert len(TEXT) / 6 - 1 <= estimate("p", "m", TEXT) <= len(TEXT) / 2 + 1
