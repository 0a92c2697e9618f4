"""Connections: kept for the next call while they are good, through the proxy of the environment, and none left open."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_service import PATIENCE, Answer, Service, answer, chunk, sse

import gathering
from gathering.core import errors as e
from gathering.llm import clients, incoming

ASK = [{"role": "user", "content": "?"}]


def to(service: Service, **config: Any) -> Any:
    return gathering.provider("openai-compatible:m", base_url=service.url, **config)


def complete(provider: Any) -> str:
    """With the sync call."""
    return str(provider.complete(ASK)["content"])


def complete_async(provider: Any) -> str:
    """With the awaited one, on a loop of its own."""
    return str(asyncio.run(provider.complete_async(ASK))["content"])


@pytest.fixture(params=[complete, complete_async])
def ask(request: pytest.FixtureRequest) -> Callable[[Any], str]:
    """Both ways to ask."""
    found: Callable[[Any], str] = request.param
    return found


def test_all_providers_share_connections(service: Service) -> None:
    """Whoever asks next uses what is there, from whichever thread."""
    complete(to(service))
    thread = threading.Thread(target=complete, args=(to(service),))
    thread.start()
    thread.join(PATIENCE)
    assert (len(service.received), service.connections) == (2, 1)


def test_a_connection_the_service_closed_is_not_used_again() -> None:
    """It is seen before the request goes out: nothing has to be sent twice."""
    served = []

    def serve(listening: socket.socket) -> None:
        for _ in range(2):
            one, _ = listening.accept()
            served.append(one.recv(65536))
            one.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n"
                + b'{"choices":[{"message":{"content":"Hi"}}]}'
            )
            one.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        provider = gathering.provider("openai-compatible:m", base_url=url, max_retries=0)
        assert [complete(provider), complete(provider)] == ["Hi", "Hi"]
        thread.join(PATIENCE)
    assert len(served) == 2


def test_a_connection_is_kept_for_a_while_only(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services close idle connections, so we do before them."""
    monkeypatch.setattr(clients, "KEEP_ALIVE", -1.0)
    complete(to(service))
    complete(to(service))
    assert service.connections == 2


def test_a_connection_to_somewhere_nobody_asks_any_more_is_closed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls elsewhere notice: a program that asks many servers does not keep one connection to each."""
    monkeypatch.setattr(clients, "KEEP_ALIVE", 0.01)
    with contextlib.closing(Service()) as other:
        other.will_say(answer())
        complete(to(service))
        for _ in range(1000):
            complete(to(other))
            if service.hung_up.is_set():
                break
    assert service.hung_up.is_set()


async def test_idle_connections_of_a_loop_are_closed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when no call comes that would notice how old they are."""
    monkeypatch.setattr(clients, "KEEP_ALIVE", 0.01)
    await to(service).complete_async(ASK)
    assert await asyncio.to_thread(service.hung_up.wait, PATIENCE)


@pytest.mark.skipif(not socket.has_ipv6, reason="this system has no IPv6")
def test_a_service_at_an_ipv6_address(ask: Any) -> None:
    """Its address stands in brackets."""
    heard: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        one, _ = listening.accept()
        heard.append(one.recv(65536))
        one.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n" + b'{"choices":[{"message":{"content":"Hi"}}]}'
        )
        one.close()

    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        port = listening.getsockname()[1]
        assert ask(gathering.provider("openai-compatible:m", base_url=f"http://[::1]:{port}/v1")) == "Hi"
    assert f"host: [::1]:{port}\r\n".encode() in heard[0]


