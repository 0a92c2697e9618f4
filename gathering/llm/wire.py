"""The two pumps of ``gathering.llm.exchange.course``: they send, read, wait and close, and decide nothing.

Owns one request's connection from its first byte to its certain end: whatever ends the reading (the answer's end,
a break out of the loop, Stop, a cancelled task), the connection is back in the pool or closed at once. Connections
come from ``gathering.llm.clients``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from gathering.core.errors import ProviderConnectionError, ProviderTimeoutError
from gathering.core.portal import beat
from gathering.core.stream import Batch
from gathering.llm.clients import send, send_async
from gathering.llm.connection import Address, LineError, Outgoing
from gathering.llm.exchange import DRAIN, NEXT, Broken, Command, Course, Head, Send, Sleep, forget_frames
from gathering.llm.incoming import AsyncIncoming, Incoming
from gathering.llm.keys import carries_key
from gathering.llm.proxied import AsyncProxied, Proxied

__all__ = ["Fetched", "Headers", "Line", "fetch", "pump", "pump_async"]

#: Seconds a connection gets to end an answer whose end mark was read; then it is closed instead of reused.
DRAIN_TIME = 0.05


class Headers(dict[str, str]):
    """Headers whose repr names them only: their values hold the key."""

    def __repr__(self) -> str:
        """The names."""
        return f"Headers({', '.join(self)})"

    def __deepcopy__(self, memo: Any) -> Headers:
        """The same headers: a copy in this process keeps the key."""
        return Headers(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without what may hold a key."""
        return Headers, ({k: v for k, v in self.items() if not carries_key(k)},)


@dataclass(slots=True)
class Line:
    """Where a request goes and how: address, headers, seconds to connect and seconds of silence that are borne."""

    address: Address
    headers: Headers
    connect: float
    read: float
    method: str = "POST"
    sleep: Callable[[float], object] = time.sleep
    sleep_async: Callable[[float], Awaitable[object]] = asyncio.sleep

    def request(self, body: bytes | None) -> Outgoing:
        """The request as it goes out."""
        return Outgoing(self.method, self.address, self.headers, body or b"", self.connect, self.read)

    def broken(self, err: LineError) -> Broken:
        """What a connection's failure means."""
        forget_frames(err)
        host = self.address.site
        reason, kind = str(err), err.reason
        if kind == "silence":
            error: ProviderConnectionError = ProviderTimeoutError(
                f"was silent for {self.read:g} s. Next: ask again, or give a longer timeout="
            )
        elif kind == "connecting":
            error = ProviderTimeoutError(
                f"has no connection to {host} within {self.connect:g} s. Next: check the network and base_url"
            )
        elif kind == "refused":
            error = ProviderConnectionError(
                f"has no connection to {host} ({reason}). Next: check the network and base_url, and that the server runs"
            )
        else:
            error = ProviderConnectionError(f"the connection to {host} broke ({reason}). Next: ask again")
        error.__cause__, error.sent = err, kind in ("silence", "broken")
        # After silence the service may still be working on the request: sending it again could be paid twice.
        return Broken(error, retry=kind != "silence")


def pump(course: Course, line: Line) -> Generator[Batch, None, None]:
    """Run a course on this thread; its batches for the caller."""
    wire = _Wire(line)
    item: Any = None
    result: Any = None
    try:
        while True:
            try:
                item = course.send(result)
            except StopIteration:
                return
            if type(item) is list:
                result = None
                yield item
            else:
                result = wire.do(item)
    finally:
        item = result = None  # an answer may echo the key: no traceback shows it
        wire.close()
        course.close()


async def pump_async(course: Course, line: Line) -> AsyncGenerator[Batch, None]:
    """Run a course on the running loop; its batches for the caller."""
    wire = _AsyncWire(line)
    item: Any = None
    result: Any = None
    try:
        with beat():
            while True:
                try:
                    item = course.send(result)
                except StopIteration:
                    return
                if type(item) is list:
                    result = None
                    yield item
                else:
                    result = await wire.do(item)
    finally:
        item = result = None  # an answer may echo the key: no traceback shows it
        await wire.close()
        course.close()


class _Wire:
    """The connection of a sync caller."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.incoming: Incoming | Proxied | None = None

    def do(self, command: Command) -> Any:
        try:
            if command is NEXT:
                return self._next()
            if type(command) is Send:
                self.close()
                self.incoming = send(self.line.request(command.body))
                return Head(self.incoming.status, self.incoming.headers)
            if command is DRAIN and self.incoming is not None:
                self.incoming.drain(DRAIN_TIME)
            elif type(command) is Sleep:
                self.close()
                self.line.sleep(command.seconds)
        except LineError as err:
            self.close()
            return self.line.broken(err)
        return None

    def _next(self) -> bytes | None:
        piece = self.incoming.read() if self.incoming is not None else None
        if piece is None:
            self.close()
        return piece

    def close(self) -> None:
        incoming, self.incoming = self.incoming, None
        if incoming is not None:
            incoming.close()


class _AsyncWire:
    """The connection of an async caller."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.incoming: AsyncIncoming | AsyncProxied | None = None

    async def do(self, command: Command) -> Any:
        try:
            if command is NEXT:
                return await self._next()
            if type(command) is Send:
                await self.close()
                self.incoming = await send_async(self.line.request(command.body))
                return Head(self.incoming.status, self.incoming.headers)
            if command is DRAIN and self.incoming is not None:
                await self.incoming.drain(DRAIN_TIME)
            elif type(command) is Sleep:
                await self.close()
                await self.line.sleep_async(command.seconds)
        except LineError as err:
            await self.close()
            return self.line.broken(err)
        return None

    async def _next(self) -> bytes | None:
        piece = await self.incoming.read() if self.incoming is not None else None
        if piece is None:
            await self.close()
        return piece

    async def close(self) -> None:
        incoming, self.incoming = self.incoming, None
        if incoming is not None:
            await incoming.close()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A small answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch(line: Line, body: bytes | None = None) -> Fetched:
    """One short request on this thread, without retry. Raises ``ProviderConnectionError``."""
    try:
        incoming = send(line.request(body))
        try:
            return Fetched(incoming.status, incoming.headers, b"".join(iter(incoming.read, None)))
        finally:
            incoming.close()
    except LineError as err:
        error = line.broken(err).error
    raise error
