"""One exchange between its two forms: what a provider was asked and gave, and what is kept of it. No file, no provider.

The request is kept without what differs from run to run; events keep their batches and their times; errors keep
their type and details, so that a replayed notebook fails just as the recorded one did.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from gathering.core import errors
from gathering.core.errors import (
    AuthenticationError,
    GatheringError,
    LocalModelError,
    ProviderError,
)
from gathering.core.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.messages import Completion, Timing, ToolCall, Usage
from gathering.core.stream import Batch

__all__ = [
    "Played",
    "Request",
    "cut_of",
    "error_body",
    "is_answer",
    "load",
    "neutral_request",
    "store_answer",
    "store_batch",
]

Request: TypeAlias = dict[str, Any]
Source: TypeAlias = Literal["tape", "cache"]
#: How an exchange was cut on this side: by Stop, or by whoever read its stream and left.
Cut: TypeAlias = Literal["stop", "left"]

_DETAILS = ("status", "request_id", "retry_after", "partial")


def neutral_request(
    provider: str,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    params: Mapping[str, Any],
) -> Request:
    """What was asked, without what differs from run to run: ids of tool calls become their numbers."""
    numbers: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            _number(numbers, call.get("id"))
        _number(numbers, message.get("tool_call_id"))
    return {
        "provider": provider,
        "model": model,
        "messages": [_renumbered(dict(m), numbers) for m in messages],
        "tools": [dict(t) for t in tools or ()],
        "params": {k: v for k, v in sorted(params.items()) if v is not None},
    }


def _number(numbers: dict[str, str], identity: Any) -> None:
    if isinstance(identity, str) and identity and identity not in numbers:
        numbers[identity] = f"call-{len(numbers) + 1}"


#: Where an id of a tool call stands, in a message and in the parts some services want back.
_ID_FIELDS = frozenset({"id", "tool_call_id", "tool_use_id", "call_id"})


def _renumbered(value: Any, numbers: Mapping[str, str], field: str = "") -> Any:
    if isinstance(value, Mapping):
        return {k: _renumbered(v, numbers, str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_renumbered(v, numbers) for v in value]
    if field in _ID_FIELDS and isinstance(value, str):
        return numbers.get(value, value)
    return value


@dataclass(frozen=True, slots=True)
class Played:
    """A kept exchange, ready to be given again. ``batches`` pairs milliseconds with events, without ``Done``.

    It ends with a ``completion``, an ``error`` or a ``cut``.
    """

    batches: tuple[tuple[float, Batch], ...]
    completion: Completion | None
    error: BaseException | None
    latency_ms: float
    cut: Cut | None = None
    timing: Timing | None = None


def store_batch(batch: Batch) -> list[dict[str, Any]]:
    """The events of one batch as they are kept; ``Done`` is the answer's and left out."""
    return [stored for event in batch if (stored := _store_event(event)) is not None]


def _store_event(event: Event) -> dict[str, Any] | None:
    match event:
        case TextDelta(text):
            return {"text": text}
        case ThinkingDelta(text):
            return {"thinking": text}
        case ToolCallDelta(index, identity, name, arguments):
            return {"tool_call": [index, identity, name, arguments]}
        case UsageUpdate(usage):
            return {"usage": usage.to_dict()}
    return None


def _load_event(stored: Mapping[str, Any]) -> Event | None:
    match stored:
        case {"text": text}:
            return TextDelta(str(text))
        case {"thinking": text}:
            return ThinkingDelta(str(text))
        case {"tool_call": [index, identity, name, arguments]}:
            return ToolCallDelta(int(index), str(identity), str(name), str(arguments))
        case {"usage": usage}:
            return UsageUpdate(Usage(**usage))
    return None


def store_answer(completion: Completion) -> dict[str, Any]:
    """The completion as it is kept: only what is set."""
    stored: dict[str, Any] = {"content": completion.content}
    optional = {
        "thinking": completion.thinking,
        "refusal": completion.refusal,
        "tool_calls": [call.to_dict() for call in completion.tool_calls],
        "parts": [dict(part) for part in completion.parts],
        "constrained": completion.constrained,
        "provider": completion.provider,
        "output_mode": completion.output_mode,
        "logprobs": [dict(token) for token in completion.logprobs],
        "attempts": completion.attempts if completion.attempts != 1 else None,
    }
    stored.update({name: value for name, value in optional.items() if value})
    stored["finish_reason"] = completion.finish_reason
    stored["usage"] = completion.usage.to_dict()
    stored["model"] = completion.model
    return stored


