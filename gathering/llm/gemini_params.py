"""The Gemini dialect, options: tools, schemas and neutral parameters to the fields of a request. Pure; no I/O.

Owns what a model is asked beside its messages: how long it may think, what it may call, in which form it answers.
Messages are ``gathering.llm.gemini_content``'s.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from gathering.core.messages import ToolSpec

__all__ = ["clean_schema", "counts_thoughts", "put_options", "takes_output_with_tools"]

#: What the service knows of JSON Schema; anything else in a schema is refused or ignored.
_SCHEMA_KEYS = frozenset(
    (
        *("$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items"),
        *("prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties"),
        *("additionalProperties", "required", "propertyOrdering"),
    )
)
#: Nothing is lost without these: they only say something about a schema.
_REMARKS = frozenset(("$schema", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"))
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "any": "ANY"}
_NAMES = {"max_tokens": "maxOutputTokens", "stop": "stopSequences"}
#: Fields of the request itself; every other parameter belongs into ``generationConfig``.
_TOP = frozenset(
    ("safetySettings", "cachedContent", "toolConfig", "systemInstruction", "labels", "serviceTier", "store")
)
#: The service has no switch for these, does them by itself, and refuses fields it does not know.
_BY_ITSELF = ("parallel_tool_calls", "prompt_cache")
#: Tokens to think with, for the models that count them instead of knowing levels.
_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576}
_LEVELS = {"none": "MINIMAL", "max": "XHIGH"}
_COUNTS_THOUGHTS = re.compile(r"gemini-[12]\b")
_CANNOT_THINK = re.compile(r"gemini-(1\b|2\.0\b)")
_CANNOT_OUTPUT_AND_CALL = re.compile(r"gemini-[12]\b")


def put_options(
    body: dict[str, Any], model: str, tools: Sequence[ToolSpec] | None, params: Mapping[str, Any]
) -> None:
    """Put tools and parameters into the body. What of their schemas the service does not know is named in one warning."""
    lost: set[str] = set()
    if tools:
        body["tools"] = _tools(tools, lost)
    config: dict[str, Any] = {}
    for name, value in params.items():
        if value is not None and name not in _BY_ITSELF:
            _parameter(name, value, body, config, model, lost)
    if config:
        body["generationConfig"] = config
    if lost:
        message = f"gemini does not take {', '.join(sorted(lost))} in a schema: it was sent without, check the answers"
        warnings.warn(message, UserWarning, stacklevel=2)


def counts_thoughts(model: str) -> bool:
    """Whether the model is told a number of tokens to think with, not a level: all up to 2.5."""
    return _COUNTS_THOUGHTS.match(_bare(model)) is not None


def takes_output_with_tools(model: str) -> bool:
    """Whether the model keeps to a schema while it has tools: all from 3 on."""
    return _CANNOT_OUTPUT_AND_CALL.match(_bare(model)) is None


def _tools(specs: Sequence[ToolSpec], lost: set[str]) -> list[dict[str, Any]]:
    declared: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for spec in specs:
        inner = spec.get("function", spec)
        if "name" not in inner:  # the service's own tools, such as {"googleSearch": {}}
            others.append(dict(spec))
            continue
        function = {k: inner[k] for k in ("name", "description") if inner.get(k)}
        schema = inner.get("parameters") or {"type": "object", "properties": {}}
        declared.append({**function, "parametersJsonSchema": clean_schema(schema, lost)})
    return [*others, *([{"functionDeclarations": declared}] if declared else [])]


def clean_schema(schema: Any, lost: set[str] | None = None) -> Any:
    """The JSON schema with nothing in it but what the service knows. Rules that had to go are named in ``lost``.

    >>> lost = set()
    >>> clean_schema({"$schema": "x", "properties": {"default": {"const": 1, "pattern": "a"}}}, lost), lost
    ({'properties': {'default': {'enum': [1]}}}, {'pattern'})
    """
    if not isinstance(schema, Mapping):
        return schema
    lost = set() if lost is None else lost
    clean: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            named = {k: clean_schema(v, lost) for k, v in value.items()}
            clean["$defs" if key == "definitions" else key] = named
        elif key == "$ref":
            clean[key] = str(value).replace("#/definitions/", "#/$defs/")
        elif key in _SCHEMA_KEYS:
            of_schemas = isinstance(value, list) and key in ("anyOf", "oneOf", "prefixItems")
            clean[key] = [clean_schema(v, lost) for v in value] if of_schemas else clean_schema(value, lost)
        elif key not in _REMARKS and not _said_otherwise(clean, schema, key, lost):
            lost.add(key)
    return clean


def _said_otherwise(clean: dict[str, Any], schema: Mapping[str, Any], key: str, lost: set[str]) -> bool:
    """Say a rule in other words that the service knows; False if there are none."""
    value = schema[key]
    if key == "const":
        clean.setdefault("enum", [value])
    elif key == "allOf" and isinstance(value, list) and len(value) == 1:
        clean.update(clean_schema(value[0], lost) if isinstance(value[0], Mapping) else {})
    elif key in ("exclusiveMinimum", "exclusiveMaximum") and schema.get("type") == "integer":
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        upper = key == "exclusiveMaximum"
        clean.setdefault("maximum" if upper else "minimum", value - 1 if upper else value + 1)
    else:
        return False
    return True


def _parameter(
    name: str, value: Any, body: dict[str, Any], config: dict[str, Any], model: str, lost: set[str]
) -> None:
    """Put one parameter where the service wants it."""
    key = _NAMES.get(name) or re.sub(r"_([a-z])", lambda m: m[1].upper(), name)
    if name == "tool_choice":
        if "tools" in body:
            body.setdefault("toolConfig", {}).update(_tool_choice(value))
    elif name == "response_format":
        config.update(_format(value, lost))
    elif name == "output":
        _structured(body, config, model, value, lost)
    elif name == "reasoning_effort":
        if thinking := _thinking(value, model):
            config["thinkingConfig"] = {**thinking, **config.get("thinkingConfig", {})}
    elif name == "logprobs":
        config.update(_logprobs(value))
    elif name == "stop":
        config[key] = [value] if isinstance(value, str) else list(value)
    elif key == "generationConfig":
        config.update(value)
    else:
        _own(body if key in _TOP else config, key, value)


def _own(place: dict[str, Any], key: str, value: Any) -> None:
    """A parameter of the service's own; settings that other words speak of, too, are added to."""
    if key in ("thinkingConfig", "toolConfig"):
        place.setdefault(key, {}).update(value)
    else:
        place[key] = value


