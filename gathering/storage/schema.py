"""The tables of the trace and the numbered steps that bring an older file up to date. Opens no database.

SQLAlchemy is imported when a store is opened, so ``import gathering`` stays light.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gathering.core.errors import StoreError
from gathering.storage.columns import KEYS, STORED, Kind

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData, Table

__all__ = ["MIGRATIONS", "Migration", "metadata", "migrate", "table", "upsert"]

#: Columns that the questions of agents and notebooks go by.
_INDEXED = ("session", "conversation", "turn_id")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step. ``upgrade`` is frozen once released: files in the world were made by it."""

    number: int
    upgrade: Callable[[Connection], None]


def _first_tables(connection: Connection) -> None:
    _tables(_FIRST).create_all(connection, checkfirst=False)


# The first schema, spelled as it was: later columns are added by later steps, never here.
_FIRST: Mapping[str, Mapping[str, Kind]] = {
    "calls": {
        **dict.fromkeys(("call_id", "turn_id", "agent", "provider", "model"), "text"),
        "started_at": "time",
        **dict.fromkeys(("ttft_ms", "latency_ms"), "real"),
        **dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"), "integer"),
        "cost_usd": "real",
        **dict.fromkeys(("finish_reason", "status", "error"), "text"),
        "attempts": "integer",
        "source": "text",
        "cell": "integer",
        "params": "json",
        **dict.fromkeys(("session", "conversation"), "text"),
    },
    "messages": {
        **dict.fromkeys(
            ("message_id", "conversation", "agent", "turn_id", "call_id", "role", "content"), "text"
        ),
        "parts": "json",
        "tokens": "integer",
        "created_at": "time",
        "session": "text",
    },
    "tool_calls": {
        **dict.fromkeys(("tool_call_id", "call_id", "turn_id", "agent", "tool"), "text"),
        "arguments": "json",
        "success": "flag",
        "output": "json",
        "error": "text",
        "execution_time_ms": "real",
        **dict.fromkeys(("permission", "decision", "decided_by"), "text"),
        "cell": "integer",
        **dict.fromkeys(("session", "conversation"), "text"),
        "started_at": "time",
    },
    "memories": {
        **dict.fromkeys(("memory_id", "agent", "kind", "content"), "text"),
        "tokens": "integer",
        "in_context": "flag",
        "created_at": "time",
        **dict.fromkeys(("session", "conversation"), "text"),
    },
}


def _booked_dollars(connection: Connection) -> None:
    from sqlalchemy import text

    connection.execute(text("ALTER TABLE calls ADD COLUMN booked_usd FLOAT"))


def _long_term_memories(connection: Connection) -> None:
    from sqlalchemy import text

    added = {
        "importance": "FLOAT",
        "pinned": "INTEGER",
        "embedder": "TEXT",
        "owner": "TEXT",
        "replaces": "TEXT",
    }
    added |= {"vector": "BLOB", "revision": "INTEGER", "forgotten": "INTEGER"}
    for column, kind in added.items():
        connection.execute(text(f"ALTER TABLE memories ADD COLUMN {column} {kind}"))
    connection.execute(text("CREATE INDEX ix_memories_owner ON memories (owner, revision)"))
    # Each change has a number that is larger than all that were committed before it, whichever process makes it.
    connection.execute(text("CREATE TABLE memory_revision (number INTEGER)"))
    connection.execute(text("INSERT INTO memory_revision VALUES (0)"))
    changed = "content, kind, importance, pinned, embedder, vector, forgotten"
    for name, event in (("added", "INSERT"), ("changed", f"UPDATE OF {changed}")):
        connection.execute(
            text(
                f"CREATE TRIGGER memory_{name} AFTER {event} ON memories BEGIN "  # noqa: S608 - names from right here
                "UPDATE memory_revision SET number = number + 1; "
                "UPDATE memories SET revision = (SELECT number FROM memory_revision) WHERE memory_id = NEW.memory_id; "
                "END"
            )
        )


def _checks(connection: Connection) -> None:
    columns: dict[str, Kind] = dict.fromkeys(
        ("check_id", "turn_id", "agent", "kind", "check", "expected", "actual"), "text"
    )
    columns |= {
        "passed": "flag",
        "action": "text",
        "decided_by": "text",
        "cell": "integer",
        "created_at": "time",
    }
    columns |= {"session": "text", "conversation": "text"}
    made = _tables({"checks": columns})
    made.tables["checks"].create(connection)


