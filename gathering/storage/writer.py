"""The queue of rows and the one thread that writes them, in groups. Knows rows and keys, but no database.

``put`` appends to a deque and returns. The thread wakes, waits a moment so that rows gather, merges rows of the
same key and hands them over in one batch. A batch that cannot be written stays here, in order, until it can.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from gathering.core.errors import StoreError
from gathering.storage.columns import KEYS

__all__ = ["Batch", "Key", "Writer"]

Key: TypeAlias = tuple[Any, ...]  # the table, then the values of its key columns
Batch: TypeAlias = dict[Key, dict[str, Any]]

#: Rows gather this long before they are written together; a killed process loses no more than this (seconds).
GATHER = 0.05
#: Growing values are looked at this often besides (seconds): with GATHER, ten times a second.
GROW = 0.05
#: After a failed write the thread waits this long before it tries again (seconds).
RETRY = 1.0

_all: weakref.WeakSet[Writer] = weakref.WeakSet()


class Writer:
    """Rows from any thread to one function, in groups. ``write`` raises ``StoreError`` when it cannot."""

    def __init__(self, write: Callable[[Batch], None]) -> None:
        self._write = write
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._rows: deque[tuple[str, dict[str, Any]]] = deque()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._awake = self._stopped = False
        self._lock = threading.RLock()
        self._pending: Batch = {}
        self._growing: dict[Key, _Growing] = {}
        self._thread: threading.Thread | None = None
        self._threadless = False
        self._tried = 0.0
        self.failure: StoreError | None = None

    def put(self, table: str, row: dict[str, Any]) -> None:
        """Queue one row. Safe from any thread, also from a finalizer that runs inside this very method."""
        self._rows.append((table, row))
        if self._awake:
            return
        self._awake = True
        if self._thread is None and not self._threadless:
            self._start()
        if self._threadless:
            self._try_step()
        else:
            self._wake.put(None)

    def flush(self) -> None:
        """Write everything put so far, on the caller's thread. Raises ``StoreError``; the rows are kept then."""
        self._step()

    def waiting(self) -> int:
        """How many rows are not written yet."""
        return len(self._rows) + len(self._pending)

    def stop(self) -> None:
        """Let the thread end. Writes nothing; a later ``put`` starts a new thread."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._stopped = True
            self._wake.put(None)
            thread.join(timeout=2)
        self._thread, self._stopped, self._awake = None, False, False

    def _start(self) -> None:
        if sys.is_finalizing():  # before Python 3.12 a thread started now never says that it has started
            self._threadless = True
            return
        thread = threading.Thread(target=self._run, name="gathering-trace", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no threads on this platform (Pyodide), or the interpreter is shutting down
            self._threadless = True
            return
        self._thread = thread

    def _run(self) -> None:
        while True:
            self._sleep()
            if self._stopped:
                return
            time.sleep(GATHER)
            if self.failure is None or time.monotonic() - self._tried >= RETRY:
                self._try_step()

    def _sleep(self) -> None:
        """Wait for rows; for values that grow and for a disk that was full only so long."""
        timeout = RETRY if self.failure is not None else GROW if self._growing else None
        try:
            self._wake.get(timeout=timeout)
        except queue.Empty:
            return

    def _try_step(self) -> None:
        try:
            self._step()
        except StoreError:
            return  # kept in self.failure: ready(), flush() and reads say it
        except Exception as error:  # noqa: BLE001 - the thread must live on, and the next flush must say why
            self.failure = StoreError(f"the trace could not be written ({error}): {self.waiting()} rows wait")

    def _step(self) -> None:
        with self._lock:
            self._awake = False  # before the queue is emptied: a row put from here on wakes the thread again
            self._drain()
            self._sample()
            if not self._pending:
                self.failure = None
                return
            self._tried = time.monotonic()
            try:
                self._write(self._pending)
            except StoreError as error:
                self.failure = error
                raise
            self._pending = {}
            self.failure = None

    def _drain(self) -> None:
        rows = self._rows
        while rows:
            table, row = rows[0]
            self._merge(table, row)
            rows.popleft()  # after the merge: an interrupt in between repeats it and loses nothing

    def _merge(self, table: str, row: dict[str, Any]) -> None:
        key: Key = (table, *(row[k] for k in KEYS[table]))
        growing = self._growing.get(key)
        if growing is not None:
            growing.replace(row)
        if any(map(callable, row.values())):
            functions = {c: v for c, v in row.items() if callable(v)}
            row = {c: v for c, v in row.items() if c not in functions}
            identity = {k: row[k] for k in KEYS[table]}
            self._growing[key] = _Growing(identity, functions, row.get("call_id"))
        known = self._pending.get(key)
        if known is None:
            self._pending[key] = dict(row)
        else:
            known.update(row)
        if table == "calls" and row.get("status") not in (None, "started"):
            self._last_look(row["call_id"])

    def _last_look(self, call_id: Any) -> None:
        for growing in self._growing.values():
            growing.ended = growing.ended or growing.call_id == call_id

    def _sample(self) -> None:
        """Put what growing values are now, where they changed; forget those that were replaced or whose call ended."""
        for key, growing in list(self._growing.items()):
            fresh = growing.sample()
            if fresh:
                self._pending.setdefault(key, dict(growing.identity)).update(fresh)
            if growing.ended or not growing.functions:
                del self._growing[key]


class _Growing:
    """The columns of one row that are functions, and what they gave last."""

    def __init__(
        self, identity: dict[str, Any], functions: dict[str, Callable[[], Any]], call_id: Any
    ) -> None:
        self.identity, self.functions, self.call_id = identity, functions, call_id
        self.last: dict[str, Any] = {}
        self.ended = False

    def replace(self, row: dict[str, Any]) -> None:
        for column in row.keys() & self.functions.keys():
            del self.functions[column]

    def sample(self) -> dict[str, Any]:
        fresh = {}
        for column, function in self.functions.items():
            # A function that raises changes nothing: what had arrived before stays in the row.
            with contextlib.suppress(Exception):
                value = function()
                if column not in self.last or self.last[column] != value:
                    fresh[column] = self.last[column] = value
        return fresh


def _after_fork() -> None:
    # The parent writes what was queued; locks may have been held by a thread the child does not have.
    for writer in list(_all):
        writer._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
