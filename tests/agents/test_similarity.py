"""Vectors as one table: all figures or those that are not 0, the same products either way, and what the store holds."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.agents import Agent, LongTermMemory
from gathering.agents.similarity import packed, table_for, unpacked
from gathering.core.interfaces import ILLMProvider
from gathering.core.offers import Embeddings
from gathering.llm.embedder import HashedNgramEmbedder
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider

WIDTH = 16
FIGURES = st.lists(
    st.one_of(st.just(0.0), st.integers(-8, 8).map(lambda n: n / 4)), min_size=WIDTH, max_size=WIDTH
)


class Hashed(ILLMProvider):
    """The fallback of a machine without the extra: runs of letters, hashed."""

    def __init__(self) -> None:
        super().__init__("hashed", {"model": "v1"})

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> dict[str, Any]:
        raise AssertionError("an embedder is asked for vectors only")

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        return Embeddings(tuple(HashedNgramEmbedder().embed(texts)), "local:hashed-ngram")


@given(FIGURES)
def test_what_is_packed_is_unpacked(vector: list[float]) -> None:
    """Whichever form it takes."""
    assert unpacked(packed(vector)).tolist() == vector


@pytest.mark.parametrize(
    "first", [[0.0] * 15 + [1.0], [1.0] * WIDTH, [0.0] * WIDTH], ids=["few", "all", "none"]
)
@given(st.lists(st.tuples(st.integers(0, 200), FIGURES), max_size=30), FIGURES)
def test_the_products_are_those_of_all_figures(
    first: list[float], puts: list[tuple[int, list[float]]], asked: list[float]
) -> None:
    """In both forms: rows put again, put empty, or left empty between others."""
    table, rows = table_for(np.asarray(first, np.float32)), [list[float]()] * 0
    for place, vector in [(0, first), *puts]:
        row = min(place, len(rows))
        rows[row : row + 1] = [vector]
        table.put(row, np.asarray(vector, np.float32))
    table.empty(0)
    rows[0] = [0.0] * WIDTH
    near = table.near(np.asarray(asked, np.float32), len(rows))
    assert near.tolist() == (np.asarray(rows, np.float32) @ np.asarray(asked, np.float32)).tolist()


def test_hashed_letters_take_a_fraction_of_the_room() -> None:
    """In the store as well as in the table: most of their 4,096 figures are 0."""
    with SQLiteStore(":memory:") as store:
        memory = LongTermMemory(embedder=Hashed())
        Agent("ada", llm_provider=ScriptedProvider([]), memory=memory, store=store)
        memory.remember("Bob likes green tea with milk, and never in the morning.")
        memory.remember("The school opens at eight.")
        (first, _) = [row["vector"] for row in store.rows("memories")]
        assert len(first) < 1_500
        assert memory.search("what tea does Bob like?")[0].content.startswith("Bob")


def test_vectors_of_an_older_store_are_read() -> None:
    """They have all their figures, zeros too."""
    vector = HashedNgramEmbedder().embed(["green tea"])[0]
    assert unpacked(struct.pack("<4096f", *vector)).tolist() == unpacked(packed(vector)).tolist()
