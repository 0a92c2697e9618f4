"""An answer of HTTP/1.1 as it comes in: its head, its body piece by piece, its end, and what becomes of the connection.

Owns reading an answer out of bytes (the parsing is llhttp's, the parser of Node, by way of httptools) for a sync
caller and for an event loop. Sockets are ``gathering.llm.connection``'s; what the body means is a dialect's.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import time
import zlib
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

try:
    import httptools
except ImportError:  # there is no wheel where there are no sockets either (Pyodide): httpx does it alone
    httptools = None  # type: ignore[assignment,unused-ignore]

from gathering.llm.connection import AsyncConnection, Connection, LineError

__all__ = ["MORE", "Answer", "AsyncIncoming", "Incoming", "readable"]

C = TypeVar("C", Connection, AsyncConnection)


def readable() -> bool:
    """Whether answers can be read here; if not, httpx has to do it."""
    return httptools is not None


class _More(enum.Enum):
    """What an answer says when it needs further bytes."""

    MORE = "more"


MORE: Final = _More.MORE


class Answer:
    """Bytes in, an answer out; no I/O. Fed until ``headed``, then asked for its body with ``next``."""

    __slots__ = (
        "_bare",
        "_decode",
        "_informs",
        "_parser",
        "_pieces",
        "ended",
        "headed",
        "headers",
        "reusable",
        "status",
    )

    def __init__(self) -> None:
        self.status, self.headers = 0, dict[str, str]()
        self.headed = self.ended = False
        self.reusable = False  #: the connection may carry another exchange after this one
        self._informs = False  # a "100 Continue" and its like, before the answer itself
        self._bare = False  # neither a length nor chunks: the connection's end is the body's end
        self._pieces: list[bytes] = []
        self._decode: Any = None
        self._parser: Any = httptools.HttpResponseParser(self)
        # What gateways get wrong without meaning harm; the answer goes to nobody else.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    def feed(self, data: bytes) -> None:
        """Take bytes of the network, none at its end. Raises ``LineError`` for what is no whole answer."""
        if not data:
            if not (self.headed and (self._bare or self.ended)):
                raise LineError("broken", "closed by the other side before the answer was whole")
            self.ended, self.reusable = True, False
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as err:
            raise LineError("broken", "the answer changes to another protocol") from err
        except httptools.HttpParserError as err:
            raise LineError("broken", f"the answer is no HTTP: {err}") from err

    def next(self) -> bytes | _More | None:
        """The body's bytes that are there, MORE if there are none yet, None at its end."""
        if not self._pieces:
            return None if self.ended else MORE
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._decode is None:
            return data
        try:
            return self._decode(data) or self.next()
        except zlib.error as err:
            raise LineError("broken", f"the answer cannot be decompressed: {err}") from err

    def forget(self) -> None:
        """Let go of the parser, which holds this object."""
        self._parser = None

    # -- what the parser calls -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Another answer behind the end was not asked for: the connection is out of step."""
        if self.ended:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; one behind the body is not looked at."""
        if not self.headed:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """See what follows."""
        if self.headed:
            return
        status = self._parser.get_status_code()
        self._informs = 100 <= status < 200
        if self._informs:
            self.headers.clear()
            return
        headers = self.headers
        self.status, self.headed = status, True
        self.reusable = self._parser.should_keep_alive()
        self._bare = (
            "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "").lower()
        )
        # Nobody asked for compression, but some gateways do it.
        if headers.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
            self._decode = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        if not self.ended:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The end, unless it was only a word beforehand."""
        if self._informs:
            self._informs = False
        else:
            self.ended = True


class _Incoming(Generic[C]):
    """The answer to one request over one connection; closed in its middle it hangs up."""

    def __init__(self, connection: C, silence: float, give: Callable[[C], None]) -> None:
        self._connection: C = connection
        self._give: Callable[[C], None] = give
        self._silence = silence
        self._answer = Answer()
        self._closed = False

    @property
    def status(self) -> int:
        """The status code."""
        return self._answer.status

    @property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case."""
        return self._answer.headers

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._answer.forget()
        if self._answer.ended and self._answer.reusable:
            self._give(self._connection)
        else:
            self._connection.close()


class Incoming(_Incoming[Connection]):
    """For a sync caller. Everything that reads raises ``LineError``."""

    def begin(self) -> None:
        """Read as far as the headers."""
        answer = self._answer
        while not answer.headed:
            answer.feed(self._connection.receive(self._silence))

    def read(self) -> bytes | None:
        """The next bytes of the body, None at its end."""
        answer = self._answer
        while (data := answer.next()) is MORE:
            answer.feed(self._connection.receive(self._silence))
        return data

    def drain(self, seconds: float) -> None:
        """Read to the end if it comes within these seconds, and close."""
        end, answer = time.monotonic() + seconds, self._answer
        with contextlib.suppress(LineError):
            while not answer.ended and (left := end - time.monotonic()) > 0:
                answer.feed(self._connection.receive(left))
        self.close()

    def close(self) -> None:
        """Give the connection back if the answer is over, hang up if not."""
        self._close()


class AsyncIncoming(_Incoming[AsyncConnection]):
    """For an event loop."""

    async def begin(self) -> None:
        """Read as far as the headers."""
        answer = self._answer
        while not answer.headed:
            answer.feed(await self._connection.receive(self._silence))

    async def read(self) -> bytes | None:
        """The next bytes of the body, None at its end."""
        answer = self._answer
        while (data := answer.next()) is MORE:
            answer.feed(await self._connection.receive(self._silence))
        return data

    async def drain(self, seconds: float) -> None:
        """Read to the end if it comes within these seconds, and close."""
        answer = self._answer
        with contextlib.suppress(LineError, TimeoutError):
            async with asyncio.timeout(seconds):
                while not answer.ended:
                    answer.feed(await self._connection.receive(seconds))
        await self.close()

    async def close(self) -> None:
        """Give the connection back if the answer is over, hang up if not."""
        self._close()
