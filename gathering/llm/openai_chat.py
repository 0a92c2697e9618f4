"""The chat-completions dialect, whole messages: neutral values to wire JSON and back. Pure; no I/O.

What OpenAI defined and nearly every other server copied, read as leniently as those servers differ and written
strictly. Streams are read by ``gathering.llm.openai_stream`` with the helpers of this file; what a refusal in an
HTTP status means is ``gathering.llm.faults``'s business.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gathering.core.errors import MalformedResponseError
from gathering.core.messages import Completion, FinishReason, MessageDict, ToolCall, ToolSpec, Usage, text_of
from gathering.core.session import new_id
from gathering.llm.faults import error_in_body

__all__ = [
    "ChatStyle",
    "build_request",
    "finish_reason_of",
    "model_name",
    "new_call_id",
    "parse_response",
    "parts_of",
    "split_content",
    "thinking_in",
    "usage_of",
]

_FINISH: Mapping[str, FinishReason] = {
    "": "stop",
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_TOOL_CHOICES = ("auto", "none", "required", "any")
_FILE = re.compile(r"^(?:/|[A-Za-z]:\\).*[/\\]")


@dataclass(frozen=True, slots=True)
class ChatStyle:
    """How one server's requests differ from another's. ``origin`` marks what must go back to the server it came from."""

    origin: str = ""
    max_tokens: str = "max_tokens"
    usage_in_stream: bool = True
    #: What goes back beside a message's text, if the server sent it.
    gives_back: tuple[str, ...] = ("content", "reasoning_content", "reasoning_details")
    #: Parameters the server refuses, and those it calls by another name.
    refuses: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ()
    #: How it writes that some tool must be called, and the text beside tool calls that have none.
    required: str = "required"
    no_text: str | None = None
    #: The form the server demands of a tool call's id.
    call_id: Callable[[str], str] = str


# -- out: neutral -> wire --------------------------------------------------------------------------------------


def build_request(
    model: str,
    messages: Sequence[MessageDict],
    tools: Sequence[ToolSpec] | None,
    params: Mapping[str, Any],
    *,
    stream: bool,
    style: ChatStyle = ChatStyle(),
) -> dict[str, Any]:
    """The body of a request, as a dict ready for JSON. Parameters the dialect does not know are passed on as they are."""
    body: dict[str, Any] = {"model": model, "messages": [_message(m, style) for m in messages]}
    names = {"max_tokens": style.max_tokens, **dict(style.renames)}
    if tools:
        body["tools"] = [_tool(t) for t in tools]
    for name, value in params.items():
        if value is None or (name in ("tool_choice", "parallel_tool_calls") and not tools):
            continue
        if name in style.refuses:
            message = f"{style.origin} does not take {name}={value!r}: the request is sent without it"
            warnings.warn(message, UserWarning, stacklevel=2)
        elif name == "tool_choice":
            body[name] = _tool_choice(value, style)
        else:
            body[names.get(name, name)] = value
    if stream:
        body["stream"] = True
        if style.usage_in_stream:
            body.setdefault("stream_options", {"include_usage": True})
    return body


def _message(message: MessageDict, style: ChatStyle) -> dict[str, Any]:
    role, content = message.get("role", "user"), message.get("content")
    if role == "tool":
        identity = style.call_id(message.get("tool_call_id") or "")
        return {"role": role, "tool_call_id": identity, "content": text_of(content)}
    if role != "assistant":
        return {"role": role, "content": "" if content is None else content}
    wire: dict[str, Any] = {"role": role, "content": text_of(content)}
    calls = message.get("tool_calls")
    if calls:
        wire["content"] = wire["content"] or style.no_text
        wire["tool_calls"] = [_tool_call(ToolCall.from_dict(c), style) for c in calls]
    if parts := message.get("parts"):
        _give_back(wire, parts, style)
    return wire


def _tool_call(call: ToolCall, style: ChatStyle) -> dict[str, Any]:
    # Servers parse this text again: what the model wrote wrongly goes back inside JSON that is right.
    arguments = call.arguments if call.malformed is None else {"malformed": call.malformed}
    function = {"name": call.name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": style.call_id(call.id), "type": "function", "function": function}


def _give_back(wire: dict[str, Any], parts: Iterable[Mapping[str, Any]], style: ChatStyle) -> None:
    """Put what this same server sent beside its text back where it was: reasoning, signatures, content parts."""
    for part in parts:
        if part.get("origin") != style.origin:
            continue
        kind, value = part.get("type"), part.get("value")
        if kind == "tool_extra":
            for call in wire.get("tool_calls", ()):
                if call["id"] == style.call_id(part.get("id") or ""):
                    call["extra_content"] = value
        elif kind in style.gives_back:
            wire[kind] = value


def _tool(spec: ToolSpec) -> dict[str, Any]:
    if "function" in spec:
        return dict(spec)
    function = {
        k: spec[k] for k in ("name", "description", "parameters", "strict") if spec.get(k) is not None
    }
    function.setdefault("parameters", {"type": "object", "properties": {}})
    return {"type": "function", "function": function}


def _tool_choice(choice: Any, style: ChatStyle) -> Any:
    if choice == "required":
        return style.required
    if not isinstance(choice, str) or choice in _TOOL_CHOICES:
        return choice
    return {"type": "function", "function": {"name": choice}}


# -- in: wire -> neutral ---------------------------------------------------------------------------------------


def parse_response(body: Any, model: str = "", *, style: ChatStyle = ChatStyle()) -> Completion:
    """The completion in a whole answer. Raises the typed error it holds, or ``MalformedResponseError``."""
    if not isinstance(body, Mapping) or not isinstance(body.get("choices"), list):
        if isinstance(body, Mapping | list) and (error := error_in_body(body)) is not None:
            raise error
        raise MalformedResponseError(
            f"the answer has no choices ({json.dumps(body)[:200]}): check that base_url is a chat-completions service"
        )
    choices = [c for c in body["choices"] if isinstance(c, Mapping)]
    choice = choices[0] if choices else {}
    if (error := error_in_body(body) or error_in_body(choice)) is not None:
        raise error
    message = choice.get("message")
    message = message if isinstance(message, Mapping) else {}
    text, thinking = split_content(message.get("content"))
    calls, extras = _calls(message.get("tool_calls") or _old_call(message))
    refusal = message.get("refusal") or None
    return Completion(
        content=text,
        thinking=thinking or thinking_in(message),
        refusal=refusal,
        tool_calls=calls,
        finish_reason=finish_reason_of(choice.get("finish_reason"), calls, refusal)
        if choices
        else _no_choice(body),
        usage=usage_of(body.get("usage")),
        model=model_name(body.get("model"), model),
        parts=parts_of(message, bool(calls), extras, style.origin),
        raw=body,
    )


def split_content(content: Any) -> tuple[str, str]:
    """Text and thinking of a message's content: a string, a list of parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or "", ""
    text: list[str] = []
    thinking: list[str] = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, Mapping) and part.get("type") == "thinking":
            inner = part.get("thinking")
            thinking.append(
                inner if isinstance(inner, str) else text_of(inner if isinstance(inner, list) else ())
            )
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            text.append(part["text"])
    return "".join(text), "".join(thinking)


