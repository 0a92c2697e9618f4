"""One connection: a request's bytes go out, bytes come back; for a sync caller and for an event loop.

Owns sockets from their first byte to their end. What the bytes that come back say is ``gathering.llm.incoming``'s,
which connection is used again ``gathering.llm.clients``', what a failure means to a caller ``gathering.llm.wire``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import select
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import httpx

from gathering.core.errors import ConfigurationError

__all__ = [
    "Address",
    "AsyncConnection",
    "Connection",
    "LineError",
    "Origin",
    "Outgoing",
    "Reason",
    "address_of",
    "connect",
    "connect_async",
    "listens",
]

Reason: TypeAlias = Literal["connecting", "silence", "refused", "broken"]
#: What a connection is good for: scheme, host and port.
Origin: TypeAlias = tuple[str, str, int]

#: Bytes of one read; what came together is handed on together.
READ_SIZE = 1 << 16
#: Bytes that wait for a slow caller before the service is made to wait.
HIGH_WATER = 1 << 20
#: Seconds after which a read that waits looks up. A signal between Python's last look at its signals and the system's
#: call is noticed only when the call returns: without this, Stop could wait as long as the service is silent.
GLANCE = 0.25


class LineError(Exception):
    """A connection failed: ``reason`` says at what, the text what the system or the other side said."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Address(NamedTuple):
    """A URL, and what of it each request needs."""

    url: httpx.URL
    origin: Origin
    host: str  #: with the port, as the header has it
    target: str  #: path and query

    @property
    def site(self) -> str:
        """Scheme and host, for people."""
        return f"{self.origin[0]}://{self.host}"


@functools.lru_cache(maxsize=256)
def address_of(text: str) -> Address:
    """The parts of a URL, taken apart once. Raises ``httpx.InvalidURL``."""
    url = httpx.URL(text)
    scheme = url.scheme
    origin = scheme, url.raw_host.decode("ascii"), url.port or (443 if scheme == "https" else 80)
    return Address(url, origin, url.netloc.decode("ascii"), url.raw_path.decode("ascii"))