def load(body: Mapping[str, Any], source: Source = "tape") -> Played:
    """The exchange of this body. Raises ``KeyError``, ``TypeError`` or ``ValueError`` for one that is none.

    From a tape it has the times of the recording; from a cache it takes the time that it takes.
    """
    timing = Timing(float(body["started_at"]), body.get("ttft_ms"), float(body["latency_ms"]))
    completion = None
    if "answer" in body:
        cost = body.get("cost_usd") if source == "tape" else None
        completion = _load_answer(body["answer"], timing if source == "tape" else None, source)
        completion = replace(completion, cost=cost)
    error = _load_error(body["error"]) if "error" in body else None
    batches = tuple((float(at), _load_batch(events)) for at, *events in body.get("stream") or ())
    if not batches and completion is not None:
        batches = ((timing.latency_ms, _in_one_piece(completion)),)
    return Played(batches, completion, error, timing.latency_ms, body.get("cut"), timing)


def _load_batch(stored: list[Mapping[str, Any]]) -> Batch:
    return [event for one in stored if (event := _load_event(one)) is not None]


def _in_one_piece(completion: Completion) -> Batch:
    """The events of an answer that was recorded whole."""
    events: Batch = [ThinkingDelta(completion.thinking)] if completion.thinking else []
    return [*events, TextDelta(completion.content)] if completion.content else events


def _load_answer(stored: Mapping[str, Any], timing: Timing | None, source: Source) -> Completion:
    return Completion(
        content=str(stored.get("content") or ""),
        thinking=str(stored.get("thinking") or ""),
        refusal=stored.get("refusal"),
        tool_calls=tuple(ToolCall.from_dict(call) for call in stored.get("tool_calls") or ()),
        finish_reason=stored.get("finish_reason") or "stop",
        usage=Usage(**(stored.get("usage") or {})),
        model=str(stored.get("model") or ""),
        parts=tuple(stored.get("parts") or ()),
        constrained=bool(stored.get("constrained")),
        timing=timing,
        source=source,
        attempts=int(stored.get("attempts") or 1),
        provider=str(stored.get("provider") or ""),
        output_mode=stored.get("output_mode") or "",
        logprobs=tuple(stored.get("logprobs") or ()),
    )


def is_answer(error: BaseException) -> bool:
    """Whether the failure is what the other side said, and so can be kept.

    A missing key, missing weights or a forbidden call happen here, before anything is sent.
    """
    if isinstance(error, AuthenticationError):
        return error.status is not None
    if isinstance(error, GatheringError):
        return isinstance(error, ProviderError) and not isinstance(error, LocalModelError)
    return isinstance(error, Exception)


def cut_of(error: BaseException) -> Cut | None:
    """How the failure cuts an exchange on this side, None if it does not.

    A reader that leaves a stream closes it; one that was stopped does so while the Stop is on its way out.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (KeyboardInterrupt, asyncio.CancelledError)):
            return "stop"
        seen = seen.__context__
    return "left" if isinstance(error, GeneratorExit) else None


def error_body(error: BaseException) -> dict[str, Any]:
    """The failure as it is kept: its type, its text, its details."""
    details = {name: getattr(error, name, None) for name in _DETAILS}
    named = {name: getattr(error, name, "") for name in ("provider", "model") if getattr(error, name, "")}
    return {
        "type": type(error).__name__,
        "message": str(error),
        **named,
        **{name: value for name, value in details.items() if value not in (None, "")},
    }


def _load_error(stored: Mapping[str, Any]) -> BaseException:
    name, message = str(stored["type"]), str(stored["message"])
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, ProviderError):
        details = {k: stored[k] for k in ("provider", "model", *_DETAILS) if k in stored}
        return kind(message, **details)
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, UnicodeError):
        return kind(message)
    return ProviderError(f"{name}: {message}")
