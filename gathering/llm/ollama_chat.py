"""Ollama's own dialect, whole messages: neutral values to the JSON of ``/api/chat`` and back. Pure; no I/O.

Owns the names of its fields and how much room a prompt is given. Streams are ``gathering.llm.ollama_stream``'s, the
address and what a model can do ``gathering.llm.ollama``'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gathering.core.errors import ConfigurationError, MalformedResponseError
from gathering.core.images import Image
from gathering.core.messages import Completion, FinishReason, MessageDict, ToolCall, ToolSpec, Usage, text_of
from gathering.llm.faults import error_in_body
from gathering.llm.figures import count_of
from gathering.llm.openai_answer import logprobs_of, model_name, new_call_id
from gathering.llm.openai_chat import log_choices, without

__all__ = ["Room", "build_request", "calls_in", "finished", "message_in", "parse_response"]

#: Neutral parameters under ``options``, where some have another name.
_OPTION_NAMES: Mapping[str, str] = {"max_tokens": "num_predict"}
#: Fields beside ``options``; anything else a caller names is an option of the model runner.
_TOP = ("keep_alive", "think", "format", "truncate", "shift", "raw")
_MISSING = ("parallel_tool_calls",)
_EFFORTS: Mapping[str, Any] = {"none": False, "minimal": "low", "xhigh": "high"}
_FINISH: Mapping[str, FinishReason] = {"stop": "stop", "length": "length"}
#: Tokens kept free for an answer whose length nobody bounds, and those a picture may take.
_ANSWER, _PICTURE = 1024, 1500
_SMALLEST = 4096


@dataclass(frozen=True, slots=True)
class Room:
    """How many tokens the runner is told to make room for: ``fixed``, or what a request needs up to ``most``."""

    fixed: int | None = None
    most: int = 32_768

    def tokens(self, body: Mapping[str, Any]) -> int:
        """The context for this request. It grows by doubling: with each other size the model is loaded anew."""
        if self.fixed is not None:
            return self.fixed
        said = [m["content"] for m in body["messages"]]
        said.append(json.dumps(body.get("tools") or "", ensure_ascii=False))
        # Three bytes a token is more than a text of nearly any kind has.
        prompt = sum(len(text.encode("utf-8", "replace")) for text in said) // 3 + 8 * len(said)
        prompt += _PICTURE * sum(len(m.get("images", ())) for m in body["messages"])
        answer = body["options"].get("num_predict")
        needed = prompt + (answer if isinstance(answer, int) and answer > 0 else _ANSWER)
        size = _SMALLEST
        while size < needed:
            size *= 2
        return min(size, self.most)


# -- out: neutral -> wire --------------------------------------------------------------------------------------


def build_request(
    model: str,
    messages: Sequence[MessageDict],
    tools: Sequence[ToolSpec] | None,
    params: Mapping[str, Any],
    *,
    stream: bool,
    origin: str = "ollama",
    room: Room = Room(),
) -> dict[str, Any]:
    """The body of a request. What is no parameter of this dialect becomes an option of the model runner."""
    body: dict[str, Any] = {"model": model, "messages": _messages(messages, origin), "stream": stream}
    options: dict[str, Any] = {}
    body["options"] = options
    if offered := _offered(tools, params.get("tool_choice"), origin):
        body["tools"] = offered
    for name, value in params.items():
        if value is not None and name not in ("tool_choice", "prompt_cache"):
            _set(body, options, name, value, origin)
    options.setdefault("num_ctx", room.tokens(body))
    # A server that knows these says that a prompt is too long; an older one would cut its beginning away.
    body.setdefault("truncate", False)
    body.setdefault("shift", False)
    return body


def _set(body: dict[str, Any], options: dict[str, Any], name: str, value: Any, origin: str) -> None:
    if name in _MISSING:
        without(origin, name, value)
    elif name in _TOP:
        body[name] = value
    elif name == "output":
        body["format"] = value["schema"]
    elif name == "response_format":
        body["format"] = _format(value)
    elif name == "reasoning_effort":
        body["think"] = _EFFORTS.get(value, value)
    elif name == "logprobs":
        wanted, top = log_choices(value)
        body.update({"logprobs": True} if wanted else {}, **({"top_logprobs": top} if top else {}))
    elif name == "stop":
        options["stop"] = [value] if isinstance(value, str) else list(value)
    else:
        options[_OPTION_NAMES.get(name, name)] = value


def _format(value: Any) -> Any:
    """OpenAI's way to ask for JSON in Ollama's: ``"json"``, or the schema itself."""
    if isinstance(value, Mapping) and value.get("type") == "json_schema":
        return value["json_schema"].get("schema", {})
    return "json" if isinstance(value, Mapping) and value.get("type") == "json_object" else value


def _offered(tools: Sequence[ToolSpec] | None, choice: Any, origin: str) -> list[dict[str, Any]]:
    """The tools as they are offered; there is no choice between them but to leave some out."""
    if not tools or choice == "none":
        return []
    named = [t for t in tools if t.get("name") == choice]
    if choice not in (None, "auto"):
        without(origin, "tool_choice", choice)
    return [_tool(t) for t in named or tools]


def _tool(spec: ToolSpec) -> dict[str, Any]:
    function = {k: spec[k] for k in ("name", "description", "parameters") if spec.get(k) is not None}
    function.setdefault("parameters", {"type": "object", "properties": {}})
    return {"type": "function", "function": function}


def _messages(messages: Sequence[MessageDict], origin: str) -> list[dict[str, Any]]:
    names: dict[str, str] = {}
    wire = []
    for message in messages:
        calls = [ToolCall.from_dict(c) for c in message.get("tool_calls") or ()]
        names.update({call.id: call.name for call in calls})
        wire.append(_message(message, calls, names, origin))
    return wire


def _message(
    message: MessageDict, calls: Sequence[ToolCall], names: Mapping[str, str], origin: str
) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.get("role", "user"), "content": text_of(message.get("content"))}
    if images := message.get("images"):
        wire["images"] = [_image(Image.read(image), origin) for image in images]
    if calls:
        wire["tool_calls"] = [_call(call) for call in calls]
    if wire["role"] == "tool":
        identity = message.get("tool_call_id") or ""
        wire["tool_name"] = message.get("name") or names.get(identity, "")
        wire["tool_call_id"] = identity
    for part in message.get("parts") or ():
        if part.get("origin") == origin and part.get("type") == "thinking":
            wire["thinking"] = part["value"]
    return wire


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = call.arguments if call.malformed is None else {"malformed": call.malformed}
    return {"id": call.id, "function": {"name": call.name, "arguments": arguments}}


def _image(image: Image, origin: str) -> str:
    if image.url:
        raise ConfigurationError(
            f"{origin} takes no address of an image ({image.url!r:.80}): give the file's path or its bytes"
        )
    return image.data


# -- in: wire -> neutral ---------------------------------------------------------------------------------------


def parse_response(body: Any, model: str = "", *, origin: str = "ollama") -> Completion:
    """The completion in a whole answer. Raises the typed error it holds, or ``MalformedResponseError``."""
    if (error := error_in_body(body)) is not None:
        raise error
    message = message_in(body) if isinstance(body, Mapping) else None
    if message is None:
        raise MalformedResponseError(
            f"the answer has no message ({json.dumps(body)[:200]}). Next: check that base_url is an Ollama server"
        )
    return finished(
        body,
        model,
        origin,
        text=text_of(message.get("content")),
        thinking=text_of(message.get("thinking")),
        calls=calls_in(message),
        logprobs=logprobs_of(body.get("logprobs")),
    )


def message_in(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What an object says: its message, or the text of an answer to a bare prompt (``/api/generate``)."""
    message = body.get("message")
    if isinstance(message, Mapping):
        return message
    if not isinstance(body.get("response"), str):
        return None
    return {"content": body["response"], "thinking": body.get("thinking")}


