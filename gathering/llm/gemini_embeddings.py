"""Gemini's embeddings: how a batch of texts is asked for, and how the answer is read. Pure; no I/O.

Owns the form of ``batchEmbedContents`` alone; the request is ``gathering.llm.http``'s, its path the provider's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gathering.core.messages import Usage
from gathering.llm.embeddings import EmbeddingForm

__all__ = ["GeminiEmbeddingForm"]


@dataclass(frozen=True, slots=True)
class GeminiEmbeddingForm(EmbeddingForm):
    """The service's own endpoint, which takes a hundred texts and does not say how many tokens they had."""

    default: str = "gemini-embedding-001"
    batch: int = 100

    def body(self, model: str, texts: Sequence[str], dimensions: int | None = None) -> dict[str, Any]:
        """The body of the request for one batch."""
        name = model if "/" in model else f"models/{model}"
        size = {} if dimensions is None else {"outputDimensionality": dimensions}
        return {
            "requests": [{"model": name, "content": {"parts": [{"text": text}]}, **size} for text in texts]
        }

    def read(self, body: Any, count: int) -> tuple[list[tuple[float, ...]], Usage]:
        """The vectors of one batch. Raises ``MalformedResponseError``."""
        listed = body.get("embeddings") if isinstance(body, Mapping) else None
        listed = listed if isinstance(listed, list) else []
        values = [entry.get("values") if isinstance(entry, Mapping) else None for entry in listed]
        # Named by the class: a dataclass with slots is another class than the one ``super()`` would know.
        vectors, _ = EmbeddingForm.read(self, {"data": [{"embedding": v} for v in values]}, count)
        return vectors, Usage()
