"""The Gemini dialect, streamed: bytes of the network in, typed events out. Pure; no I/O.

Each event is a response object; there is no end event, the last object says why the model stopped. Errors come as an
event, or as plain JSON over many lines behind good events. What an object says is ``gathering.llm.gemini_answer``'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gathering.core.errors import IncompleteStreamError, MalformedResponseError, ProviderError
from gathering.core.events import Done, Event
from gathering.llm.faults import error_in_body
from gathering.llm.gemini_answer import Answer
from gathering.llm.sse import ServerEvent, SSEReader

__all__ = ["GeminiStream"]

#: Fields of an event; a line without a name before its colon is a comment.
_FIELDS = (b"data", b"event", b"id", b"retry", b"")


class GeminiStream:
    r"""Fed the bytes of each network read, gives the events in them; ``finish()`` gives the last ones.

    >>> stream = GeminiStream("m")
    >>> stream.feed(b'data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}\r\n\r\n')
    [TextDelta(text='Hi')]
    >>> stream.whole, stream.finish()[-1].completion.content
    (True, 'Hi')
    """

    def __init__(self, model: str = "", origin: str = "gemini") -> None:
        #: Never: objects with usage or more text have been seen behind the first reason to stop, so the connection's
        #: end is waited for.
        self.ended = False
        self.failure: ProviderError | None = None  #: an error that came behind the last events
        self._sse = _Reader()
        self._answer = Answer(model, origin)
        self._strays = 0

    @property
    def partial(self) -> str:
        """The text that has arrived so far."""
        return self._answer.text

    @property
    def whole(self) -> bool:
        """Whether the answer is complete, even if the connection breaks now."""
        return self._answer.whole

    def feed(self, data: bytes) -> list[Event]:
        """The events that end within these bytes. Raises the typed error a chunk holds.

        Events that came before it in the same bytes are given first: the error is in ``failure`` then.
        """
        if self.failure is not None:
            raise self.failure
        events: list[Event] = []
        try:
            for _, text in self._sse.feed(data):
                self._take(text, events)
            self._look_at_strays()
        except ProviderError as error:
            if not events:
                raise
            self.failure = error
        return events

    def finish(self) -> list[Event]:
        """What is left, and ``Done``. Raises ``IncompleteStreamError`` with the partial text if no reason to stop came."""
        if self.failure is not None:
            raise self.failure
        events: list[Event] = []
        for _, text in self._sse.flush():
            if _parsed(text) is not None:  # half an event is no event
                self._take(text, events)
        self._look_at_strays()
        if not self.whole:
            raise IncompleteStreamError(
                f"the stream ended without its end mark after {len(self.partial)} characters of text, "
                "the answer is not whole. Next: ask again; what arrived is in the error's .partial",
                partial=self.partial,
            )
        return [*events, Done(self._answer.completion())]

    def _take(self, data: str, events: list[Event]) -> None:
        """One server event: append what it says to ``events``."""
        if data == "[DONE]":  # added by gateways
            return
        chunk = _parsed(data)
        if chunk is None:
            raise MalformedResponseError(
                f"the stream holds {data[:80]!r}, which is not JSON. Next: check that base_url is a Gemini service",
                partial=self.partial,
            )
        for item in chunk if isinstance(chunk, list) else [chunk]:
            self._raise_error_in(item)
            if isinstance(item, Mapping):
                events.extend(self._answer.take(item))

    def _look_at_strays(self) -> None:
        """Raise the error that came as JSON of many lines outside of events, once all of its lines are here."""
        strays = self._sse.strays
        if len(strays) != self._strays:
            self._strays = len(strays)
            if strays[-1].strip() in ("}", "]", "}]") or len(strays) == 1:
                self._raise_error_in(_parsed("\n".join(strays)))

    def _raise_error_in(self, item: Any) -> None:
        if (error := error_in_body(item)) is not None:
            error.partial = self.partial
            raise error


class _Reader(SSEReader):
    """Keeps the lines that are no field of an event, in ``strays``."""

    __slots__ = ("strays",)

    def __init__(self) -> None:
        super().__init__()
        self.strays: list[str] = []

    def _lines(self, lines: bytes, events: list[ServerEvent]) -> None:
        for line in lines.split(b"\n"):
            if line and line.partition(b":")[0] not in _FIELDS:
                self.strays.append(line.decode("utf-8", "replace"))
        super()._lines(lines, events)


def _parsed(text: str) -> Any:
    """The JSON value of a text; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
