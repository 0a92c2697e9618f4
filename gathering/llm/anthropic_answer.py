"""The Anthropic Messages dialect, on the way back: the blocks of a whole answer, read. Pure; no I/O.

Owns what a message of the service means: text, thinking, calls, refusals, figures, the error in a good status, and what
must go back with the next turn. A stream puts its pieces together and is read here, too
(``gathering.llm.anthropic_stream``); what goes out is ``gathering.llm.anthropic_messages``'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gathering.core.errors import MalformedResponseError, ProviderError
from gathering.core.messages import Completion, FinishReason, ToolCall, Usage
from gathering.core.session import new_id
from gathering.llm.faults import error_in_body
from gathering.llm.figures import count_of

__all__ = [
    "cache_surcharge",
    "completion_of",
    "error_of",
    "input_of",
    "is_paused",
    "joined",
    "parse_response",
    "usage_of",
]

_FINISH: Mapping[str, FinishReason] = {
    "": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
#: What the service would have answered with, had the error come before the stream began.
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def parse_response(body: Any, model: str = "", *, origin: str = "") -> Completion:
    """The completion in a whole answer. Raises the typed error it holds, or ``MalformedResponseError``."""
    if (error := error_of(body)) is not None:
        raise error
    if not isinstance(body, Mapping) or not isinstance(body.get("content"), list):
        raise MalformedResponseError(
            f"the answer has no content ({json.dumps(body)[:200]}): check that base_url is an Anthropic Messages service"
        )
    return completion_of(body, model, origin)


def completion_of(message: Mapping[str, Any], model: str, origin: str) -> Completion:
    """The completion in a message of the service. Blocks of unknown type say nothing, but go back with the rest."""
    blocks = [b for b in message.get("content") or () if isinstance(b, Mapping)]
    blocks = [_with_id(b) if b.get("type") == "tool_use" else b for b in blocks]
    calls = tuple(_call(b) for b in blocks if b.get("type") == "tool_use")
    return Completion(
        content=_joined(blocks, "text"),
        thinking=_joined(blocks, "thinking"),
        refusal=_refusal(message),
        tool_calls=calls,
        finish_reason=_finish_reason(message.get("stop_reason"), calls),
        usage=usage_of(message.get("usage")),
        model=str(message.get("model") or model),
        parts=_parts(blocks, origin),
        raw=message,
    )


def is_paused(completion: Completion) -> bool:
    """Whether the service broke off a long turn of its own tools and wants the answer back to go on with it."""
    raw = completion.raw
    return isinstance(raw, Mapping) and raw.get("stop_reason") == "pause_turn"


def joined(before: Completion, after: Completion, origin: str) -> Completion:
    """A paused answer and what followed it, as one answer."""
    content = [*before.raw["content"], *after.raw["content"]]
    usage = _added(before.raw.get("usage"), after.raw.get("usage"))
    whole = completion_of({**after.raw, "content": content, "usage": usage}, after.model, origin)
    attempts = before.attempts + after.attempts - 1
    return replace(whole, usage=before.usage + after.usage, attempts=attempts)


def _added(one: Any, other: Any) -> Any:
    """The figures of two requests, one by one; what is no figure is the later one's."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {**one, **{k: _added(one.get(k), v) for k, v in other.items()}}
    if count_of(one) is not None and count_of(other) is not None:
        return one + other
    return one if other is None else other


def error_of(body: Any) -> ProviderError | None:
    """The typed error in a body or event that came with status 200, None if there is none. Its type says which."""
    if not isinstance(body, Mapping) or not (body.get("error") or body.get("type") == "error"):
        return None
    inner = body.get("error")
    inner = (
        dict(inner) if isinstance(inner, Mapping) else {"message": str(inner or body.get("message") or "")}
    )
    if (status := _STATUS.get(str(inner.get("type")))) is not None:
        inner.setdefault("status_code", status)
    error = error_in_body({"error": inner})
    if error is not None and isinstance(body.get("request_id"), str):
        error.request_id = body["request_id"]
    return error