def _saved_agents(connection: Connection) -> None:
    from sqlalchemy import text

    connection.execute(text("ALTER TABLE calls ADD COLUMN agent_version INTEGER"))
    columns: dict[str, Kind] = dict.fromkeys(("agent_id", "agent", "model", "tools", "conversation"), "text")
    columns |= {"version": "integer", "description": "json", "outcomes": "json"}
    columns |= {"created_at": "time", "saved_at": "time"}
    columns |= {"session": "text"}
    _tables({"agents": columns}).tables["agents"].create(connection)
    # Numbered where it is written, so that two kernels that save at once do not take the same number.
    connection.execute(
        text(
            "CREATE TRIGGER agent_version AFTER INSERT ON agents BEGIN UPDATE agents SET version = "
            "(SELECT coalesce(max(version), 0) + 1 FROM agents WHERE agent = NEW.agent) "
            "WHERE agent_id = NEW.agent_id; END"
        )
    )


def _branches(connection: Connection) -> None:
    columns: dict[str, Kind] = dict.fromkeys(
        ("branch_id", "conversation", "agent", "kind", "origin", "turn_id"), "text"
    )
    columns |= {"created_at": "time", "session": "text"}
    _tables({"branches": columns}).tables["branches"].create(connection)


MIGRATIONS: list[Migration] = [
    Migration(1, _first_tables),
    Migration(2, _booked_dollars),
    Migration(3, _long_term_memories),
    Migration(4, _checks),
    Migration(5, _saved_agents),
    Migration(6, _branches),
]


def _tables(columns: Mapping[str, Mapping[str, Kind]]) -> MetaData:
    from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text

    types: dict[Kind, Any] = {"integer": Integer, "flag": Integer, "real": Float, "time": Float}
    types["bytes"] = LargeBinary
    made = MetaData()
    Table(
        "sessions",
        made,
        Column("session_id", Text, primary_key=True),
        Column("pid", Integer),
        Column("host", Text),
        Column("started_at", Float),
        Column("program", Text),
    )
    for name, kinds in columns.items():
        made_table = Table(
            name,
            made,
            *(
                Column(c, types.get(kind, Text), primary_key=c in KEYS[name], autoincrement=False)
                for c, kind in kinds.items()
            ),
        )
        for column in _INDEXED:
            if column in kinds:
                Index(f"ix_{name}_{column}", made_table.c[column])
    return made


@functools.cache
def metadata() -> MetaData:
    """The tables as this version of the code knows them."""
    return _tables(STORED)


def table(name: str) -> Table:
    """One table of the trace. Raises ``StoreError`` for a name that is none."""
    if name not in STORED and name != "sessions":
        raise StoreError(f"the trace has no table {name!r}: it has {', '.join(STORED)}")
    return metadata().tables[name]


def migrate(connection: Connection, path: str) -> None:
    """Bring the open database up to date, inside the caller's transaction.

    Raises ``StoreError`` for a file of a newer version or of another program.
    """
    from sqlalchemy import text

    found = {
        row[0] for row in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
    }
    if found and "schema_version" not in found:
        raise StoreError(
            f"{path!r} is a database of another program: set GATHERING_STORE to another file or ':memory:'"
        )
    if not found:
        connection.execute(text("CREATE TABLE schema_version (number INTEGER PRIMARY KEY, applied_at REAL)"))
    version = connection.execute(text("SELECT max(number) FROM schema_version")).scalar() or 0
    newest = MIGRATIONS[-1].number
    if version > newest:
        raise StoreError(
            f"{path!r} was written by a newer GatheRing (schema {version}, this one knows {newest}): "
            "upgrade with pip install -U gathering, or set GATHERING_STORE to another file"
        )
    for step in MIGRATIONS:
        if step.number > version:
            step.upgrade(connection)
            connection.execute(
                text("INSERT INTO schema_version VALUES (:number, :now)"),
                {"number": step.number, "now": time.time()},
            )


def upsert(name: str, columns: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """SQL that writes these columns of a row and leaves its others alone; and the columns in the order it takes them."""
    from sqlalchemy.dialects import sqlite

    target = table(name)
    keys = [column.name for column in target.primary_key]
    wanted = list(columns)
    statement = sqlite.insert(target)
    changed = {c: statement.excluded[c] for c in wanted if c not in keys}
    if changed:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    compiled = statement.compile(dialect=sqlite.dialect(), column_keys=wanted)
    return str(compiled), tuple(compiled.positiontup or ())
