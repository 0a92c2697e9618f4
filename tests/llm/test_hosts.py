"""Hosts of chat completions: each row of the table, and one more row by a user."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_service import Answer, Service, cut_in, recordings

import gathering
from gathering.core.errors import (
    AuthenticationError,
    ConfigurationError,
    GatheringError,
    ProviderError,
    UnknownNameError,
)
from gathering.core.registry import PROVIDERS
from gathering.llm.hosts import HOSTS, HostProvider, register_host

ASK = [{"role": "user", "content": "?"}]
RECORDED = [
    p
    for p in recordings()
    if p.parent.name in HOSTS and "chat-completions" in json.loads(p.read_text("utf-8"))["covers"]
]


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_every_host_has_a_name_and_needs_no_key_to_be_made(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name gives the address of the row; a missing key is said with its variable, and only then."""
    for variable in (HOSTS[name].key_variable, f"{name.upper()}_BASE_URL"):
        monkeypatch.delenv(variable or "-", raising=False)
    made: Any = gathering.provider(f"{name}:some/model:free")
    assert (type(made), made.name, made.model) == (HostProvider, name, "some/model:free")
    assert made.base_url == HOSTS[name].base_url
    assert made.get_max_tokens() == HOSTS[name].context
    assert made.needs_key == bool(HOSTS[name].key_variable)
    if made.needs_key:
        assert HOSTS[name].key_variable in str(made.why_unavailable())
        with pytest.raises(AuthenticationError, match=HOSTS[name].key_variable):
            made.complete(ASK)


