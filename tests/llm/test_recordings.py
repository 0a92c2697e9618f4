"""Exchanges recorded from the real services, played back over the loopback to a sync and an async caller."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from fake_service import Answer, Service, cut_in, recordings

import gathering
from gathering.core import errors as e
from gathering.core.events import Done, TextDelta, ThinkingDelta
from gathering.core.messages import Completion
from gathering.llm.openai_stream import ChatStream

ERRORS = {
    "azure/error-401": e.AuthenticationError,
    "azure/error-404": e.ModelNotFoundError,
    "azure/error-429": e.RateLimitError,
    "deepseek/error-400": e.ContextOverflowError,
    "deepseek/error-401": e.AuthenticationError,
    "groq/error-400": e.BadRequestError,
    "groq/error-404": e.ModelNotFoundError,
    "groq/error-mid-stream": e.BadRequestError,
    "mistral/error-401": e.AuthenticationError,
    "ollama/error-400": e.ContextOverflowError,
    "ollama/error-401": e.AuthenticationError,
    "openai/error-400": e.BadRequestError,
    "openai/error-401": e.AuthenticationError,
    "openai/error-404": e.ModelNotFoundError,
    "openrouter/error-400": e.BadRequestError,
    "openrouter/error-401": e.AuthenticationError,
    "openrouter/error-429": e.RateLimitError,
    "openrouter/error-mid-stream": e.BadRequestError,
    "perplexity/error-401": e.AuthenticationError,
}
CHAT = [p for p in recordings() if "chat-completions" in json.loads(p.read_text("utf-8"))["covers"]]
pytestmark = pytest.mark.skipif(not CHAT, reason="the recordings are not here")


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.fixture(params=CHAT, ids=name_of)
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    data = json.loads(request.param.read_text("utf-8"))
    response = data["response"]
    text = response.get("body_text")
    body = text.encode() if text is not None else base64.b64decode(response["body_base64"])
    return {
        "name": name_of(request.param),
        "status": response["status"],
        "type": response["headers"].get("content-type", "application/json"),
        "stream": bool(response["stream"]),
        "body": body,
    }


def said_in(recorded: dict[str, Any]) -> tuple[str, int, int | None]:
    """Text, number of tool calls and input tokens, read as simply as can be."""
    body = recorded["body"].decode()
    if not recorded["stream"]:
        answer = json.loads(body)
        message = answer["choices"][0].get("message", {})
        content = message.get("content") or ""
        text = content if isinstance(content, str) else "".join(p.get("text", "") for p in content)
        return text, len(message.get("tool_calls") or []), answer["usage"]["prompt_tokens"]
    text, calls, tokens = "", set(), None
    for line in body.splitlines():
        if not line.startswith("data: {"):
            continue
        chunk = json.loads(line[6:])
        for choice in chunk["choices"]:
            content = choice["delta"].get("content") or ""
            text += content if isinstance(content, str) else "".join(p.get("text", "") for p in content)
            calls |= {c.get("id") for c in choice["delta"].get("tool_calls") or [] if c.get("id")}
        usage = chunk.get("usage") or chunk.get("x_groq", {}).get("usage") or {}
        tokens = usage.get("prompt_tokens", tokens)
    return text, len(calls), tokens


def check(completion: Completion, recorded: dict[str, Any]) -> None:
    text, calls, tokens = said_in(recorded)
    assert completion.content == text
    assert len(completion.tool_calls) == calls
    assert all(c.id and c.name and c.malformed is None for c in completion.tool_calls)
    assert completion.usage.input_tokens == tokens
    assert completion.finish_reason in ("stop", "length", "tool_calls", "content_filter", "refusal")
    assert (completion.finish_reason == "tool_calls") == bool(calls)


def play(service: Service, recorded: dict[str, Any], size: int | None) -> Any:
    service.will(
        Answer(cut_in(recorded["body"], size), recorded["status"], {"content-type": recorded["type"]})
    )
    return gathering.provider("openai-compatible:m", base_url=service.url, max_retries=0)


ASK = [{"role": "user", "content": "?"}]


@pytest.mark.parametrize("size", [None, 1, 7])
def test_a_recording_to_a_sync_caller(recorded: dict[str, Any], service: Service, size: int | None) -> None:
    """The answer or the error is the one recorded, however the network cuts it."""
    if size == 1 and len(recorded["body"]) > 20_000:
        size = 50  # single bytes of long bodies are for the test without a socket
    provider = play(service, recorded, size)
    stream = provider.stream(ASK)
    if recorded["name"] in ERRORS:
        with pytest.raises(ERRORS[recorded["name"]]) as caught:
            list(stream)
        assert caught.value.provider == "openai-compatible"
        assert "Next: " in str(caught.value)
    else:
        assert "".join(stream) == said_in(recorded)[0]
        check(stream.completion, recorded)


async def test_a_recording_to_an_async_caller(recorded: dict[str, Any], service: Service) -> None:
    """The same answer or error by ``async for`` and by ``await``."""
    provider = play(service, recorded, 50)
    if recorded["name"] in ERRORS:
        with pytest.raises(ERRORS[recorded["name"]]):
            await provider.complete_async(ASK)
        return
    check(await provider.complete_async(ASK), recorded)
    stream = provider.stream(ASK)
    pieces = [piece async for piece in stream]
    assert "".join(pieces) == said_in(recorded)[0]
    check(stream.completion, recorded)


def test_a_recording_byte_by_byte(recorded: dict[str, Any]) -> None:
    """Events do not depend on the cuts, at none of the places there are."""
    if not recorded["stream"] or recorded["name"] in ERRORS:
        return
    whole, cut = ChatStream("m"), ChatStream("m")
    expected = whole.feed(recorded["body"]) + whole.finish()
    seen = [event for piece in cut_in(recorded["body"], 1) for event in cut.feed(piece)] + cut.finish()
    assert _without_ids(seen) == _without_ids(expected)
    done = seen[-1]
    assert isinstance(done, Done)
    assert "".join(x.text for x in seen if isinstance(x, TextDelta)) == done.completion.content
    assert "".join(x.text for x in seen if isinstance(x, ThinkingDelta)) == done.completion.thinking


def _without_ids(events: list[Any]) -> list[Any]:
    return [e for e in events if not isinstance(e, Done)]


def test_a_recording_cut_short_is_no_answer(recorded: dict[str, Any]) -> None:
    """Without its end mark a stream is a failure that keeps what had arrived."""
    if not recorded["stream"] or recorded["name"] in ERRORS:
        return
    body = recorded["body"]
    for part in (0.2, 0.5):
        stream = ChatStream("m")
        stream.feed(body[: int(len(body) * part)])
        if not stream.whole:
            with pytest.raises(e.IncompleteStreamError) as caught:
                stream.finish()
            assert caught.value.partial == stream.partial
