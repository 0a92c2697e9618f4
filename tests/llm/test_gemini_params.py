"""The Gemini dialect's options: tools, schemas and parameters where the service wants them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.llm.gemini_content import build_request
from gathering.llm.gemini_params import clean_schema

TOOL = {
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {}},
    "examples": [],
}
USER = {"role": "user", "content": "1+1?"}


def request(tools: Any = None, model: str = "gemini-2.5-flash", **params: Any) -> dict[str, Any]:
    return build_request(model, [USER], tools, params)


def test_parameters_stand_where_the_service_wants_them() -> None:
    """In generationConfig in camel case; None is not sent, nor what the service has no word for."""
    sent = request(
        [TOOL],
        temperature=0,
        max_tokens=9,
        top_p=0.5,
        stop="END",
        seed=None,
        parallel_tool_calls=True,
        prompt_cache=True,
        candidate_count=1,
        safety_settings=[],
        generation_config={"topK": 3},
    )
    assert sent["generationConfig"] == {
        "temperature": 0,
        "maxOutputTokens": 9,
        "topP": 0.5,
        "stopSequences": ["END"],
        "candidateCount": 1,
        "topK": 3,
    }
    assert sent["safetySettings"] == []


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "add"}},
            {"mode": "ANY", "allowedFunctionNames": ["add"]},
        ),
        ({"functionCallingConfig": {"mode": "VALIDATED"}}, {"mode": "VALIDATED"}),
    ],
)
def test_tool_choices(choice: Any, config: Any) -> None:
    """Neutral words, chat forms and the service's own; none of it without tools."""
    assert request([TOOL], tool_choice=choice)["toolConfig"] == {"functionCallingConfig": config}
    assert "toolConfig" not in request(tool_choice=choice)


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-flash", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-3.5-flash", "high", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("models/gemini-3-pro", "none", {"thinkingLevel": "LOW"}),
        ("gemini-3-flash", "none", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3-flash", "max", {"thinkingLevel": "XHIGH", "includeThoughts": True}),
    ],
)
def test_effort_is_a_budget_or_a_level(model: str, effort: str, config: Any) -> None:
    """Never both."""
    sent = request(model=model, reasoning_effort=effort)
    assert sent["generationConfig"] == {"thinkingConfig": config}


def test_a_model_that_cannot_think_is_not_asked_to() -> None:
    """It would refuse; the caller is told, unless no thinking was what was asked for."""
    with pytest.warns(UserWarning, match="gemini-2.0-flash cannot think"):
        assert "generationConfig" not in request(model="gemini-2.0-flash", reasoning_effort="low")
    assert "generationConfig" not in request(model="gemini-2.0-flash", reasoning_effort="none")


def test_answers_as_json() -> None:
    """Any JSON, or JSON of a schema."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    expected = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    assert request(response_format=wanted)["generationConfig"] == expected
    assert request(response_format={"type": "json_object"})["generationConfig"] == {
        "responseMimeType": "application/json"
    }


def test_the_services_own_tools_pass() -> None:
    """Beside functions, as entries of their own."""
    assert [next(iter(t)) for t in request([TOOL, {"googleSearch": {}}])["tools"]] == [
        "googleSearch",
        "functionDeclarations",
    ]


def test_a_schema_keeps_what_the_service_knows() -> None:
    """References and alternatives stay, the rest goes; names of properties are no keys of the schema."""
    schema = {
        "$schema": "x",
        "type": "object",
        "title": "T",
        "properties": {
            "pattern": {"type": "string", "pattern": "a+", "default": "a"},
            "kind": {"const": "k"},
            "list": {"type": "array", "items": {"$ref": "#/definitions/P"}, "uniqueItems": True},
            "any": {"anyOf": [{"type": "null"}, {"allOf": [{"$ref": "#/definitions/P"}]}]},
        },
        "definitions": {"P": {"type": "integer", "exclusiveMinimum": 0}},
        "additionalProperties": False,
        "required": ["kind"],
    }
    assert clean_schema(schema) == {
        "type": "object",
        "title": "T",
        "properties": {
            "pattern": {"type": "string"},
            "kind": {"enum": ["k"]},
            "list": {"type": "array", "items": {"$ref": "#/$defs/P"}},
            "any": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/P"}]},
        },
        "$defs": {"P": {"type": "integer", "minimum": 1}},
        "additionalProperties": False,
        "required": ["kind"],
    }


def strict(name: str, **rules: Any) -> dict[str, Any]:
    """A tool whose one argument has rules."""
    return {"name": name, "parameters": {"type": "object", "properties": {"x": {"type": "string", **rules}}}}


def test_rules_that_had_to_go_are_named_in_one_warning() -> None:
    """However many schemas there are; remarks and what can be said otherwise are not worth a word."""
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    tools = [strict("f", pattern="a+"), strict("g", pattern="b+", minLength=1)]
    with pytest.warns(UserWarning, match="in a schema") as told:
        request(tools, model="gemini-3-flash", output={"name": "O", "schema": schema})
    (message,) = (str(w.message) for w in told)
    assert "does not take minLength, pattern, uniqueItems in a schema" in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        request([strict("f", default="a", const="a", examples=["a"])])
        request([{"name": "h", "parameters": {"type": "integer", "exclusiveMaximum": 3}}])


def test_a_structured_answer() -> None:
    """The service's own form; older models refuse it beside tools and are asked in words."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    wanted = {"name": "O", "schema": schema}
    assert request(output=wanted)["generationConfig"] == form
    assert request([TOOL], model="gemini-3-flash", output=wanted)["generationConfig"] == form
    asked = request([TOOL], output=wanted)
    assert "generationConfig" not in asked
    assert '"a": {"type": "integer"}' in asked["systemInstruction"]["parts"][-1]["text"]


@pytest.mark.parametrize(
    ("asked", "config"),
    [(True, {"responseLogprobs": True}), (3, {"responseLogprobs": True, "logprobs": 3}), (False, {})],
)
def test_logprobs(asked: Any, config: dict[str, Any]) -> None:
    """With as many others beside each token as a number says."""
    assert request(logprobs=asked).get("generationConfig", {}) == config


KEYS = st.sampled_from(
    ["type", "properties", "items", "anyOf", "allOf", "const", "exclusiveMinimum", "$ref", "$defs", "x"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just("integer"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_schema_can_be_cleaned_and_stays_clean(schema: Any) -> None:
    """Nothing in it raises, and a second cleaning finds nothing to do."""
    clean = clean_schema(schema)
    lost: set[str] = set()
    assert clean_schema(clean, lost) == clean
    assert not lost