def thinking_in(message: Mapping[str, Any]) -> str:
    """The reasoning text beside the content. Where both of its names are present they hold the same text."""
    found = message.get("reasoning_content") or message.get("reasoning")
    return found if isinstance(found, str) else ""


def usage_of(usage: Any) -> Usage:
    """The tokens of a call; what the server did not say is None."""
    if not isinstance(usage, Mapping):
        return Usage()
    cached = _count(_detail(usage, "prompt_tokens_details", "cached_tokens"))
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(usage.get("prompt_cache_hit_tokens")) if cached is None else cached,
        reasoning_tokens=_count(_detail(usage, "completion_tokens_details", "reasoning_tokens")),
    )


def finish_reason_of(reason: Any, calls: Sequence[ToolCall], refusal: str | None) -> FinishReason:
    """Why the model stopped. Calls count by their presence: several servers say ``stop`` beside them."""
    known: FinishReason = "stop" if reason is None else _FINISH.get(str(reason), "other")
    if known in ("length", "content_filter"):
        return known
    if calls:
        return "tool_calls"
    if refusal:
        return "refusal"
    return "other" if known == "tool_calls" else known


def model_name(answered: Any, asked: str) -> str:
    """The model's name as the server says it; never the path of a file on somebody's disk."""
    name = answered if isinstance(answered, str) and answered else asked
    return _FILE.sub("", name)


def parts_of(
    message: Mapping[str, Any], has_calls: bool, extras: Mapping[str, Any], origin: str
) -> tuple[Mapping[str, Any], ...]:
    """What must go back with this message in the next request, marked with the server it belongs to."""
    found: list[tuple[str, Any]] = []
    if isinstance(message.get("content"), list):
        found.append(("content", message["content"]))
    if message.get("reasoning_details"):
        found.append(("reasoning_details", message["reasoning_details"]))
    if has_calls and message.get("reasoning_content"):
        # In plain conversation it is dropped: some models refuse it there and demand it here.
        found.append(("reasoning_content", message["reasoning_content"]))
    parts: list[Mapping[str, Any]] = [{"type": t, "value": v, "origin": origin} for t, v in found]
    parts += [{"type": "tool_extra", "id": i, "value": v, "origin": origin} for i, v in extras.items()]
    return tuple(parts)


def new_call_id() -> str:
    """An id for a call that came without one."""
    return f"call_{new_id()}"


def _calls(wire: Any) -> tuple[tuple[ToolCall, ...], dict[str, Any]]:
    calls: list[ToolCall] = []
    extras: dict[str, Any] = {}
    for item in wire if isinstance(wire, list) else ():
        if not isinstance(item, Mapping):
            continue
        identity = item.get("id") if item.get("id") not in (None, "", "null") else new_call_id()
        call = ToolCall.from_dict({**item, "id": identity})
        calls.append(call)
        if item.get("extra_content"):
            extras[call.id] = item["extra_content"]
    return tuple(calls), extras


def _old_call(message: Mapping[str, Any]) -> list[Any]:
    """``function_call``, as it was before tools."""
    old = message.get("function_call")
    return [{"function": old}] if isinstance(old, Mapping) and old.get("name") else []


def _no_choice(body: Mapping[str, Any]) -> FinishReason:
    return "content_filter" if body.get("prompt_filter_results") else "other"


def _detail(usage: Mapping[str, Any], group: str, name: str) -> Any:
    details = usage.get(group)
    return details.get(name) if isinstance(details, Mapping) else None


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
