"""The database tool on PostgreSQL: a role without privileges, a read-only transaction, and a look at what was touched.

A read-only transaction is no boundary for a superuser (files, programs), so such a role is refused. A query runs
through a server-side cursor, which takes one query and nothing else; before its rows are given out, the engine's own
list of locks says which tables it really read, also inside functions and views. A connection lives for one act and is
rolled back unless it wrote.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from gathering.core.errors import ConfigurationError, ToolFailed, nearest
from gathering.tools.database_rows import Interrupter, Rows, taken
from gathering.tools.database_writing import Writing
from gathering.tools.sql_check import Dialect, Query, TableName

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresEngine"]

_BATCH = 100  # rows fetched at once
_CANCELLING = 5.0  # seconds one try to stop a statement may take
_SYSTEM = ("pg_catalog", "information_schema", "pg_toast")

_MIGHT = """
select rolsuper or rolbypassrls
    or pg_has_role(current_user, 'pg_execute_server_program', 'member')
    or pg_has_role(current_user, 'pg_read_server_files', 'member')
    or pg_has_role(current_user, 'pg_write_server_files', 'member'),
    current_user, current_schemas(false)
from pg_roles where rolname = current_user
"""
_RELATIONS = """
select n.nspname, c.relname, c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'f', 'p')
"""
# What is locked by this transaction, less the allowed tables, what their views are made of, and their partitions.
_TOUCHED = """
with recursive reach(oid) as (
    select unnest(%s::oid[])
    union
    select next.oid from reach cross join lateral (
        select d.refobjid from pg_rewrite w
            join pg_depend d on d.objid = w.oid and d.classid = 'pg_rewrite'::regclass
            and d.refclassid = 'pg_class'::regclass
            where w.ev_class = reach.oid
        union all
        select i.inhrelid from pg_inherits i where i.inhparent = reach.oid
    ) as next(oid)
)
select n.nspname, c.relname from pg_locks l
    join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
where l.locktype = 'relation' and l.pid = pg_backend_pid() and c.relkind in ('r', 'v', 'm', 'f', 'p')
    and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and c.oid not in (select oid from reach)
