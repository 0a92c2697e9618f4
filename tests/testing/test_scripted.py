"""The scripted provider: it says what the script says, whichever way it is asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import GatheringError, RateLimitError
from gathering.core.events import TextDelta, ThinkingDelta, ToolCallDelta
from gathering.core.messages import Completion, ToolCall, Usage
from gathering.testing import ScriptedProvider

HI = [{"role": "user", "content": "Hi there"}]


def test_a_completion_is_given_as_it_is() -> None:
    """With all its attributes, not only those of its dict form."""
    answer = Completion("", refusal="No.", finish_reason="refusal")
    assert ScriptedProvider([answer]).complete([]).refusal == "No."


def test_answers_come_in_order_and_requests_are_kept() -> None:
    """Each call takes the next answer; what was asked is kept as it was then."""
    provider = ScriptedProvider(["one", "two"])
    messages: list[Any] = [{"role": "user", "content": "first"}]
    assert provider.complete(messages, [{"name": "t"}], temperature=0)["content"] == "one"
    messages[0]["content"] = "second"
    assert provider.complete(messages).content == "two"
    first, second = provider.requests
    assert (first.messages[0]["content"], first.tools, first.params) == (
        "first",
        [{"name": "t"}],
        {"temperature": 0},
    )
    assert (second.messages[0]["content"], second.tools) == ("second", None)


def test_a_dict_says_everything() -> None:
    """Thinking, tool calls, finish reason and usage are taken over; ids are given where there are none."""
    usage = {"input_tokens": 7, "output_tokens": 3}
    provider = ScriptedProvider(
        [
            {"content": "x", "thinking": "hm", "tool_calls": [{"name": "t", "arguments": {"a": 1}}]},
            {"content": "y", "finish_reason": "length", "usage": usage},
        ]
    )
    first, second = provider.complete(HI), provider.complete(HI)
    assert (first.thinking, first.finish_reason) == ("hm", "tool_calls")
    assert first.tool_calls == (ToolCall("call_1", "t", {"a": 1}),)
    assert (second.finish_reason, second.usage) == ("length", Usage(**usage))


def test_figures_are_present_without_being_scripted() -> None:
    """Words are counted, so that tables of tokens have something to show."""
    completion = ScriptedProvider(["three words here"], model="m").complete(HI)
    assert (completion.usage, completion.model) == (Usage(2, 3), "m")


@pytest.mark.parametrize(
    "error", [RateLimitError("slow down", status=429), RateLimitError, KeyboardInterrupt]
)
async def test_an_exception_is_raised_every_way(error: Any) -> None:
    """An instance or a class; in a whole answer, awaited, and in a stream."""
    provider = ScriptedProvider([error] * 3)
    kind = error if isinstance(error, type) else type(error)
    with pytest.raises(kind):
        provider.complete(HI)
    with pytest.raises(kind):
        await provider.complete_async(HI)
    with pytest.raises(kind):
        list(provider.stream(HI))


def test_an_exception_may_come_after_some_text() -> None:
    """A provider's error knows the text as partial."""
    provider = ScriptedProvider([{"content": "Half an ans", "raises": RateLimitError("slow down")}])
    with pytest.raises(RateLimitError) as caught:
        provider.complete(HI)
    assert caught.value.partial == "Half an ans"


def test_a_stream_that_breaks_gives_its_pieces_first() -> None:
    """Whoever reads piece by piece has seen the text when the error comes."""
    stream = iter(ScriptedProvider([{"content": "Half an", "raises": RateLimitError}]).stream(HI))
    assert [next(stream), next(stream)] == ["Half ", "an"]
    with pytest.raises(RateLimitError):
        next(stream)


def test_a_function_answers_what_it_was_asked() -> None:
    """It gets the messages and may give a string, a dict, a completion or an exception."""
    answers = [
        lambda messages: messages[-1]["content"].upper(),
        lambda messages: {"content": "dict"},
        lambda messages: Completion("whole"),
        lambda messages: RateLimitError("no"),
    ]
    provider = ScriptedProvider(answers)
    assert [provider.complete(HI).content for _ in range(3)] == ["HI THERE", "dict", "whole"]
    with pytest.raises(RateLimitError):
        provider.complete(HI)


def test_running_out_says_how_many_there_were() -> None:
    """The error counts the script; the request is kept for looking at."""
    provider = ScriptedProvider(["only"])
    provider.complete(HI)
    with pytest.raises(GatheringError, match="1 scripted answers and was asked for number 2"):
        provider.complete(HI)
    assert len(provider.requests) == 2


@given(st.text())
def test_the_pieces_are_the_text(text: str) -> None:
    """Whatever the text, streaming loses and adds nothing."""
    assert "".join(ScriptedProvider([text]).stream(HI)) == text


async def test_both_ways_of_streaming_give_the_same_events() -> None:
    """Thinking, text and tool calls, then the completion."""
    answer = {"content": "a b", "thinking": "hm", "tool_calls": [{"name": "t", "arguments": {"a": 1}}]}
    provider = ScriptedProvider([answer, answer])
    sync = list(provider.stream(HI).events())
    asynchronous = [event async for event in provider.stream(HI).events()]
    assert sync == asynchronous
    assert sync[:-1] == [
        ThinkingDelta("hm"),
        TextDelta("a "),
        TextDelta("b"),
        ToolCallDelta(0, "call_1", "t", '{"a": 1}'),
    ]
