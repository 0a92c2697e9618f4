"""Transports: one for each way to a host, through the proxy of the environment, and none left open."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import httpx
import pytest
from fake_service import Service, answer

import gathering
from gathering.llm import clients


def test_a_transport_is_shared(service: Service) -> None:
    """All hosts that are reached the same way go over one."""
    plain = clients.sync_transport(httpx.URL("http://a/v1"))
    assert clients.sync_transport(httpx.URL("http://b/v1")) is plain
    assert clients.sync_transport(httpx.URL("https://a/v1")) is not plain


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


async def test_without_aiohttp_httpx_does_it_alone(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faster transport is a gain, not a need."""
    monkeypatch.setitem(sys.modules, "httpx_aiohttp", None)
    provider = gathering.provider("openai-compatible:m", base_url=service.url)
    assert (await provider.complete_async([{"role": "user", "content": "?"}]))["content"] == "Hello!"
    transport = await clients.async_transport(httpx.URL(service.url))
    assert isinstance(transport, httpx.AsyncHTTPTransport)


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
    script = "import sys, gathering.llm; print({'httpx', 'aiohttp', 'keyring'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "set()"
    import gathering.llm

    assert set(dir(gathering.llm)) == set(gathering.llm.__all__)
    assert gathering.llm.OpenAIProvider.__name__ == "OpenAIProvider"
    with pytest.raises(AttributeError, match="Nothing"):
        _ = gathering.llm.Nothing
