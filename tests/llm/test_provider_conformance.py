"""Every dialect through the suite that users test their own providers with, against a service that speaks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from fake_service import Answer, Received, Service, answer, chunk, sse

import gathering
from gathering.core.interfaces import ILLMProvider
from gathering.testing.conformance import ProviderConformance

TEXT = "Hello there!"
KEY = "sk-conformance-0123456789"


def said(body: Any) -> Answer:
    return Answer([json.dumps(body).encode()], headers={"content-type": "application/json"})


def wants_tool(body: dict[str, Any]) -> bool:
    """Whether tools are offered and none has answered yet."""
    told = json.dumps(body.get("messages") or body.get("input") or body.get("contents"))
    return bool(body.get("tools")) and "709,037" not in told


def chat(received: Received) -> Answer:
    """Chat completions."""
    if wants_tool(received.json):
        call = {"id": "c12345678", "type": "function", "function": {"name": "population", "arguments": CITY}}
        return said(answer("", tool_calls=[call]))
    return (
        sse(chunk("Hello "), chunk("there!", "stop"), "[DONE]")
        if received.json.get("stream")
        else said(answer(TEXT))
    )


CITY = '{"city": "Oslo"}'


def responses(received: Received) -> Answer:
    """OpenAI's Responses."""
    text = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT}]}
    call = {"type": "function_call", "call_id": "c1", "name": "population", "arguments": CITY}
    body = {
        "id": "r1",
        "model": "m",
        "status": "completed",
        "output": [call if wants_tool(received.json) else text],
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
    if not received.json.get("stream"):
        return said(body)
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": TEXT}
    return sse(delta, {"type": "response.completed", "response": body})


def messages(received: Received) -> Answer:
    """Anthropic's Messages."""
    head = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
    if "count_tokens" in received.path:
        return said({"input_tokens": 5})
    if wants_tool(received.json):
        call = {"type": "tool_use", "id": "t1", "name": "population", "input": {"city": "Oslo"}}
        return said({**head, "content": [call], "stop_reason": "tool_use"})
    if not received.json.get("stream"):
        return said({**head, "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn"})
    return sse(
        {"type": "message_start", "message": {**head, "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )


def contents(received: Received) -> Answer:
    """Gemini's generateContent."""
    if "countTokens" in received.path:
        return said({"totalTokens": 5})
    part = (
        {"functionCall": {"name": "population", "args": {"city": "Oslo"}}}
        if wants_tool(received.json)
        else {"text": TEXT}
    )
    body = {
        "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2},
        "modelVersion": "m",
    }
    return sse(body) if "stream" in received.path.lower() else said(body)


def ollama(received: Received) -> Answer:
    """Ollama's own."""
    if "chat" not in received.path:
        return said(
            {"model_info": {"a.context_length": 8192}, "capabilities": ["completion", "tools"], "models": []}
        )
    message: dict[str, Any] = {"role": "assistant", "content": TEXT}
    if wants_tool(received.json):
        message = {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "population", "arguments": {"city": "Oslo"}}}],
        }
    body = {
        "model": "m",
        "message": message,
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 5,
        "eval_count": 2,
    }
    line = json.dumps(body).encode() + b"\n"
    return Answer([line], headers={"content-type": "application/x-ndjson"})


DIALECTS: dict[str, tuple[str, Callable[[Received], Answer], dict[str, Any]]] = {
    "chat": ("openai:gpt-5-mini", chat, {}),
    "responses": ("openai:gpt-5-mini", responses, {"api": "responses"}),
    "messages": ("anthropic:claude-sonnet-5", messages, {}),
    "contents": ("gemini:gemini-3-flash", contents, {}),
    "mistral": ("mistral:mistral-medium", chat, {}),
    "groq": ("groq:llama-3.3-70b-versatile", chat, {}),
    "ollama": ("ollama:llama3.2", ollama, {}),
    "a server of one's own": ("openai-compatible:m", chat, {}),
    "a chain": ("openai:gpt-5-mini | openai:gpt-5", chat, {}),
}


@pytest.fixture(params=DIALECTS)
def dialect(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], ILLMProvider]]:
    """What makes the provider of a dialect, with a service behind it that speaks the dialect."""
    spec, replies, config = DIALECTS[request.param]
    service = Service()
    service.replies = lambda received: (
        said({"data": []}) if received.method == "GET" and spec[:6] != "ollama" else replies(received)
    )
    monkeypatch.setenv("OPENAI_BASE_URL", service.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    where: dict[str, Any] = {} if "|" in spec else {"base_url": service.url, "api_key": KEY}
    yield lambda: gathering.provider(spec, **where, **config)
    service.close()


class TestDialects(ProviderConformance):
    """The suite, once for each dialect."""

    repeats_itself = True
    takes_tools = True
    secret = KEY
    making: ClassVar[Callable[[], ILLMProvider]]

    @pytest.fixture(autouse=True)
    def _spoken(self, dialect: Callable[[], ILLMProvider], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "making", staticmethod(dialect), raising=False)

    def make(self) -> ILLMProvider:
        return type(self).making()
