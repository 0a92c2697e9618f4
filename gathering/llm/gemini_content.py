"""The Gemini dialect, on the way out: neutral messages to the body of generateContent. Pure; no I/O.

A conversation is a list of contents here, each of role ``user`` or ``model`` with parts inside; what tools gave goes
back in one content right behind the calls, as many results as calls and in their order. Tools and options are
``gathering.llm.gemini_params``'s; what comes back is ``gathering.llm.gemini_answer``'s.
"""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gathering.core.images import Image
from gathering.core.messages import MessageDict, ToolCall, ToolSpec, text_of
from gathering.llm.gemini_params import counts_thoughts, put_options

__all__ = ["build_request"]

#: In place of a signature on calls no Gemini model made: models from 3 on refuse calls without any.
_NOT_SIGNED = "skip_thought_signature_validator"
_FAILED = "Error: "


def build_request(
    model: str,
    messages: Sequence[MessageDict],
    tools: Sequence[ToolSpec] | None,
    params: Mapping[str, Any],
    *,
    origin: str = "gemini",
) -> dict[str, Any]:
    """The body of a request, as a dict ready for JSON. The model is in it only as far as models differ."""
    body: dict[str, Any] = {"contents": _contents(messages, model, origin)}
    system = [text for m in messages if m.get("role") == "system" and (text := text_of(m.get("content")))]
    if system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    put_options(body, model, tools, params)
    return body


# -- messages ----------------------------------------------------------------------------------------------------


def _contents(messages: Sequence[MessageDict], model: str, origin: str) -> list[dict[str, Any]]:
    contents: list[dict[str, Any]] = []
    rest = [m for m in messages if m.get("role") != "system"]
    at = 0
    while at < len(rest):
        message, at = rest[at], at + 1
        if message.get("role") != "assistant":
            _append(contents, "user", _user_parts(message))
            continue
        calls = [ToolCall.from_dict(c) for c in message.get("tool_calls") or ()]
        parts, ids = _model_parts(message, calls, model, origin)
        _append(contents, "model", parts)
        if not calls:
            continue
        results: list[MessageDict] = []
        while at < len(rest) and rest[at].get("role") == "tool":
            results.append(rest[at])
            at += 1
        found = list(_matched(calls, results))
        contents.append({"role": "user", "parts": _answers(calls, ids, found)})
        for drawn in filter(None, found):  # a result holds JSON only
            _append(contents, "user", _images(drawn))
        for orphan in results:  # _matched took the others
            _append(contents, "user", _user_parts(orphan))
    return contents


def _append(contents: list[dict[str, Any]], role: str, parts: list[dict[str, Any]]) -> None:
    """Add parts, to the last content where it is of the same role: calls must follow a user's turn at once."""
    last = contents[-1] if contents else None
    if last is not None and last["role"] == role and not any("functionResponse" in p for p in last["parts"]):
        last["parts"].extend(parts)
    elif parts:
        contents.append({"role": role, "parts": parts})


def _user_parts(message: MessageDict) -> list[dict[str, Any]]:
    content, images = message.get("content"), _images(message)
    if message.get("role") == "tool":
        # No call it belongs to is here: the service would refuse it as a result.
        return [{"text": f"{message.get('name') or 'A tool'} gave: {text_of(content)}"}, *images]
    if isinstance(content, list):
        return [*images, *map(_user_part, content)] or [{"text": ""}]
    text = text_of(content)
    return images if images and not text else [*images, {"text": text}]


def _user_part(part: Any) -> dict[str, Any]:
    """A part of a user's message: text, an image by data or address, or the service's own form as it is."""
    if not isinstance(part, Mapping):
        return {"text": str(part)}
    kind, image = part.get("type"), part.get("image_url")
    if kind == "text":
        return {"text": str(part.get("text", ""))}
    if kind != "image_url":
        return dict(part)
    url = str(image.get("url", "") if isinstance(image, Mapping) else image)
    data = re.fullmatch(r"data:([^;,]+);base64,(.*)", url, re.DOTALL)
    return _image(Image(data[1], data[2]) if data else Image(url=url))


def _images(message: MessageDict) -> list[dict[str, Any]]:
    return [_image(Image.read(image)) for image in message.get("images") or ()]


def _image(image: Image) -> dict[str, Any]:
    if not image.url:
        return {"inlineData": {"mimeType": image.media_type, "data": image.data}}
    kind = mimetypes.guess_type(image.url.partition("?")[0])[0]
    return {"fileData": {"fileUri": image.url, **({"mimeType": kind} if kind else {})}}


def _model_parts(
    message: MessageDict, calls: list[ToolCall], model: str, origin: str
) -> tuple[list[dict[str, Any]], list[Any]]:
    """The parts of an assistant's message, and the id the service gave each of its calls, None where it gave none."""
    text = text_of(message.get("content"))
    for kept in message.get("parts") or ():
        if kept.get("origin") == origin and kept.get("type") == "content":
            parts = list(kept["value"])
            made = [p["functionCall"] for p in parts if isinstance(p.get("functionCall"), Mapping)]
            if _said(parts) == text and [c.get("name", "") for c in made] == [c.name for c in calls]:
                return parts, [c.get("id") or None for c in made]
    parts = [{"text": text}] if text else []
    for call in calls:
        # What the model wrote wrongly goes back inside JSON that is right.
        args = call.arguments if call.malformed is None else {"malformed": call.malformed}
        parts.append({"functionCall": {"name": call.name, "args": args}})
    if calls and not counts_thoughts(model):
        parts[-len(calls)]["thoughtSignature"] = _NOT_SIGNED
    return parts, [None] * len(calls)


def _said(parts: Iterable[Mapping[str, Any]]) -> str:
    return "".join(p["text"] for p in parts if isinstance(p.get("text"), str) and not p.get("thought"))


def _answers(
    calls: list[ToolCall], ids: list[Any], results: Sequence[MessageDict | None]
) -> list[dict[str, Any]]:
    """One result for each call, in the order of the calls."""
    parts = []
    for found, call, identity in zip(results, calls, ids, strict=True):
        response = {"error": "the tool was not run"} if found is None else _response(found)
        answer: dict[str, Any] = {"name": call.name, "response": response}
        parts.append({"functionResponse": answer if identity is None else {"id": identity, **answer}})
    return parts


def _matched(calls: list[ToolCall], results: list[MessageDict]) -> Iterator[MessageDict | None]:
    """Each call's result, taken out of ``results``: by id, and for what names no call here, by name and order."""
    known = {call.id for call in calls}
    named = {str(r.get("tool_call_id")): r for r in reversed(results) if r.get("tool_call_id") in known}
    loose = [r for r in results if r.get("tool_call_id") not in known]
    for call in calls:
        found = named.pop(call.id, None)
        if found is None:
            found = next((r for r in loose if r.get("name") in (None, call.name)), None)
            loose = [r for r in loose if r is not found]
        results[:] = [r for r in results if r is not found]
        yield found


def _response(message: MessageDict) -> dict[str, Any]:
    """What a tool gave, as the object it has to be."""
    text = text_of(message.get("content"))
    if message.get("is_error"):
        return {"error": text.removeprefix(_FAILED)}
    try:
        value = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return {"result": text}
    if isinstance(value, dict):
        return value
    return {"result": value if isinstance(value, list) else text}


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
