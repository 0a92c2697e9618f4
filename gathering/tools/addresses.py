"""Where a URL leads: its parts read in one strict way, hosts matched against a list, and which addresses are public.

Owns no connection and asks no name server. A URL is taken apart once, here, and what is sent later is put together
from the parts, so that no second reader of the same text can understand another host in it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from gathering.core.errors import ConfigurationError, ToolFailed

__all__ = ["HostList", "Place", "place_of", "why_not_public"]

_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 8192
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_PATTERN = re.compile(r"(?P<host>\*|(?:\*\.)?[^*:\[\]]+|\[[^\]]+\])(?::(?P<port>[0-9]+))?")
_SAFE = "/%:@!$&'()*+,;=~-._"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: For examples in print (RFC 9637); Python before 3.14 takes them for public.
_EXAMPLES = ipaddress.ip_network("3fff::/20")
#: Public by number, yet answered by the machine's own cloud.
_CLOUD = frozenset({ipaddress.ip_address("168.63.129.16")})

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Place:
    """A URL taken apart. ``host`` is lower-case ASCII, an IPv6 address without its brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as the ``Host`` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """The URL as it is asked for."""
        return f"{self.scheme}://{self.authority}{self.path}"


def place_of(url: str) -> Place:
    """The parts of the URL. Raises ``ToolFailed`` for anything but a plain http or https one.

    >>> str(place_of("HTTPS://Example.org:443/a"))
    'https://example.org/a'
    """
    shown = f"the URL {url[:120]!r}"
    if len(url) > _LONGEST_URL:
        raise ToolFailed(f"{shown}... is longer than {_LONGEST_URL:,} characters")
    # Readers differ on these: some drop them, some stop at them, some take a backslash for a slash.
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise ToolFailed(
            f"{shown} has a space, control character or backslash: write those as %20 and the like"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _host(parts.hostname or "")
    except ValueError as err:
        raise ToolFailed(f"{shown} cannot be read: write 'https://host/path'") from err
    if parts.scheme not in _PORTS or not host:
        raise ToolFailed(f"{shown} is no http or https address: write 'https://host/path'")
    if "@" in parts.netloc:
        raise ToolFailed(f"{shown} names a user before the host, which is refused")
    query = f"?{quote(parts.query, safe=_SAFE + '?')}" if parts.query else ""
    port = _PORTS[parts.scheme] if port is None else port
    return Place(parts.scheme, host, port, (quote(parts.path, safe=_SAFE) or "/") + query)


def _host(text: str) -> str:
    """The host in its one form. Raises ``ValueError`` (``UnicodeError`` among it)."""
    if ":" in text:
        return ipaddress.IPv6Address(text).compressed if "%" not in text else _no_host(text)
    name = text.removesuffix(".").encode("idna").decode("ascii").lower()
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        # 127.1, 0x7f000001 and 2130706433 are all the same machine; only the plain form is understood.
        return str(ipaddress.IPv4Address(name))
    return name if not name or (_NAME.fullmatch(name) and len(name) < 254) else _no_host(name)


def _no_host(text: str) -> str:
    raise ValueError(text)


class HostList:
    """The hosts that may be asked: ``example.org``, ``*.example.org`` (below it, not itself), with ``:port`` or without.

    Raises ``ConfigurationError`` for an entry that names no host.

    >>> HostList(["*.example.org"]).allows(place_of("https://docs.example.org/"))
    True
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self.entries = tuple(_entry(e) for e in ([entries] if isinstance(entries, str) else entries))

    def allows(self, place: Place) -> bool:
        """Whether this place is on the list."""
        return any(port in (None, place.port) and _fits(place.host, host) for host, port in self.entries)

    def __str__(self) -> str:
        """The entries, for a message."""
        return ", ".join(host if port is None else f"{host}:{port}" for host, port in self.entries)


def _entry(text: object) -> tuple[str, int | None]:
    found = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    try:
        if found is None:
            raise ValueError(text)
        host, port = found["host"], found["port"]
        below = "*." if host.startswith("*.") else ""
        plain = host if host == "*" else _host(host.removeprefix("*.").strip("[]"))
        if not plain:
            raise ValueError(text)
    except ValueError as err:
        raise ConfigurationError(
            f"the host {text!r} cannot be allowed: write 'example.org', '*.example.org' or 'example.org:8080'"
        ) from err
    return below + plain, int(port) if port else None


def _fits(host: str, entry: str) -> bool:
    if entry == "*":
        return True
    return host.endswith(entry[1:]) if entry.startswith("*.") else host == entry


def why_not_public(text: str) -> str | None:
    """What kind of address this is, if it is not one of the open internet; None if it is.

    >>> why_not_public("169.254.169.254"), why_not_public("1.1.1.1")
    ('link-local', None)
    """
    address = _inner(ipaddress.ip_address(text.partition("%")[0]))
    kinds = (
        ("unspecified", address.is_unspecified),
        ("loopback", address.is_loopback),
        ("link-local", address.is_link_local),
        ("multicast", address.is_multicast),
        ("private", address.is_private or getattr(address, "is_site_local", False) or address in _CLOUD),
        ("reserved", address.is_reserved or not address.is_global or address in _EXAMPLES),
    )
    return next((kind for kind, it_is in kinds if it_is), None)


def _inner(address: _Address) -> _Address:
    """The IPv4 address a packet would end at, where an IPv6 one carries one inside."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
