"""The Anthropic Messages dialect, whole messages: neutral values to wire JSON and back. Pure; no I/O.

Owns the order the service demands (user first, every tool call answered in the next message, thinking unchanged and
in place) and the reading of its blocks. Options are ``gathering.llm.anthropic_params``'s, streams
``gathering.llm.anthropic_stream``'s, which puts the pieces together and reads them here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gathering.core.errors import MalformedResponseError, ProviderError
from gathering.core.messages import Completion, FinishReason, MessageDict, ToolCall, ToolSpec, Usage, text_of
from gathering.core.session import new_id
from gathering.llm.anthropic_params import MOST_UNSTREAMED, request_fields, tool_fields
from gathering.llm.faults import error_in_body

__all__ = ["build_request", "completion_of", "error_of", "parse_response", "usage_of"]

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
#: Said in place of nothing: the service refuses empty texts, and conversations that a user does not begin.
NOTHING, OPENING = "(empty message)", "(the conversation begins)"
UNANSWERED = "Error: the call was not run, there is no result"


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
    """The body of a request, as a dict ready for JSON. ``origin`` is whose thinking may go back."""
    body: dict[str, Any] = {"model": model, "messages": _Turns(origin).of(messages)}
    if system := _system(messages):
        body["system"] = system
    if tools:
        body["tools"] = tool_fields(tools)
    body.update(request_fields(model, params, has_tools=bool(tools)))
    if stream or body["max_tokens"] > MOST_UNSTREAMED:
        body["stream"] = True
    return body


def _system(messages: Iterable[MessageDict]) -> str | list[Any]:
    """What all system messages say: text, or blocks where one of them has blocks (cached ones, say)."""
    said = [m.get("content") for m in messages if m.get("role") in ("system", "developer")]
    if any(isinstance(content, list) for content in said):
        return [block for content in said for block in _blocks(content)]
    return "\n\n".join(text for text in map(text_of, said) if text.strip())


class _Turns:
    """Messages as the service wants them: turns that alternate, each call answered first thing in the next one."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._turns: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        self._open: list[
            tuple[str, str]
        ] = []  # calls of the last assistant turn, by their id here and on the wire
        self._results: dict[str, dict[str, Any]] = {}
        self._said: list[Any] = []  # what the user says after the results

    def of(self, messages: Iterable[MessageDict]) -> list[dict[str, Any]]:
        """The turns of these messages."""
        for message in messages:
            role = message.get("role", "user")
            if role == "assistant":
                self._end_user_turn()
                self._assistant(message)
            elif role == "tool":
                self._tool_result(message)
            elif role not in ("system", "developer"):
                self._said += _blocks(message.get("content")) or [{"type": "text", "text": NOTHING}]
        self._end_user_turn()
        if not self._turns or self._turns[0]["role"] != "user":
            self._turns.insert(0, {"role": "user", "content": [{"type": "text", "text": OPENING}]})
        _without_last_space(self._turns[-1])
        return self._turns

    def _assistant(self, message: MessageDict) -> None:
        calls = [ToolCall.from_dict(c) for c in message.get("tool_calls") or ()]
        self._open = [(call.id, self._wire_id(call.id)) for call in calls]
        blocks = self._given_back(message, calls)
        if blocks is None:
            blocks = _text_blocks(text_of(message.get("content")))
            blocks += [
                {"type": "tool_use", "id": wire, "name": call.name, "input": _input(call)}
                for call, (_, wire) in zip(calls, self._open, strict=True)
            ]
        self._add("assistant", blocks)

    def _given_back(self, message: MessageDict, calls: Sequence[ToolCall]) -> list[Any] | None:
        """The blocks as this service sent them, if it did and they still say what the message says."""
        for part in message.get("parts") or ():
            value = part.get("value")
            if part.get("origin") != self._origin or part.get("type") != "content":
                continue
            blocks = [b for b in value if isinstance(b, Mapping)] if isinstance(value, list) else []
            ids = [b.get("id") for b in blocks if b.get("type") == "tool_use"]
            if _joined(blocks, "text") == text_of(message.get("content")) and ids == [c.id for c in calls]:
                wire = iter([wire for _, wire in self._open])
                blocks = [{**b, "id": next(wire)} if b.get("type") == "tool_use" else b for b in blocks]
                return [b for b in blocks if not _is_empty_text(b)]
        return None

    def _tool_result(self, message: MessageDict) -> None:
        identity = str(message.get("tool_call_id") or "")
        text = text_of(message.get("content"))
        wire = next((w for i, w in self._open if i == identity and w not in self._results), None)
        if wire is None:  # its call is no longer part of the conversation: told, but not as a result
            self._said += _text_blocks(f"Result of the tool {message.get('name') or identity}: {text}")
            return
        content = message.get("content")
        # Failed results are told this way; nothing else in a message says that the tool failed.
        self._results[wire] = _result(
            wire, _blocks(content) if isinstance(content, list) else text, text.startswith("Error: ")
        )

    def _end_user_turn(self) -> None:
        results = [self._results.get(w) or _result(w, UNANSWERED, True) for _, w in self._open]
        self._add("user", [*results, *self._said])
        self._open, self._results, self._said = [], {}, []

    def _add(self, role: str, blocks: list[Any]) -> None:
        if blocks and self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["content"] += blocks
        elif blocks:
            self._turns.append({"role": role, "content": blocks})

    def _wire_id(self, identity: str) -> str:
        """The id in the letters the service takes, and no other call's."""
        wanted = wire = re.sub(r"[^a-zA-Z0-9_-]", "_", identity) or "call"
        number = 1
        while wire in self._ids:
            number += 1
            wire = f"{wanted}_{number}"
        self._ids.add(wire)
        return wire