def usage_of(usage: Any) -> Usage:
    """The tokens of a call; what the service did not say is None. Cached ones are read too, and so counted."""
    if not isinstance(usage, Mapping):
        return Usage()
    rounds = usage.get("iterations")
    # The figures leave out what shortening the conversation cost; it is listed beside them.
    rounds = rounds if isinstance(rounds, list) else []
    read = [usage, *(r for r in rounds if isinstance(r, Mapping) and r.get("type") == "compaction")]
    details = usage.get("output_tokens_details")
    return Usage(
        input_tokens=_sum(
            r.get(f"{kind}input_tokens") for r in read for kind in ("", "cache_creation_", "cache_read_")
        ),
        output_tokens=_sum(r.get("output_tokens") for r in read),
        cached_tokens=_sum(r.get("cache_read_input_tokens") for r in read),
        reasoning_tokens=_sum([details.get("thinking_tokens")]) if isinstance(details, Mapping) else None,
    )


def cache_surcharge(body: Any) -> float:
    """Tokens' worth of input that writing into the service's cache costs beyond reading them.

    A quarter of a token each for those kept five minutes, a whole one for those kept an hour.

    >>> cache_surcharge({"usage": {"cache_creation_input_tokens": 400}})
    100.0
    """
    usage = body.get("usage") if isinstance(body, Mapping) else None
    if not isinstance(usage, Mapping):
        return 0.0
    written = _sum([usage.get("cache_creation_input_tokens")]) or 0
    kept = usage.get("cache_creation")
    hour = _sum([kept.get("ephemeral_1h_input_tokens")]) or 0 if isinstance(kept, Mapping) else 0
    return 0.25 * max(0, written - hour) + 1.0 * hour


def _sum(figures: Iterable[Any]) -> int | None:
    known = [count for count in map(count_of, figures) if count is not None]
    return sum(known) if known else None


def _joined(blocks: Iterable[Mapping[str, Any]], kind: str) -> str:
    """The texts of all blocks of a kind: citations cut one text into many."""
    return "".join(b[kind] for b in blocks if b.get("type") == kind and isinstance(b.get(kind), str))


def _with_id(block: Mapping[str, Any]) -> Mapping[str, Any]:
    return block if block.get("id") else {**block, "id": f"call_{new_id()}"}


def _call(block: Mapping[str, Any]) -> ToolCall:
    identity, name, arguments = str(block["id"]), str(block.get("name") or ""), block.get("input")
    if isinstance(arguments, Mapping):
        return ToolCall(identity, name, dict(arguments))
    text = arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)
    return ToolCall.from_json(identity, name, text)


def _refusal(message: Mapping[str, Any]) -> str | None:
    if message.get("stop_reason") != "refusal":
        return None
    details = message.get("stop_details")
    details = details if isinstance(details, Mapping) else {}
    why = details.get("explanation") or details.get("category")
    return str(why) if why else "the model declined to answer"


def _finish_reason(reason: Any, calls: Sequence[ToolCall]) -> FinishReason:
    known: FinishReason = "stop" if reason is None else _FINISH.get(str(reason), "other")
    if known in ("length", "refusal"):
        return known
    return "tool_calls" if calls else "other" if known == "tool_calls" else known


def input_of(call: ToolCall) -> dict[str, Any]:
    """The arguments as the object they must be; what the model wrote wrongly stands inside of it."""
    return call.arguments if call.malformed is None else {"malformed": call.malformed}


def _parts(blocks: Sequence[Mapping[str, Any]], origin: str) -> tuple[Mapping[str, Any], ...]:
    """The blocks, if text and calls alone do not say all that must go back: thinking, signatures, server tools."""
    if all(_is_plain(block) for block in blocks):
        return ()
    value = [{**b, "input": input_of(_call(b))} if b.get("type") == "tool_use" else dict(b) for b in blocks]
    return ({"type": "content", "value": value, "origin": origin},)


def _is_plain(block: Mapping[str, Any]) -> bool:
    caller = block.get("caller")
    direct = caller is None or (isinstance(caller, Mapping) and caller.get("type") == "direct")
    return block.get("type") in ("text", "tool_use") and not block.get("citations") and direct
