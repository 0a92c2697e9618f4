"""The database tool on SQLite: a connection that can only do what was allowed, whatever the SQL says.

The file is opened read-only, and an authorizer that refuses by default is asked by the engine about every table,
column and function of a statement before it runs. A connection lives for one act.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gathering.core.errors import ToolFailed, nearest
from gathering.tools.database_rows import Interrupter, Rows, taken
from gathering.tools.database_writing import Writing
from gathering.tools.sql_check import Dialect, Query, TableName
from gathering.tools.sql_functions import ALLOWED_FUNCTIONS

__all__ = ["SQLiteEngine"]

_MOST_LENGTH = 1_000_000  # bytes of one value or row
_STEPS = 1_000  # of the engine between two looks at the clock
_WRITES = {
    "insert": sqlite3.SQLITE_INSERT,
    "update": sqlite3.SQLITE_UPDATE,
    "delete": sqlite3.SQLITE_DELETE,
}


@dataclass(frozen=True, slots=True)
class SQLiteEngine:
    """Queries and writes of one file. ``allowed`` None is every table of it; times are in seconds."""

    path: Path
    allowed: frozenset[TableName] | None
    functions: frozenset[str]
    max_rows: int
    timeout: float
    dialect: Dialect = "sqlite"

    def query(self, query: Query, written: str, interrupter: Interrupter) -> Rows:
        """The rows of the text as it was ``written``. Raises ``ToolFailed``."""
        with self._connection(interrupter, writing=False) as connection:
            allowed = self._check(connection, query)
            connection.set_authorizer(self._authorizer(allowed | query.names))
            cursor = connection.execute(written)
            return taken((d[0] for d in cursor.description or ()), cursor, self.max_rows)

    def write(self, writing: Writing, interrupter: Interrupter) -> int:
        """How many rows were written; none if it would be more than ``max_rows``. Raises ``ToolFailed``."""
        sql, parameters = writing.statement("sqlite")
        with self._connection(interrupter, writing=True) as connection:
            allowed = self._allowed(self._relations(connection))
            _require(writing.table, allowed)
            connection.execute("BEGIN IMMEDIATE")
            connection.set_authorizer(
                self._authorizer(allowed, (_WRITES[writing.verb], writing.table.name.lower()))
            )
            count = connection.execute(sql, parameters).rowcount
            connection.set_authorizer(None)
            if count > self.max_rows:
                raise ToolFailed(
                    f"{writing.verb} would touch {count:,} rows, {self.max_rows:,} are the most: nothing was written"
                )
            interrupter.check()
            connection.execute("COMMIT")
            return count

    def check(self) -> None:
        """Raise ``ToolFailed`` if the file cannot be used."""
        with self._connection(Interrupter(), writing=False) as connection:
            self._relations(connection)

    @contextlib.contextmanager
    def _connection(self, interrupter: Interrupter, *, writing: bool) -> Iterator[sqlite3.Connection]:
        if not self.path.is_file():
            raise ToolFailed(f"there is no database file {self.path.name!r}: correct the connection string")
        uri = f"{self.path.absolute().as_uri()}?mode={'rw' if writing else 'ro'}"
        deadline = time.monotonic() + self.timeout
        try:
            connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False, timeout=self.timeout
            )
            with contextlib.closing(connection):
                _strictly(connection, writing)
                connection.set_progress_handler(
                    lambda: interrupter.stopped or time.monotonic() > deadline, _STEPS
                )
                try:
                    interrupter.arm(connection.interrupt)
                    yield connection
                finally:
                    interrupter.disarm()  # a closed connection cannot be interrupted
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as err:
            raise ToolFailed(self._told(err)) from err

    def _told(self, err: Exception) -> str:
        text = " ".join(str(err).split())
        if "interrupted" in text:
            return f"the statement took longer than {self.timeout:g} s and was stopped: ask for less"
        if "prohibited" in text or "not authorized" in text:
            return f"the database refused it ({text}): use the allowed tables and functions"
        return f"the database says: {text[:300]}"

    def _relations(self, connection: sqlite3.Connection) -> frozenset[str]:
        rows = connection.execute("select name from sqlite_master where type in ('table', 'view')")
        return frozenset(str(row[0]).lower() for row in rows)

    def _allowed(self, relations: frozenset[str]) -> frozenset[str]:
        if self.allowed is None:
            return frozenset(r for r in relations if not r.startswith("sqlite_"))
        return frozenset(t.name.lower() for t in self.allowed)

    def _check(self, connection: sqlite3.Connection, query: Query) -> frozenset[str]:
        """The tables that may be read. A part of a WITH that has a table's name would be taken for it: refused."""
        relations = self._relations(connection)
        allowed = self._allowed(relations)
        for table in sorted(query.tables):
            _require(table, allowed)
        hiding = sorted(
            n for n in query.names if n in relations | allowed or n.startswith(("sqlite_", "pragma_"))
        )
        if hiding:
            raise ToolFailed(f"WITH {hiding[0]} has the name of a table: give it another name")
        return allowed

    def _authorizer(self, tables: frozenset[str], write: tuple[int, str] | None = None) -> Callable[..., int]:
        functions = ALLOWED_FUNCTIONS | self.functions

        def decide(act: int, first: str | None, second: str | None, *where: str | None) -> int:
            named = (first or "").lower()
            match act:
                case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
                    fine = True
                case sqlite3.SQLITE_READ:
                    fine = named in tables
                case sqlite3.SQLITE_FUNCTION:
                    fine = (second or "").lower() in functions
                case _:
                    fine = (act, named) == write
            return sqlite3.SQLITE_OK if fine else sqlite3.SQLITE_DENY

        return decide


def _require(table: TableName, allowed: frozenset[str]) -> None:
    if table.schema in ("", "main") and table.name.lower() in allowed:
        return
    close = nearest(table.name, allowed)
    advice = (
        f"did you mean {close[0]!r}?" if close else "allowed: " + (", ".join(sorted(allowed)[:20]) or "none")
    )
    raise ToolFailed(f"the table {str(table)!r:.80} is not allowed: {advice}")


def _strictly(connection: sqlite3.Connection, writing: bool) -> None:
    connection.text_factory = lambda value: value.decode("utf-8", "replace")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA foreign_keys = ON" if writing else "PRAGMA query_only = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_LENGTH)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100_000)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)
