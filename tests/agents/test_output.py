"""Structured answers: the form that is asked for, how it is brought about, what is told when it does not fit."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel, Field

import gathering
from gathering.agents.output import Output
from gathering.core.errors import ConfigurationError, OutputError
from gathering.core.messages import Completion
from gathering.testing import ScriptedProvider


class Person(BaseModel):
    """A person of a story."""

    name: str
    age: int = Field(ge=0)


@dataclasses.dataclass
class Point:
    x: int
    y: int


def ada(*answers: Any) -> tuple[gathering.Agent, ScriptedProvider]:
    provider = ScriptedProvider(answers)
    return gathering.Agent("ada", llm_provider=provider), provider


def test_an_answer_that_fits_is_a_value() -> None:
    """The model's JSON becomes the pydantic object; the reply says how the form came about."""
    agent, provider = ada('{"name": "Ada", "age": 36}')
    reply = agent.ask("Who?", output=Person)
    assert reply.output == Person(name="Ada", age=36)
    assert (reply.output_mode, reply.repaired) == ("prompted", False)
    assert '"age"' in provider.requests[0].messages[0]["content"], "the schema is in the prompt"


def test_a_provider_that_keeps_to_schemas_is_given_the_schema() -> None:
    """The prompt stays as it is, and the request has ``output``."""
    agent, provider = ada(Completion('{"name": "Ada", "age": 36}', output_mode="native"))
    provider.structured_output = "native"
    assert agent.ask("Who?", output=Person).output_mode == "native"
    assert provider.requests[0].params["output"]["name"] == "Person"
    assert [m["role"] for m in provider.requests[0].messages] == ["user"]


def test_what_does_not_fit_is_repaired_once() -> None:
    """The model is told what is wrong and asked again; the reply says that it took two tries."""
    agent, provider = ada('{"name": "Ada", "age": -1}', '{"name": "Ada", "age": 1}')
    reply = agent.ask("Who?", output=Person)
    assert (reply.output, reply.repaired) == (Person(name="Ada", age=1), True)
    assert "age" in provider.requests[1].messages[-1]["content"]


def test_what_does_not_fit_twice_is_an_error_that_shows_it() -> None:
    """One line with the problem, the text and what to do; the exchange is remembered."""
    agent, _ = ada("no", "still no")
    with pytest.raises(OutputError, match="is not JSON.*still no.*larger model") as caught:
        agent.ask("Who?", output=Person)
    assert caught.value.text == "still no"
    assert len(agent.memory.get_conversation_history()) == 4


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        (list[int], "[1, 2]", [1, 2]),
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (int, "3", 3),
        (Point, '{"x": 1, "y": 2}', Point(1, 2)),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (Person | None, '{"name": "B", "age": 2}', Person(name="B", age=2)),
        (Person, '```json\n{"name": "B", "age": 2}\n```', Person(name="B", age=2)),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, '{"a": 1}', {"a": 1}),
        ({"type": "array", "items": {"type": "string"}}, '{"value": ["a"]}', ["a"]),
    ],
)
def test_forms_of_many_kinds(form: Any, text: str, value: Any) -> None:
    """Models, dataclasses, plain types and JSON schemas; a value in a box or a fence is taken out."""
    assert Output(form).read(text) == value


@pytest.mark.parametrize(
    "form", [list[int], int, Person, Point, Person | None, {"type": "array"}, {"enum": [1, 2]}]
)
def test_what_is_sent_is_always_an_object(form: Any) -> None:
    """Services refuse anything else at the top of a schema."""
    sent = Output(form).param["schema"]
    assert sent.get("type") == "object" or "anyOf" in sent or "$ref" in sent


def test_a_schema_s_own_words_say_what_does_not_fit() -> None:
    """The error names the place in the answer."""
    with pytest.raises(OutputError, match=r"\$\.a: 'x' is not of type 'integer'"):
        Output({"type": "object", "properties": {"a": {"type": "integer"}}}).read('{"a": "x"}')


@pytest.mark.parametrize("form", [object(), {"type": "nonsense"}, 3, "Person"])
def test_what_is_no_form_is_refused_before_anything_is_sent(form: Any) -> None:
    """One line; the provider was not asked."""
    agent, provider = ada("never")
    with pytest.raises(ConfigurationError, match="output="):
        agent.ask("Who?", output=form)
    assert provider.requests == []


def test_a_stream_ends_with_the_value() -> None:
    """Streaming gives the JSON as it comes and the value at the end."""
    agent, _ = ada('{"name": "Ada", "age": 36}')
    with agent.stream("Who?", output=Person) as stream:
        for _ in stream:
            pass
    assert stream.reply.output == Person(name="Ada", age=36)
