"""The HTTP tool against a real server on this machine, and everything it must not be talked into."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gathering.core.errors import ConfigurationError, ToolFailed, UnknownNameError
from gathering.core.registry import create_tool
from gathering.core.results import ToolPermission
from gathering.tools.addresses import place_of
from gathering.tools.http_get import HTTPTool


class Pages(BaseHTTPRequestHandler):
    """Answers by the path; keeps what it was asked."""

    asked: list[tuple[str, dict[str, str]]]
    hanging: threading.Event

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers.items())))
        page = PAGES.get(self.path.partition("?")[0], PAGES["/missing"])
        page(self)

    def send(self, body: bytes, kind: str = "text/plain", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""


def endless(page: Pages) -> None:
    page.send(b"")
    try:
        while True:
            page.wfile.write(b"x" * 65536)
    except OSError:
        return


def hang(page: Pages) -> None:
    page.hanging.wait(30)


def to(target: str, status: int = 302) -> Callable[[Pages], None]:
    return lambda page: page.send(b"moved", status=status, Location=target)


PAGES: dict[str, Callable[[Pages], None]] = {
    "/": lambda p: p.send(b"hello"),
    "/json": lambda p: p.send(b'{"a": [1, 2]}', "application/json"),
    "/api": lambda p: p.send(b'{"a": 1}', "application/vnd.api+json; charset=utf-8"),
    "/broken.json": lambda p: p.send(b'{"a": ', "application/json"),
    "/nested.json": lambda p: p.send(b"[" * 100_000, "application/json"),
    "/latin": lambda p: p.send("größe".encode("latin-1"), "text/plain; charset=iso-8859-1"),
    "/odd": lambda p: p.send(b"plain", "text/plain; charset=punycode"),
    "/unknown": lambda p: p.send(b"plain", "text/plain; charset=utf-99"),
    "/image": lambda p: p.send(b"\x89PNG\0", "image/png"),
    "/disguised": lambda p: p.send(b"a\0b", "text/plain"),
    "/missing": lambda p: p.send(b"no\nsuch page", status=404),
    "/big": lambda p: p.send(b"x" * 2000),
    "/endless": endless,
    "/bomb": lambda p: p.send(gzip.compress(b"0" * 50_000_000), Content_Encoding="gzip"),
    "/packed": lambda p: p.send(gzip.compress(b"small"), Content_Encoding="gzip"),
    "/mispacked": lambda p: p.send(b"not gzip", Content_Encoding="gzip"),
    "/brotli": lambda p: p.send(b"x", Content_Encoding="br"),
    "/cut": lambda p: p.send(b"half", Content_Length="100"),
    "/hang": hang,
    "/moved": to("/json"),
    "/moved/absolute": lambda p: to(f"http://good.test:{p.server.server_address[1]}/json")(p),
    "/circle": to("/circle"),
    "/away": to("http://evil.test/"),
    "/other": to("http://other.test/"),
    "/inside": to("http://127.0.0.1/"),
    "/metadata": to("http://169.254.169.254/latest/meta-data/"),
    "/to/file": to("file:///etc/passwd"),
    "/to/user": to("http://good.test@evil.test/"),
    "/to/nothing": to("http://[::1"),
    "/to/slashes": to("//evil.test/"),
}


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server on a free port of the loopback."""
    handler = type("Handler", (Pages,), {"asked": [], "hanging": threading.Event()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        handler.hanging.set()  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The name server: a host's addresses, one list for all lookups, in which a lookup uses up nothing."""
    known = {"good.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        if host in known:
            found = known[host]
        elif isinstance(host, str) and host.replace(".", "").isdigit():
            found = [host]
        else:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.fixture
def web(server: ThreadingHTTPServer, names: dict[str, list[str]]) -> HTTPTool:
    """The tool for two hosts that are on this machine."""
    return HTTPTool(["good.test", "other.test"], allow_private=True, max_bytes=1000, timeout=5)


@pytest.fixture
def at(server: ThreadingHTTPServer) -> Callable[[str], str]:
    """A path of the server, as a URL."""
    return lambda path: f"http://good.test:{server.server_address[1]}{path}"


def asked(server: ThreadingHTTPServer) -> list[tuple[str, dict[str, str]]]:
    handler: Any = server.RequestHandlerClass
    return handler.asked


# What it is for


def test_a_page_is_got(web: HTTPTool, at: Callable[[str], str], server: ThreadingHTTPServer) -> None:
    """As text, with where it was found; the server sees the host's name and nothing of the person."""
    result = web.execute({"url": at("/?q=1#top")})
    assert result.output == "hello"
    assert result.metadata == {"url": at("/?q=1"), "status": 200, "content_type": "text/plain"}
    (path, headers), *more = asked(server)
    assert (path, more) == ("/?q=1", [])
    assert headers["Host"] == at("").removeprefix("http://")
    assert set(headers) == {"Host", "Accept", "Accept-Encoding", "User-Agent", "Connection"}


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ("/json", {"a": [1, 2]}),
        ("/api", {"a": 1}),
        ("/broken.json", '{"a": '),
        ("/latin", "größe"),
        ("/odd", "plain"),
        ("/unknown", "plain"),
        ("/packed", "small"),
        ("/moved", {"a": [1, 2]}),
        ("/moved/absolute", {"a": [1, 2]}),
    ],
)
def test_documents_come_as_what_they_are(
    web: HTTPTool, at: Callable[[str], str], path: str, output: Any
) -> None:
    """JSON as its value, text in its own character set, a redirect on the same host as where it leads."""
    assert web.execute(at(path)).output == output


def test_json_nested_without_end_is_text(
    server: ThreadingHTTPServer, names: Any, at: Callable[[str], str]
) -> None:
    """What no parser can hold does not break the turn."""
    tool = HTTPTool("good.test", allow_private=True)
    assert tool.execute(at("/nested.json")).output == "[" * 100_000


async def test_awaited_it_does_the_same(web: HTTPTool, at: Callable[[str], str]) -> None:
    """One behaviour for both worlds."""
    assert (await web.execute_async({"url": at("/json")})).output == {"a": [1, 2]}


# What it must not be talked into

REFUSED = {
    "a host that is not on the list": ("http://evil.test/", "is not allowed"),
    "a host below one on the list": ("http://www.good.test/", "is not allowed"),
    "a host that begins like one": ("http://good.test.evil.test/", "is not allowed"),
    "the list's host as a user": ("http://good.test@evil.test/", "names a user"),
    "the list's host after a backslash": ("http://evil.test\\@good.test/", "backslash"),
    "the list's host in a fragment": ("http://evil.test#@good.test/", "is not allowed"),
    "a file": ("file:///etc/passwd", "no http or https"),
    "another protocol": ("gopher://good.test/", "no http or https"),
    "a header smuggled in": ("http://good.test/\r\nX-Evil: 1", "control character"),
    "this machine": ("http://127.0.0.1/", "is not allowed"),
    "this machine as a number": ("http://2130706433/", "cannot be read"),
    "this machine in octal": ("http://0177.0.0.1/", "cannot be read"),
    "this machine in hexadecimal": ("http://0x7f.1/", "cannot be read"),
    "this machine in IPv6": ("http://[::1]/", "is not allowed"),
    "this machine mapped": ("http://[::ffff:127.0.0.1]/", "is not allowed"),
    "the cloud's secrets": ("http://169.254.169.254/latest/meta-data/", "is not allowed"),
    "no URL": ({"url": None}, "as text"),
    "another method": ({"url": "http://good.test/", "method": "POST"}, "no argument 'method'"),
    "headers of its own": ({"url": "http://good.test/", "headers": {"Host": "x"}}, "no argument 'headers'"),
    "a list": (["http://good.test/"], "takes an object with url"),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_what_is_refused_before_anything_is_sent(
    attack: str, web: HTTPTool, at: Callable[[str], str], server: ThreadingHTTPServer
) -> None:
    """One line says why; nothing was looked up or sent; the tool goes on working."""
    given, said = REFUSED[attack]
    result = web.execute(given)
    assert not result.success
    assert said in str(result.error)
    assert len(str(result.error).splitlines()) == 1
    assert asked(server) == []
    assert web.execute(at("/")).output == "hello"


PRIVATE = [
    "127.0.0.1",
    "10.0.0.7",
    "192.168.0.1",
    "172.20.1.1",
    "169.254.169.254",
    "100.64.3.2",
    "0.0.0.0",
    "224.0.0.5",
    "::1",
    "::ffff:127.0.0.1",
    "fe80::1",
    "fd12::1",
    "64:ff9b::7f00:1",
]


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("before", [[], ["93.184.216.34"]])
def test_an_allowed_name_does_not_lead_inside(
    address: str,
    before: list[str],
    server: ThreadingHTTPServer,
    names: dict[str, list[str]],
    at: Callable[[str], str],
) -> None:
    """A name with a single address that is not public is refused, also if it has public ones beside it."""
    names["good.test"] = [*before, address]
    result = HTTPTool("good.test").execute(at("/"))
    assert "only public ones are asked" in str(result.error)
    assert asked(server) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/"])
def test_an_allowed_private_address_is_refused_too(url: str) -> None:
    """Being on the list is not enough; only ``allow_private`` opens the way inside."""
    result = HTTPTool(["127.0.0.1", "[::1]", "*"]).execute(url)
    assert "only public ones are asked" in str(result.error)


def test_a_name_server_that_changes_its_mind_gains_nothing(
    web: HTTPTool, at: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, server: ThreadingHTTPServer
) -> None:
    """A host is looked up once for a request, and asked at the address that was looked at."""
    answers = iter(["127.0.0.1"])

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert web.execute(at("/")).output == "hello"
    assert next(answers, None) is None
    assert len(asked(server)) == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/away", "evil.test is not allowed"),
        ("/other", "ask for http://other.test/ itself"),
        ("/inside", "127.0.0.1 is not allowed"),
        ("/metadata", "169.254.169.254 is not allowed"),
        ("/to/file", "no http or https"),
        ("/to/user", "names a user"),
        ("/to/nothing", "redirects to what is refused"),
        ("/to/slashes", "evil.test is not allowed"),
        ("/circle", "5 redirects were followed"),
    ],
)
def test_a_redirect_is_checked_like_a_url(
    web: HTTPTool, at: Callable[[str], str], path: str, said: str
) -> None:
    """It leads nowhere else than a URL could, and never to another host unseen by the rules."""
    result = web.execute(at(path))
    assert not result.success
    assert said in str(result.error)
    assert web.execute(at("/")).output == "hello"


