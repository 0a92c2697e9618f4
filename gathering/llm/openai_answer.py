"""The chat-completions dialect, answers: wire JSON to neutral values. Pure; no I/O.

Read as leniently as the servers differ. Streams are read by ``gathering.llm.openai_stream`` with the helpers of this
file; requests are ``gathering.llm.openai_chat``'s, what a refusal in an HTTP status means ``gathering.llm.faults``'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gathering.core.errors import MalformedResponseError
from gathering.core.messages import Completion, FinishReason, ToolCall, Usage
from gathering.core.session import new_id
from gathering.llm.faults import error_in_body
from gathering.llm.figures import count_of
from gathering.llm.openai_chat import ChatStyle
from gathering.llm.thoughts import split_thoughts

__all__ = [
    "finish_reason_of",
    "logprobs_of",
    "message_in",
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
_FILE = re.compile(r"^(?:/|[A-Za-z]:\\).*[/\\]")


def parse_response(
    body: Any,
    model: str = "",
    *,
    style: ChatStyle = ChatStyle(),  # noqa: B008 - frozen
) -> Completion:
    """The completion in a whole answer. Raises the typed error it holds, or ``MalformedResponseError``."""
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        if isinstance(body, dict | list) and (error := error_in_body(body)) is not None:
            raise error
        raise MalformedResponseError(
            f"the answer has no choices ({json.dumps(body)[:200]}): check that base_url is a chat-completions service"
        )
    choices = [c for c in body["choices"] if isinstance(c, dict)]
    choice = choices[0] if choices else {}
    if (error := error_in_body(body) or error_in_body(choice)) is not None:
        raise error
    message = message_in(choice, "message")
    text, thinking = split_content(message.get("content"))
    thinking = thinking or thinking_in(message)
    if style.think_tags:
        thought, text = split_thoughts(text)
        thinking += thought
    calls, extras = _calls(message.get("tool_calls") or _old_call(message))
    refusal = str(message["refusal"]) if message.get("refusal") else None
    return Completion(
        content=text,
        thinking=thinking,
        refusal=refusal,
        tool_calls=calls,
        finish_reason=finish_reason_of(choice.get("finish_reason"), calls, refusal)
        if choices
        else _no_choice(body),
        usage=usage_of(body.get("usage")),
        model=model_name(body.get("model"), model),
        parts=parts_of(message, bool(calls), extras, style, body),
        raw=body,
        logprobs=logprobs_of(choice.get("logprobs")),
    )


def message_in(choice: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What a choice says; servers that only know the completions from before chat say it as one text."""
    message = choice.get(name) or choice.get("message")
    if isinstance(message, dict):
        return message
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}


def split_content(content: Any) -> tuple[str, str]:
    """Text and thinking of a message's content: a string, a list of parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or "", ""
    text: list[str] = []
    thinking: list[str] = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, dict) and part.get("type") == "thinking":
            inner = part.get("thinking")
            thinking.append(inner if isinstance(inner, str) else split_content(inner)[0])
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            text.append(part["text"])
    return "".join(text), "".join(thinking)


def thinking_in(message: Mapping[str, Any]) -> str:
    """The reasoning text beside the content. Where both of its names are present they hold the same text."""
    found = message.get("reasoning_content") or message.get("reasoning")
    return found if isinstance(found, str) else ""


def logprobs_of(said: Any) -> tuple[Mapping[str, Any], ...]:
    """The tokens of the answer with their probabilities, as ``Completion.logprobs`` has them."""
    entries = said.get("content") if isinstance(said, dict) else said
    return tuple(
        {**_logprob(entry), "top": [_logprob(top) for top in _mappings(entry.get("top_logprobs"))]}
        for entry in _mappings(entries)
    )


def _logprob(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": entry.get("token"), "logprob": entry.get("logprob")}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def usage_of(usage: Any) -> Usage:
    """The tokens of a call; what the server did not say is None."""
    if not isinstance(usage, dict):
        return Usage()
    cached = count_of(_detail(usage, "prompt_tokens_details", "cached_tokens"))
    return Usage(
        input_tokens=count_of(usage.get("prompt_tokens")),
        output_tokens=count_of(usage.get("completion_tokens")),
        cached_tokens=count_of(usage.get("prompt_cache_hit_tokens")) if cached is None else cached,
        reasoning_tokens=count_of(_detail(usage, "completion_tokens_details", "reasoning_tokens")),
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
    message: Mapping[str, Any],
    has_calls: bool,
    extras: Mapping[str, Any],
    style: ChatStyle,
    body: Mapping[str, Any],
) -> tuple[Mapping[str, Any], ...]:
    """What must go back with this message in the next request, or stays with it, marked with the server it belongs to."""
    found: list[tuple[str, Any]] = []
    if isinstance(message.get("content"), list):
        found.append(("content", message["content"]))
    if message.get("reasoning_details"):
        found.append(("reasoning_details", message["reasoning_details"]))
    if has_calls and message.get("reasoning_content"):
        # In plain conversation it is dropped: some models refuse it there and demand it here.
        found.append(("reasoning_content", message["reasoning_content"]))
    found += [(note, body[note]) for note in style.notes if body.get(note)]
    origin = style.origin
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
        if not isinstance(item, dict):
            continue
        identity = item.get("id")
        given = isinstance(identity, str | int) and identity not in ("", "null")
        function = item.get("function", item)
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str | dict):
            arguments = json.dumps(arguments)
        known = {
            "id": identity if given else new_call_id(),
            "name": str(function.get("name") or ""),
            "arguments": arguments,
        }
        call = ToolCall.from_dict(known)
        calls.append(call)
        if item.get("extra_content"):
            extras[call.id] = item["extra_content"]
    return tuple(calls), extras


def _old_call(message: Mapping[str, Any]) -> list[Any]:
    """``function_call``, as it was before tools."""
    old = message.get("function_call")
    return [{"function": old}] if isinstance(old, dict) and old.get("name") else []


def _no_choice(body: Mapping[str, Any]) -> FinishReason:
    return "content_filter" if body.get("prompt_filter_results") else "other"


def _detail(usage: Mapping[str, Any], group: str, name: str) -> Any:
    details = usage.get(group)
    return details.get(name) if isinstance(details, dict) else None
