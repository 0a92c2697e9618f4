"""The Gemini dialect, streamed: bytes of the network in, typed events out. Pure; no I/O.

Each event is a response object; there is no end event, the last object says why the model stopped. Errors come as an
event, or as plain JSON over many lines behind good events. What an object says is ``gathering.llm.gemini_answer``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gathering.core.events import Event
from gathering.core.messages import Completion
from gathering.llm.faults import error_in_body
from gathering.llm.gemini_answer import Answer
from gathering.llm.reader import AnswerReader, json_in
from gathering.llm.sse import ServerEvent, SSEReader

__all__ = ["GeminiStream"]

#: Fields of an event; a line without a name before its colon is a comment.
_FIELDS = (b"data", b"event", b"id", b"retry", b"")
#: The name of what stood outside of events, and the bytes of it that are kept: more is no explanation.
_STRAY, _STRAY_BYTES = "stray", 1 << 16


class GeminiStream(AnswerReader):
    r"""Fed the bytes of each network read, gives the events in them; ``finish()`` gives the last ones.

    ``ended`` stays False: objects with usage or more text have been seen behind the first reason to stop, so the
    connection's end is waited for.

    >>> stream = GeminiStream("m")
    >>> stream.feed(b'data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}\r\n\r\n')
    [TextDelta(text='Hi')]
    >>> stream.whole, stream.finish()[-1].completion.content
    (True, 'Hi')
    """

    service = "is a Gemini service"

    def __init__(self, model: str = "", origin: str = "gemini") -> None:
        super().__init__(_StrayFraming())
        self._answer = Answer(model, origin)

    @property
    def partial(self) -> str:
        """The text that has arrived so far."""
        return self._answer.text

    @property
    def whole(self) -> bool:
        """Whether the answer is complete, even if the connection breaks now."""
        return self._answer.whole

    def _take(self, name: str, text: str, events: list[Event]) -> None:
        """One server event: append what it says to ``events``."""
        if name == _STRAY:
            self._raise_error_in(json_in(text))
            return
        if text == "[DONE]":  # added by gateways
            return
        chunk = self._parsed(text)
        for item in chunk if isinstance(chunk, list) else [chunk]:
            self._raise_error_in(item)
            if isinstance(item, Mapping):
                events.extend(self._answer.take(item))

    def _raise_error_in(self, item: Any) -> None:
        if (error := error_in_body(item)) is not None:
            error.partial = self.partial
            raise error

    def _completion(self) -> Completion:
        return self._answer.completion()


class _StrayFraming(SSEReader):
    """Gives the lines that are no field of an event too, together, each time they may have become whole JSON."""

    __slots__ = ("_strays", "_strays_size")

    def __init__(self) -> None:
        super().__init__()
        self._strays: list[bytes] = []
        self._strays_size = 0

    def _lines(self, lines: bytes, events: list[ServerEvent]) -> None:
        for line in lines.split(b"\n"):
            if not line or line.partition(b":")[0] in _FIELDS or self._strays_size > _STRAY_BYTES:
                continue
            self._strays.append(line)
            self._strays_size += len(line) + 1
            if len(self._strays) == 1 or line.strip() in (b"}", b"]", b"}]"):
                events.append((_STRAY, b"\n".join(self._strays).decode("utf-8", "replace")))
        super()._lines(lines, events)
