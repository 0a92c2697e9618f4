"""JSON schemas in the strict form: what a service needs to hold a model to a schema without exceptions.

Owns the one change of form OpenAI's strict mode asks for. A schema that cannot take the form without meaning something
else is left as it is. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["strict_schema"]

#: What a strict service refuses, and where schemas stand inside of schemas.
_REFUSED = frozenset(
    ("allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
     "prefixItems", "propertyNames", "unevaluatedProperties", "contains")
)  # fmt: skip
_MAPS, _LISTS, _SINGLES = ("properties", "$defs", "definitions"), ("anyOf",), ("items",)


class _Loose(Exception):
    """The schema means something that the strict form cannot say."""


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema with no further properties and all of them required; None where that would change its meaning.

    A property with a default becomes required too, and the default goes: the model says the value itself. One that
    may be left out and has no default, an open mapping, or a keyword the strict form has not, make it None.

    >>> strict_schema({"type": "object", "properties": {"n": {"type": "integer", "default": 1}}})["required"]
    ['n']
    """
    try:
        return _strict(schema)
    except _Loose:
        return None


def _strict(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping):  # true and false are schemas too
        raise _Loose
    if set(schema) & _REFUSED:
        raise _Loose
    if "$ref" in schema:  # nothing may stand beside it
        return {"$ref": schema["$ref"]} | {k: _below(k, v) for k, v in schema.items() if k in _MAPS}
    strict = {k: _below(k, v) for k, v in schema.items() if k != "default"}
    kinds = schema.get("type")
    if kinds == "object" or (isinstance(kinds, list) and "object" in kinds) or "properties" in schema:
        _close(schema, strict)
    return strict


def _below(keyword: str, value: Any) -> Any:
    if keyword in _MAPS and isinstance(value, Mapping):
        return {name: _strict(inner) for name, inner in value.items()}
    if keyword in _LISTS and isinstance(value, list):
        return [_strict(inner) for inner in value]
    return _strict(value) if keyword in _SINGLES else value


def _close(schema: Mapping[str, Any], strict: dict[str, Any]) -> None:
    """Let an object have all of its properties and no others."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or schema.get("additionalProperties", False) is not False:
        raise _Loose
    required = schema.get("required") or ()
    if any(name not in required and "default" not in inner for name, inner in properties.items()):
        raise _Loose
    strict["additionalProperties"], strict["required"] = False, list(properties)
