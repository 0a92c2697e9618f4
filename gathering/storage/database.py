"""One open SQLite file: engine, PRAGMAs, migration, batches of rows in, rows out. Owns no queue and no thread.

Write transactions begin with ``BEGIN IMMEDIATE``: a deferred one fails at once when another process writes
between its read and its write, whatever the timeout. Every failure leaves as a one-line ``StoreError``.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gathering.core.errors import StoreError
from gathering.core.interfaces import Since
from gathering.core.masking import mask
from gathering.core.session import fresh_id
from gathering.storage.columns import MASKED, ORDER, STORED
from gathering.storage.folder import make_folder
from gathering.storage.liveness import SessionRow, this_session
from gathering.storage.schema import migrate, table, upsert
from gathering.storage.values import DECODERS, ENCODERS
from gathering.storage.writer import Batch

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Select

__all__ = ["MEMORY", "Database", "Where"]

MEMORY = ":memory:"

#: Opening gives up early, since a cell waits for it; the writer's thread may be patient (milliseconds).
_OPEN_TIMEOUT, _WRITE_TIMEOUT = 5_000, 30_000

Where: TypeAlias = Mapping[str, Any]
Connect: TypeAlias = Callable[[], sqlite3.Connection]


class Database:
    """The file at ``path``, made or brought up to date. Raises ``StoreError`` when that cannot be done."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._statements: dict[tuple[str, tuple[str, ...]], _Statement] = {}
        with self._explained("opened"):
            if path == MEMORY:
                connect = _in_memory()
            else:
                _make_place(Path(path))
                connect = _in_file(path)
            self._reading = _engine(connect, reading=True)
            self._engine = _engine(connect)
            self._connection = self._engine.connect()
            self._prepare()
        self._identity = self._file_identity()

    def _prepare(self) -> None:
        row = this_session()
        sql, order = upsert("sessions", SessionRow._fields)
        with self._connection.begin():
            migrate(self._connection, self.path)
            self._connection.exec_driver_sql(sql, tuple(getattr(row, c) for c in order))
        self._connection.exec_driver_sql(f"PRAGMA busy_timeout = {_WRITE_TIMEOUT}")
        self._connection.commit()

    def write(self, batch: Batch) -> None:
        """Write the rows in one transaction; all of them or, with a ``StoreError``, none."""
        groups: dict[_Statement, list[tuple[Any, ...]]] = {}
        for key, row in batch.items():
            statement = self._statement(key[0], tuple(row))
            groups.setdefault(statement, []).append(statement.values(row))
        with self._explained("written"), self._connection.begin():
            for statement, rows in groups.items():
                self._connection.exec_driver_sql(statement.sql, rows)

    def _statement(self, name: str, columns: tuple[str, ...]) -> _Statement:
        statement = self._statements.get((name, columns))
        if statement is None:
            statement = self._statements[name, columns] = _Statement(name, columns)
        return statement

    def select(self, name: str, where: Where) -> list[dict[str, Any]]:
        """The rows with these values, oldest first, as Python values."""
        target = table(name)
        statement = _filtered(target.select(), name, where).order_by(*(target.c[c] for c in ORDER[name]))
        decoders = {c: DECODERS[kind] for c, kind in STORED[name].items() if kind in DECODERS}
        with self._explained("read"), self._reader() as connection:
            result = connection.execute(statement)
            names = tuple(result.keys())
            rows = [dict(zip(names, row, strict=True)) for row in result]
        for row in rows:
            for column, decode in decoders.items():
                if row[column] is not None:
                    row[column] = decode(row[column])
        return rows

    def count(self, name: str, where: Where) -> int:
        """How many rows have these values."""
        from sqlalchemy import func, select

        statement = _filtered(select(func.count()).select_from(table(name)), name, where)
        with self._explained("read"), self._reader() as connection:
            return int(connection.execute(statement).scalar_one())

    def spent_beside(self, session: str) -> float:
        """US dollars the calls of all other sessions cost, or are booked for where that is not known."""
        from sqlalchemy import func, select

        calls = table("calls").c
        cost = func.sum(func.coalesce(calls.cost_usd, calls.booked_usd))
        statement = select(cost).where(calls.source == "live", calls.session != session)
        with self._explained("read"), self._reader() as connection:
            return float(connection.execute(statement).scalar_one() or 0.0)

    def sessions(self) -> list[SessionRow]:
        """The processes that wrote here."""
        with self._explained("read"), self._reader() as connection:
            target = table("sessions")
            rows = connection.execute(
                target.select().with_only_columns(*(target.c[c] for c in SessionRow._fields))
            )
            return [SessionRow(*row) for row in rows]

    def _reader(self) -> Connection:
        """A connection that cannot write."""
        return self._reading.connect()

    def is_gone(self) -> bool:
        """Whether the file was removed or replaced: SQLite would go on writing to what nobody can open."""
        return self.path != MEMORY and self._file_identity() != self._identity

    def _file_identity(self) -> tuple[int, int] | None:
        if self.path == MEMORY:
            return None
        try:
            found = os.stat(self.path)  # noqa: PTH116 - once per batch: a Path costs more than the call
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Close the file; what SQLite kept beside it is folded in."""
        with contextlib.suppress(
            Exception
        ):  # closing is the end: a full disk was said when the rows were written
            self._connection.close()
            self._engine.dispose()
            self._reading.dispose()

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Any failure inside as one line that says what to do."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, OSError, sqlite3.Error) as err:
            reason, advice = _reason(err, self.path)
            raise StoreError(f"the trace at {self.path!r} cannot be {what} ({reason}): {advice}") from err


class _Statement:
    """The SQL for one set of columns of one table, and how a row becomes its values."""

    def __init__(self, name: str, columns: tuple[str, ...]) -> None:
        self.sql, order = upsert(name, columns)
        kinds = STORED[name]
        self._plan: list[tuple[str, Callable[[Any], Any]]] = [
            (c, _masking(ENCODERS[kinds[c]]) if c in MASKED else ENCODERS[kinds[c]]) for c in order
        ]

    def values(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """The row's values as the SQL takes them."""
        return tuple([None if row[column] is None else encode(row[column]) for column, encode in self._plan])


