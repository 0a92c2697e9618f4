"""One connection with a server of the Model Context Protocol, alive on the I/O thread from its first use to the end.

A connection is opened and closed by one task of its own, because its library insists on that. Owns starting, dying
and starting again; what a server's tools look like to an agent is ``gathering.tools.mcp``.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gathering.core.errors import ConfigurationError, ToolExecutionError
from gathering.core.portal import Portal, portal

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult, ListToolsResult, Tool

__all__ = ["Address", "Session"]

T = TypeVar("T")

_MOST_PAGES = 50  # of a list of tools
_CLOSING = 8.0  # seconds all servers have to end when the program does
_LAST_WORDS = 300  # characters of what a server wrote to its standard error


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: a ``command`` to start it, or the ``url`` it answers at. Values may hold secrets."""

    command: tuple[str, ...] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """The program or address, for messages; neither arguments nor what follows a path, which may hold a key."""
        return self.url.partition("?")[0].rpartition("@")[2] if self.url else self.command[0]


class Session:
    """The connection with one server; opened when it is first needed, and again after it was lost."""

    def __init__(self, name: str, address: Address, timeout: float) -> None:
        self.name, self.address, self.timeout = name, address, timeout
        self._line: _Line | None = None

    def run(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """What the work gives, done on the I/O thread; Stop cancels it."""
        return portal().run(work(self))

    async def run_async(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """The same, awaited on whatever loop runs."""
        there = portal()
        if asyncio.get_running_loop() is there.loop:
            return await work(self)
        return await asyncio.wrap_future(there.submit(work(self)))

    async def tools(self) -> list[Tool]:
        """The tools the server has now. Raises ``ToolExecutionError``; on the I/O thread only."""
        found: list[Tool] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page: ListToolsResult = await self._asked(partial(_page, cursor))
            found.extend(page.tools)
            cursor = page.next_cursor
            if not cursor:
                break
        return found

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """What the server's tool gives. Raises ``ToolExecutionError``; on the I/O thread only."""
        return await self._asked(lambda client: client.call_tool(tool, dict(arguments)))

    def close(self) -> None:
        """End the connection, and the server if it was started here. The next use starts it again."""
        line, self._line = self._line, None
        _open.discard(self)
        if line is not None and line.portal.pid == os.getpid() and line.portal.thread.is_alive():
            with contextlib.suppress(Exception):  # it ends either way: with its program at the latest
                line.portal.submit(line.end()).result(_CLOSING)

    async def _asked(self, ask: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        line = await self._connected()
        try:
            async with asyncio.timeout(self.timeout):
                return await ask(line.client)
        except TimeoutError as err:
            raise ToolExecutionError(
                f"the MCP server {self.name!r} did not answer within {self.timeout:g} s"
            ) from err
        except Exception as err:
            if not line.broken(err):
                raise ToolExecutionError(f"the MCP server {self.name!r} says: {_line(err)}") from err
            self._line = None
            await line.end()
            raise ToolExecutionError(
                f"the MCP server {self.name!r} is gone ({line.last_words() or _line(err)}): "
                "it is started again at its next call"
            ) from err

    async def _connected(self) -> _Line:
        line = self._line
        if line is None or line.portal is not portal() or line.task.done():
            line = self._line = _Line(self.address)
            _open.add(self)
        try:
            async with asyncio.timeout(self.timeout):
                await asyncio.shield(line.ready)
        except BaseException as err:
            if line.ready.done() or isinstance(err, TimeoutError):
                self._line = None
                await line.end()
            if not isinstance(err, Exception):
                raise
            what = "reached" if self.address.url else "started"
            why = line.last_words() or _line(err) or f"nothing within {self.timeout:g} s"
            raise ToolExecutionError(
                f"the MCP server {self.name!r} ({self.address}) could not be {what}: {why}"
            ) from err
        return line


class _Line:
    """One opened connection: a task that opens it, waits until it is to end, and closes it."""

    def __init__(self, address: Address) -> None:
        self.portal: Portal = portal()
        self.address = address
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ending = asyncio.Event()
        self.said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by end()
        self.client: Any = None
        self.task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        try:
            async with _client(self.address, self.said) as self.client:
                self.ready.set_result(None)
                await self.ending.wait()
        except BaseException as err:  # noqa: BLE001 - it is raised again where the connection is waited for
            if not self.ready.done():
                self.ready.set_exception(_innermost(err))
                self.ready.exception()  # looked at, so that the loop does not complain of it

    async def end(self) -> None:
        """Close it, by force if it does not close by itself."""
        self.ending.set()
        if not self.ready.done():
            self.task.cancel()
        await asyncio.wait({self.task}, timeout=_CLOSING)

    def broken(self, err: BaseException) -> bool:
        """Whether the connection is of no use after this."""
        from mcp_types import CONNECTION_CLOSED

        code = getattr(err, "code", None)
        return (
            self.task.done()
            or code == CONNECTION_CLOSED
            or type(err).__module__.startswith(("anyio", "httpx"))
        )

    def last_words(self) -> str:
        """The last line the server wrote to its standard error."""
        try:
            self.said.seek(0)
            lines = [line.strip() for line in self.said.read().splitlines() if line.strip()]
        except (OSError, ValueError):
            return ""
        return lines[-1][:_LAST_WORDS] if lines else ""


async def _page(cursor: str | None, client: Client) -> ListToolsResult:
    return await client.list_tools(cursor=cursor, cache_mode="bypass")


def _client(address: Address, said: Any) -> Client:
    try:
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client
    except ImportError as err:
        raise ConfigurationError(
            "MCP servers need mcp, which is not installed: pip install 'gathering[mcp]'"
        ) from err
    if address.url:
        http = create_mcp_http_client(headers=dict(address.headers)) if address.headers else None
        return Client(streamable_http_client(address.url, http_client=http))
    program, *arguments = address.command
    started = StdioServerParameters(
        command=program, args=arguments, env=dict(address.env) or None, cwd=address.cwd
    )
    return Client(stdio_client(started, errlog=said))


def _innermost(err: BaseException) -> BaseException:
    """The failure itself, out of the groups its library wraps it in."""
    while isinstance(err, BaseExceptionGroup) and err.exceptions:
        err = err.exceptions[0]
    return err


def _line(err: BaseException) -> str:
    return " ".join(str(_innermost(err)).split())[:_LAST_WORDS] or type(_innermost(err)).__name__


#: Held so that a server whose tools are gone still ends with the program.
_open: set[Session] = set()


def _close_all() -> None:
    """End the servers that were started here before the program ends."""
    for session in list(_open):
        session.close()


atexit.register(_close_all)