async def test_a_name_is_looked_up_once_for_many_calls(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred calls at once are one question to the resolver."""
    loop, asked = asyncio.get_running_loop(), []
    look_up = loop.getaddrinfo

    async def noted(host: Any, *args: Any, **options: Any) -> Any:
        asked.append(host)
        return await look_up(host, *args, **options)

    monkeypatch.setattr(loop, "getaddrinfo", noted)
    service.will(Answer([b'{"choices":[{"message":{"content":"Hi"}}]}'], delay=0.1))
    url = service.url.replace("127.0.0.1", "localhost")
    provider = gathering.provider("openai-compatible:m", base_url=url)
    await asyncio.gather(*(provider.complete_async(ASK) for _ in range(100)))
    assert asked.count("localhost") == 1
    assert service.most_in_flight > 1


async def test_a_slow_reader_makes_the_service_wait(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody has read yet does not pile up without bound, and nothing of it is lost."""
    from gathering.llm import connection

    monkeypatch.setattr(connection, "HIGH_WATER", 1000)
    service.will(sse(*[chunk("word " * 200) for _ in range(400)], chunk("", "stop"), "[DONE]"))
    text = ""
    async for piece in to(service).stream(ASK):
        text += piece
        await asyncio.sleep(0)
    assert text == "word " * 80_000


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\0b"])
def test_no_header_can_smuggle_another_one(service: Service, ask: Any, value: str) -> None:
    """The request is refused before a byte of it is sent."""
    with pytest.raises(e.ConfigurationError, match="line break|printable|header"):
        ask(to(service, headers={"x-title": value}))
    assert service.received == []


# -- encryption --------------------------------------------------------------------------------------------------


@pytest.fixture
def encrypted(service: Service, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The service behind TLS at ``localhost``: its address, and the certificate that vouches for it."""
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(service._connection, "127.0.0.1", 0, ssl=context)

    server = asyncio.run_coroutine_threadsafe(start(), service.loop).result(PATIENCE)
    yield f"https://localhost:{server.sockets[0].getsockname()[1]}/v1", file
    service.loop.call_soon_threadsafe(server.close)
    clients._trusted.cache_clear()


def certificate(folder: Path) -> Path:
    """A key and a certificate for localhost, signed by itself, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
    )
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "localhost.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *form) + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


def test_an_encrypted_service(
    service: Service, encrypted: tuple[str, Path], ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates that ``SSL_CERT_FILE`` names are trusted, and the connection is used again."""
    url, file = encrypted
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    clients._trusted.cache_clear()
    provider = gathering.provider("openai-compatible:m", base_url=url)
    assert ask(provider) == "Hello!"
    service.will(sse(chunk("Hel"), chunk("lo", "stop"), "[DONE]"))
    assert "".join(provider.stream(ASK)) == "Hello"
    assert "".join(provider.stream(ASK)) == "Hello"
    assert service.connections <= 2


def test_a_service_nobody_vouches_for(
    service: Service, encrypted: tuple[str, Path], ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown certificate, and a known one for another name, are refused before the key is sent."""
    url, file = encrypted
    clients._trusted.cache_clear()
    with pytest.raises(e.ProviderConnectionError, match="no connection.*certificate"):
        ask(gathering.provider("openai-compatible:m", base_url=url, max_retries=0))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    clients._trusted.cache_clear()
    other = url.replace("localhost", "127.0.0.1")
    with pytest.raises(e.ProviderConnectionError, match="no connection.*certificate"):
        ask(gathering.provider("openai-compatible:m", base_url=other, max_retries=0))
    assert service.received == []


# -- proxies -----------------------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request goes to it with the whole address; hosts that are excepted do not."""
    monkeypatch.setenv("http_proxy", service.url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    clients._way.cache_clear()
    provider = gathering.provider("openai-compatible:m", base_url="http://service.invalid/v1")
    assert provider.complete([{"role": "user", "content": "?"}])["content"] == "Hello!"
    assert service.received[0].path == "http://service.invalid/v1/chat/completions"
    direct = gathering.provider("openai-compatible:m", base_url=service.url)
    assert direct.complete([{"role": "user", "content": "?"}])["content"] == "Hello!"
    assert service.received[1].path == "/v1/chat/completions"
    clients._way.cache_clear()


async def test_a_proxy_is_used_by_async_calls(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for ``await``."""
    monkeypatch.setenv("http_proxy", service.url.removesuffix("/v1"))
    clients._way.cache_clear()
    provider = gathering.provider("openai-compatible:m", base_url="http://service.invalid/v1")
    assert (await provider.complete_async([{"role": "user", "content": "?"}]))["content"] == "Hello!"
    assert service.received[0].path == "http://service.invalid/v1/chat/completions"
    clients._way.cache_clear()


def test_an_encrypted_service_is_asked_through_a_tunnel(
    service: Service, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``HTTPS_PROXY`` is asked for a tunnel; it does not see the request."""
    monkeypatch.setenv("https_proxy", service.url.removesuffix("/v1"))
    clients._way.cache_clear()
    service.will(Answer(status=403))
    with pytest.raises(e.ProviderConnectionError, match="no connection to https://service.invalid"):
        ask(gathering.provider("openai-compatible:m", base_url="https://service.invalid/v1", max_retries=0))
    assert (service.received[0].method, service.received[0].path) == ("CONNECT", "service.invalid:443")
    clients._way.cache_clear()


def test_what_fails_through_a_proxy_is_named_alike(
    service: Service, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence, a break, and nobody there are the same errors as without one."""
    monkeypatch.setenv("http_proxy", service.url.removesuffix("/v1"))
    clients._way.cache_clear()
    provider = gathering.provider(
        "openai-compatible:m", base_url="http://service.invalid/v1", timeout=0.2, max_retries=0
    )
    service.will(Answer(silent=True))
    with pytest.raises(e.ProviderTimeoutError, match="silent"):
        ask(provider)
    service.will(Answer([b"{"], drop=True))
    with pytest.raises(e.ProviderConnectionError, match="broke"):
        ask(provider)
    service.will(sse(chunk("Hi", "stop"), "[DONE]", stall=True))
    assert ask(provider) == "Hi"
    service.close()
    with pytest.raises(e.ProviderConnectionError, match="no connection"):
        ask(provider)
    clients._way.cache_clear()


def test_where_answers_cannot_be_parsed_httpx_does_it_alone(
    service: Service, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faster way is a gain, not a need."""
    monkeypatch.setattr(incoming, "httptools", None)
    assert ask(to(service)) == "Hello!"
    service.will(sse(chunk("Hel"), chunk("lo", "stop"), "[DONE]"))
    assert "".join(to(service).stream(ASK)) == "Hello"


# -- the process -------------------------------------------------------------------------------------------------


def test_a_process_ends_without_a_word(service: Service) -> None:
    """Open connections of sync calls, of loops that ended and of the I/O thread cause no noise at exit."""
    script = f"""
        import asyncio, gathering
        from gathering.core.portal import portal
        ask = [{{"role": "user", "content": "?"}}]
        provider = gathering.provider("openai-compatible:m", base_url={service.url!r})
        provider.complete(ask)
        asyncio.run(provider.complete_async(ask))
        portal().run(provider.complete_async(ask))
        loop = asyncio.new_event_loop()
        loop.run_until_complete(provider.complete_async(ask))
    """
    service.will_say(answer())
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_importing_the_room_loads_no_client() -> None:
    """Names are known before anything is imported."""
    script = "import sys, gathering.llm; print({'httpx', 'httptools', 'keyring'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "set()"
    import gathering.llm

    assert set(dir(gathering.llm)) == set(gathering.llm.__all__)
    assert gathering.llm.OpenAIProvider.__name__ == "OpenAIProvider"
    with pytest.raises(AttributeError, match="Nothing"):
        _ = gathering.llm.Nothing
