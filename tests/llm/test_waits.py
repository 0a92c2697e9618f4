"""How long a service says to wait: every form of header, body and words, and nothing read out of nonsense."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.llm.waits import duration, exhausted_for, wait_in_headers, wait_in_text

NOW = 1_790_000_000.0


def now() -> float:
    return NOW


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": " 2s "}, 2.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1.0),
        ({"retry-after-ms": "0"}, 0.0),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(0)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12ms"}, 0.012),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1.94s", "retry-after": "7"}, 7.0),
        ({"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "6m0s"}, None),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-09-21T14:14:00Z",
            },
            40.0,
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 5)}, 5.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str((int(NOW) + 5) * 1000)}, 5.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "whenever"}, None),
    ],
)
def test_every_form_of_header(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds, seconds, decimals, dates, and when an exhausted limit is filled again; nonsense is nothing."""
    assert wait_in_headers(headers, now) == (None if seconds is None else pytest.approx(seconds))


def test_the_longest_of_several_exhausted_limits_counts() -> None:
    """Before that, one of them would still refuse."""
    headers = {f"x-ratelimit-remaining-{of}": "0" for of in ("requests", "tokens")}
    headers |= {"x-ratelimit-reset-requests": "2s", "x-ratelimit-reset-tokens": "9s"}
    assert exhausted_for(headers, now) == 9.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Rate limit reached for m. Limit 3, Used 3. Please try again in 20s. Visit https://x.", 20.0),
        ("Please try again in 1m2.5s.", 62.5),
        ("Please try again in 6ms.", 0.006),
        ("Please retry after 26 seconds.", 26.0),
        ("You are over quota. Please retry in 48.9s", 48.9),
        ("Try again after 1 minute", 60.0),
        ("wait 2 hours before you ask", 7200.0),
        ("try again in 250 milliseconds", 0.25),
        (json.dumps({"error": {"details": [{"retryDelay": "48.9s"}]}}), 48.9),
        (json.dumps({"error": {"retry_after": 12}}), 12.0),
        ("Limit 20 requests per 60 s.", None),
        ("try again in 5 menus", None),
        ("Please try again later. It takes 30 s.", None),
        ("", None),
    ],
)
def test_every_form_of_words(text: str, seconds: float | None) -> None:
    """As services write it in messages and bodies; a figure that is no wait is left alone."""
    assert wait_in_text(text) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=80))
def test_no_text_breaks_the_reading(text: str) -> None:
    """Whatever stands there, the wait is a figure that is not negative, or nothing."""
    headers = {"retry-after": text, "x-ratelimit-remaining": "0", "x-ratelimit-reset": text}
    for found in (duration(text), wait_in_text(text), wait_in_headers(headers, now)):
        assert found is None or found >= 0


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_pieces(hours: int, minutes: int, seconds: int) -> None:
    """Written as OpenAI writes it."""
    assert duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds
