"""The database tool on both engines: what it gives, what it refuses, and that nothing forbidden passes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sql_attacks
from postgres import Postgres

import gathering
from gathering.core.errors import ConfigurationError, ToolExecutionError, UnknownNameError
from gathering.core.messages import ToolCall
from gathering.core.permissions import PermissionRequest
from gathering.core.registry import create_tool
from gathering.testing import ScriptedProvider
from gathering.tools import DatabaseTool, ToolPermission, ToolResult, database
from gathering.tools.database_rows import Interrupter
from gathering.tools.database_sqlite import SQLiteEngine
from gathering.tools.database_writing import Writing
from gathering.tools.permissions import Policy
from gathering.tools.sql_check import Query

SECRET = "root-of-all"
TABLES = (
    "create table sales(id integer primary key, item text, price numeric, sold date)",
    "insert into sales values (1, 'tea', 3.5, '2026-01-31'), (2, 'jam', 5, '2026-02-01'), (3, 'rum', null, null)",
    "create table users(name text)",
    f"insert into users values ('{SECRET}')",
    "create view everyone as select name from users",
    "create view dear as select item from sales where price > 4",
)
COUNT = {"action": "query", "sql": "select count(*) as n from sales"}

Make = Callable[..., DatabaseTool]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small shop in SQLite."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in TABLES:
            connection.execute(statement)
    return path


@pytest.fixture(scope="session")
def shop(postgres: Postgres) -> Postgres:
    """The same shop in PostgreSQL. Its role owns nothing, but may read and write more than the tool will allow."""
    postgres.run("create database shop", "create role clerk login password 'hush-hush'")
    postgres.run(
        *TABLES,
        "create schema hidden",
        f"create table hidden.pay as select '{SECRET}'::text as name",
        "grant usage on schema hidden to clerk",
        "grant select, insert, update, delete on all tables in schema public, hidden to clerk",
        database="shop",
    )
    return postgres


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes the tool on one engine; what a test writes is put back."""
    if request.param == "sqlite":
        address = f"sqlite:///{request.getfixturevalue('file')}"
    else:
        server: Postgres = request.getfixturevalue("shop")
        address = server.url("shop", "clerk", "hush-hush")

    def made(**options: Any) -> DatabaseTool:
        return DatabaseTool.from_config(
            {
                "name": "shop",
                "connection_string": address,
                "allowed_tables": ["sales"],
                "timeout": 5,
                **options,
            }
        )

    yield made
    if request.param == "postgres":
        server.run(
            "delete from sales where id > 3", "update sales set item = 'tea' where id = 1", database="shop"
        )


def query(tool: DatabaseTool, sql: str) -> ToolResult:
    return tool.execute({"action": "query", "sql": sql})


def refused(tool: DatabaseTool, sql: str) -> None:
    """The act fails in one clear line, gives nothing away, and the tool still works."""
    result = query(tool, sql)
    assert not result.success, result.output
    assert result.error
    assert "\n" not in result.error
    assert SECRET not in f"{result}"
    assert query(tool, COUNT["sql"]).output == [{"n": 3}]


@pytest.mark.parametrize("attack", sql_attacks.BOTH)
def test_no_attack_passes(make: Make, attack: str) -> None:
    """Whatever is asked for, on either engine."""
    refused(make(timeout=0.5), sql_attacks.BOTH[attack])


@pytest.mark.parametrize("attack", sql_attacks.SQLITE)
def test_no_attack_on_sqlite_passes(file: Path, attack: str) -> None:
    """What only SQLite has."""
    refused(_on(file, timeout=0.5), sql_attacks.SQLITE[attack])


@pytest.mark.parametrize("attack", sql_attacks.POSTGRES)
def test_no_attack_on_postgres_passes(shop: Postgres, attack: str) -> None:
    """What only PostgreSQL has, by a role that may read the forbidden tables."""
    refused(_at(shop, timeout=0.5), sql_attacks.POSTGRES[attack])


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the text finds nothing wrong with anything: only the engine stands."""
    monkeypatch.setattr(
        database, "read_query", lambda sql, dialect, functions=(): Query(sql, frozenset(), frozenset())
    )


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("attack", {**sql_attacks.BOTH, **sql_attacks.SQLITE})
def test_sqlite_itself_refuses_too(file: Path, attack: str) -> None:
    """Without any look at the text nothing is read, and nothing is changed."""
    tool = _on(file, timeout=0.5)
    before = file.read_bytes()
    result = query(tool, {**sql_attacks.BOTH, **sql_attacks.SQLITE}[attack])
    assert SECRET not in f"{result}"
    assert file.read_bytes() == before
    assert query(tool, COUNT["sql"]).output == [{"n": 3}]


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("attack", {**sql_attacks.BOTH, **sql_attacks.POSTGRES})
def test_postgres_itself_refuses_too(shop: Postgres, attack: str) -> None:
    """The cursor, the read-only transaction and the look at the locks hold without the look at the text."""
    tool = _at(shop, timeout=0.5)
    result = query(tool, {**sql_attacks.BOTH, **sql_attacks.POSTGRES}[attack])
    assert SECRET not in f"{result}"
    assert shop.run("select count(*) from sales", database="shop") == [(3,)]
    assert query(tool, COUNT["sql"]).output == [{"n": 3}]


def _on(file: Path, **options: Any) -> DatabaseTool:
    return DatabaseTool(connection_string=f"sqlite:///{file}", allowed_tables=["sales"], **options)


def _at(shop: Postgres, **options: Any) -> DatabaseTool:
    return DatabaseTool(
        connection_string=shop.url("shop", "clerk", "hush-hush"), allowed_tables=["sales"], **options
    )


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select item, price from sales where price > 4", [{"item": "jam", "price": 5}]),
        ("SELECT upper(item) AS up FROM Sales s WHERE s.id = 1", [{"up": "TEA"}]),
        ("select sum(price) as total from sales", [{"total": 8.5}]),
        ("with dear as (select * from sales where price > 4) select count(*) as n from dear d", [{"n": 1}]),
        ("with x as (select item from sales) select a.item from x a join x b on a.item < b.item where b.item = 'rum' order by 1", [{"item": "jam"}]),
        ("with recursive r(x) as (select 1 union all select x + 1 from r where x < 3) select sum(x) as s from r", [{"s": 6}]),
        ("select item from sales union select item from sales order by item limit 1", [{"item": "jam"}]),
        ("select case when price is null then 'none' else 'some' end as p from sales where id = 3", [{"p": "none"}]),
        ("select row_number() over (order by id desc) as r from sales order by r limit 1", [{"r": 1}]),
        ("select item from sales where item like '%a%' and id in (1, 2) and not id = 2", [{"item": "tea"}]),
        ("select item || '!' as loud from sales where id = 1 -- a comment; with a semicolon", [{"loud": "tea!"}]),
        ("select '100%' as share, ';' as mark", [{"share": "100%", "mark": ";"}]),
        ("select item as a, item as a from sales where id = 1;", [{"a": "tea", "a_2": "tea"}]),
        ("select coalesce(round(avg(price), 1), 0) as mean from sales", [{"mean": 4.3}]),
    ],
)  # fmt: skip
def test_legitimate_queries_give_rows(make: Make, sql: str, rows: list[dict[str, Any]]) -> None:
    """What a person would ask of a table, as a list of dicts."""
    if "with dear" in sql:  # a view of that name is there: a WITH may not hide it
        sql = sql.replace("dear", "costly")
    result = query(make(), sql)
    assert result.error is None
    if "avg" in sql:
        assert result.output[0]["mean"] in (4.2, 4.3)
    else:
        assert result.output == rows
    json.dumps(result.output, allow_nan=False)


def test_rows_are_a_frame_as_well(make: Make) -> None:
    """Of a query a person asks, and of a result a model got; columns also where there are no rows."""
    tool = make()
    frame = tool.frame("select id, item from sales order by id")
    assert list(frame["item"]) == ["tea", "jam", "rum"]
    empty = query(tool, "select id, item from sales where id > 9")
    assert list(tool.frame(empty).columns) == ["id", "item"]
    with pytest.raises(ToolExecutionError, match="'users' is not allowed"):
        tool.frame("select * from users")
    with pytest.raises(ToolExecutionError, match="no rows"):
        tool.frame(ToolResult(success=False, error="no"))


def test_a_long_answer_is_cut_and_says_so(make: Make) -> None:
    """``max_rows`` rows, and that there were more."""
    result = query(make(max_rows=2), "select id from sales order by id")
    assert [r["id"] for r in result.output] == [1, 2]
    assert "only the first 2 rows" in result.metadata["truncated"]
    assert "truncated" not in query(make(max_rows=3), "select id from sales").metadata


def test_values_are_json_and_exact(shop: Postgres, file: Path) -> None:
    """Decimals, dates, bytes, arrays, infinities."""
    sql = (
        "select 0.1::numeric as a, 12345678901234567890.5::numeric as b, date '2026-01-31' as c, "
        "array[1,2] as e, 'NaN'::float as f, '{\"k\": 1}'::jsonb as g, timestamp '2026-01-31 10:00' as h"
    )
    row = query(_at(shop), sql).output[0]
    assert row["a"] == 0.1
    assert row["b"] == "12345678901234567890.5"
    assert (row["c"], row["h"]) == ("2026-01-31", "2026-01-31T10:00:00")
    assert (row["e"], row["f"], row["g"]) == ([1, 2], "nan", {"k": 1})
    assert query(_on(file), "select x'00ff' as blob, 9e999 as big").output == [{"blob": "00ff", "big": "inf"}]


def test_without_a_list_every_table_but_the_systems_is_allowed(make: Make) -> None:
    """And with an empty list none is."""
    assert query(make(allowed_tables=None), "select name from users").output == [{"name": SECRET}]
    assert not query(make(allowed_tables=None), "select * from sqlite_master").success
    assert not query(make(allowed_tables=None), "select * from pg_class").success
    assert "allowed: none" in str(query(make(allowed_tables=[]), "select * from sales").error)


def test_another_schema_is_allowed_by_its_name(shop: Postgres) -> None:
    """``schema.table`` in the list is that table and no other."""
    tool = _at(shop)
    tool = DatabaseTool(connection_string=shop.url("shop", "clerk"), allowed_tables=["hidden.pay"])
    assert query(tool, "select name from hidden.pay").success
    assert not query(tool, "select name from pay").success
    assert not query(tool, "select * from sales").success


def test_a_view_that_is_allowed_may_read_what_it_is_made_of(shop: Postgres) -> None:
    """On PostgreSQL, where views are how a part of a table is given away."""
    tool = DatabaseTool(connection_string=shop.url("shop", "clerk"), allowed_tables=["dear"])
    assert query(tool, "select item from dear").output == [{"item": "jam"}]
    assert not query(tool, "select item from sales").success


def test_writing_needs_its_permission(make: Make) -> None:
    """Read is all there is unless more was said."""
    acts = {
        "insert": {"data": {"id": 4, "item": "oil"}},
        "update": {"data": {"item": "oil"}, "where": {"id": 1}},
        "delete": {"where": {"id": 1}},
    }
    for action, rest in acts.items():
        result = make().execute({"action": action, "table": "sales", **rest})
        assert f"action {action!r} is not permitted" in str(result.error)
    no_reading = make(permissions=["write"])
    assert "no read permission" in str(no_reading.execute(COUNT).error)


def test_rows_are_written_changed_and_deleted(make: Make) -> None:
    """With the permissions; names are quoted and values bound, so that neither is SQL."""
    tool = make(permissions=["read", "write", "delete"])
    hostile = "x'); drop table sales; --"
    inserted = tool.execute(
        {"action": "insert", "table": "sales", "data": {"id": 4, "item": hostile, "price": 1.5}}
    )
    assert inserted.output == {"action": "insert", "table": "sales", "rows": 1}
    assert tool.execute(
        {"action": "update", "table": "sales", "data": {"price": 2}, "where": {"item": hostile}}
    ).success
    assert query(tool, "select item, price from sales where id = 4").output == [{"item": hostile, "price": 2}]
    nothing = tool.execute({"action": "delete", "table": "sales", "where": {"sold": None, "id": [4, 5]}})
    assert nothing.output["rows"] == 1
    assert tool.execute(COUNT).output == [{"n": 3}]


@pytest.mark.parametrize(
    "act",
    [
        {"action": "insert", "table": "users", "data": {"name": "x"}},
        {"action": "delete", "table": "users", "where": {"name": SECRET}},
        {"action": "insert", "table": "sqlite_master", "data": {"name": "x"}},
        {"action": "insert", "table": "pg_catalog.pg_class", "data": {"relname": "x"}},
        {"action": "insert", "table": 'sales"; drop table users; --', "data": {"id": 4}},
        {"action": "insert", "table": "sales", "data": {'id") values (4); --': 1}},
        {"action": "insert", "table": "sales", "data": {}},
        {"action": "insert", "table": "sales", "data": ["x"]},
        {"action": "insert", "table": "sales"},
        {"action": "insert", "data": {"id": 4}},
        {"action": "update", "table": "sales", "data": {"price": 0}},
        {"action": "update", "table": "sales", "data": {"price": 0}, "where": {}},
        {"action": "delete", "table": "sales"},
        {"action": "delete", "table": "sales", "where": "1=1"},
        {"action": "delete", "table": "sales", "where": {"id": [1, 2, 3]}},
        {"action": "update", "table": "sales", "data": {"item": object()}, "where": {"id": 1}},
        {"action": "drop", "table": "sales"},
        {"action": "query"},
        {"action": "query", "sql": ["select 1"]},
        {"sql": "select 1"},
        "select 1",
        None,
    ],
)
def test_what_cannot_be_written_is_a_failed_result(make: Make, act: Any) -> None:
    """Nothing is written, also not a part; the next act works."""
    tool = make(permissions=["read", "write", "delete"], max_rows=2)
    result = tool.execute(act)
    assert not result.success
    assert result.error
    assert tool.execute(COUNT).output == [{"n": 3}]
    assert query(make(allowed_tables=["users"]), "select name from users").output == [{"name": SECRET}]


async def test_it_is_awaited_beside_others_and_given_up_with_its_turn(make: Make) -> None:
    """Async, side by side; a cancelled act stops its statement."""
    tool = make(timeout=30)
    results = await asyncio.gather(*(tool.execute_async(COUNT) for _ in range(5)))
    assert all(r.success for r in results)
    endless = {"action": "query", "sql": sql_attacks.BOTH["a product without end"]}
    task = asyncio.create_task(tool.execute_async(endless))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _ended("tool-shop")


@dataclass
class Moment:
    """When a statement is about to run, when it was told to stop, and when it may go on."""

    began: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def moment(make: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moment]:
    """Holds each statement back at its beginning, where it can no longer be called off and not yet be stopped."""
    import psycopg

    found = Moment()

    def hold(place: type, name: str) -> None:
        begin = getattr(place, name)

        def held(*given: Any) -> Any:
            found.began.set()
            found.released.wait(20)
            return begin(*given)

        monkeypatch.setattr(place, name, held)

    if make()._engine.dialect == "sqlite":
        hold(SQLiteEngine, "_authorizer")
    else:
        hold(psycopg.ServerCursor, "execute")
        hold(Writing, "statement")
    arm = Interrupter.arm
    monkeypatch.setattr(
        Interrupter, "arm", lambda self, stop: arm(self, lambda: (stop(), found.stopped.set()))
    )
    yield found
    found.released.set()


async def test_what_is_given_up_a_moment_before_it_runs_is_stopped_too(make: Make, moment: Moment) -> None:
    """The engine was told to stop when there was nothing to stop yet: it is told again."""
    endless = {"action": "query", "sql": sql_attacks.BOTH["a product without end"]}
    await _given_up(make(timeout=600), endless, moment)


async def test_what_is_given_up_before_it_is_written_is_not_written(make: Make, moment: Moment) -> None:
    """A statement of a moment ends before it can be stopped; what it did is not kept."""
    tool = make(permissions=["read", "write"], timeout=600)
    row = {"action": "insert", "table": "sales", "data": {"id": 4, "item": "gin"}}
    await _given_up(tool, row, moment)
    assert query(tool, COUNT["sql"]).output == [{"n": 3}]


async def _given_up(tool: DatabaseTool, act: dict[str, Any], moment: Moment) -> None:
    """Cancel the act when its statement is about to run, and let that go on when it was told to stop."""
    task = asyncio.create_task(tool.execute_async(act))
    assert await asyncio.to_thread(moment.began.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(moment.stopped.wait, 20)
    moment.released.set()
    await _ended("tool-shop", "tool-stopping")


async def _ended(*names: str) -> None:
    for thread in [t for t in threading.enumerate() if t.name in names]:
        await asyncio.to_thread(thread.join, 20)
        assert not thread.is_alive()


def test_a_turn_gets_rows_and_the_row_tells(make: Make) -> None:
    """In an agent, by name and from plain data."""
    calls = [
        {"name": "shop", "arguments": COUNT},
        {"name": "shop", "arguments": {"action": "query", "sql": "select * from users"}},
    ]
    provider = ScriptedProvider([{"tool_calls": calls}, "Three."])
    ada = gathering.Agent("ada", llm_provider=provider, tools=[make()])
    assert ada.ask("How many?").text == "Three."
    rows = ada.trace.tool_calls()
    assert list(rows["success"]) == [True, False]
    assert SECRET not in str(provider.requests[1].messages)


def test_rules_can_be_about_verbs_and_tables(make: Make) -> None:
    """What a call would touch, without touching it."""
    tool = make(permissions=["read", "write", "delete"])
    asked = {"action": "query", "sql": "select * from sales s join users u on true"}
    assert tool.targets(asked) == {"verb": "select", "table": "sales,users"}
    assert tool.permission_for(asked) is ToolPermission.READ
    assert tool.targets({"action": "delete", "table": "sales"}) == {"verb": "delete", "table": "sales"}
    assert tool.permission_for({"action": "delete"}) is ToolPermission.DELETE
    assert tool.permission_for({"action": "insert"}) is ToolPermission.WRITE
    assert tool.targets({"action": "query", "sql": "drop table sales"})["verb"] == "drop"
    assert tool.permission_for({}) is ToolPermission.DELETE


@pytest.mark.parametrize("rule", ["users", "USERS", "SCHEMA.users"])
@pytest.mark.parametrize(
    "act",
    [
        {"action": "query", "sql": "select * from users"},
        {"action": "query", "sql": "select * from sales, Users"},
        {"action": "query", "sql": 'select * from "users" u join sales on true'},
        {"action": "query", "sql": "select (select max(name) from users) from sales"},
        {"action": "query", "sql": "with x as (select * from users) select * from x"},
        {"action": "query", "sql": "select item from sales union all select name from/**/users"},
        {"action": "insert", "table": "USERS", "data": {"name": "eve"}},
        {"action": "delete", "table": " users ", "where": {"name": "eve"}},
    ],
    ids=str,
)
def test_a_rule_about_a_table_counts_however_it_is_named(make: Make, rule: str, act: dict[str, Any]) -> None:
    """Beside another table, in a part of the query, with its schema or in capitals: it is that table."""
    tool = make(permissions=["read", "write", "delete"], allowed_tables=None)
    schema = "main" if tool._engine.dialect == "sqlite" else "public"
    rule = rule.replace("SCHEMA", schema)
    call = ToolCall("c1", "database", act)
    asked = PermissionRequest("ada", call, tool.permission_for(act).value, tool.targets(act))
    assert Policy([f"deny database table={rule}", "allow database"]).decide(asked).effect == "deny"
    assert Policy(["allow database table=sales*"]).decide(asked).effect == "ask"


def test_a_rule_for_a_table_allows_what_asks_for_it_alone(make: Make) -> None:
    """As it is written in the query, by its name or with its schema."""
    tool = make()
    for sql in ("select * from sales", "select * from Sales", "select a.id from sales a, sales b"):
        act = {"action": "query", "sql": sql}
        asked = PermissionRequest("ada", ToolCall("c1", "database", act), "read", tool.targets(act))
        assert Policy(["allow database table=sales"]).decide(asked).effect == "allow"


def test_a_superuser_is_refused_unless_it_is_wanted(shop: Postgres) -> None:
    """A read-only transaction does not hold one."""
    options = {"connection_string": shop.url("shop"), "allowed_tables": ["sales"]}
    assert "may do anything" in str(query(DatabaseTool(**options), "select 1").error)
    assert not DatabaseTool(**options).is_available()
    assert query(DatabaseTool(**options, allow_superuser=True), COUNT["sql"]).output == [{"n": 3}]


def test_no_password_is_shown(shop: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in its repr, its configuration or an error; it may come from the environment."""
    monkeypatch.setenv("SHOP_URL", f"postgresql://clerk:s3cret-pw@127.0.0.1:{shop.port}/nowhere")
    tool = create_tool({"name": "database", "connection_string": "env:SHOP_URL"})
    result = tool.execute({"action": "query", "sql": "select 1"})
    assert "does not exist" in str(result.error)
    assert "s3cret-pw" not in f"{tool!r} {tool.config} {result}"
    assert not tool.is_available()


