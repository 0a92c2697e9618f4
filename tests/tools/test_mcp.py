"""MCP servers as tools: a real one in a process of its own, and one on the loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import gathering
from gathering.core.errors import ConfigurationError, ToolExecutionError, UnknownNameError
from gathering.core.interfaces import ITool
from gathering.core.registry import create_tool
from gathering.testing import ScriptedProvider
from gathering.tools import MCPServer, ToolPermission

PROGRAM = Path(__file__).parent / "mcp_shop.py"
COMMAND = [sys.executable, str(PROGRAM)]


@pytest.fixture(scope="module")
def shop() -> Iterator[MCPServer]:
    """The server, started by its command."""
    with MCPServer("shop", command=COMMAND, timeout=30) as server:
        yield server


@pytest.fixture
def address() -> Iterator[str]:
    """The address of the same server over HTTP."""
    sys.path.insert(0, str(PROGRAM.parent))
    from mcp_shop import shop

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(shop.streamable_http_app(), log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    server.should_exit = True
    thread.join(20)


def tools(server: MCPServer) -> dict[str, ITool]:
    return {t.name: t for t in server.expand()}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_its_tools_look_like_any_other(shop: MCPServer) -> None:
    """Name, description, schema, and the permission the server says it needs."""
    price, order = tools(shop)["price"], tools(shop)["order"]
    assert price.get_description() == "The price of some items."
    assert price.get_parameters_schema()["properties"]["count"]["default"] == 1
    assert price.permissions == {ToolPermission.READ}
    assert order.permissions == {ToolPermission.EXECUTE}
    assert price.targets({"item": "tea", "server": "x"}) == {"item": "tea", "server": "shop"}
    assert "odd_name_with_signs" in tools(shop)
    assert tools(shop)["odd_name_with_signs"].execute({}).output == "odd"


def test_results_are_values_text_or_images(shop: MCPServer) -> None:
    """A number stays one, an object too, a picture is told apart from its text."""
    found = tools(shop)
    assert found["price"].execute({"item": "tea", "count": 2}).output == 7.0
    assert found["order"].execute({"item": "tea"}).output == "tea is on its way"
    assert found["stock"].execute(None).output == {"tea": 3, "jam": [1, 2]}
    photo = found["photo"].execute({})
    assert photo.output.startswith("Image(image/png, ")
    assert photo.metadata["images"][0]["media_type"] == "image/png"


def test_failures_are_results(shop: MCPServer) -> None:
    """Wrong arguments, an error of the tool, a tool that is not there; the next call works."""
    found = tools(shop)
    assert "valid integer" in str(found["price"].execute({"item": "tea", "count": "many"}).error)
    assert not found["price"].execute({"item": "rum"}).success
    assert not found["price"].execute("tea").success
    assert not found["price"].validate_input("tea")
    assert not shop.execute({"tool": "no_such_tool"}).success
    assert not shop.execute("price").success
    assert shop.execute({"tool": "price", "arguments": {"item": "jam"}}).output == 5.0


@pytest.mark.parametrize("awaited", [False, True])
async def test_an_agent_uses_it_by_plain_data(awaited: bool) -> None:
    """One entry in ``tools`` is all of the server's tools; two at once; a long result is cut; the rows tell."""
    calls = [{"name": "price", "arguments": {"item": "tea"}}, {"name": "order", "arguments": {"item": "jam"}}]
    provider = ScriptedProvider(
        [{"tool_calls": calls}, {"tool_calls": [{"name": "book", "arguments": {}}]}, "Done."]
    )
    entry = {"name": "shop", "type": "mcp", "command": COMMAND, "include": ["price", "order", "book"]}
    ada = await asyncio.to_thread(gathering.Agent, "ada", llm_provider=provider, tools=[entry])
    assert list(ada.tools) == ["price", "order", "book"]
    reply = await ada.ask_async("Go.") if awaited else await asyncio.to_thread(ada.ask, "Go.")
    assert reply.text == "Done."
    rows = ada.trace.tool_calls()
    assert list(rows["success"]) == [True, True, True]
    assert list(rows["permission"]) == ["read", "execute", "execute"]
    assert len(provider.requests[2].messages[-1]["content"]) < 60_000
    ada.tools["price"].server.close()  # type: ignore[attr-defined]


def test_a_rule_can_be_about_a_server() -> None:
    """Asked and denied like any tool."""
    provider = ScriptedProvider([{"tool_calls": [{"name": "s_order", "arguments": {"item": "jam"}}]}, "No."])
    with MCPServer("shop", command=COMMAND, prefix="s_", permissions=["delete"]) as server:
        rules = ["deny * delete server=shop", "allow *"]
        ada = gathering.Agent("ada", llm_provider=provider, tools=[server], permissions=rules)
        ada.ask("Order jam.")
    assert ada.trace.tool_calls().iloc[0]["decision"] == "deny"


