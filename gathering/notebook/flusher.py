"""One timer for everything that grows on a page, however many panels there are.

A server between kernel and page drops messages above a rate, so text that comes token by token is sent in pieces.
Owns when, on the I/O thread; what is sent is the channel's (``gathering.notebook.channel``).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

__all__ = ["INTERVAL", "Flusher", "flusher"]

#: Seconds between two flushes: continuous to the eye, and few messages.
INTERVAL = 0.05


class Flushable(Protocol):
    """What has something to send."""

    def flush(self) -> None:
        """Send it."""


class Flusher:
    """Flushes what asked for it: at once after a silence, then once an interval. To be used on its loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._due: dict[Flushable, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def soon(self, who: Flushable) -> None:
        """Flush ``who`` at the next beat, which is now if there was none in the last interval."""
        self._due[who] = None
        if self._timer is None:
            self._beat()

    def forget(self, who: Flushable) -> None:
        """``who`` has nothing left to send."""
        self._due.pop(who, None)

    def _beat(self) -> None:
        due, self._due = self._due, {}
        self._timer = self.loop.call_later(INTERVAL, self._beat) if due else None
        for who in due:
            who.flush()


_flusher: Flusher | None = None


def flusher(loop: asyncio.AbstractEventLoop) -> Flusher:
    """The process's one flusher; another after a fork, which has a loop of its own."""
    global _flusher
    if _flusher is None or _flusher.loop is not loop:
        _flusher = Flusher(loop)
    return _flusher