def test_a_redirect_does_not_take_the_encryption_off(web: HTTPTool) -> None:
    """From https to http is refused on the same host as well."""
    with pytest.raises(ToolFailed, match="not encrypted"):
        web._redirected(place_of("https://good.test/"), "http://good.test/")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/big", "more than 1,000 bytes"),
        ("/endless", "more than 1,000 bytes"),
        ("/bomb", "more than 1,000 bytes"),
        ("/mispacked", "cannot be unpacked"),
        ("/brotli", "packed as 'br'"),
        ("/cut", "broke off"),
        ("/image", "is image/png of 5 bytes, not text"),
        ("/disguised", "is text/plain of 3 bytes, not text"),
        ("/nowhere", "answered 404: no such page"),
    ],
)
def test_answers_that_are_no_use_are_failed_results(
    web: HTTPTool, at: Callable[[str], str], path: str, said: str
) -> None:
    """Too long, packed, cut off, not text, not there: one line each."""
    result = web.execute(at(path))
    assert not result.success
    assert said in str(result.error)
    assert len(str(result.error).splitlines()) == 1


def test_a_server_that_hangs_is_given_up(
    server: ThreadingHTTPServer, names: Any, at: Callable[[str], str]
) -> None:
    """After the timeout, however little it sends meanwhile."""
    tool = HTTPTool("good.test", allow_private=True, timeout=0.2)
    assert "did not answer within 0.2 s" in str(tool.execute(at("/hang")).error)


