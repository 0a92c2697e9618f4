"""Recorded requests of chat completions and of the Responses API, made again from the neutral form of what they ask.

What the model had said goes through the dialect's own reading of an answer, so that what must go back is checked too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from recorded import Recording, everything
from test_recordings import made

Json = Any
ASKED = [r for r in everything() if r.kind in ("chat", "responses") and isinstance(r.asked, dict)]
NAMES = {"max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens", "random_seed": "seed"}
NOT_PARAMS = ("model", "messages", "input", "instructions", "tools", "stream", "stream_options", "store")


# -- recorded -> neutral -------------------------------------------------------------------------------------------


def shown(part: Json) -> dict[str, str]:
    found = part["image_url"]
    url = found["url"] if isinstance(found, dict) else found
    head, _, data = url.partition(";base64,")
    return {"media_type": head.removeprefix("data:"), "data": data} if data else {"url": url}


def said(role: str, content: Json) -> dict[str, Any]:
    """A message of a person or of the system."""
    if not isinstance(content, list):
        return {"role": role, "content": content}
    images = [shown(p) for p in content if p["type"] in ("image_url", "input_image")]
    message = {"role": role, "content": "".join(p.get("text", "") for p in content)}
    return {**message, "images": images} if images else message


def chat_messages(asked: Json, dialect: Any) -> list[dict[str, Any]]:
    found = []
    for message in asked["messages"]:
        if message["role"] == "assistant":
            answer = {"choices": [{"message": message, "finish_reason": "stop"}]}
            found.append(dialect.parse_response(answer, "m").message().to_dict())
        elif message["role"] == "tool":
            found.append({k: v for k, v in message.items() if k != "name"})
        else:
            found.append(said(message["role"], message["content"]))
    return found


def responses_messages(asked: Json, dialect: Any) -> list[dict[str, Any]]:
    found = [{"role": "system", "content": asked["instructions"]}] if asked.get("instructions") else []
    items = asked.get("input") or []
    spoken: list[Json] = []
    for item in [
        *([said("user", items)] if isinstance(items, str) else items),
        {"role": "end", "content": ""},
    ]:
        mine = item.get("role") == "assistant" or item.get("type") in (
            "reasoning",
            "function_call",
            "web_search_call",
        )
        if mine:
            spoken.append({"type": "message", **item})
            continue
        if spoken:
            answer = {"output": spoken, "status": "completed"}
            found.append(dialect.parse_response(answer, asked["model"]).message().to_dict())
            spoken = []
        if item.get("type") == "function_call_output":
            found.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
        elif item["role"] != "end":
            found.append(said(item["role"], item["content"]))
    return found


def neutral_params(asked: Json) -> dict[str, Any]:
    params = {NAMES.get(k, k): v for k, v in asked.items() if k not in NOT_PARAMS}
    form = (params.get("response_format") or {}).get("json_schema") or (params.get("text") or {}).get(
        "format"
    )
    if form and "schema" in form:
        params.pop("response_format", None), params.pop("text", None)
        params["output"] = {"name": form["name"], "schema": form["schema"]}
    choice = params.get("tool_choice")
    if isinstance(choice, dict):
        params["tool_choice"] = choice.get("function", choice)["name"]
    return params


# -- the meaning of a request --------------------------------------------------------------------------------------


def plain(value: Json) -> Json:
    """Without nulls, and texts alike however they are wrapped."""
    if isinstance(value, list):
        if value and all(
            isinstance(p, dict) and p.get("type") in ("text", "input_text", "output_text") for p in value
        ):
            return "".join(p["text"] for p in value)
        return [plain(v) for v in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("image_url"), dict):
        value = {**value, "image_url": value["image_url"]["url"]}
    if isinstance(value.get("arguments"), str):
        value = {**value, "arguments": json.loads(value["arguments"] or "{}")}
    if value.get("role") == "assistant" and isinstance(
        value.get("content"), str
    ):  # thinking in the text stays here
        value = {**value, "content": re.sub(r"\A<think>.*</think>\s*", "", value["content"], flags=re.DOTALL)}
    loose = ("obfuscation", "annotations", "logprobs", "status", "index", "prefix")
    return {k: plain(v) for k, v in value.items() if v is not None and k not in loose}


def meaning(body: Json) -> Json:
    """A request without what every client says in its own way."""
    found = {NAMES.get(k, k): plain(v) for k, v in body.items() if k not in ("stream_options", "store")}
    found["include"] = sorted({*found.get("include", ())} - {"reasoning.encrypted_content"})
    found["stream"] = bool(found.get("stream"))
    if isinstance(found.get("input"), str):
        found["input"] = [{"role": "user", "content": found["input"]}]
    for message in [*found.get("messages", ()), *(found.get("input") or [])]:
        message.pop("name", None) if message.get("role") == "tool" else None
        message.setdefault("content", "") if message.get("role") == "assistant" else None
        message.pop("type", None) if message.get("type") == "message" else None
    for tool in found.get("tools", ()):
        tool.get("function", tool).setdefault("strict", False)
    return {k: v for k, v in found.items() if v not in (None, [])}


@pytest.mark.parametrize("recording", ASKED, ids=lambda r: r.name)
def test_a_recorded_request_is_made_again(
    recording: Recording, record_property: Callable[[str, Any], None]
) -> None:
    """The same model, messages, tools and options, in the service's own words."""
    record_property("recording", recording.name)
    asked, dialect = recording.asked, made(recording).dialect
    messages = (chat_messages if recording.kind == "chat" else responses_messages)(asked, dialect)
    tools = [t.get("function", t) for t in asked.get("tools", ())]
    model, stream = asked.get("model", ""), bool(asked.get("stream"))
    sent = dialect.build_request(model, messages, tools, neutral_params(asked), stream=stream)
    assert meaning(json.loads(json.dumps(sent))) == meaning({"model": "", **asked})


@pytest.mark.skipif(not ASKED, reason="the recordings are not here")
def test_there_are_requests_to_make_again() -> None:
    """The ones that were kept, of both formats."""
    assert {r.kind for r in ASKED} == {"chat", "responses"}
