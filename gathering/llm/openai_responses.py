"""The Responses dialect, whole messages: neutral values to wire JSON and back. Pure; no I/O.

OpenAI's second format, which several other servers have too, without its memory: the whole history is sent each
time, nothing is stored, and what the model thought comes back encrypted and goes back the same way. Streams are read
by ``gathering.llm.openai_responses_stream`` with the helpers of this file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gathering.core.errors import MalformedResponseError, ProviderError
from gathering.core.messages import Completion, FinishReason, MessageDict, ToolCall, ToolSpec, Usage, text_of
from gathering.llm.faults import error_in_body
from gathering.llm.openai_answer import model_name, new_call_id

__all__ = [
    "build_request",
    "completion_of",
    "failure_of",
    "item_text",
    "parse_response",
    "thoughts_in",
    "usage_of",
]

_REASONING = "reasoning.encrypted_content"
#: OpenAI's models that do not think refuse to be asked for their thoughts.
_THOUGHTLESS = re.compile(r"(?:ft:)?(?:gpt-[34]|chatgpt-)")
_LONGEST_ID = 64
_NOT_RUN = "error: this call was not carried out"
_TOOL_CHOICES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
_TOOL_FIELDS = ("name", "description", "parameters", "strict")
_INCOMPLETE: Mapping[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
#: The status a failure would have had, had it been known before the answer began.
_STATUS = {
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "vector_store_timeout": 504,
    "model_not_found": 404,
    "invalid_prompt": 400,
}


# -- out: neutral -> wire --------------------------------------------------------------------------------------


def build_request(
    model: str,
    messages: Sequence[MessageDict],
    tools: Sequence[ToolSpec] | None,
    params: Mapping[str, Any],
    *,
    stream: bool,
    origin: str = "",
) -> dict[str, Any]:
    """The body of a request, as a dict ready for JSON. Parameters the dialect does not know are passed on as they are."""
    instructions, rest = _instructions(messages)
    body: dict[str, Any] = {"model": model, "input": _input(rest, origin), "store": False}
    if instructions:
        body["instructions"] = instructions
    if not _THOUGHTLESS.match(model):
        body["include"] = [_REASONING]
    if tools:
        body["tools"] = [_tool(t) for t in tools]
    for name, value in params.items():
        if value is not None and (tools or name not in ("tool_choice", "parallel_tool_calls")):
            _set(body, name, value)
    if stream:
        body["stream"] = True
    return body


def _set(body: dict[str, Any], name: str, value: Any) -> None:
    """One parameter, under the name and in the form this dialect has for it."""
    if name in ("max_tokens", "max_completion_tokens"):
        body["max_output_tokens"] = value
    elif name == "reasoning_effort":
        body["reasoning"] = {**body.get("reasoning", {}), "effort": value}
    elif name == "verbosity":
        body["text"] = {**body.get("text", {}), "verbosity": value}
    elif name == "response_format":
        body["text"] = {**body.get("text", {}), "format": _format(value)}
    elif name in ("reasoning", "text") and isinstance(value, Mapping):
        body[name] = {**body.get(name, {}), **value}
    elif name == "include" and isinstance(value, list | tuple):
        body[name] = list(dict.fromkeys((*body.get(name, ()), *value)))
    elif name == "tool_choice":
        body[name] = _tool_choice(value)
    else:
        body[name] = value


def _format(value: Any) -> Any:
    """A ``response_format`` of chat completions, without the wrapper this dialect does not have."""
    if not isinstance(value, Mapping) or not isinstance(value.get("json_schema"), Mapping):
        return value
    return {"type": "json_schema", "name": "answer", **value["json_schema"]}


def _tool(spec: ToolSpec) -> dict[str, Any]:
    inner = spec.get("function")
    if not isinstance(inner, Mapping):
        if spec.get("type", "function") != "function":
            return dict(spec)  # a tool of the server's own
        inner = spec
    tool = {"type": "function", **{k: inner[k] for k in _TOOL_FIELDS if inner.get(k) is not None}}
    tool.setdefault("parameters", {"type": "object", "properties": {}})
    # Left out it would mean strict, which schemas with optional properties are refused for.
    tool.setdefault("strict", False)
    return tool


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return _TOOL_CHOICES.get(choice) or {"type": "function", "name": choice}
    if isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        return {"type": "function", "name": choice["function"].get("name")}
    return choice


def _instructions(messages: Sequence[MessageDict]) -> tuple[str, Sequence[MessageDict]]:
    """The text of the system messages a conversation begins with, and the messages behind them."""
    count = 0
    while count < len(messages) and messages[count].get("role") in ("system", "developer"):
        count += 1
    return "\n\n".join(text_of(m.get("content")) for m in messages[:count]), messages[count:]


def _input(messages: Sequence[MessageDict], origin: str) -> list[dict[str, Any]]:
    answered = {m.get("tool_call_id") for m in messages if m.get("role") == "tool"}
    items: list[dict[str, Any]] = []
    for message in messages:
        role = message.get("role", "user")
        if role == "assistant":
            items += _assistant(message, origin, answered)
        elif role == "tool":
            items.append(_result(str(message.get("tool_call_id") or ""), message.get("content")))
        else:
            items.append({"role": role, "content": _content(message.get("content"))})
    return items


def _assistant(message: MessageDict, origin: str, answered: set[Any]) -> list[dict[str, Any]]:
    text = text_of(message.get("content"))
    calls = [ToolCall.from_dict(c) for c in message.get("tool_calls") or ()]
    kept = [
        part["value"]
        for part in message.get("parts") or ()
        if part.get("origin") == origin and isinstance(part.get("value"), Mapping)
    ]
    items = _returned(kept, text, {call.id: call for call in calls})
    # A call without a result is refused by the service: an interrupted turn leaves one.
    return items + [_result(call.id, _NOT_RUN) for call in calls if call.id not in answered]


def _returned(
    kept: Iterable[Mapping[str, Any]], text: str, calls: dict[str, ToolCall]
) -> list[dict[str, Any]]:
    """The items of an assistant's message in the order the model wrote them, with text and calls as they are now."""
    kept = list(kept)
    said = [{"role": "assistant", "content": [{"type": "output_text", "text": text}]}] if text else []
    unchanged = text == "".join(item_text(i, "output_text") for i in kept)
    items: list[dict[str, Any]] = []
    for item in kept:
        kind = item.get("type")
        if kind == "message":
            items += [_clean(item)] if unchanged else said
            said = []
        elif kind == "function_call":
            if (call := calls.pop(str(item.get("call_id")), None)) is not None:
                items.append({**_clean(item), **_call(call)})
        elif kind != "reasoning" or item.get("encrypted_content") or item.get("content"):
            items.append(
                _clean(item)
            )  # thoughts without content are known to a service that stores: not here
    if not unchanged:
        items += said
    items += [_call(call) for call in calls.values()]
    while items and items[-1].get("type") == "reasoning":  # what they led to never came
        items.pop()
    return items


