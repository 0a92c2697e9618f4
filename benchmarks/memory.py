"""The long-term memory beside numpy: one search among 100,000 facts, and the bare dot product of the same figures."""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Sequence
from typing import Any

from measure import Row

import gathering
from gathering.agents import LongTermMemory
from gathering.core.interfaces import ILLMProvider
from gathering.core.offers import Embeddings
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider

__all__ = ["memory"]

FACTS, FIGURES = 100_000, 384
MADE_AT = 1_700_000_000.0


class Known(ILLMProvider):
    """An embedder that has its one vector ready: making vectors is another benchmark's."""

    def __init__(self, vector: tuple[float, ...]) -> None:
        super().__init__("known", {"model": "v1"})
        self.vector = vector

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> dict[str, Any]:
        raise NotImplementedError

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        return Embeddings((self.vector,) * len(texts), "known:v1")


def memory() -> list[Row]:
    """Seconds on the wall: both are arithmetic over the same figures."""
    import numpy as np

    chance = np.random.default_rng(7)
    matrix = chance.standard_normal((FACTS, FIGURES), dtype=np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    asked = matrix[FACTS // 2]
    vector = tuple(asked.tolist())
    with SQLiteStore(":memory:") as store:
        for number, one in enumerate(matrix):
            store.put("memories", _row(number, array("f", one.tolist()).tobytes()))
        store.flush()
        kept = LongTermMemory(embedder=Known(vector))
        gathering.Agent("ada", llm_provider=ScriptedProvider([]), memory=kept, store=store)
        begun = time.perf_counter()
        found = kept.search("the planted one")
        opened = time.perf_counter() - begun
        assert found[0].content == f"fact {FACTS // 2}"
        pairs = [
            (_timed(lambda: matrix @ asked), _timed(lambda: kept.search("the planted one")))
            for _ in range(15)
        ]
    raw, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    return [
        Row("search among 100,000 facts / a dot product", raw * 1e6, ours * 1e6, "us", ratio, 3.0),
        Row("  the first one, which reads them", raw * 1e3, opened * 1e3, "ms", opened / raw),
    ]


def _row(number: int, vector: bytes) -> dict[str, Any]:
    return {
        "memory_id": f"{number:08}",
        "agent": "ada",
        "kind": "fact",
        "content": f"fact {number}",
        "importance": 0.5,
        "pinned": False,
        "created_at": MADE_AT,
        "owner": "agent:ada",
        "embedder": "known:v1",
        "vector": vector,
    }


def _timed(function: Any) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun
