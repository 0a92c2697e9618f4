"""The Responses dialect, answers: wire JSON to neutral values. Pure; no I/O.

Owns what the items of an answer say, whole or put together by ``gathering.llm.openai_responses_stream``, and which
error an answer of a good status holds. Requests are ``gathering.llm.openai_responses``'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gathering.core.errors import MalformedResponseError, ProviderError
from gathering.core.messages import Completion, FinishReason, ToolCall, Usage
from gathering.llm.faults import error_in_body
from gathering.llm.figures import count_of
from gathering.llm.openai_answer import logprobs_of, model_name, new_call_id

__all__ = ["completion_of", "failure_of", "item_text", "parse_response", "thoughts_in", "usage_of"]

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
        logprobs=tuple(found for item in items for found in _logprobs(item)),
    )


def _logprobs(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    parts = _mappings(item.get("content")) if item.get("type") == "message" else []
    return [found for part in parts for found in logprobs_of(part.get("logprobs"))]


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
        input_tokens=count_of(usage.get("input_tokens")),
        output_tokens=count_of(usage.get("output_tokens")),
        cached_tokens=_detail(usage, "input_tokens_details", "cached_tokens"),
        reasoning_tokens=_detail(usage, "output_tokens_details", "reasoning_tokens"),
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


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int | None:
    details = usage.get(group)
    return count_of(details.get(name)) if isinstance(details, Mapping) else None