def _clean(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item of an answer as a request takes it: without nulls, and thoughts without status and empty content."""
    clean = {k: v for k, v in item.items() if v is not None}
    if item.get("type") == "reasoning":
        clean.pop("status", None)
        clean.setdefault("summary", [])
        if not clean.get("content"):
            clean.pop("content", None)
    return clean


def _call(call: ToolCall) -> dict[str, Any]:
    # Servers parse this text again: what the model wrote wrongly goes back inside JSON that is right.
    arguments = call.arguments if call.malformed is None else {"malformed": call.malformed}
    return {
        "type": "function_call",
        "call_id": _call_id(call.id),
        "name": call.name,
        "arguments": json.dumps(arguments, ensure_ascii=False),
    }


def _result(identity: str, content: Any) -> dict[str, Any]:
    output = _content(content)
    if isinstance(output, list) and all(p.get("type") == "input_text" for p in output):
        output = text_of(output)
    return {"type": "function_call_output", "call_id": _call_id(identity), "output": output}


def _call_id(identity: str) -> str:
    """The id, or a shorter one made of it where another service's is longer than this one takes."""
    if len(identity) <= _LONGEST_ID:
        return identity
    return f"call_{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


def _content(content: Any) -> Any:
    """A message's content: text as it is, the parts of chat completions under their names here."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, Sequence):
        return str(content)
    return [_part(part) for part in content]


def _part(part: Any) -> dict[str, Any]:
    if not isinstance(part, Mapping):
        return {"type": "input_text", "text": str(part)}
    kind = part.get("type", "text")
    if kind in ("text", "output_text"):
        return {"type": "input_text", "text": str(part.get("text", ""))}
    inner = part.get(kind)
    if kind == "image_url":
        image = dict(inner) if isinstance(inner, Mapping) else {"url": inner}
        image["image_url"] = image.pop("url", None)
        return {"type": "input_image", **image}
    if kind == "file" and isinstance(inner, Mapping):
        return {"type": "input_file", **inner}
    return dict(part)


# -- in: wire -> neutral ---------------------------------------------------------------------------------------


def parse_response(body: Any, model: str = "", *, origin: str = "") -> Completion:
    """The completion in a whole answer. Raises the typed error it holds, or ``MalformedResponseError``."""
    if isinstance(body, Mapping | list) and (error := failure_of(body)) is not None:
        raise error
    if not isinstance(body, Mapping) or not isinstance(body.get("output"), list):
        raise MalformedResponseError(
            f"the answer has no output ({json.dumps(body)[:200]}): check that base_url has the Responses API, "
            "or leave api out"
        )
    return completion_of(body["output"], body, model, origin)


def failure_of(body: Any) -> ProviderError | None:
    """The typed error in an answer or event that came with status 200, with the text that had come; None without one."""
    response = body.get("response") if isinstance(body, Mapping) else None
    source = response if isinstance(response, Mapping) else body
    if not isinstance(source, Mapping):
        return error_in_body(source)
    said = source.get("error")
    if not said and body.get("type") == "error":
        said = {k: v for k, v in source.items() if k != "type"}
    if not said and source.get("status") == "failed":
        said = {"message": "the answer failed and nothing says why"}
    if isinstance(said, Mapping) and (status := _STATUS.get(str(said.get("code")))):
        said = {"status_code": status, **said}
    error = error_in_body({**source, "error": said})
    if error is not None:
        error.partial = "".join(item_text(i, "output_text") for i in _mappings(source.get("output")))
    return error


def completion_of(output: Iterable[Any], body: Mapping[str, Any], asked: str, origin: str) -> Completion:
    """The completion that an answer's items, and the answer around them, are."""
    items = [_with_id(item) for item in _mappings(output)]
    calls = tuple(_tool_call(i) for i in items if i.get("type") == "function_call")
    refusal = "".join(item_text(i, "refusal") for i in items) or None
    back = () if all(_is_plain(i) for i in items) else items
    return Completion(
        content="".join(item_text(i, "output_text") for i in items),
        thinking="\n\n".join(filter(None, (t for i in items for t in thoughts_in(i)))),
        refusal=refusal,
        tool_calls=calls,
        finish_reason=_finish_reason(body, bool(calls), refusal),
        usage=usage_of(body.get("usage")),
        model=model_name(body.get("model"), asked),
        parts=tuple({"type": "output_item", "value": i, "origin": origin} for i in back),
        raw=body,
    )


def item_text(item: Mapping[str, Any], kind: str) -> str:
    """The text (``output_text``) or the ``refusal`` in a message item; empty for any other item."""
    content = item.get("content") if item.get("type") == "message" else None
    if isinstance(content, str):
        return content if kind == "output_text" else ""
    names = ("output_text", "text") if kind == "output_text" else (kind,)
    found = [
        p.get("refusal" if kind == "refusal" else "text")
        for p in _mappings(content)
        if p.get("type") in names
    ]
    return "".join(t for t in found if isinstance(t, str))


def thoughts_in(item: Mapping[str, Any]) -> list[str]:
    """The texts of a reasoning item: its summary's, then its own; none for any other item."""
    if item.get("type") != "reasoning":
        return []
    parts = [*_mappings(item.get("summary")), *_mappings(item.get("content"))]
    return [p["text"] for p in parts if isinstance(p.get("text"), str)]


def usage_of(usage: Any) -> Usage:
    """The tokens of a call; what the server did not say is None."""
    if not isinstance(usage, Mapping):
        return Usage()
    return Usage(
        input_tokens=_count(usage, "input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        cached_tokens=_count(usage.get("input_tokens_details"), "cached_tokens"),
        reasoning_tokens=_count(usage.get("output_tokens_details"), "reasoning_tokens"),
    )


def _finish_reason(body: Mapping[str, Any], has_calls: bool, refusal: str | None) -> FinishReason:
    """Why the model stopped. Calls count by their presence."""
    status, details = body.get("status"), body.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    if status == "incomplete" and (known := _INCOMPLETE.get(str(reason))) is not None:
        return known
    if has_calls:
        return "tool_calls"
    if refusal:
        return "refusal"
    return "stop" if status in ("completed", None) else "other"


def _with_id(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The item; a call with an id to answer it by."""
    if item.get("type") != "function_call" or item.get("call_id"):
        return item
    return {**item, "call_id": item.get("id") or new_call_id()}


def _tool_call(item: Mapping[str, Any]) -> ToolCall:
    arguments = item.get("arguments")
    if arguments is not None and not isinstance(arguments, str | Mapping):
        arguments = json.dumps(arguments)
    return ToolCall.from_dict(
        {"id": item["call_id"], "name": str(item.get("name") or ""), "arguments": arguments}
    )


def _is_plain(item: Mapping[str, Any]) -> bool:
    """Whether text and calls say all of the item, so that it need not be kept beside them."""
    kind = item.get("type")
    if kind == "message":
        return not item.get("phase") and not item_text(item, "refusal")
    return kind == "function_call" and not item.get("namespace")


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list | tuple) else []


def _count(figures: Any, name: str) -> int | None:
    value = figures.get(name) if isinstance(figures, Mapping) else None
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
