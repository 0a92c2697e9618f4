"""Requests that go through a proxy: httpx speaks with it, tunnels and SOCKS included. Also where httptools is missing.

Owns the two adapters between ``gathering.llm.clients`` and httpx's transports, and what httpx's errors mean. They
are slower than a connection of our own and seldom needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator

import httpx

from gathering.llm.connection import LineError, Outgoing, Reason

__all__ = ["AsyncProxied", "Proxied", "async_transport", "sync_transport"]

#: More idle connections make httpx's pool slow: it looks at each of them for each request.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30.0)


def sync_transport(context: ssl.SSLContext | None, proxy: str) -> httpx.BaseTransport:
    """A transport through this proxy, straight on if it is empty."""
    through = httpx.Proxy(proxy) if proxy else None
    return httpx.HTTPTransport(verify=context or _untrusting(), limits=_LIMITS, proxy=through)


def async_transport(context: ssl.SSLContext | None, proxy: str) -> httpx.AsyncBaseTransport:
    """The same for an event loop."""
    through = httpx.Proxy(proxy) if proxy else None
    return httpx.AsyncHTTPTransport(verify=context or _untrusting(), limits=_LIMITS, proxy=through)


class Proxied:
    """An answer over httpx for a sync caller. Everything that reads raises ``LineError``."""

    def __init__(self, transport: httpx.BaseTransport, outgoing: Outgoing) -> None:
        with _named():
            self._response = transport.handle_request(_request(outgoing))
        self.status, self.headers = self._response.status_code, _headers(self._response)
        self._pieces: Iterator[bytes] = self._response.iter_bytes()

    def read(self) -> bytes | None:
        """The next bytes of the body, None at its end."""
        with _named():
            return next(self._pieces, None)

    def drain(self, seconds: float) -> None:
        """Read to the end if it comes within these seconds, and close."""
        stream = self._response.extensions.get("network_stream")
        if stream is not None:
            read, end = stream.read, time.monotonic() + seconds
            # httpcore looked up its timeout before the body began: only the stream itself can still shorten it.
            stream.read = lambda size, timeout=None: read(size, timeout=max(0.001, end - time.monotonic()))
            with contextlib.suppress(LineError):
                while time.monotonic() < end and self.read() is not None:
                    pass
            del stream.read
        self.close()

    def close(self) -> None:
        """Give the connection back if the answer is over, hang up if not."""
        with contextlib.suppress(httpx.HTTPError, OSError):
            self._response.close()


class AsyncProxied:
    """The same on an event loop."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status, self.headers = response.status_code, _headers(response)
        self._pieces: AsyncIterator[bytes] = response.aiter_bytes()

    @classmethod
    async def begin(cls, transport: httpx.AsyncBaseTransport, outgoing: Outgoing) -> AsyncProxied:
        """The answer to a request, as far as its headers."""
        with _named():
            return cls(await transport.handle_async_request(_request(outgoing)))

    async def read(self) -> bytes | None:
        """The next bytes of the body, None at its end."""
        with _named():
            return await anext(self._pieces, None)

    async def drain(self, seconds: float) -> None:
        """Read to the end if it comes within these seconds, and close."""
        with contextlib.suppress(LineError, TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.read() is not None:
                    pass
        await self.close()

    async def close(self) -> None:
        """Give the connection back if the answer is over, hang up if not."""
        with contextlib.suppress(httpx.HTTPError, OSError):
            await self._response.aclose()


def _request(outgoing: Outgoing) -> httpx.Request:
    timeout = {"connect": outgoing.connect, "read": outgoing.read, "write": outgoing.read, "pool": None}
    return httpx.Request(
        outgoing.method,
        outgoing.address.url,
        headers=dict(outgoing.headers),
        content=outgoing.body,
        extensions={"timeout": timeout},
    )


def _headers(response: httpx.Response) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers.raw}


def _untrusting() -> ssl.SSLContext:
    # Without certificates nothing would be trusted: right for a connection that is never encrypted.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """Errors of httpx as ``LineError``."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as err:
        raise LineError(_reason(err), str(err) or type(err).__name__) from err


def _reason(err: Exception) -> Reason:
    if isinstance(err, httpx.ConnectTimeout | httpx.PoolTimeout):
        return "connecting"
    if isinstance(err, httpx.TimeoutException | TimeoutError):
        return "silence"
    return "refused" if isinstance(err, httpx.ConnectError | httpx.ProxyError) else "broken"
