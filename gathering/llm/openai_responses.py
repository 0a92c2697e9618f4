"""The Responses dialect, requests: neutral values to wire JSON. Pure; no I/O.

OpenAI's second format, which several other servers have too, without its memory: the whole history is sent each
time, nothing is stored, and what the model thought comes back encrypted and goes back the same way. Answers are read
by ``gathering.llm.openai_responses_answer``, streams by ``gathering.llm.openai_responses_stream``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gathering.core.images import Image
from gathering.core.messages import MessageDict, ToolCall, ToolSpec, text_of
from gathering.llm.openai_chat import answer_format, log_choices, without
from gathering.llm.openai_responses_answer import item_text

__all__ = ["build_request"]

_REASONING = "reasoning.encrypted_content"
#: OpenAI's models that do not think refuse to be asked for their thoughts.
_THOUGHTLESS = re.compile(r"(?:ft:)?(?:gpt-[34]|chatgpt-)")
_LONGEST_ID = 64
_NOT_RUN = "error: this call was not carried out"
_TOOL_CHOICES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
#: Neutral words this format has nothing for.
_MISSING = ("stop", "seed", "top_k", "frequency_penalty", "presence_penalty")
_LOGPROBS = "message.output_text.logprobs"
_TOOL_FIELDS = ("name", "description", "parameters", "strict")


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
            _set(body, name, value, origin)
    if stream:
        body["stream"] = True
    return body


def _set(body: dict[str, Any], name: str, value: Any, origin: str) -> None:
    """One parameter, under the name and in the form this dialect has for it."""
    if name in _MISSING:
        without(origin, name, value)
        return
    for field, said in _FORMS[name](value).items() if name in _FORMS else ((name, value),):
        if field in ("reasoning", "text") and isinstance(said, Mapping):
            body[field] = {**body.get(field, {}), **said}
        elif field == "include" and isinstance(said, list | tuple):
            body[field] = list(dict.fromkeys((*body.get(field, ()), *said)))
        else:
            body[field] = said


def _probabilities(value: Any) -> dict[str, Any]:
    wanted, top = log_choices(value)
    return {**({"include": [_LOGPROBS]} if wanted else {}), **({"top_logprobs": top} if top else {})}


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


#: The fields a neutral parameter becomes.
_FORMS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "max_tokens": lambda value: {"max_output_tokens": value},
    "max_completion_tokens": lambda value: {"max_output_tokens": value},
    "reasoning_effort": lambda value: {"reasoning": {"effort": value}},
    "verbosity": lambda value: {"text": {"verbosity": value}},
    "response_format": lambda value: {"text": {"format": _format(value)}},
    "output": lambda value: {
        "text": {"format": {"type": "json_schema", **answer_format(value, strict=True)}}
    },
    "logprobs": _probabilities,
    "tool_choice": lambda value: {"tool_choice": _tool_choice(value)},
    "prompt_cache": lambda value: {},  # these services remember a prompt's beginning by themselves
}


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
            items.append(_result(str(message.get("tool_call_id") or ""), _shown(message)))
        else:
            items.append({"role": role, "content": _content(_shown(message))})
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
    # The type may be left out as far as the API's own description goes; llama.cpp's server refuses it so.
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    said: list[dict[str, Any]] = [message] if text else []
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


def _shown(message: MessageDict) -> Any:
    """The content with its images behind the text, as parts of chat completions."""
    content, images = message.get("content"), message.get("images")
    if not images:
        return content
    text = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
    return [*text, *({"type": "image_url", "image_url": Image.read(image).data_url} for image in images)]


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