def test_a_closed_port_and_an_unknown_host_are_said(names: dict[str, list[str]], web: HTTPTool) -> None:
    """Which of the two it was is in the line."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert "cannot be reached" in str(web.execute(f"http://good.test:{port}/").error)
    del names["other.test"]
    assert "is not known" in str(web.execute("http://other.test/").error)


def test_the_next_address_is_tried(
    server: ThreadingHTTPServer, names: dict[str, list[str]], web: HTTPTool, at: Callable[[str], str]
) -> None:
    """A host with one dead address is still reached."""
    names["good.test"] = ["127.0.0.9", "127.0.0.1"]
    assert web.execute(at("/")).output == "hello"


def test_proxies_of_the_environment_are_not_used(
    web: HTTPTool, at: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would look hosts up by itself, past the check."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert web.execute(at("/")).output == "hello"


# Being made, and rules


def test_it_is_made_by_its_name() -> None:
    """``{"name": "http", "allowed_hosts": [...]}`` is enough, and says to the model whom it may ask."""
    tool = create_tool({"name": "http", "allowed_hosts": ["example.org", "*.example.net:8080"]})
    assert isinstance(tool, HTTPTool)
    assert "example.org, *.example.net:8080" in tool.get_description()
    assert tool.get_examples() == [("What is on example.org?", {"url": "https://example.org/"})]
    assert json.dumps(tool.get_parameters_schema())
    assert HTTPTool("*").get_examples() == []


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({}, ConfigurationError, "name the hosts"),
        ({"allowed_hosts": []}, ConfigurationError, "name the hosts"),
        ({"allowed_hosts": ["http://x"]}, ConfigurationError, "cannot be allowed"),
        ({"allowed_hosts": ["x.org"], "timeout": 0}, ConfigurationError, "above 0"),
        ({"allowed_host": ["x.org"]}, UnknownNameError, "did you mean 'allowed_hosts'"),
    ],
)
def test_a_tool_that_cannot_be_made_says_why(
    options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    """A wrong option is the caller's mistake, with the way out in the message."""
    with pytest.raises(kind, match=said):
        HTTPTool.from_config(options)


def test_rules_see_the_host_as_the_tool_does(web: HTTPTool) -> None:
    """However a URL is written, a rule about its host is asked about the same host."""
    for url in ("http://GOOD.test:80/x", "https://good.test./", "http://g\uff4fod.test"):
        assert web.targets({"url": url}) == {"host": "good.test"}
    assert web.targets({"url": "nonsense"}) == {"host": ""}
    assert web.permission_for({"url": "http://good.test"}) is ToolPermission.READ


def test_without_the_permission_to_read_nothing_is_sent(
    server: ThreadingHTTPServer, names: Any, at: Callable[[str], str]
) -> None:
    """A tool that was given no reading does not read."""
    tool = HTTPTool("good.test", "write", allow_private=True)
    assert "no permission to read" in str(tool.execute(at("/")).error)
    assert asked(server) == []


def test_input_is_checked_beforehand(web: HTTPTool) -> None:
    """The same line as the failed result has."""
    assert web.validate_input({"url": "http://elsewhere.test/"})
    assert not web.validate_input({"uri": "http://good.test/"})
    assert web.why_invalid({"uri": "x"}) == web.execute({"uri": "x"}).error