def finished(
    last: Mapping[str, Any],
    model: str,
    origin: str,
    *,
    text: str,
    thinking: str,
    calls: tuple[ToolCall, ...],
    logprobs: tuple[Mapping[str, Any], ...] = (),
) -> Completion:
    """The completion of an answer whose last (or only) object is ``last``."""
    reason: FinishReason = _FINISH.get(str(last.get("done_reason") or "stop"), "other")
    # A model goes on from what it thought before a tool call; in plain conversation thoughts are dropped.
    parts = ({"type": "thinking", "value": thinking, "origin": origin},) if thinking and calls else ()
    return Completion(
        content=text,
        thinking=thinking,
        tool_calls=calls,
        finish_reason="tool_calls" if calls and reason != "length" else reason,
        usage=Usage(count_of(last.get("prompt_eval_count")), count_of(last.get("eval_count"))),
        model=model_name(last.get("model"), model),
        parts=parts,
        raw=last,
        logprobs=logprobs,
    )


def calls_in(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The tool calls of a message; the dialect gives arguments as an object, and ids only of late."""
    found = message.get("tool_calls")
    return tuple(
        ToolCall.from_dict({**item, "id": item.get("id") or new_call_id()})
        for item in (found if isinstance(found, list) else ())
        if isinstance(item, Mapping) and isinstance(item.get("function"), Mapping)
    )