@dataclass(slots=True)
class Outgoing:
    """A request as it goes out; ``connect`` and ``read`` are seconds to connect and of silence that are borne."""

    method: str
    address: Address
    headers: Mapping[str, str]
    body: bytes
    connect: float
    read: float

    def encoded(self) -> bytes:
        """Its bytes. Raises ``ConfigurationError`` for a header that would end in the middle."""
        lines = [f"{self.method} {self.address.target} HTTP/1.1"]
        if "host" not in self.headers:
            lines.append(f"host: {self.address.host}")
        lines.append(f"content-length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers.items() if name != "content-length"]
        head = "\r\n".join(lines)
        if head.count("\n") >= len(lines) or head.count("\r") >= len(lines) or "\0" in head:
            raise ConfigurationError("a header of the request has a line break in its value: take it out")
        return head.encode("latin-1") + b"\r\n\r\n" + self.body


class Connection:
    """A connected socket of a sync caller. An interrupt in a read leaves through here; whoever reads then closes."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._patience: float | None = None
        self._poll = None
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(sock, select.POLLIN)

    @property
    def stale(self) -> bool:
        """Whether the other side has hung up, or said something nobody asked for."""
        if self._poll is None:
            return bool(select.select([self._socket], [], [], 0)[0])
        return bool(self._poll.poll(0))

    def send(self, data: bytes, seconds: float) -> None:
        """Send all of it. Raises ``LineError``."""
        try:
            self._bear(min(seconds, GLANCE))  # as a read that follows bears: most requests go out at once
            sent = 0
            with contextlib.suppress(TimeoutError):
                sent = self._socket.send(data)
            if sent < len(data):
                self._bear(seconds)
                self._socket.sendall(memoryview(data)[sent:])
        except TimeoutError as err:
            raise LineError("silence", str(err)) from err
        except OSError as err:
            raise LineError("broken", _text(err)) from err

    def receive(self, seconds: float) -> bytes:
        """What arrives next, nothing at the end. Raises ``LineError``."""
        try:
            self._bear(min(seconds, GLANCE))
            try:
                return self._socket.recv(READ_SIZE)
            except TimeoutError:
                return self._receive_by(time.monotonic() + seconds - GLANCE)
        except TimeoutError as err:
            raise LineError("silence", str(err)) from err
        except OSError as err:
            raise LineError("broken", _text(err)) from err

    def _receive_by(self, end: float) -> bytes:
        while (left := end - time.monotonic()) > 0:
            self._bear(min(left, GLANCE))
            with contextlib.suppress(TimeoutError):
                return self._socket.recv(READ_SIZE)
        raise TimeoutError("timed out")

    def _bear(self, seconds: float) -> None:
        if seconds != self._patience:  # setting it is a call to the system, for each read of a stream
            self._socket.settimeout(seconds)
            self._patience = seconds

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def connect(origin: Origin, context: ssl.SSLContext | None, seconds: float) -> Connection:
    """A new connection for a sync caller, encrypted if there is a context. Raises ``LineError``."""
    _, host, port = origin
    try:
        sock = socket.create_connection((host, port), seconds)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Connection(context.wrap_socket(sock, server_hostname=host) if context else sock)
        except BaseException:
            sock.close()
            raise
    except TimeoutError as err:
        raise LineError("connecting", _text(err)) from err
    except (OSError, UnicodeError) as err:  # a name no resolver can spell is a UnicodeError
        raise LineError("refused", _text(err)) from err


def listens(origin: Origin) -> bool:
    """Whether anything takes connections there; for a host on this machine, which says so at once."""
    try:
        socket.create_connection(origin[1:], 0.5).close()
    except OSError:
        return False
    return True


class AsyncConnection(asyncio.Protocol):
    """A connection of an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._size, self._paused = 0, False
        self._ended = False
        self._failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._transport: Any = None

    # -- what the loop calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came, and let the other side wait when it is much."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The other side is done; what had come can still be read."""
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self._ended, self._failure = True, exc
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- what its owner calls ------------------------------------------------------------------------------------

    @property
    def stale(self) -> bool:
        """Whether the other side has hung up, or said something nobody asked for."""
        return self._ended or bool(self._pieces)

    @property
    def address(self) -> str:
        """The numeric address of the other side."""
        return str(self._transport.get_extra_info("peername")[0])

    def send(self, data: bytes) -> None:
        """Send it as fast as the other side takes it."""
        self._transport.write(data)

    async def receive(self, seconds: float) -> bytes:
        """What arrives next, nothing at the end. Raises ``LineError``."""
        if not self._pieces and not self._ended:
            await self._wait(seconds)
        if self._pieces:
            data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            return data
        if self._failure is not None:
            raise LineError("broken", _text(self._failure)) from self._failure
        return b""

    async def _wait(self, seconds: float) -> None:
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()
        if not self._pieces and not self._ended:
            raise LineError("silence", f"nothing came for {seconds:g} s")

    def close(self) -> None:
        """Hang up; the socket is closed when the loop runs on."""
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """Close the socket of a loop that runs no more."""
        # Its public methods want the loop; a socket that is left to the garbage collector is complained about.
        with contextlib.suppress(Exception):
            self._transport._sock.close()
            self._transport._sock = None


async def connect_async(
    origin: Origin, context: ssl.SSLContext | None, address: str | None
) -> AsyncConnection:
    """A new connection on the running loop, to this numeric address of the host if one is known. Raises ``OSError``."""
    _, host, port = origin
    _, protocol = await asyncio.get_running_loop().create_connection(
        AsyncConnection,
        address or host,
        port,
        ssl=context,
        server_hostname=host if context else None,
        happy_eyeballs_delay=None if address else 0.25,
    )
    return protocol


def _text(err: BaseException) -> str:
    return str(err) or type(err).__name__
