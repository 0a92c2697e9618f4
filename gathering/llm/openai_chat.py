"""The chat-completions dialect, requests: neutral values to wire JSON. Pure; no I/O.

What OpenAI defined and nearly every other server copied, written strictly; a server's own ways are its ``ChatStyle``.
Answers are read by ``gathering.llm.openai_answer``, streams by ``gathering.llm.openai_stream``.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gathering.core.images import Image
from gathering.core.messages import MessageDict, ToolCall, ToolSpec, text_of
from gathering.llm.schemas import strict_schema

__all__ = ["ChatStyle", "answer_format", "build_request", "log_choices", "without"]

_TOOL_CHOICES = ("auto", "none", "required", "any")
_NOT_RUN = "error: this call was not carried out"


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
    #: Whether it holds an answer to a schema: only to one in the strict form, to any, or not at all.
    structured: Literal["strict", "any", ""] = ""
    #: Whether it takes images, and whether user and assistant must take turns, without tools.
    images: bool = True
    alternates: bool = False
    #: Whether its models may leave their thinking in the text, between <think> and </think>.
    think_tags: bool = False
    #: What it says beside the message that is kept with it.
    notes: tuple[str, ...] = ()


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
    body: dict[str, Any] = {"model": model, "messages": _messages(messages, style)}
    if tools:
        body["tools"] = [_tool(t) for t in tools]
    for name, value in params.items():
        if value is not None and (tools or name not in ("tool_choice", "parallel_tool_calls")):
            _set(body, name, value, style)
    if stream:
        body["stream"] = True
        if style.usage_in_stream:
            body.setdefault("stream_options", {"include_usage": True})
    return body


# -- parameters ------------------------------------------------------------------------------------------------


def _set(body: dict[str, Any], name: str, value: Any, style: ChatStyle) -> None:
    """One parameter, under the name and in the form the server has for it."""
    if name in style.refuses or (name == "output" and not style.structured):
        without(style.origin, name, value)
    elif name == "tool_choice":
        body[name] = _tool_choice(value, style)
    elif name == "output":
        form = answer_format(value, strict=style.structured == "strict")
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    elif name == "logprobs":
        wanted, top = log_choices(value)
        body.update({"logprobs": True} if wanted else {}, **({"top_logprobs": top} if top else {}))
    elif name != "prompt_cache":  # these services remember a prompt's beginning by themselves
        names = {"max_tokens": style.max_tokens, **dict(style.renames)}
        body[names.get(name, name)] = value


def without(origin: str, name: str, value: Any) -> None:
    """Tell the caller that a parameter is not sent."""
    message = f"{origin} does not take {name}={value!r:.60}: the request is sent without it"
    warnings.warn(message, UserWarning, stacklevel=2)


def answer_format(output: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    """Name and schema of a structured answer; in the strict form if asked for and if the schema has one."""
    name, schema = str(output.get("name") or "answer"), output.get("schema") or {}
    if not strict:
        return {"name": name, "schema": schema}
    form = strict_schema(schema)
    return {"name": name, "schema": schema if form is None else form, "strict": form is not None}


def log_choices(value: Any) -> tuple[bool, int]:
    """Whether probabilities are wanted, and of how many alternatives, in ``logprobs=True`` or a number."""
    return (value, 0) if isinstance(value, bool) else (True, int(value))


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


# -- messages --------------------------------------------------------------------------------------------------


def _messages(messages: Sequence[MessageDict], style: ChatStyle) -> list[dict[str, Any]]:
    if style.alternates:
        return _alternating(messages, style)
    wire: list[dict[str, Any]] = []
    answered = {m.get("tool_call_id") for m in messages if m.get("role") == "tool"}
    shown: list[dict[str, Any]] = []  # images that tools gave: a tool's message can hold none
    for message in messages:
        if message.get("role") != "tool" and shown:
            wire.append({"role": "user", "content": shown})
            shown = []
        wire.append(_message(message, style))
        if message.get("role") == "tool":
            shown += _images(message, style)
        wire += _unanswered(message, answered, style)
    return [*wire, {"role": "user", "content": shown}] if shown else wire


def _unanswered(message: MessageDict, answered: set[Any], style: ChatStyle) -> list[dict[str, Any]]:
    """A result for each call that has none: the services refuse such a call, and an interrupted turn leaves one."""
    calls = message.get("tool_calls")
    if not calls:
        return []
    asked = (ToolCall.from_dict(c).id for c in calls)
    left = [style.call_id(i) for i in asked if i and i not in answered]
    return [{"role": "tool", "tool_call_id": i, "content": _NOT_RUN} for i in left]


def _alternating(messages: Sequence[MessageDict], style: ChatStyle) -> list[dict[str, Any]]:
    """User and assistant by turns behind one system message: neighbours are joined, what tools said is the user's."""
    wire: list[dict[str, Any]] = []
    for message in messages:
        role = "user" if message.get("role") == "tool" else message.get("role", "user")
        content = _content({**message, "role": role}, style)
        if wire and wire[-1]["role"] == role:
            wire[-1]["content"] = _joined(wire[-1]["content"], content)
        elif content or role == "user":
            wire.append({"role": role, "content": content})
    return wire


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return "\n\n".join(filter(None, (first, second)))
    lists = [
        c if isinstance(c, list) else [{"type": "text", "text": c}] if c else [] for c in (first, second)
    ]
    return [*lists[0], *lists[1]]


def _message(message: MessageDict, style: ChatStyle) -> dict[str, Any]:
    role, content = message.get("role", "user"), message.get("content")
    if role == "tool":
        identity = style.call_id(message.get("tool_call_id") or "")
        return {"role": role, "tool_call_id": identity, "content": text_of(content)}
    if role != "assistant":
        return {"role": role, "content": _content(message, style)}
    wire: dict[str, Any] = {"role": role, "content": text_of(content)}
    calls = message.get("tool_calls")
    if calls:
        wire["content"] = wire["content"] or style.no_text
        wire["tool_calls"] = [_tool_call(ToolCall.from_dict(c), style) for c in calls]
    if parts := message.get("parts"):
        _give_back(wire, parts, style)
    return wire


def _content(message: MessageDict, style: ChatStyle) -> Any:
    """Text as it is; a list of parts where there are images, which stand behind the text."""
    content = message.get("content")
    content = "" if content is None else content
    if not message.get("images") or not (images := _images(message, style)):
        return content
    text = [{"type": "text", "text": content}] if isinstance(content, str) and content else content
    return [*text, *images]


def _images(message: MessageDict, style: ChatStyle) -> list[dict[str, Any]]:
    images = [Image.read(image) for image in message.get("images") or ()]
    if images and not style.images:
        without(style.origin, "images", len(images))
        return []
    return [{"type": "image_url", "image_url": {"url": image.data_url}} for image in images]


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
