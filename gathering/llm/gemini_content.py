"""The Gemini dialect, on the way out: neutral messages, tools and parameters to the body of generateContent. Pure.

A conversation is a list of contents here, each of role ``user`` or ``model`` with parts inside; what tools gave goes
back in one content right behind the calls, as many results as calls and in their order. What comes back is
``gathering.llm.gemini_answer``'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gathering.core.messages import MessageDict, ToolCall, ToolSpec, text_of

__all__ = ["build_request", "clean_schema"]

#: What the service knows of JSON Schema; anything else in a schema is refused or ignored.
_SCHEMA_KEYS = frozenset(
    (
        *("$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items"),
        *("prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties"),
        *("additionalProperties", "required", "propertyOrdering"),
    )
)
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "any": "ANY"}
_NAMES = {"max_tokens": "maxOutputTokens", "stop": "stopSequences"}
#: Fields of the request itself; every other parameter belongs into ``generationConfig``.
_TOP = frozenset(
    ("safetySettings", "cachedContent", "toolConfig", "systemInstruction", "labels", "serviceTier", "store")
)
#: Tokens to think with, for the models that count them instead of knowing levels.
_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576}
_COUNTS_THOUGHTS = re.compile(r"gemini-[12]\b")
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
    if tools:
        body["tools"] = _tools(tools)
    config: dict[str, Any] = {}
    for name, value in params.items():
        if value is not None:
            _parameter(name, value, body, config, model)
    if config:
        body["generationConfig"] = config
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
        answers = _answers(calls, ids, results)
        contents.append({"role": "user", "parts": answers})
        for orphan in results:  # _answers took the others
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
    content = message.get("content")
    if (
        message.get("role") == "tool"
    ):  # no call it belongs to is here: the service would refuse it as a result
        return [{"text": f"{message.get('name') or 'A tool'} gave: {text_of(content)}"}]
    if not isinstance(content, list):
        return [{"text": text_of(content)}]
    return [_user_part(part) for part in content] or [{"text": ""}]


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
    if data := re.fullmatch(r"data:([^;,]+);base64,(.*)", url, re.DOTALL):
        return {"inlineData": {"mimeType": data[1], "data": data[2]}}
    return {"fileData": {"fileUri": url}}


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
    if calls and not _COUNTS_THOUGHTS.match(_bare(model)):
        parts[-len(calls)]["thoughtSignature"] = _NOT_SIGNED
    return parts, [None] * len(calls)


def _said(parts: Iterable[Mapping[str, Any]]) -> str:
    return "".join(p["text"] for p in parts if isinstance(p.get("text"), str) and not p.get("thought"))


def _answers(calls: list[ToolCall], ids: list[Any], results: list[MessageDict]) -> list[dict[str, Any]]:
    """One result for each call, in the order of the calls; those used are taken out of ``results``."""
    parts = []
    for found, (call, identity) in zip(_matched(calls, results), zip(calls, ids, strict=True), strict=True):
        response = {"error": "the tool was not run"} if found is None else _response(found.get("content"))
        answer: dict[str, Any] = {"name": call.name, "response": response}
        parts.append({"functionResponse": answer if identity is None else {"id": identity, **answer}})
    return parts


def _matched(calls: list[ToolCall], results: list[MessageDict]) -> Iterator[MessageDict | None]:
    """Each call's result: by id, and for what names no call here, by name and order."""
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


def _response(content: Any) -> dict[str, Any]:
    """What a tool gave, as the object it has to be."""
    text = text_of(content)
    if text.startswith(_FAILED):
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


# -- tools and parameters ----------------------------------------------------------------------------------------