def test_the_model_is_told_what_it_can_do(make: Make) -> None:
    """Actions by permission, tables, and an example for small models."""
    tool = make()
    assert tool.get_parameters_schema()["properties"]["action"]["enum"] == ["query"]
    assert "Tables: sales" in tool.get_description()
    assert tool.get_examples()[0][1]["sql"] == "SELECT count(*) FROM sales"
    assert tool.is_available()
    assert tool.validate_input(COUNT)
    assert not tool.validate_input({"action": "query"})
    assert tool.validate_input({"action": "delete", "table": "sales", "where": {"id": 1}})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs connection_string"),
        ({"connection_string": "env:NO_SUCH_VARIABLE"}, "is not set"),
        ({"connection_string": "no url"}, "is no database URL"),
        ({"connection_string": "mysql://user@host/name"}, "use sqlite or postgresql"),
        ({"connection_string": "sqlite://"}, "is no file"),
        ({"connection_string": "sqlite:///:memory:"}, "is no file"),
        ({"connection_string": "sqlite:///x.db", "max_rows": 0}, "max_rows = 0"),
        ({"connection_string": "sqlite:///x.db", "timeout": "soon"}, "timeout = 'soon'"),
        ({"connection_string": "sqlite:///x.db", "allowed_tables": "sales"}, "is no list"),
        ({"connection_string": "sqlite:///x.db", "allowed_tables": ["sqlite_master"]}, "is the system's"),
        ({"connection_string": "sqlite:///x.db", "allowed_tables": ["pg_catalog.x"]}, "is the system's"),
    ],
)
def test_a_wrong_option_is_said_when_the_tool_is_made(options: dict[str, Any], said: str) -> None:
    """In one line."""
    with pytest.raises(ConfigurationError, match=said):
        DatabaseTool(**options)


def test_a_misspelt_option_is_answered_with_the_right_one(file: Path) -> None:
    """And a missing file with its name."""
    with pytest.raises(UnknownNameError, match="did you mean 'allowed_tables'"):
        _on(file, allowd_tables=[])
    gone = DatabaseTool(connection_string="sqlite:///no_such.db")
    assert "there is no database file 'no_such.db'" in str(query(gone, "select 1").error)
