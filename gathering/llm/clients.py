"""The one place that owns HTTP connections, shared by all providers of a process: which is used, kept and closed.

A request goes straight to its host over a connection of ``gathering.llm.connection``: three thousand lines of a
general client do nothing here (no cookies, no redirects, no authentication of its own) and cost two thirds of a call.
Where the environment names a proxy, httpx does it (``gathering.llm.proxied``). Connections of an event loop belong to
it and are closed with it; a forked child starts with none. Owns no error.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import ssl
import threading
import time
import urllib.request
from collections import deque
from collections.abc import AsyncGenerator
from typing import Generic, NamedTuple, Protocol, TypeVar

import httpx

from gathering.llm.connection import (
    AsyncConnection,
    Connection,
    LineError,
    Origin,
    Outgoing,
    connect,
    connect_async,
)
from gathering.llm.incoming import AsyncIncoming, Incoming, readable
from gathering.llm.keys import is_loopback
from gathering.llm.proxied import AsyncProxied, Proxied, async_transport, sync_transport

__all__ = ["send", "send_async"]

#: Idle connections to one address kept for the next calls of threads, and of an event loop.
IDLE, LOOP_IDLE = 32, 1024
#: Seconds an idle connection is kept; services close theirs after a minute or so.
KEEP_ALIVE = 30.0
#: Seconds the numeric address of a host that answered is used without asking for it again.
ADDRESS_TIME = 10.0


class _Way(NamedTuple):
    """What an exchange depends on: whether it is encrypted, and through which proxy it goes."""

    encrypted: bool
    proxy: str


class _Kept(Protocol):
    @property
    def stale(self) -> bool: ...

    def close(self) -> None: ...


C = TypeVar("C", bound=_Kept)


class _Pool(Generic[C]):
    """Idle connections by where they lead; the one used last is used first. Safe from any thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.idle: dict[Origin, deque[tuple[C, float]]] = {}
        self.swept = time.monotonic()

    def take(self, origin: Origin) -> C | None:
        """An idle connection that is still good."""
        idle = self.idle.get(origin)
        while idle:
            try:
                kept, until = idle.pop()
            except IndexError:  # another thread took it
                break
            if time.monotonic() < until and not kept.stale:
                return kept
            kept.close()
        return None

    def give(self, origin: Origin, kept: C) -> None:
        """Keep a connection for the next call."""
        idle = self.idle.get(origin)
        if idle is None:
            idle = self.idle.setdefault(origin, deque())
        now = time.monotonic()
        idle.append((kept, now + KEEP_ALIVE))
        with contextlib.suppress(IndexError):
            while len(idle) > self.limit or idle[0][1] < now:
                idle.popleft()[0].close()
        if now - self.swept > KEEP_ALIVE:  # those to addresses that nobody asks any more
            self.sweep()

    def sweep(self) -> bool:
        """Close what was idle for too long; whether anything is left."""
        self.swept = now = time.monotonic()
        for idle in list(self.idle.values()):
            with contextlib.suppress(IndexError):  # another thread took it
                while idle[0][1] < now:
                    idle.popleft()[0].close()
        return any(list(self.idle.values()))

    def clear(self) -> list[C]:
        """All that was kept, kept no longer."""
        found = [kept for idle in self.idle.values() for kept, _ in idle]
        self.idle.clear()
        return found


