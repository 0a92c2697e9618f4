"""JSON schemas as Anthropic's structured answers take them: a strict part of the standard, the rest put into words.

Owns that translation and nothing else. A constraint that the service cannot hold a model to (a largest number, a
pattern) becomes a sentence in the description of its place, so that the model still reads it. Pure; no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["closed_schema"]

_KEPT = ("$ref", "type", "title", "description", "enum", "const", "default", "required")
_FORMATS = ("date", "time", "date-time", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
_SCHEMAS_BY_NAME = ("properties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
#: Say nothing to the model.
_SILENT = frozenset(("$schema", "$id", "$comment", "additionalProperties", "examples"))


def closed_schema(schema: Any) -> Any:
    """The schema with closed objects, and with what the service does not know put into the descriptions.

    >>> closed_schema({"type": "integer", "description": "Age.", "minimum": 0})
    {'type': 'integer', 'description': 'Age. (minimum: 0)'}
    >>> closed_schema({"type": "object", "properties": {"a": {"type": "null"}}})
    {'type': 'object', 'properties': {'a': {'type': 'null'}}, 'additionalProperties': False}
    """
    if not isinstance(schema, Mapping):
        return schema
    strict: dict[str, Any] = {}
    in_words = [
        f"{key}: {json.dumps(value, ensure_ascii=False, default=str)}"
        for key, value in schema.items()
        if not _take(strict, key, value) and key not in _SILENT
    ]
    if in_words:
        said = str(strict.get("description") or "")
        strict["description"] = f"{said} ({', '.join(in_words)})".strip()
    if strict.get("type") == "object" or "properties" in strict:
        strict["additionalProperties"] = False
    return strict


def _take(strict: dict[str, Any], key: str, value: Any) -> bool:
    """Put one key of a schema where the service reads it; False if it does not know the key."""
    if key in _SCHEMAS_BY_NAME and isinstance(value, Mapping):
        strict[key] = {name: closed_schema(inner) for name, inner in value.items()}
    elif key in _LISTS_OF_SCHEMAS and isinstance(value, list):
        strict.setdefault(_LISTS_OF_SCHEMAS[key], []).extend(map(closed_schema, value))
    elif key == "items":
        strict[key] = closed_schema(value)
    elif key in _KEPT or (key == "minItems" and value in (0, 1)) or (key == "format" and value in _FORMATS):
        strict[key] = value
    else:
        return False
    return True
