"""What every reader of a streamed answer does alike: bytes in, typed events out, and how a stream ends. Pure; no I/O.

Owns the frame around the events: errors behind good events, the half event at a broken end, the missing end mark.
How bytes are cut into server events is a ``Framing``, what a server event means is the dialect's own reader.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

from gathering.core.errors import IncompleteStreamError, MalformedResponseError, ProviderError
from gathering.core.events import Done, Event
from gathering.core.messages import Completion
from gathering.llm.sse import ServerEvent, SSEReader

__all__ = ["AnswerReader", "Framing", "json_in"]


class Framing(Protocol):
    """Cuts the bytes of a stream into server events: ``SSEReader``, or the lines of another format."""

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that end within these bytes, in order."""

    def flush(self) -> list[ServerEvent]:
        """The event the stream ended in, if there is one."""


class AnswerReader(ABC):
    """Fed the bytes of each network read, gives the events in them; ``finish()`` gives the last ones.

    A dialect says what a server event adds (``_take``) and what the answer is in the end (``_completion``).
    """

    #: What the address should be if the stream holds no JSON, for the error.
    service: ClassVar[str] = ""

    def __init__(self, framing: Framing | None = None) -> None:
        self.ended = False  #: the end mark was read; nothing that follows matters
        self.failure: ProviderError | None = None  #: an error that came behind the last events
        self._framing: Framing = SSEReader() if framing is None else framing
        self._text: list[str] = []

    @property
    def partial(self) -> str:
        """The text that has arrived so far."""
        return "".join(self._text)

    @property
    def whole(self) -> bool:
        """Whether the answer is complete, even if the connection breaks now."""
        return self.ended

    @abstractmethod
    def _take(self, name: str, text: str, events: list[Event]) -> None:
        """One server event: append what it says to ``events``; raise the typed error it holds."""

    @abstractmethod
    def _completion(self) -> Completion:
        """The answer, once it is whole."""

    def _last(self, events: list[Event]) -> None:  # noqa: B027 - most dialects hold nothing back
        """Append what was held back until the end was known."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that end within these bytes. Raises the typed error a server event holds.

        Events that came before it in the same bytes are given first: the error is in ``failure`` then.
        """
        if self.failure is not None:
            raise self.failure
        events: list[Event] = []
        try:
            for name, text in self._framing.feed(data):
                if self.ended:
                    break
                self._take(name, text, events)
        except ProviderError as error:
            if not events:
                raise
            self.failure = error
        return events

    def finish(self) -> list[Event]:
        """What is left, and ``Done``. Raises ``IncompleteStreamError`` with the partial text if the end mark is missing."""
        if self.failure is not None:
            raise self.failure
        events: list[Event] = []
        for name, text in self._framing.flush() if not self.ended else ():
            if text == "[DONE]" or json_in(text) is not None:  # half an event is no event
                self._take(name, text, events)
        if not self.whole:
            raise IncompleteStreamError(
                f"the stream ended without its end mark after {len(self.partial)} characters of text, "
                "the answer is not whole. Next: ask again; what arrived is in the error's .partial",
                partial=self.partial,
            )
        self._last(events)
        return [*events, Done(self._completion())]

    def _parsed(self, text: str) -> Any:
        """The JSON value of a server event. Raises ``MalformedResponseError`` with what it is instead."""
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as err:
            raise MalformedResponseError(
                f"the stream holds {text[:80]!r}, which is not JSON. Next: check that base_url {self.service}",
                partial=self.partial,
            ) from err


def json_in(text: str) -> Any:
    """The JSON value of a text; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
