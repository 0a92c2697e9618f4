"""The trace in a SQLite file: the recorder agents write to and views read from.

Ties the queue (``gathering.storage.writer``) to the file (``gathering.storage.database``): opens lazily, opens
again after a fork or when the file was removed, and says at every door that rows wait when they cannot be written.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from gathering.core.errors import StoreError
from gathering.core.interfaces import IRecorder
from gathering.storage.columns import KEYS, STORED
from gathering.storage.database import MEMORY, Database, Where
from gathering.storage.liveness import living
from gathering.storage.writer import Batch, Writer

__all__ = ["SQLiteStore"]

_KNOWN = {table: frozenset(columns) for table, columns in STORED.items()}
_NEEDED = {name: frozenset(columns) for name, columns in KEYS.items()}
_stores: weakref.WeakSet[SQLiteStore] = weakref.WeakSet()
#: Connections a forked child got from its parent: closing them there could fold away the parent's log.
_inherited: list[Database] = []


class SQLiteStore(IRecorder):
    """A trace in the file at ``path``, or for as long as the process lives with ``":memory:"``.

    The file and its folder are made when first needed. A value put may be a function: it is called whenever the
    row is written, several times a second until the column is put again or the row's call has ended.

    >>> store = SQLiteStore(":memory:")
    >>> store.put("memories", {"memory_id": "m1", "content": "likes tea"})
    >>> [row["content"] for row in store.rows("memories")]
    ['likes tea']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = os.fspath(path)
        self.path = given if given == MEMORY else str(Path(given).expanduser().absolute())
        self._database: Database | None = None
        self._lock = threading.RLock()
        self._writer = Writer(self._write)
        _stores.add(self)

    def ready(self) -> None:
        """Open the store, or raise ``StoreError``; rows that wait are tried again first."""
        if self._database is None:
            with self._lock:
                self._opened()
        if self._writer.failure is not None:
            self.flush()

    def put(self, table: str, row: dict[str, Any]) -> None:
        """Queue one row; it is merged with what was put before under the same key."""
        known = _KNOWN.get(table)
        if known is None or not row.keys() <= known or not row.keys() >= _NEEDED[table]:
            raise _misfit(table, row)
        self._writer.put(table, row)

    def flush(self) -> None:
        """Wait until everything put so far is in the file. Raises ``StoreError``; nothing is lost then."""
        try:
            self._writer.flush()
        except StoreError as error:
            raise StoreError(f"{error} ({self._writer.waiting()} rows wait in memory)") from error

    def rows(self, table: str, where: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a table with these values (a list means any of them), oldest first.

        A call that a dead process left ``started`` has the status ``interrupted``.
        """
        self.ready()
        self.flush()
        where = dict(where or {})
        status = where.pop("status", None) if table == "calls" else None
        with self._lock:
            database = self._opened()
            found = database.select(table, where)
            if any(row.get("status") == "started" for row in found):
                _say_interrupted(found, database)
        if status is None:
            return found
        wanted = status if isinstance(status, (list, tuple, set, frozenset)) else (status,)
        return [row for row in found if row["status"] in wanted]

    def count(self, table: str, where: Where | None = None) -> int:
        """How many rows of a table have these values."""
        if table == "calls" and where and "status" in where:
            return len(self.rows(table, where))
        self.ready()
        self.flush()
        with self._lock:
            return self._opened().count(table, where or {})

    def living(self) -> set[str]:
        """The sessions whose processes still run, this one among them."""
        self.ready()
        with self._lock:
            return living(self._opened().sessions())

    def spent_beside(self, session: str) -> float:
        """US dollars the calls of all other sessions cost, or are booked for where that is not known."""
        self.ready()
        with self._lock:
            return self._opened().spent_beside(session)

    def close(self) -> None:
        """Write what waits, end the thread, close the file. The store opens again when it is used again."""
        self._writer.stop()
        try:
            self.flush()
        finally:
            with self._lock:
                database, self._database = self._database, None
                if database is not None and self.path != MEMORY:
                    database.close()

    def __enter__(self) -> Self:
        """The store, closed at the end of the block."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Write what waits and close the file."""
        self.close()

    def __repr__(self) -> str:
        """Where the trace is kept."""
        return f"SQLiteStore({self.path!r})"

    def _write(self, batch: Batch) -> None:
        with self._lock:
            self._opened().write(batch)

    def _opened(self) -> Database:
        """The open file; made again if someone removed it. Called with the lock held."""
        database = self._database
        if database is not None and database.is_gone():
            database.close()
            database = self._database = None
        if database is None:
            database = self._database = Database(self.path)
        return database

    def _after_fork(self) -> None:
        if self._database is not None:
            _inherited.append(self._database)
        self._database, self._lock = None, threading.RLock()


def _say_interrupted(rows: list[dict[str, Any]], database: Database) -> None:
    alive = living(database.sessions())
    for row in rows:
        if row["status"] == "started" and row["session"] not in alive:
            row["status"] = "interrupted"


def _misfit(table: str, row: Mapping[str, Any]) -> StoreError:
    if table not in _KNOWN:
        return StoreError(f"the trace has no table {table!r}: it has {', '.join(_KNOWN)}")
    odd = sorted(row.keys() - _KNOWN[table])
    if odd:
        return StoreError(f"the table {table!r} has no column {odd[0]!r}: it has {', '.join(STORED[table])}")
    return StoreError(f"a row of {table!r} needs {' and '.join(KEYS[table])}: give it")


def _after_fork() -> None:
    for store in list(_stores):
        store._after_fork()


def _at_exit() -> None:
    for store in list(_stores):
        try:
            store.close()
        except StoreError as error:
            sys.stderr.write(f"gathering: {error}\n")


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