def test_a_server_that_dies_says_why_and_is_started_again() -> None:
    """The call that killed it fails with its last words; the next one works."""
    with MCPServer("shop", command=COMMAND, timeout=30) as server:
        found = tools(server)
        before = found["process"].execute({}).output
        gone = found["burn"].execute({})
        assert gone.error == (
            "the MCP server 'shop' is gone (the shop is on fire): it is started again at its next call"
        )
        assert found["process"].execute({}).output not in (before, None)


def test_a_call_that_takes_too_long_is_given_up() -> None:
    """And nothing is left of it when the server is closed."""
    with MCPServer("shop", command=COMMAND, timeout=30) as server:
        found = tools(server)
        pid = found["process"].execute({}).output
        server.session.timeout = 0.2
        assert "did not answer within 0.2 s" in str(found["hang"].execute({}).error)
    assert not alive(pid)


async def test_a_cancelled_call_leaves_the_server_usable() -> None:
    """Stop ends the call, not the connection."""
    server = MCPServer("shop", command=COMMAND, timeout=30)
    found = await asyncio.to_thread(tools, server)
    task = asyncio.create_task(found["order"].execute_async({"item": "tea"}))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await found["order"].execute_async({"item": "jam"})).output == "jam is on its way"
    await asyncio.to_thread(server.close)


def test_a_server_ends_with_the_program() -> None:
    """Without a word to close it."""
    code = (
        "import sys; from gathering.tools import MCPServer;"
        "s = MCPServer('shop', command=[sys.executable, sys.argv[1]]);"
        "print(s.execute({'tool': 'process'}).output)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(PROGRAM)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert not alive(int(ran.stdout))
    assert ran.stderr == ""


def test_it_is_reached_over_http(address: str) -> None:
    """The same tools, at an address."""
    with MCPServer("shop", url=address, headers={"X-Key": "s3cret"}, timeout=30) as server:
        found = tools(server)
        assert found["price"].execute({"item": "jam", "count": 3}).output == 15.0
        assert found["stock"].execute({}).output == {"tea": 3, "jam": [1, 2]}
        assert "s3cret" not in f"{server!r} {server.config} {server.session.address!r}"


def test_a_server_gets_what_it_was_given_and_no_key_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are named, not the whole environment."""
    monkeypatch.setenv("HIDDEN_KEY", "secret-of-this-process")
    monkeypatch.setenv("MY_KEY", "for-the-shop")
    with MCPServer("shop", command=COMMAND, env={"SHOP_KEY": "env:MY_KEY"}) as server:
        assert tools(server)["folder"].execute({}).output == "for-the-shop None"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"command": ["no-such-program-anywhere"]}, "could not be started"),
        (
            {"command": [sys.executable, "-c", "raise SystemExit('no licence')"]},
            r"\(.*\) could not be started: no licence",
        ),
        ({"url": "http://127.0.0.1:9/mcp?key=hidden"}, r"\(http://127.0.0.1:9/mcp\) could not be reached"),
    ],
)
def test_a_server_that_is_not_there_is_said_in_one_line(options: dict[str, Any], said: str) -> None:
    """When its tools are asked for, as an exception; when it is called, as a result."""
    server = MCPServer("shop", timeout=20, **options)
    with pytest.raises(ToolExecutionError, match=said) as caught:
        server.expand()
    assert "\n" not in str(caught.value)
    assert not server.execute({"tool": "price"}).success
    assert not server.is_available()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs command="),
        ({"command": ["x"], "url": "http://x"}, "not both"),
        ({"command": "python server.py"}, "is no list of texts"),
        ({"url": "ftp://x"}, "write http:// or https://"),
        ({"command": ["x"], "env": ["A"]}, "must be names and values"),
        ({"command": ["x"], "env": {"A": "env:NO_SUCH_VARIABLE"}}, "is not set here"),
        ({"command": ["x"], "timeout": 0}, "timeout=0"),
        ({"command": ["x"], "comand": 1}, "did you mean 'command'"),
    ],
)
def test_a_wrong_option_is_said_when_it_is_made(options: dict[str, Any], said: str) -> None:
    """Before anything is started."""
    with pytest.raises(ConfigurationError, match=said):
        create_tool({"name": "shop", "type": "mcp", **options})


def test_a_wanted_tool_that_is_missing_is_named(shop: MCPServer) -> None:
    """With the nearest there is; two servers with equal names need a prefix."""
    with pytest.raises(UnknownNameError, match="did you mean 'price'"):
        MCPServer("shop", command=COMMAND, include=["prize"]).expand()
    with pytest.raises(ConfigurationError, match="two tools are named"):
        gathering.Agent("ada", llm_provider=ScriptedProvider([]), tools=[shop, shop])
    assert os.getpid() != tools(shop)["process"].execute({}).output