def _tool_choice(choice: Any) -> dict[str, Any]:
    if isinstance(choice, Mapping):
        if "functionCallingConfig" in choice:
            return dict(choice)
        function = choice.get("function", choice)
        choice = function.get("name") if isinstance(function, Mapping) else function
    if mode := _MODES.get(str(choice)):
        return {"functionCallingConfig": {"mode": mode}}
    return {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [str(choice)]}}


def _logprobs(asked: Any) -> dict[str, Any]:
    """How likely each token was; beside it as many others as a number asks for."""
    if asked is False:
        return {}
    return {"responseLogprobs": True, **({} if asked is True else {"logprobs": int(asked)})}


def _format(wanted: Any, lost: set[str]) -> dict[str, Any]:
    """The form of the answer: any JSON, or JSON of a schema."""
    if not isinstance(wanted, Mapping) or wanted.get("type") == "text":
        return {}
    if wanted.get("type") == "json_object":
        return {"responseMimeType": "application/json"}
    inner = wanted.get("json_schema", wanted)
    schema = inner.get("schema", inner) if isinstance(inner, Mapping) else inner
    return _json_of(schema, lost)


def _json_of(schema: Any, lost: set[str]) -> dict[str, Any]:
    return {"responseMimeType": "application/json", "responseJsonSchema": clean_schema(schema, lost)}


def _structured(
    body: dict[str, Any], config: dict[str, Any], model: str, wanted: Mapping[str, Any], lost: set[str]
) -> None:
    """Have the answer keep to the schema; a model that cannot do so beside tools is asked to in words."""
    if "tools" not in body or takes_output_with_tools(model):
        config.update(_json_of(wanted["schema"], lost))
        return
    schema = json.dumps(wanted["schema"], ensure_ascii=False)
    said = f"Your final answer must be JSON of this schema and nothing else, without a code fence: {schema}"
    body.setdefault("systemInstruction", {"parts": []})["parts"].append({"text": said})


def _thinking(effort: Any, model: str) -> dict[str, Any]:
    """How long to think: a number of tokens for models up to 2.5, a level for newer ones. Both at once are refused."""
    bare = _bare(model)
    shown = {} if effort == "none" else {"includeThoughts": True}
    if _CANNOT_THINK.match(bare):
        if effort != "none":
            message = f"{bare} cannot think: the request was sent without reasoning_effort={effort!r}"
            warnings.warn(message, UserWarning, stacklevel=2)
        return {}
    if not counts_thoughts(model):
        level = _LEVELS.get(str(effort), str(effort).upper())
        # The larger models always think.
        return {"thinkingLevel": "LOW" if level == "MINIMAL" and "pro" in bare else level, **shown}
    budget = _BUDGETS.get(str(effort), -1)
    if "pro" in bare:  # cannot be told not to think at all
        budget = max(budget, 128) if budget >= 0 else budget
    return {"thinkingBudget": budget, **shown}


def _bare(model: str) -> str:
    return model.rpartition("/")[2]