class _Process:
    """The connections of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.idle = _Pool[Connection](IDLE)
        self.proxied: dict[_Way, httpx.BaseTransport] = {}
        self.loops: dict[asyncio.AbstractEventLoop, _Loop] = {}


class _Loop:
    """The connections of one event loop, and the generator that closes them when the loop shuts down."""

    def __init__(self) -> None:
        self.idle = _Pool[AsyncConnection](LOOP_IDLE)
        self.proxied: dict[_Way, httpx.AsyncBaseTransport] = {}
        self.addresses: dict[Origin, tuple[str, float]] = {}
        self.opening: dict[Origin, asyncio.Lock] = {}
        self.keeper: AsyncGenerator[None, None] | None = None
        self.sweeper: asyncio.TimerHandle | None = None

    async def keep(self) -> AsyncGenerator[None, None]:
        """Suspended while the loop lives: ``asyncio.run`` closes what generators it left open, and with this the sockets."""
        try:
            yield
        finally:
            if self.sweeper is not None:
                self.sweeper.cancel()
            for kept in self.idle.clear():
                kept.close()
            for transport in self.proxied.values():
                await transport.aclose()
            self.proxied.clear()
            await asyncio.sleep(0)  # a loop closes its sockets when it runs on

    def give(self, origin: Origin, kept: AsyncConnection) -> None:
        """Keep a connection for the next call, and close it when none comes."""
        self.idle.give(origin, kept)
        if self.sweeper is None:
            self.sweeper = asyncio.get_running_loop().call_later(KEEP_ALIVE, self._sweep)

    def _sweep(self) -> None:
        left = self.idle.sweep()
        self.sweeper = asyncio.get_running_loop().call_later(KEEP_ALIVE, self._sweep) if left else None

    async def connect(
        self, origin: Origin, context: ssl.SSLContext | None, seconds: float
    ) -> AsyncConnection:
        """A new connection. Raises ``LineError``."""
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(origin, context)
        except TimeoutError as err:
            raise LineError("connecting", str(err) or "no answer") from err
        except (OSError, UnicodeError) as err:  # a name no resolver can spell is a UnicodeError
            raise LineError("refused", str(err) or type(err).__name__) from err

    async def _connect(self, origin: Origin, context: ssl.SSLContext | None) -> AsyncConnection:
        # A name is looked up once for a thousand calls at once, and so is which of its addresses answers.
        address = self._address(origin)
        if address is None:
            async with self.opening.setdefault(origin, asyncio.Lock()):
                address = self._address(origin)
                if address is None:
                    made = await connect_async(origin, context, None)
                    self.addresses[origin] = made.address, time.monotonic() + ADDRESS_TIME
                    return made
        try:
            return await connect_async(origin, context, address)
        except OSError:
            self.addresses.pop(origin, None)
            return await connect_async(origin, context, None)

    def _address(self, origin: Origin) -> str | None:
        address, until = self.addresses.get(origin, ("", 0.0))
        return address if time.monotonic() < until else None

    def abandon(self) -> None:
        """Let go of sockets whose loop is gone, without a word."""
        for kept in self.idle.clear():
            kept.abandon()
        self.proxied.clear()


_process = _Process()
_inherited: list[_Process] = []


def send(outgoing: Outgoing) -> Incoming | Proxied:
    """The answer to a request, as far as its headers; safe from any thread. Raises ``LineError``."""
    origin, process = outgoing.address.origin, _mine()
    way = _way(origin[0], origin[1])
    if way.proxy or not readable():
        return Proxied(_proxied(process, way), outgoing)
    connection = process.idle.take(origin) or connect(origin, _context(way), outgoing.connect)
    incoming = Incoming(connection, outgoing.read, functools.partial(process.idle.give, origin))
    try:
        connection.send(outgoing.encoded(), outgoing.read)
        incoming.begin()
    except BaseException:
        incoming.close()
        raise
    return incoming


async def send_async(outgoing: Outgoing) -> AsyncIncoming | AsyncProxied:
    """The same on the running loop."""
    origin, own = outgoing.address.origin, await _own()
    way = _way(origin[0], origin[1])
    if way.proxy or not readable():
        if way not in own.proxied:
            own.proxied[way] = async_transport(_context(way), way.proxy)
        return await AsyncProxied.begin(own.proxied[way], outgoing)
    connection = own.idle.take(origin) or await own.connect(origin, _context(way), outgoing.connect)
    incoming = AsyncIncoming(connection, outgoing.read, functools.partial(own.give, origin))
    try:
        connection.send(outgoing.encoded())
        await incoming.begin()
    except BaseException:
        await incoming.close()
        raise
    return incoming


def _mine() -> _Process:
    global _process
    if _process.pid != os.getpid():
        _inherited.append(
            _process
        )  # forked: the parent's sockets and locks are not ours, and not ours to close
        _process = _Process()
    return _process


def _proxied(process: _Process, way: _Way) -> httpx.BaseTransport:
    with process.lock:
        if way not in process.proxied:
            process.proxied[way] = sync_transport(_context(way), way.proxy)
        return process.proxied[way]


async def _own() -> _Loop:
    process, loop = _mine(), asyncio.get_running_loop()
    own = process.loops.get(loop)
    if own is None:
        own = process.loops.setdefault(loop, _Loop())
        _forget_closed(process)
        own.keeper = own.keep()
        await anext(own.keeper)
    return own


def _forget_closed(process: _Process) -> None:
    for loop in [loop for loop in process.loops if loop.is_closed()]:
        process.loops.pop(loop).abandon()


@atexit.register
def _abandon_all() -> None:
    if _process.pid == os.getpid():
        for own in _process.loops.values():
            own.abandon()
        for kept in _process.idle.clear():
            kept.close()
        for transport in _process.proxied.values():
            transport.close()


@functools.lru_cache(maxsize=256)
def _way(scheme: str, host: str) -> _Way:
    """How the host is reached, by the proxies of the environment or the system."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all") or ""
    # No proxy is a way to this very machine; the environment need not say so.
    if proxy and (is_loopback(host) or urllib.request.proxy_bypass(host)):
        proxy = ""
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    return _Way(scheme == "https", proxy)


@functools.lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """The certificates that count; loading them takes 20 ms, once."""
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _context(way: _Way) -> ssl.SSLContext | None:
    return _trusted() if way.encrypted or way.proxy else None
