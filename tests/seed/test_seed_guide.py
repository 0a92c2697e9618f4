"""The extension guide the project began with runs as it was printed: its provider and its tool, in an agent."""

from __future__ import annotations
import __future__

import contextlib
import json
import sqlite3
import sys
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import gathering
from gathering.core.interfaces import ILLMProvider, ITool
from gathering.llm import PROVIDERS
from gathering.testing import ScriptedProvider
from gathering.testing.conformance import ProviderConformance, ToolConformance
from gathering.tools import TOOLS

HERE = Path(__file__).parent


def printed(name: str) -> dict[str, Any]:
    """The namespace the printed code makes. It names ``Optional`` in annotations without importing it."""
    code = compile((HERE / name).read_text("utf-8"), name, "exec", flags=__future__.annotations.compiler_flag)
    namespace: dict[str, Any] = {"__name__": name}
    exec(code, namespace)
    return namespace


class Service(BaseHTTPRequestHandler):
    """The service the guide imagines: /completions, /stream and /health."""

    seen: list[dict[str, Any]] = []

    def do_GET(self) -> None:
        self._answer(b"ok")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append(body)
        if self.path == "/stream":
            return self._answer(b"data: Hel\n\ndata: lo!\n\n")
        said = body["messages"][-1]["content"]
        return self._answer(json.dumps({"choices": [{"message": {"content": f"You said {said}"}}]}).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """The address of a running service."""
    Service.seen = []
    server = HTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def custom(service: str) -> Iterator[dict[str, Any]]:
    """The guide's provider, registered as the guide registers it; the options to make one."""
    PROVIDERS["custom"] = printed("custom_provider.txt")["CustomLLMProvider"]
    yield {"api_key": "test_key", "base_url": service}
    del PROVIDERS["custom"]


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The guide's tool, registered; the connection string of a small database behind ``psycopg2``'s door."""
    path = tmp_path / "shop.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            "create table items(name, price); insert into items values ('tea', 3), ('jam', 5);"
        )
    driver = types.ModuleType("psycopg2")
    driver.connect = lambda where: Connection(where)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "psycopg2", driver)
    monkeypatch.setitem(TOOLS, "database", printed("database_tool.txt")["DatabaseTool"])
    return str(path)


class Connection:
    """A connection that behaves as psycopg2's does in the guide, over SQLite."""

    def __init__(self, where: str) -> None:
        self.inner = sqlite3.connect(where)

    def cursor(self) -> contextlib.closing[sqlite3.Cursor]:
        return contextlib.closing(self.inner.cursor())

    def close(self) -> None:
        self.inner.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def test_the_printed_provider_has_its_name_and_model(custom: dict[str, Any]) -> None:
    """``create`` gives what the guide's first test expects."""
    provider = gathering.provider("custom:custom-model-1", **custom)
    assert (provider.name, provider.model) == ("custom", "custom-model-1")
    assert provider.is_available()


def test_the_printed_provider_answers_in_an_agent(custom: dict[str, Any]) -> None:
    """An agent asks it, sync and awaited, with memory and trace as with any other."""
    ada = gathering.Agent("ada", llm_provider=gathering.provider("custom:custom-model-1", **custom))
    assert ada.ask("Hi").text == "You said Hi"
    assert [m["content"] for m in Service.seen[0]["messages"]] == ["Hi"]
    assert Service.seen[0]["model"] == "custom-model-1"
    calls = ada.trace.calls()
    assert list(calls["status"]) == ["ok"]
    assert list(calls["provider"]) == ["custom"]


async def test_the_printed_provider_answers_awaited(custom: dict[str, Any]) -> None:
    """``ask_async`` works with a provider that only knows a sync ``complete``."""
    ada = gathering.Agent("ada", llm_provider=gathering.provider("custom:custom-model-1", **custom))
    assert (await ada.ask_async("Hi")).text == "You said Hi"


def test_the_printed_provider_streams_in_a_sync_agent(custom: dict[str, Any]) -> None:
    """Its async generator of strings becomes the events of a sync stream."""
    ada = gathering.Agent("ada", llm_provider=gathering.provider("custom:custom-model-1", **custom))
    events = list(ada.stream("Hi"))
    assert [e.text for e in events[:-1]] == ["Hel", "lo!"]
    assert events[-1].reply.text == "Hello!"


async def test_the_printed_provider_streams_in_an_awaited_agent(custom: dict[str, Any]) -> None:
    """The same generator under ``async for``."""
    ada = gathering.Agent("ada", llm_provider=gathering.provider("custom:custom-model-1", **custom))
    stream = ada.stream("Hi")
    assert [type(e).__name__ async for e in stream] == ["TextDelta", "TextDelta", "Done"]
    assert stream.reply.text == "Hello!"


def test_the_printed_provider_serves_an_agent_made_from_data(custom: dict[str, Any]) -> None:
    """``from_config`` finds it by name, with its options."""
    spec = {
        "name": "ada",
        "llm_provider": {"provider": "custom", "model": "m", **custom},
        "history": "a baker",
    }
    ada = gathering.Agent.from_config(spec)
    assert ada.process_message("Hi") == "You said Hi"
    assert Service.seen[0]["messages"][0]["role"] == "system"


def test_the_printed_tool_is_found_by_name_and_used(database: str) -> None:
    """A model that calls the guide's database tool gets its rows, and the trace has the tool call."""
    query = {
        "name": "database",
        "arguments": {"action": "query", "sql": "select name from items order by price"},
    }
    provider = ScriptedProvider([{"tool_calls": [query]}, "tea and jam"])
    tool = {"name": "database", "connection_string": database}
    ada = gathering.Agent("ada", llm_provider=provider, tools=[tool])
    assert ada.ask("What is there?").text == "tea and jam"
    row = ada.trace.tool_calls().iloc[0]
    assert row["success"]
    assert row["output"] == [["tea"], ["jam"]]


def test_the_printed_tool_keeps_to_its_permissions(database: str) -> None:
    """Writing was not allowed: the model is told so, and goes on."""
    insert = {
        "name": "database",
        "arguments": {"action": "insert", "table": "items", "data": {"name": "rum"}},
    }
    provider = ScriptedProvider([{"tool_calls": [insert]}, "I may not."])
    ada = gathering.Agent(
        "ada", llm_provider=provider, tools=[{"name": "database", "connection_string": database}]
    )
    ada.ask("Add rum.")
    assert "not permitted" in ada.trace.tool_calls().iloc[0]["error"]
    assert "not permitted" in provider.requests[1].messages[-1]["content"]


async def test_the_printed_tool_runs_awaited(database: str) -> None:
    """``execute_async`` as printed."""
    tool = gathering.core.registry.create_tool({"name": "database", "connection_string": database})
    result = await tool.execute_async({"action": "query", "sql": "select count(*) from items"})
    assert result.success
    assert [tuple(r) for r in result.output] == [(2,)]


class TestPrintedProvider(ProviderConformance):
    """The guide's provider goes through the suite that every provider goes through."""

    @pytest.fixture(autouse=True)
    def _serving(self, custom: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "options", custom, raising=False)

    def make(self) -> ILLMProvider:
        return gathering.provider("custom:custom-model-1", **type(self).options)  # type: ignore[attr-defined]


class TestPrintedTool(ToolConformance):
    """So does its tool."""

    good_inputs = ({"action": "query", "sql": "select price from items"},)
    bad_inputs = ({}, "select", {"action": "fly"})

    @pytest.fixture(autouse=True)
    def _shop(self, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "path", database, raising=False)

    def make(self) -> ITool:
        return TOOLS.resolve("database").from_config(
            {"name": "shop", "connection_string": type(self).path, "permissions": ["read"]}  # type: ignore[attr-defined]
        )
