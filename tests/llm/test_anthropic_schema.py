"""Schemas for Anthropic's structured answers: closed objects, and the rest in words."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gathering.llm.anthropic_schema import closed_schema


def test_what_the_service_cannot_hold_a_model_to_is_said_in_words() -> None:
    """Names of properties are no keys of the schema; references and alternatives stay."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": "a+", "description": "Letters."},
            "when": {"type": "string", "format": "date"},
            "code": {"type": "string", "format": "isbn", "maxLength": 13},
            "some": {"type": "array", "items": {"$ref": "#/$defs/P"}, "minItems": 1, "maxItems": 3},
            "kind": {"oneOf": [{"const": "a"}, {"type": "null"}]},
        },
        "$defs": {"P": {"type": "object", "properties": {"x": {"type": "number"}}}},
        "required": ["kind"],
    }
    assert closed_schema(schema) == {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "description": 'Letters. (pattern: "a+")'},
            "when": {"type": "string", "format": "date"},
            "code": {"type": "string", "description": '(format: "isbn", maxLength: 13)'},
            "some": {
                "type": "array",
                "items": {"$ref": "#/$defs/P"},
                "minItems": 1,
                "description": "(maxItems: 3)",
            },
            "kind": {"anyOf": [{"const": "a"}, {"type": "null"}]},
        },
        "$defs": {
            "P": {"type": "object", "properties": {"x": {"type": "number"}}, "additionalProperties": False}
        },
        "required": ["kind"],
        "additionalProperties": False,
    }


KEYS = st.sampled_from(
    ["type", "properties", "items", "anyOf", "oneOf", "minimum", "format", "description", "minItems", "x"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just("object"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_schema_becomes_json_and_stays_as_it_is_the_second_time(schema: Any) -> None:
    """Nothing in it raises, and what was strict stays so."""
    strict = closed_schema(schema)
    json.dumps(strict)
    assert closed_schema(strict) == strict
