"""The reader of Ollama's own format on what is no answer: noise, damage, values of other types."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from noise import JSON, confused, damaged, million, outcome

from gathering.core.errors import ProviderError
from gathering.core.events import Done
from gathering.llm.ollama_chat import Room, build_request, parse_response
from gathering.llm.ollama_stream import OllamaStream

LOGPROBS = [{"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1}]}]
CALL = {"id": "c1", "function": {"index": 0, "name": "add", "arguments": {"a": "b"}}}
END = {"model": "/a/b", "done": True, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 7}
STREAM: list[Any] = [
    {"message": {"role": "assistant", "content": "", "thinking": "Hm"}, "done": False},
    {"message": {"content": "Grüße \u2028 "}, "logprobs": LOGPROBS},
    {"message": {"content": "und 🎈", "tool_calls": [CALL]}, "x": [1]},
    {**END, "message": {"role": "assistant", "content": ""}},
]
WHOLE = {
    **END,
    "message": {"content": [{"text": "Hi"}, "!"], "thinking": ["Hm"], "tool_calls": [CALL]},
    "logprobs": LOGPROBS,
}
MANY = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def wire(values: list[Any]) -> bytes:
    return "".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values).encode("utf-8", "surrogatepass")


def goes_back(done: Done) -> None:
    """What comes of an answer can be sent again."""
    json.dumps(build_request("m", [done.completion.message().to_dict()], None, {}, stream=False, room=Room()))


def test_the_stream_that_is_damaged_here_is_whole_without_damage() -> None:
    """Or nothing would be tested."""
    done = outcome(OllamaStream("m"), [wire(STREAM)])
    assert isinstance(done, Done)
    said = done.completion
    assert (said.content, said.thinking, said.logprobs[0]["token"]) == ("Grüße \u2028 und 🎈", "Hm", "a")
    assert (said.tool_calls[0].arguments, said.usage.output_tokens) == ({"a": "b"}, 7)


@MANY
@given(damaged(wire(STREAM)))
def test_a_damaged_stream_ends_in_an_answer_or_a_typed_error(pieces: list[bytes]) -> None:
    """Whatever is missing, doubled or foreign in it."""
    outcome(OllamaStream("m"), pieces)


@MANY
@given(confused(STREAM))
def test_values_of_other_types_in_a_stream_harm_nothing(values: list[Any]) -> None:
    """And what comes of them can go back to the server."""
    if isinstance(end := outcome(OllamaStream("m"), [wire(values)]), Done):
        goes_back(end)


@MANY
@given(confused([WHOLE]) | st.lists(JSON, min_size=1, max_size=1))
def test_no_whole_answer_breaks_the_reading(bodies: list[Any]) -> None:
    """There is a completion or a typed error, whatever JSON comes."""
    with contextlib.suppress(ProviderError):
        goes_back(Done(parse_response(bodies[0], "m")))


@pytest.mark.parametrize("arguments", [True, 7, [[]], [1, 2], "[1]"])
def test_arguments_that_are_no_object_are_kept_as_they_came(arguments: Any) -> None:
    """As for every other format: the model is told, and the turn goes on."""
    call = {"function": {"name": "add", "arguments": arguments}}
    (made,) = parse_response({**END, "message": {"tool_calls": [call]}}, "m").tool_calls
    assert (made.name, made.arguments) == ("add", {})
    assert json.loads(made.malformed or "") == (json.loads(arguments) if arguments == "[1]" else arguments)


@pytest.mark.parametrize("content", [[None], [7, "Hi"], [{"text": None}, {"text": "Hi"}]])
def test_parts_without_text_add_none(content: Any) -> None:
    """Neither the word None nor an error."""
    said = parse_response({**END, "message": {"content": content, "thinking": [None]}}, "m")
    assert (said.content in ("", "Hi"), said.thinking) == (True, "")


def test_a_million_bytes_of_noise() -> None:
    """End in one typed error, each line read once."""
    for framed in (False, True):
        assert isinstance(outcome(OllamaStream("m"), million(framed)), ProviderError)
