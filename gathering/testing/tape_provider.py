"""A provider behind a tape: what is said of it while it is played, and its vectors. The tape says what is recorded."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from gathering.core.errors import TapeError
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, MessageDict, ToolSpec, Usage
from gathering.core.offers import Embeddings, TokenCount
from gathering.core.playback import Keeper, PlaybackProvider
from gathering.core.stored import Request
from gathering.testing.tape_lines import Entry

__all__ = ["TapedProvider"]


class _Tape(Keeper, Protocol):
    def take(self, request: Request) -> tuple[int, Entry | None]:
        """The request's number among equal ones, and its entry if it is there."""
        ...


class TapedProvider(PlaybackProvider):
    """A provider behind a tape: it answers from the tape, and asks the provider only for what is to be recorded.

    Tokens are counted by estimate, so that recording and replaying choose the same context window without the model.
    """

    def __init__(self, provider: ILLMProvider, tape: _Tape, *, only_replays: bool) -> None:
        super().__init__(provider, tape)
        self.tape, self.only_replays = tape, only_replays

    def is_available(self) -> bool:
        """A tape that only replays needs nothing."""
        return self.only_replays or self.provider.is_available()

    def why_unavailable(self) -> str | None:
        """What the provider says, when it is asked at all."""
        return None if self.only_replays else self.provider.why_unavailable()

    def get_token_count(self, text: str) -> int:
        """The estimate of any provider."""
        return ILLMProvider.get_token_count(self, text)

    def count_tokens(self, messages: list[MessageDict], tools: list[ToolSpec] | None = None) -> TokenCount:
        """The estimate of any provider."""
        return ILLMProvider.count_tokens(self, messages, tools)

    def cost_of(self, completion: Completion) -> float | None:
        """What it cost when it was recorded: prices change."""
        return completion.cost if completion.source == "tape" else super().cost_of(completion)

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """The recorded vectors, or the provider's own, which are recorded."""
        asked = _Asked(self.tape, self, texts, model)
        if asked.played is not None:  # no vectors for no texts are an answer too
            return asked.played
        return asked.kept(self.provider.embed(texts, model))

    async def embed_async(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """The same, awaited."""
        asked = _Asked(self.tape, self, texts, model)
        if asked.played is not None:
            return asked.played
        return asked.kept(await self.provider.embed_async(texts, model))


class _Asked:
    """Vectors asked for once: those on the tape (``played``, None if there are none), or those to be kept there."""

    def __init__(self, tape: _Tape, provider: ILLMProvider, texts: Sequence[str], model: str | None) -> None:
        self.tape = tape
        self.request: Request = {
            "provider": provider.name,
            "model": model or provider.model,
            "embed": list(texts),
        }
        if (dimensions := provider.config.get("dimensions")) is not None:
            self.request["dimensions"] = dimensions
        self.number, entry = tape.take(self.request)
        self.played = None if entry is None else replace(_vectors(entry), source="tape")

    def kept(self, made: Embeddings) -> Embeddings:
        """The vectors as they will be played, in single precision, so that recording and replay are alike."""
        packed = [_packed(vector) for vector in made.vectors]
        body: dict[str, Any] = {"vectors": packed, "by": made.model, "usage": made.usage.to_dict()}
        self.tape.keep(self.request, self.number, body)
        return _vectors(Entry(self.request, body))


def _packed(vector: Sequence[float]) -> str:
    """The vector as base64 of little-endian floats of 32 bits."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def _unpacked(text: str) -> tuple[float, ...]:
    numbers = array("f", base64.b64decode(text, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()
    return tuple(numbers)


def _vectors(entry: Entry) -> Embeddings:
    try:
        vectors = tuple(_unpacked(text) for text in entry.body["vectors"])
        return Embeddings(vectors, entry.body["by"], Usage(**entry.body["usage"]))
    except (KeyError, TypeError, ValueError) as err:
        raise TapeError(
            "the tape holds vectors that cannot be read: record them again with mode='record'"
        ) from err
