"""One page of the web, if its host is allowed: the HTTP tool. GET only, no cookies, no credentials, no proxy.

A host is looked up once, every address it has must be public, and the connection goes to the address that was
checked: a name server that changes its mind gains nothing. How a URL is read is ``gathering.tools.addresses``.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import socket
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin

from gathering.core.errors import ConfigurationError, ToolFailed, shown
from gathering.core.interfaces import ITool
from gathering.core.results import ToolPermission, ToolResult
from gathering.tools.addresses import HostList, Place, place_of, why_not_public
from gathering.tools.checks import above_zero, arguments_of, options_of, permissions_of, text_or_form

if TYPE_CHECKING:
    import ssl

    import httpx

__all__ = ["HTTPTool"]

_OPTIONS = ("allowed_hosts", "permissions", "allow_private", "max_bytes", "timeout")
_HOPS = 5
_TRIES = 4  # addresses of one host
_REDIRECTS = (301, 302, 303, 307, 308)
_LONGEST_EXCERPT = 300
_TEXT = re.compile(
    r"text/.*|application/(.*\+)?(json|xml|x-ndjson|jsonl|yaml|x-yaml|toml|javascript|csv|sql|rtf|x-sh)"
)
_CHARSET = re.compile(
    r"(utf|us-ascii|ascii|iso|latin|windows|cp|gb|big5|shift|euc|koi8|mac)[\w-]*", re.IGNORECASE
)
_HEADERS = {
    "Accept": "application/json, text/*;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",  # a small packed answer can unpack to gigabytes
    "User-Agent": "gathering",
    "Connection": "close",
}


@dataclass(frozen=True, slots=True)
class _Page:
    """What one request gave."""

    place: Place
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class HTTPTool(ITool):
    """Gets a page or a JSON document from an allowed host.

    ``allowed_hosts`` are names, ``*.name`` for all below one, or ``*`` for every public host. ``max_bytes`` bounds
    the answer, ``timeout`` (seconds) everything together. Raises ``ConfigurationError`` for a host it cannot read.
    """

    def __init__(
        self,
        allowed_hosts: Iterable[str] | str,
        permissions: Sequence[ToolPermission | str] | str = (ToolPermission.READ,),
        *,
        name: str = "http",
        allow_private: bool = False,
        max_bytes: int = 1_000_000,
        timeout: float = 20.0,
    ) -> None:
        self.allowed_hosts = HostList(allowed_hosts)
        if not self.allowed_hosts.entries:
            raise ConfigurationError(f"the tool {name!r} has no allowed_hosts: name the hosts it may ask")
        super().__init__(name, "http", {"permissions": permissions_of(name, permissions)})
        self.allow_private = bool(allow_private)
        self.max_bytes = int(above_zero(name, "max_bytes", max_bytes))
        self.timeout = above_zero(name, "timeout", timeout)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The tool of ``{"allowed_hosts": [...]}`` and the other options of the class."""
        options = options_of("http", config, _OPTIONS)
        return cls(options.pop("allowed_hosts", ()), **options)

    async def execute_async(self, input_data: Any) -> ToolResult:
        """The document at ``{"url": ...}``: text, or what JSON says. What is refused or fails is a failed result.

        ``metadata`` has ``url`` (where it was found in the end), ``status`` and ``content_type``.
        """
        limit = asyncio.timeout(self.timeout)
        try:
            place = self._place(input_data)
            async with limit:
                return self._result(await self._followed(place))
        except ToolFailed as refusal:
            return ToolResult(success=False, error=str(refusal))
        except TimeoutError:
            return ToolResult(success=False, error=f"{place} did not answer within {self.timeout:g} s")

    def why_invalid(self, input_data: Any) -> str | None:
        """What is wrong with the URL; None if it can be read, allowed or not."""
        try:
            self._url(input_data)
        except ToolFailed as refusal:
            return str(refusal)
        return None

    def validate_input(self, input_data: Any) -> bool:
        """Whether there is a URL in the input."""
        return self.why_invalid(input_data) is None

    def permission_for(self, arguments: Mapping[str, Any]) -> ToolPermission:
        """Reading, always."""
        return ToolPermission.READ

    def targets(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """The ``host`` that would be asked, as the tool understands it; a redirect never leads to another one."""
        try:
            return {"host": place_of(text_or_form(arguments.get("url"))).host}
        except ToolFailed:
            return {"host": ""}  # such a URL is refused by the tool

    def get_description(self) -> str:
        """What it gets, and from where, for the model."""
        return f"Gets a text or JSON document by HTTP GET. Hosts that may be asked: {self.allowed_hosts}."

    def get_parameters_schema(self) -> dict[str, Any]:
        """One text: the URL."""
        return {
            "type": "object",
            "properties": {
                "url": {"type": "string", "description": "The whole address, as https://example.org/page?q=1"}
            },
            "required": ["url"],
            "additionalProperties": False,
        }

    def get_examples(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """One question, about a host that may be asked."""
        host = next((h for h, port in self.allowed_hosts.entries if "*" not in h and port is None), None)
        return [(f"What is on {host}?", {"url": f"https://{host}/"})] if host else []

    def _url(self, input_data: Any) -> Place:
        url = (
            input_data
            if isinstance(input_data, str)
            else arguments_of(self.name, input_data, ("url",))["url"]
        )
        if not isinstance(url, str):
            raise ToolFailed(f"{self.name} needs the url as text, got {shown(url)}")
        return place_of(url)

    def _place(self, input_data: Any) -> Place:
        place = self._url(input_data)
        if not self.has_permission(ToolPermission.READ):
            raise ToolFailed(f"{self.name} has no permission to read {place}")
        return self._allowed(place)

    def _allowed(self, place: Place) -> Place:
        if not self.allowed_hosts.allows(place):
            raise ToolFailed(f"{place.authority} is not allowed: {self.name} may ask {self.allowed_hosts}")
        return place

    async def _followed(self, place: Place) -> _Page:
        for _ in range(_HOPS):
            page = await self._page(place)
            target = page.headers.get("location")
            if page.status not in _REDIRECTS or not target:
                return page
            place = self._redirected(place, target)
        raise ToolFailed(f"{place} leads in a circle: {_HOPS} redirects were followed")

    def _redirected(self, place: Place, target: str) -> Place:
        """Where a redirect leads, if it stays on the host: rules were asked about that one only."""
        try:
            there = self._allowed(place_of(urljoin(str(place), target)))
        except (ToolFailed, ValueError) as err:
            raise ToolFailed(f"{place} redirects to what is refused: {err}") from err
        if there.host != place.host:
            raise ToolFailed(f"{place} redirects to another host: ask for {there} itself")
        if there.scheme == "http" and place.scheme == "https":
            raise ToolFailed(f"{place} redirects to {there}, which is not encrypted")
        return there

    async def _page(self, place: Place) -> _Page:
        import httpx

        problem: Exception | None = None
        for address in (await self._addresses(place))[:_TRIES]:
            try:
                return await self._ask(place, address)
            except httpx.ConnectError as err:
                problem = err
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as err:
                raise ToolFailed(f"{place} broke off: {_cause(err)}") from err
        raise ToolFailed(f"{place} cannot be reached: {_cause(problem)}") from problem

    async def _addresses(self, place: Place) -> list[str]:
        """Every address of the host, none of them where a person's own machines are."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as err:
            raise ToolFailed(f"the host {place.host!r} is not known: check its spelling") from err
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            kind = None if self.allow_private else why_not_public(address)
            if kind is not None:
                raise ToolFailed(
                    f"{place.host} is at {address}, a {kind} address: only public ones are asked (allow_private)"
                )
        return addresses

    async def _ask(self, place: Place, address: str) -> _Page:
        """One request over a connection to this address, checked as the host's."""
        import httpx

        url = httpx.URL(
            scheme=place.scheme, host=address, port=place.port, raw_path=place.path.encode("ascii")
        )
        headers = {"Host": place.authority, **_HEADERS}
        options = {"sni_hostname": place.host, "timeout": httpx.Timeout(self.timeout).as_dict()}
        # The transport alone: a client would add redirects, cookies and what the environment says.
        async with httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False) as transport:
            answer = await transport.handle_async_request(
                httpx.Request("GET", url, headers=headers, extensions=options)
            )
            try:
                body = b"" if answer.status_code in _REDIRECTS else await self._body(place, answer)
            finally:
                await answer.aclose()
        return _Page(place, answer.status_code, answer.headers, body)

    async def _body(self, place: Place, answer: httpx.Response) -> bytes:
        body = bytearray()
        async for piece in answer.aiter_raw():
            body += piece
            self._bound(place, body)
        return self._unpacked(place, bytes(body), answer.headers.get("content-encoding", "").strip().lower())

    def _bound(self, place: Place, body: bytes | bytearray) -> None:
        if len(body) > self.max_bytes:
            raise ToolFailed(f"{place} has more than {self.max_bytes:,} bytes (max_bytes)")

    def _unpacked(self, place: Place, body: bytes, encoding: str) -> bytes:
        """The body as it was before a server packed it although it was asked not to."""
        if encoding in ("", "identity"):
            return body
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise ToolFailed(f"{place} sends its answer packed as {encoding!r:.40}, which was not asked for")
        try:
            plain = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, self.max_bytes + 1)
        except zlib.error as err:
            raise ToolFailed(f"{place} sends an answer that cannot be unpacked ({err})") from err
        self._bound(place, plain)
        return plain

    def _result(self, page: _Page) -> ToolResult:
        about = {"url": str(page.place), "status": page.status, "content_type": page.content_type}
        is_text = b"\0" not in page.body and (not page.content_type or _TEXT.fullmatch(page.content_type))
        if page.status >= 400 or page.status < 200:
            said = f": {' '.join(_text(page).split())[:_LONGEST_EXCERPT]}" if is_text and page.body else ""
            return ToolResult(
                success=False, error=f"{page.place} answered {page.status}{said}", metadata=about
            )
        if not is_text:
            kind = page.content_type or "binary"
            raise ToolFailed(f"{page.place} is {kind} of {len(page.body):,} bytes, not text")
        return ToolResult(success=True, output=_read(page), metadata=about)


def _read(page: _Page) -> Any:
    text = _text(page)
    if page.content_type.endswith("json"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text  # it says it is JSON; the model may still make sense of it
    return text


def _text(page: _Page) -> str:
    found = re.search(r"charset=\"?([\w.:-]+)", page.headers.get("content-type", ""), re.IGNORECASE)
    charset = found[1] if found and _CHARSET.fullmatch(found[1]) else "utf-8"
    try:
        return page.body.decode(charset, "replace").removeprefix("\ufeff")
    except LookupError:
        return page.body.decode("utf-8", "replace")


def _cause(err: Exception | None) -> str:
    return " ".join(str(err).split())[:_LONGEST_EXCERPT] or type(err).__name__


@functools.cache
def _tls() -> ssl.SSLContext:
    """The certificates trusted; read once, it takes longer than a request."""
    import httpx

    return httpx.create_ssl_context(trust_env=False)
