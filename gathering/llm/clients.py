"""The one place that owns HTTP connections: transports of httpx, shared by all providers of a process.

Sync calls go over httpx's own transport, straight to it: the client around it costs a third of a call and does
nothing here (no cookies, no redirects, no authentication of its own). Async calls go over aiohttp behind the same
interface, whose pool stays fast with a thousand calls in flight; it is imported with the first of them, and httpx's
own async transport stands in where it is missing. An async transport belongs to one event loop and is closed with
it; a forked child starts with none. Owns no request and no error.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import ssl
import threading
import urllib.request
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from gathering.llm.keys import is_loopback

__all__ = ["async_transport", "sync_transport"]

#: Idle connections kept for the next call. More make httpx's pool slow: it looks at each of them for each request.
IDLE = 20
#: Seconds an idle connection is kept; services close theirs after a minute or so.
KEEP_ALIVE = 30.0
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=IDLE, keepalive_expiry=KEEP_ALIVE)

#: What a connection depends on: whether it is encrypted, and through which proxy it goes.
_Way = tuple[bool, str]


class _Process:
    """The transports of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.sync: dict[_Way, httpx.BaseTransport] = {}
        self.loops: dict[asyncio.AbstractEventLoop, _Loop] = {}


class _Loop:
    """The transports of one event loop, and the generator that closes them when the loop shuts down."""

    def __init__(self) -> None:
        self.transports: dict[_Way, httpx.AsyncBaseTransport] = {}
        self.keeper: AsyncGenerator[None, None] | None = None

    async def keep(self) -> AsyncGenerator[None, None]:
        """Suspended while the loop lives: ``asyncio.run`` closes what generators it left open, and with this the sockets."""
        try:
            yield
        finally:
            for transport in self.transports.values():
                await transport.aclose()
            self.transports.clear()

    def abandon(self) -> None:
        """Let go of sockets whose loop is gone, without a word."""
        for transport in self.transports.values():
            session = getattr(transport, "client", None)
            connector = getattr(session, "connector", None)
            if session is not None and connector is not None:
                session.detach()
                with contextlib.suppress(Exception):  # its public close() wants a loop that runs
                    connector._close()
        self.transports.clear()


_process = _Process()


def sync_transport(url: httpx.URL) -> httpx.BaseTransport:
    """The transport to this address for a sync caller; safe from any thread."""
    way = _way(url.scheme, url.host)
    process = _mine()
    transport = process.sync.get(way)
    if transport is None:
        with process.lock:
            transport = process.sync.get(way) or process.sync.setdefault(way, _new_sync(way))
    return transport


async def async_transport(url: httpx.URL) -> httpx.AsyncBaseTransport:
    """The transport to this address on the running loop."""
    way = _way(url.scheme, url.host)
    process, loop = _mine(), asyncio.get_running_loop()
    own = process.loops.get(loop)
    if own is None:
        own = process.loops.setdefault(loop, _Loop())
        _forget_closed(process)
        own.keeper = own.keep()
        await anext(own.keeper)
    transport = own.transports.get(way)
    if transport is None:
        transport = own.transports[way] = _new_async(way)
    return transport


def _mine() -> _Process:
    global _process
    if _process.pid != os.getpid():
        _process = _Process()  # forked: the parent's sockets and locks are not ours
    return _process


def _forget_closed(process: _Process) -> None:
    for loop in [loop for loop in process.loops if loop.is_closed()]:
        process.loops.pop(loop).abandon()


@atexit.register
def _abandon_all() -> None:
    if _process.pid == os.getpid():
        for own in _process.loops.values():
            own.abandon()
        for transport in _process.sync.values():
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
    return scheme == "https", proxy


@functools.lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """The certificates that count; loading them takes 20 ms, once."""
    return httpx.create_ssl_context()


def _context(way: _Way) -> ssl.SSLContext:
    encrypted, proxy = way
    # Without certificates nothing would be trusted: right for a connection that is never encrypted.
    return _trusted() if encrypted or proxy else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _new_sync(way: _Way) -> httpx.BaseTransport:
    return httpx.HTTPTransport(verify=_context(way), limits=_LIMITS, proxy=_proxy(way))


def _new_async(way: _Way) -> httpx.AsyncBaseTransport:
    try:
        import aiohttp
        from httpx_aiohttp import AiohttpTransport
    except ImportError:
        return httpx.AsyncHTTPTransport(verify=_context(way), limits=_LIMITS, proxy=_proxy(way))

    def session() -> Any:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE, ssl=_context(way))
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    transport: httpx.AsyncBaseTransport = AiohttpTransport(
        client=session, proxy=_proxy(way), verify=_context(way)
    )
    return transport


def _proxy(way: _Way) -> httpx.Proxy | None:
    return httpx.Proxy(way[1]) if way[1] else None