def test_address_and_key_come_from_the_variables(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what the host wants besides goes with the request; a header of the caller's wins."""
    monkeypatch.setenv("OPENROUTER_BASE_URL", service.url)
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-12345678")
    assert gathering.provider("openrouter:m").complete(ASK).content == "Hello!"
    gathering.provider("openrouter:m", headers={"X-Title": "Mine"}).complete(ASK)
    first, second = (r.headers for r in service.received)
    assert (first["authorization"], first["x-title"]) == ("Bearer sk-or-12345678", "GatheRing")
    assert second["x-title"] == "Mine"


def test_a_refused_field_is_left_out_and_said(service: Service) -> None:
    """The others keep their values, under the host's names."""
    made = gathering.provider("cerebras:m", base_url=service.url)
    with pytest.warns(UserWarning, match="cerebras does not take presence_penalty=1"):
        made.complete(ASK, presence_penalty=1, max_tokens=7)
    body = service.received[0].json
    assert "presence_penalty" not in body
    assert body["max_completion_tokens"] == 7


@pytest.mark.parametrize(
    ("name", "goes_back"), [("deepseek", True), ("groq", False), ("vllm", True), ("together", False)]
)
def test_reasoning_goes_back_where_it_is_asked_for(service: Service, name: str, goes_back: bool) -> None:
    """With the calls it led to, to the host it came from, and to no other."""
    call = {"id": "call_1", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": None, "reasoning_content": "Hm.", "tool_calls": [call]}
    service.will_say({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    completion = gathering.provider(f"{name}:m", base_url=service.url).complete(ASK)
    assert completion.thinking == "Hm."
    result = {"role": "tool", "content": "1", "tool_call_id": "call_1"}
    again = [*ASK, completion.message().to_dict(), result]
    gathering.provider(f"{name}:m", base_url=service.url).complete(again)
    gathering.provider("xai:m", base_url=service.url).complete(again)
    to_itself, to_another = (r.json["messages"][1] for r in service.received[1:])
    assert ("reasoning_content" in to_itself) == goes_back
    assert "reasoning_content" not in to_another


def test_models_are_listed(service: Service) -> None:
    """By the host's own list, which may be a bare one."""
    service.will_say([{"id": "a"}, {"id": "b"}])
    made = gathering.provider("together:m", base_url=service.url)
    assert made.is_available()
    assert [m.name for m in made.models()] == ["a", "b"]


def test_one_more_host_is_one_line(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """From then on its name works like any other."""
    monkeypatch.setenv("ACME_KEY", "acme-12345678")
    register_host(
        "acme-test", base_url=service.url, key_variable="ACME_KEY", context=99, headers={"X-A": "1"}
    )
    try:
        made = gathering.provider("acme-test:m")
        assert made.complete(ASK).content == "Hello!"
        assert made.get_max_tokens() == 99
        assert service.received[0].headers["authorization"] == "Bearer acme-12345678"
        assert service.received[0].headers["x-a"] == "1"
    finally:
        del PROVIDERS["acme-test"], HOSTS["acme-test"]
    with pytest.raises(UnknownNameError, match="acme-test"):
        HostProvider("acme-test")


@pytest.mark.parametrize(("name", "url"), [("", "http://h/v1"), ("a:b", "http://h/v1"), ("a", "h/v1")])
def test_a_host_that_cannot_be_named_or_reached_is_refused(name: str, url: str) -> None:
    """At once, and nothing is registered."""
    with pytest.raises(ConfigurationError):
        register_host(name, base_url=url)
    assert name not in HOSTS


@pytest.mark.skipif(not RECORDED, reason="the recordings are not here")
@pytest.mark.parametrize("path", RECORDED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_recording_through_its_own_name(path: Any, service: Service) -> None:
    """The recorded answer is read, and the recorded messages are written as they were."""
    recorded = json.loads(path.read_text("utf-8"))
    response, asked = recorded["response"], (recorded["request"] or {}).get("json") or {"messages": ASK}
    kind = response["headers"].get("content-type", "application/json")
    body = response["body_text"].encode()
    service.will(Answer(cut_in(body, 50), response["status"], {"content-type": kind}))
    made = gathering.provider(f"{path.parent.name}:m", base_url=service.url, max_retries=0)
    tools, extra = asked.get("tools"), {k: v for k, v in asked.items() if k in ("temperature", "top_p")}
    stream = made.stream(asked["messages"], tools, **extra)
    if path.stem.startswith("error"):
        with pytest.raises(ProviderError) as caught:
            list(stream)  # type: ignore[call-overload]
        assert isinstance(caught.value, GatheringError)
        assert caught.value.provider == path.parent.name
    else:
        assert "".join(stream) == stream.completion.content  # type: ignore
        assert stream.completion.content or stream.completion.tool_calls  # type: ignore[union-attr]
    sent = service.received[0].json
    assert [m["role"] for m in sent["messages"]] == [m["role"] for m in asked["messages"]]
    assert sent.get("tools") == tools
    assert {k: sent[k] for k in extra} == extra


def test_a_host_asked_in_another_format_says_what_to_use() -> None:
    """Not silently in the one it has."""
    for name, api in (("mistral", "responses"), ("cerebras", "responses"), ("mistral", "native")):
        with pytest.raises(ConfigurationError, match="openai-compatible"):
            gathering.provider(f"{name}:m", api=api)
    with pytest.raises(ConfigurationError, match="leave api out"):
        gathering.provider("xai:grok", api="messages")


@pytest.mark.parametrize("name", [n for n, host in HOSTS.items() if host.responses])
def test_a_host_with_the_responses_api_is_asked_in_it(name: str, service: Service) -> None:
    """Under its own name, so that prices, key and trace are its own."""
    answer = {
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}],
        "status": "completed",
    }
    service.will(Answer([json.dumps(answer).encode()], headers={"content-type": "application/json"}))
    provider = gathering.provider(f"{name}:m", api="responses", api_key="0123456789", base_url=service.url)
    assert provider.complete([{"role": "user", "content": "?"}]).content == "Hi"
    assert service.received[0].path.endswith("/responses")
    assert service.received[0].json["input"] == [{"role": "user", "content": "?"}]
    assert provider.name == name
