"""Ids and times of a replay: the same in each, so that a table of them is. Owns no recording.

Times begin when the tape was recorded, go on with each exchange that is played and by a millisecond whenever one is asked
for. Ids are counted, on and on through the process, so that none comes twice.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import defaultdict
from collections.abc import Iterator

from gathering.core.session import id_of

__all__ = ["TapeClock"]

_TICK = 0.001
_counters: dict[str, Iterator[int]] = defaultdict(itertools.count)


class TapeClock:
    """The clock of the tape of this name, from ``start`` on (seconds since 1970)."""

    def __init__(self, name: str, start: float) -> None:
        self._lock = threading.Lock()
        self._now = start
        self._name = name
        digest = hashlib.sha256(name.encode()).digest()
        self._base = int(start * 1000) << 80 | int.from_bytes(digest[:4], "big") << 48

    def new_id(self) -> str:
        """The next id; ids made later sort later."""
        with self._lock:
            return id_of(self._base + next(_counters[self._name]))

    def now(self) -> float:
        """Seconds since 1970, a little later each time."""
        with self._lock:
            self._now = round(self._now + _TICK, 6)
            return self._now

    def timer(self) -> float:
        """No time passes while something is replayed: what took time has it on the tape."""
        return 0.0

    def played(self, until: float) -> None:
        """Go on to the end of an exchange."""
        with self._lock:
            self._now = max(self._now, until)
