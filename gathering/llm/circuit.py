"""A circuit for each service: after several failures in a row nobody is kept waiting for a service that is dead.

Closed, requests go out. After ``THRESHOLD`` failures in a row it opens, and requests fail at once. After a pause one
request may try; its success closes the circuit, its failure opens it for longer. Owns no request and no waiting.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

__all__ = ["Circuit", "circuit_of", "reset"]

#: Failures in a row that open a circuit. Those of requests that ran side by side count as one.
THRESHOLD = 5
#: Seconds a circuit stays open the first time and at most; it doubles when the try fails.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0


class Circuit:
    """What is known of one service's health. Safe from any thread; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.failures = 0
        self._pause = FIRST_PAUSE
        self._open_until, self._trying = 0.0, False
        self._last_failure = -1.0
        self._lock = threading.Lock()

    def refuses(self) -> float | None:
        """Seconds for which nothing is to be sent; None if this request may go.

        After the pause the first one who asks may go, to try; the others are refused until it is known how that ended.
        """
        if self.failures < THRESHOLD:
            return None
        with self._lock:
            now = self.clock()
            if now < self._open_until:
                return self._open_until - now
            self._open_until, self._trying = now + self._pause, True
            return None

    def failed(self, sent_at: float) -> None:
        """Note that a request sent at this time found the service dead."""
        with self._lock:
            if sent_at < self._last_failure:
                return  # it ran beside the one that told
            now = self._last_failure = self.clock()
            self.failures += 1
            if self._trying:
                self._pause = min(LONGEST_PAUSE, self._pause * 2)
            self._trying = False
            self._open_until = now + self._pause

    def answered(self) -> None:
        """Note that the service is alive."""
        if self.failures:
            with self._lock:
                self.failures, self._pause, self._trying = 0, FIRST_PAUSE, False


_circuits: dict[tuple[str, str], Circuit] = {}


def circuit_of(provider: str, base_url: str) -> Circuit:
    """The process's one circuit of this service."""
    key = (provider, base_url)
    return _circuits.get(key) or _circuits.setdefault(key, Circuit())


def reset() -> None:
    """Forget what was known of every service."""
    _circuits.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset)  # a lock of the parent may be held there for ever