def _tools(specs: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    declared: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for spec in specs:
        inner = spec.get("function", spec)
        if "name" not in inner:  # the service's own tools, such as {"googleSearch": {}}
            others.append(dict(spec))
            continue
        function = {k: inner[k] for k in ("name", "description") if inner.get(k)}
        schema = inner.get("parameters") or {"type": "object", "properties": {}}
        declared.append({**function, "parametersJsonSchema": clean_schema(schema)})
    return [*others, *([{"functionDeclarations": declared}] if declared else [])]


def clean_schema(schema: Any) -> Any:
    """The JSON schema with nothing in it but what the service knows.

    >>> clean_schema({"$schema": "x", "type": "object", "properties": {"default": {"const": 1, "default": 1}}})
    {'type': 'object', 'properties': {'default': {'enum': [1]}}}
    """
    if not isinstance(schema, Mapping):
        return schema
    clean: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            clean["$defs" if key == "definitions" else key] = {k: clean_schema(v) for k, v in value.items()}
        elif key == "const":
            clean.setdefault("enum", [value])
        elif key == "allOf" and isinstance(value, list) and len(value) == 1:
            clean.update(clean_schema(value[0]))
        elif key == "$ref":
            clean[key] = str(value).replace("#/definitions/", "#/$defs/")
        elif key in _SCHEMA_KEYS:
            of_schemas = isinstance(value, list) and key in ("anyOf", "oneOf", "prefixItems")
            clean[key] = [clean_schema(v) for v in value] if of_schemas else clean_schema(value)
    return clean


def _parameter(name: str, value: Any, body: dict[str, Any], config: dict[str, Any], model: str) -> None:
    """Put one parameter where the service wants it."""
    key = _NAMES.get(name) or re.sub(r"_([a-z])", lambda m: m[1].upper(), name)
    if name == "tool_choice":
        if "tools" in body:
            body.setdefault("toolConfig", {}).update(_tool_choice(value))
    elif name == "parallel_tool_calls":
        pass  # the service has no such switch and refuses fields it does not know
    elif name == "response_format":
        config.update(_format(value))
    elif name == "reasoning_effort":
        config["thinkingConfig"] = {**_thinking(value, model), **config.get("thinkingConfig", {})}
    elif name == "stop":
        config[key] = [value] if isinstance(value, str) else list(value)
    elif key == "generationConfig":
        config.update(value)
    elif key in ("thinkingConfig", "toolConfig"):
        (body if key in _TOP else config).setdefault(key, {}).update(value)
    else:
        (body if key in _TOP else config)[key] = value


def _tool_choice(choice: Any) -> dict[str, Any]:
    if isinstance(choice, Mapping):
        if "functionCallingConfig" in choice:
            return dict(choice)
        function = choice.get("function", choice)
        choice = function.get("name") if isinstance(function, Mapping) else function
    if mode := _MODES.get(str(choice)):
        return {"functionCallingConfig": {"mode": mode}}
    return {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [str(choice)]}}


def _format(wanted: Any) -> dict[str, Any]:
    """The form of the answer: any JSON, or JSON of a schema."""
    if not isinstance(wanted, Mapping) or wanted.get("type") == "text":
        return {}
    if wanted.get("type") == "json_object":
        return {"responseMimeType": "application/json"}
    inner = wanted.get("json_schema", wanted)
    schema = inner.get("schema", inner) if isinstance(inner, Mapping) else inner
    return {"responseMimeType": "application/json", "responseJsonSchema": clean_schema(schema)}


def _thinking(effort: Any, model: str) -> dict[str, Any]:
    """How long to think: a number of tokens for models up to 2.5, a level for newer ones. Both at once are refused."""
    shown = {} if effort == "none" else {"includeThoughts": True}
    if not _COUNTS_THOUGHTS.match(_bare(model)):
        return {"thinkingLevel": "MINIMAL" if effort == "none" else str(effort).upper(), **shown}
    budget = _BUDGETS.get(str(effort), -1)
    if "pro" in model:  # cannot be told not to think at all
        budget = max(budget, 128) if budget >= 0 else budget
    return {"thinkingBudget": budget, **shown}


def _bare(model: str) -> str:
    return model.rpartition("/")[2]