"""


class _Catalog(NamedTuple):
    """What there is: relations with their ids, and the schemas an unqualified name is looked for in."""

    relations: Mapping[TableName, int]
    path: tuple[str, ...]

    def resolved(self, table: TableName) -> TableName:
        schemas = (table.schema,) if table.schema else self.path
        return next((n for s in schemas if (n := TableName(s, table.name)) in self.relations), table)


@dataclass(frozen=True, slots=True)
class PostgresEngine:
    """Queries and writes of one database. ``allowed`` None is every table but the system's; times are in seconds."""

    connect: Mapping[str, Any]
    allowed: frozenset[TableName] | None
    max_rows: int
    timeout: float
    allow_superuser: bool = False
    dialect: Dialect = "postgres"

    def query(self, query: Query, written: str, interrupter: Interrupter) -> Rows:
        """The rows of the query, as it was read and not as it was ``written``. Raises ``ToolFailed``."""
        with self._connection(interrupter, writing=False) as connection:
            allowed = self._check(connection, query)
            with connection.cursor(name="gathering") as cursor:
                cursor.itersize = _BATCH
                interrupter.check()
                cursor.execute(query.sql.encode())
                rows = taken([d.name for d in cursor.description or ()], cursor, self.max_rows)
            touched = connection.execute(_TOUCHED, [list(allowed.values())]).fetchone()
            if touched is not None:
                raise ToolFailed(f"the query read {touched[0]}.{touched[1]}, which is not allowed")
            return rows

    def write(self, writing: Writing, interrupter: Interrupter) -> int:
        """How many rows were written; none if it would be more than ``max_rows``. Raises ``ToolFailed``."""
        with self._connection(interrupter, writing=True) as connection:
            catalog = self._catalog(connection)
            _require(writing.table, self._allowed(catalog), catalog)
            sql, parameters = writing.statement("postgres")
            count = connection.execute(sql.encode(), parameters).rowcount
            if count > self.max_rows:
                raise ToolFailed(
                    f"{writing.verb} would touch {count:,} rows, {self.max_rows:,} are the most: nothing was written"
                )
            interrupter.check()
            connection.commit()
            return count

    def check(self) -> None:
        """Raise ``ToolFailed`` if the database cannot be used."""
        with self._connection(Interrupter(), writing=False) as connection:
            self._catalog(connection)

    @contextlib.contextmanager
    def _connection(self, interrupter: Interrupter, *, writing: bool) -> Iterator[psycopg.Connection[Any]]:
        psycopg = _driver()
        try:
            with contextlib.closing(psycopg.connect(**self._options(writing))) as connection:
                connection.read_only = not writing
                try:
                    interrupter.arm(lambda: connection.cancel_safe(timeout=_CANCELLING))
                    yield connection
                finally:
                    interrupter.disarm()
        except psycopg.errors.QueryCanceled as err:
            raise ToolFailed(
                f"the statement took longer than {self.timeout:g} s and was stopped: ask for less"
            ) from err
        except psycopg.Error as err:
            text = " ".join(str(err.diag.message_primary or err).split())
            raise ToolFailed(f"the database says: {text[:300]}") from err

    def _options(self, writing: bool) -> dict[str, Any]:
        milliseconds = max(1, round(self.timeout * 1000))
        settings = {
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds * 2 + 1000,
            "default_transaction_read_only": "off" if writing else "on",
            "standard_conforming_strings": "on",
        }
        given = str(self.connect.get("options") or "")
        options = " ".join([given, *(f"-c {name}={value}" for name, value in settings.items())]).strip()
        return {"connect_timeout": max(2, round(self.timeout)), **self.connect, "options": options}

    def _catalog(self, connection: psycopg.Connection[Any]) -> _Catalog:
        row = connection.execute(_MIGHT).fetchone()
        if row is None or (row[0] and not self.allow_superuser):
            raise ToolFailed(
                f"the role {row[1] if row else '?'!r} may do anything on the database server: connect as a role that "
                "has only what the agent needs (nosuperuser, grants on its tables), or set allow_superuser=True"
            )
        relations = {TableName(s, n): int(oid) for s, n, oid in connection.execute(_RELATIONS)}
        return _Catalog(relations, tuple(row[2]))

    def _allowed(self, catalog: _Catalog) -> dict[TableName, int]:
        if self.allowed is None:
            return {t: oid for t, oid in catalog.relations.items() if t.schema not in _SYSTEM}
        named = {catalog.resolved(t) for t in self.allowed}
        return {t: catalog.relations[t] for t in named if t in catalog.relations}

    def _check(self, connection: psycopg.Connection[Any], query: Query) -> dict[TableName, int]:
        catalog = self._catalog(connection)
        allowed = self._allowed(catalog)
        for table in sorted(query.tables):
            _require(table, allowed, catalog)
        known = {t.name.lower() for t in catalog.relations}
        hiding = sorted(n for n in query.names if n in known)
        if hiding:
            raise ToolFailed(f"WITH {hiding[0]} has the name of a table: give it another name")
        return allowed


def _require(table: TableName, allowed: Mapping[TableName, int], catalog: _Catalog) -> None:
    if catalog.resolved(table) in allowed:
        return
    names = [t.name if t.schema in catalog.path else str(t) for t in allowed]
    close = nearest(str(table), names)
    advice = (
        f"did you mean {close[0]!r}?" if close else "allowed: " + (", ".join(sorted(names)[:20]) or "none")
    )
    raise ToolFailed(f"the table {str(table)!r:.80} is not allowed: {advice}")


def _driver() -> Any:
    try:
        import psycopg
    except ImportError as err:
        raise ConfigurationError(
            "PostgreSQL needs psycopg, which is not installed: pip install 'gathering[postgres]'"
        ) from err
    return psycopg