def _masking(encode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def masked(value: Any) -> Any:
        text = encode(value)
        return mask(text) if text and text != "{}" else text

    return masked


def _in_file(path: str) -> Connect:
    return lambda: sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _in_memory() -> Connect:
    # A named one, held open here: SQLAlchemy drops a connection that was interrupted, and the rows would go with it.
    uri = f"file:/{fresh_id()}?vfs=memdb"
    anchor = sqlite3.connect(uri, uri=True, check_same_thread=False)

    def connect(_held: sqlite3.Connection = anchor) -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    return connect


def _engine(connect: Connect, *, reading: bool = False) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool, StaticPool

    engine = create_engine(
        "sqlite+pysqlite://",
        creator=connect,
        poolclass=NullPool if reading else StaticPool,
    )
    event.listen(engine, "connect", _set_up_reader if reading else _set_up_writer)
    event.listen(engine, "begin", _begin if reading else _begin_immediate)
    return engine


def _set_up_writer(connection: sqlite3.Connection, record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_OPEN_TIMEOUT}")  # first: the next lines may meet a lock
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    except sqlite3.OperationalError as err:
        if "readonly" in str(err) or "unable to open" in str(err):
            raise
        mode = "refused"
    if mode not in ("wal", "memory"):  # a network drive: no shared memory there
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _set_up_reader(connection: sqlite3.Connection, record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_OPEN_TIMEOUT}")
    connection.execute("PRAGMA query_only = ON")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _filtered(statement: Select[Any], name: str, where: Where) -> Select[Any]:
    columns = table(name).c
    for column, value in where.items():
        if column not in columns:
            raise StoreError(
                f"the table {name!r} has no column {column!r}: it has {', '.join(columns.keys())}"
            )
        if isinstance(value, (list, tuple, set, frozenset)):
            statement = statement.where(columns[column].in_(list(value)))
        elif isinstance(value, Since):
            statement = statement.where(columns[column] >= value.value)
        else:
            statement = statement.where(columns[column] == value)
    return statement


def _make_place(path: Path) -> None:
    """The file's folder, if the file can be one."""
    if path.is_dir():
        raise StoreError(f"the trace cannot be kept at {str(path)!r} (it is a folder): name a file in it")
    make_folder(path.parent)


def _reason(err: Exception, path: str) -> tuple[str, str]:
    """Why it failed, and what to do next."""
    elsewhere = "set GATHERING_STORE to a writable file or ':memory:'"
    said = str(getattr(err, "orig", None) or getattr(err, "strerror", None) or err)
    if "is not a database" in said or "malformed" in said:
        return said, f"move {Path(path).name!r} away to start a new one, or {elsewhere}"
    if "full" in said or "No space" in said:
        return "no space left", f"free some space, or {elsewhere}"
    if "locked" in said or "busy" in said:
        return said, "end the other program that holds it, then try again"
    return said, elsewhere
