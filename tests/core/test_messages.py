"""The neutral values: what a provider may return, and what survives being a dict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.messages import Completion, Message, ToolCall, Usage, as_completion, text_of
from gathering.core.results import ToolPermission, ToolResult

calls = st.builds(ToolCall, st.text(), st.text(min_size=1), st.dictionaries(st.text(), st.integers()))


@given(st.sampled_from(["user", "assistant", "tool", "system"]), st.text(), st.lists(calls).map(tuple))
def test_a_message_survives_being_a_dict(role: Any, content: str, tool_calls: tuple[ToolCall, ...]) -> None:
    """There and back gives the same message."""
    message = Message(role, content, tool_calls)
    assert Message.from_dict(message.to_dict()) == message


def test_a_failure_is_marked_and_success_is_not() -> None:
    """The mark survives being a dict; what went well says nothing about it."""
    failed = Message("tool", "Error: no", tool_call_id="1", is_error=True)
    assert failed.to_dict()["is_error"] is True
    assert Message.from_dict(failed.to_dict()) == failed
    assert "is_error" not in Message("tool", "42", tool_call_id="1").to_dict()


def test_a_completion_reads_like_the_dict_it_replaces() -> None:
    """``["content"]``, ``["role"]``, ``.get`` and ``in``."""
    completion = Completion("Hi", tool_calls=(ToolCall("1", "f", {"x": 1}),))
    assert completion["content"] == "Hi"
    assert completion["role"] == "assistant"
    assert completion["tool_calls"] == [{"id": "1", "name": "f", "arguments": {"x": 1}}]
    assert completion.get("nothing") is None
    assert "content" in completion
    assert dict(completion)["role"] == "assistant"


@pytest.mark.parametrize(
    ("answer", "text"),
    [("plain", "plain"), ({"content": "a"}, "a"), ({"content": None}, ""), ({}, ""),
     ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"), (Completion("c"), "c")],
)  # fmt: skip
def test_whatever_a_provider_returns_becomes_a_completion(answer: Any, text: str) -> None:
    """A string, a dict with any kind of content, or a Completion."""
    assert as_completion(answer).content == text


def test_tool_calls_are_read_in_both_common_shapes() -> None:
    """Neutral, and as chat completions write them; arguments may be JSON text."""
    neutral = {"id": "1", "name": "f", "arguments": {"x": 1}}
    chat = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    for shape in (neutral, chat):
        completion = as_completion({"content": None, "tool_calls": [shape]})
        assert completion.tool_calls == (ToolCall("1", "f", {"x": 1}),)
        assert completion.finish_reason == "tool_calls"


@pytest.mark.parametrize("text", ["{", "[1]", "3", "{'x': 1}"])
def test_arguments_that_are_no_json_object_are_kept_as_they_came(text: str) -> None:
    """The model is told, instead of the turn failing."""
    assert ToolCall.from_json("1", "f", text).malformed == text
    assert ToolCall.from_json("1", "f", "").malformed is None


def test_something_else_is_refused_with_advice() -> None:
    """A provider's author sees what to return."""
    with pytest.raises(TypeError, match="return a dict with 'content'"):
        as_completion(3)


def test_usage_adds_up_and_keeps_the_unknown() -> None:
    """Unknown plus known is known; unknown plus unknown stays unknown."""
    assert Usage(1, 2) + Usage(3, None) == Usage(4, 2)
    assert (Usage() + Usage()).input_tokens is None


def test_content_of_any_kind_has_a_text() -> None:
    """None, text, parts, anything else."""
    assert [text_of(c) for c in (None, "a", ["a", {"text": "b"}, {"type": "image"}], 3)] == [
        "",
        "a",
        "ab",
        "3",
    ]


def test_a_tool_result_tells_the_model() -> None:
    """Output as text or JSON, a failure as an error; a permission equals its name."""
    assert ToolResult(success=True, output={"é": 1}).text() == '{"é": 1}'
    assert ToolResult(success=True, output="plain").text() == "plain"
    assert ToolResult(success=False, error="no").text() == "Error: no"
    assert ToolResult(success=False).text().startswith("Error:")
    assert ToolPermission.READ == "read"
