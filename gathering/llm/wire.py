"""The two pumps of ``gathering.llm.exchange.course``: they send, read, wait and close, and decide nothing.

Owns one request's connection from its first byte to its certain end: whatever ends the reading (the answer's end,
a break out of the loop, Stop, a cancelled task), the connection is back in the pool or closed at once. Transports
come from ``gathering.llm.clients``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from gathering.core.errors import ProviderConnectionError, ProviderTimeoutError
from gathering.core.portal import beat
from gathering.core.stream import Batch
from gathering.llm.clients import async_transport, sync_transport
from gathering.llm.exchange import DRAIN, NEXT, Broken, Command, Course, Head, Send, Sleep, forget_frames
from gathering.llm.keys import carries_key

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


@dataclass(frozen=True, slots=True)
class Line:
    """Where a request goes and how: address, headers, seconds to connect and seconds of silence that are borne."""

    url: httpx.URL
    headers: Headers
    connect: float
    read: float
    method: str = "POST"
    sleep: Callable[[float], object] = time.sleep
    sleep_async: Callable[[float], Awaitable[object]] = asyncio.sleep

    def request(self, body: bytes | None) -> httpx.Request:
        """The request as httpx sends it."""
        # Built from its parts: completing and decoding headers would cost a tenth of a call.
        content = body or b""
        timeout = {"connect": self.connect, "read": self.read, "write": self.read, "pool": None}
        request = httpx.Request(
            self.method, self.url, stream=httpx.ByteStream(content), extensions={"timeout": timeout}
        )
        raw = [(b"host", self.url.netloc), (b"content-length", b"%d" % len(content))]
        raw += [(name.encode("ascii"), value.encode("latin-1")) for name, value in self.headers.items()]
        request.headers = httpx.Headers(raw, encoding="latin-1")
        request.read()
        return request

    def broken(self, err: Exception) -> Broken:
        """What a transport's error means. Raises anything that is no transport's error."""
        kind = _kind(err)
        if kind is None:
            raise err
        forget_frames(err)
        host = f"{self.url.scheme}://{self.url.netloc.decode('ascii')}"
        reason = str(err) or type(err).__name__
        if kind == "silence":
            error: ProviderConnectionError = ProviderTimeoutError(
                f"was silent for {self.read:g} s. Next: ask again, or give a longer timeout="
            )
        elif kind == "connecting":
            error = ProviderTimeoutError(
                f"no connection to {host} within {self.connect:g} s. Next: check the network and base_url"
            )
        elif kind == "refused":
            error = ProviderConnectionError(
                f"no connection to {host} ({reason}). Next: check the network and base_url, and that the server runs"
            )
        else:
            error = ProviderConnectionError(f"the connection to {host} broke ({reason}). Next: ask again")
        error.__cause__ = err
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
        self.response: httpx.Response | None = None
        self.pieces: Iterator[bytes] = iter(())

    def do(self, command: Command) -> Any:
        try:
            if command is NEXT:
                piece = next(self.pieces, None)
                if piece is None:
                    self.close()
                return piece
            if type(command) is Send:
                self.close()
                transport = sync_transport(self.line.url)
                self.response = transport.handle_request(self.line.request(command.body))
                self.pieces = self._pieces(self.response)
                return _head(self.response)
            if command is DRAIN:
                self._drain()
            elif type(command) is Sleep:
                self.close()
                self.line.sleep(command.seconds)
        except Exception as err:  # noqa: BLE001 - broken() raises what is no transport's error
            self.close()
            return self.line.broken(err)
        return None

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        # Straight from the transport where nothing is to be decoded: a client's reader costs a call for each piece.
        return response.iter_bytes() if _is_encoded(response) else iter(response.stream)  # type: ignore[arg-type]

    def _drain(self) -> None:
        assert self.response is not None
        stream = self.response.extensions.get("network_stream")
        if stream is not None:
            read, end = stream.read, time.monotonic() + DRAIN_TIME
            # httpcore looked up its timeout before the body began: only the stream itself can still shorten it.
            stream.read = lambda size, timeout=None: read(size, timeout=max(0.001, end - time.monotonic()))
            with contextlib.suppress(httpx.HTTPError, OSError):
                for _ in self.pieces:
                    if time.monotonic() > end:
                        break
            del stream.read
        self.close()

    def close(self) -> None:
        response, self.response = self.response, None
        if response is not None:
            with contextlib.suppress(httpx.HTTPError, OSError):
                response.close()
            self.pieces = iter(())


class _AsyncWire:
    """The connection of an async caller."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.response: httpx.Response | None = None
        self.pieces: AsyncIterator[bytes] = _nothing()

    async def do(self, command: Command) -> Any:
        try:
            if command is NEXT:
                piece = await anext(self.pieces, None)
                if piece is None:
                    await self.close()
                return piece
            if type(command) is Send:
                await self.close()
                transport = await async_transport(self.line.url)
                self.response = await transport.handle_async_request(self.line.request(command.body))
                self.pieces = self._pieces(self.response)
                return _head(self.response)
            if command is DRAIN:
                await self._drain()
            elif type(command) is Sleep:
                await self.close()
                await self.line.sleep_async(command.seconds)
        except Exception as err:  # noqa: BLE001 - broken() raises what is no transport's error
            await self.close()
            return self.line.broken(err)
        return None

    def _pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        return response.aiter_bytes() if _is_encoded(response) else aiter(response.stream)  # type: ignore[arg-type]

    async def _drain(self) -> None:
        with contextlib.suppress(httpx.HTTPError, OSError):
            async with asyncio.timeout(DRAIN_TIME):
                async for _ in self.pieces:
                    pass
        await self.close()

    async def close(self) -> None:
        response, self.response = self.response, None
        if response is not None:
            with contextlib.suppress(httpx.HTTPError, OSError):
                await response.aclose()
            self.pieces = _nothing()


async def _nothing() -> AsyncGenerator[bytes, None]:
    none: tuple[bytes, ...] = ()
    for piece in none:
        yield piece


def _is_encoded(response: httpx.Response) -> bool:
    return any(name.lower() == b"content-encoding" for name, _ in response.headers.raw)


def _head(response: httpx.Response) -> Head:
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers.raw}
    return Head(response.status_code, headers)


def _kind(err: Exception) -> str | None:
    """``connecting``, ``silence``, ``refused`` or ``broken``; None if no transport raised it."""
    cause = err.__cause__
    # aiohttp's own errors tell more than what they are mapped to: there a refused connection becomes a timeout.
    if cause is not None and type(cause).__module__.startswith("aiohttp"):
        found: BaseException = cause
    elif isinstance(err, httpx.HTTPError | httpx.InvalidURL | httpx.StreamError | OSError) or type(
        err
    ).__module__.startswith("aiohttp"):
        found = err
    else:
        return None
    names = {c.__name__ for c in type(found).__mro__}
    if names & {"ConnectTimeout", "ConnectionTimeoutError", "PoolTimeout"}:
        return "connecting"
    if names & {"TimeoutException", "TimeoutError"}:
        return "silence"
    return "refused" if names & {"ConnectError", "ProxyError", "ClientConnectorError"} else "broken"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A small answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch(line: Line) -> Fetched:
    """One short request on this thread, without retry. Raises ``ProviderConnectionError``."""
    try:
        response = sync_transport(line.url).handle_request(line.request(None))
        try:
            return Fetched(response.status_code, response.headers, response.read())
        finally:
            response.close()
    except Exception as err:  # noqa: BLE001 - broken() raises what is no transport's error
        error = line.broken(err).error
    raise error