def _result(wire: str, content: Any, failed: bool) -> dict[str, Any]:
    result = {"type": "tool_result", "tool_use_id": wire, "content": content}
    return {**result, "is_error": True} if failed else result


def _input(call: ToolCall) -> dict[str, Any]:
    return call.arguments if call.malformed is None else {"malformed": call.malformed}


def _text_blocks(text: str) -> list[Any]:
    return [{"type": "text", "text": text}] if text.strip() else []


def _blocks(content: Any) -> list[Any]:
    """Content of any form as blocks, none of them an empty text."""
    if not isinstance(content, list):
        return _text_blocks(text_of(content))
    blocks = [_block(part) for part in content]
    return [b for b in blocks if not _is_empty_text(b)]


def _block(part: Any) -> Any:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping) or part.get("type") != "image_url":
        return part
    image = part.get("image_url")
    url = str(image.get("url") if isinstance(image, Mapping) else image)
    data = re.match(r"data:([^;,]+);base64,", url)
    if data is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    source = {"type": "base64", "media_type": data[1], "data": url[data.end() :]}
    return {"type": "image", "source": source}


def _is_empty_text(block: Any) -> bool:
    return (
        isinstance(block, Mapping) and block.get("type") == "text" and not str(block.get("text", "")).strip()
    )


def _without_last_space(turn: dict[str, Any]) -> None:
    """An answer that is to be continued must not end in white space."""
    last = turn["content"][-1]
    if turn["role"] == "assistant" and last.get("type") == "text":
        turn["content"][-1] = {**last, "text": last["text"].rstrip()}


# -- in: wire -> neutral ---------------------------------------------------------------------------------------


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


def _sum(figures: Iterable[Any]) -> int | None:
    known = [int(f) for f in figures if isinstance(f, int | float) and not isinstance(f, bool)]
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


def _parts(blocks: Sequence[Mapping[str, Any]], origin: str) -> tuple[Mapping[str, Any], ...]:
    """The blocks, if text and calls alone do not say all that must go back: thinking, signatures, server tools."""
    if all(_is_plain(block) for block in blocks):
        return ()
    value = [{**b, "input": _input(_call(b))} if b.get("type") == "tool_use" else dict(b) for b in blocks]
    return ({"type": "content", "value": value, "origin": origin},)


def _is_plain(block: Mapping[str, Any]) -> bool:
    caller = block.get("caller")
    direct = caller is None or (isinstance(caller, Mapping) and caller.get("type") == "direct")
    return block.get("type") in ("text", "tool_use") and not block.get("citations") and direct
