"""What a provider offers beside answers: its models, counts of tokens, and embeddings. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gathering.core.messages import Usage

__all__ = ["Embeddings", "ModelInfo", "TokenCount"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model of a provider, None where nothing is known. Prices are US dollars for a million tokens."""

    name: str
    context: int | None = None
    max_output: int | None = None
    input_price: float | None = None
    output_price: float | None = None


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many tokens a request has. ``exact`` is False for an estimate."""

    tokens: int
    exact: bool = False

    def __int__(self) -> int:
        """The figure alone."""
        return self.tokens


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each text, in order. ``model`` is ``"provider:model"``: vectors of two models never mix."""

    vectors: tuple[tuple[float, ...], ...]
    model: str
    usage: Usage = Usage()  # noqa: RUF009 - a frozen value
    source: Literal["live", "tape"] = field(default="live", compare=False)

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self.vectors)

    def __repr__(self) -> str:
        """How many, of which length and by which model."""
        return (
            f"Embeddings({len(self.vectors)} x {len(self.vectors[0]) if self.vectors else 0}, {self.model})"
        )
