"""The readers of chat completions and of the Responses API on what is no answer: noise, damage, values of other types."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from fake_service import chunk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from noise import JSON, confused, damaged, million, outcome

from gathering.core.errors import IncompleteStreamError, ProviderError
from gathering.core.events import Done
from gathering.llm import openai_answer, openai_chat, openai_responses, openai_responses_answer
from gathering.llm.openai_chat import ChatStyle
from gathering.llm.openai_responses_stream import ResponsesStream
from gathering.llm.openai_stream import ChatStream
from gathering.llm.reader import AnswerReader

STYLE = ChatStyle(origin="here", think_tags=True, notes=("citations",))
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": '},
    "extra_content": {"g": 1},
}
LOGPROBS = {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1}]}]}
CHAT: list[Any] = [
    {"choices": [], "prompt_filter_results": [{"x": 1}], "citations": ["u"]},
    chunk("", role="assistant"),
    chunk(reasoning_content="Hm, ", reasoning_details=[{"type": "t", "text": "Hm", "index": 0}]),
    chunk("<think>so</think>Grüße \u2028 "),
    {"choices": [{"index": 0, "delta": {"content": "und 🎈"}, "logprobs": LOGPROBS, "finish_reason": None}]},
    chunk(None, tool_calls=[{"index": 0, **CALL}]),
    chunk(None, tool_calls=[{"index": 0, "function": {"arguments": '"b"}'}}]),
    {**chunk(None, "tool_calls"), "usage": None},
    {"choices": [], "usage": USAGE, "x_groq": {"usage": USAGE}},
]
PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Hi"}]
MESSAGE = {
    "role": "assistant",
    "content": PARTS,
    "refusal": "No.",
    "tool_calls": [CALL],
    "reasoning": "Hm",
    "x": [1],
}
CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "tool_calls", "logprobs": LOGPROBS}
WHOLE_CHAT = {"model": "/a/b", "choices": [CHOICE], "usage": USAGE, "citations": ["u"]}

SAID = {"type": "output_text", "text": "Grüße \u2028 und 🎈", "logprobs": LOGPROBS["content"]}
ITEMS: list[dict[str, Any]] = [
    {
        "type": "reasoning",
        "id": "rs",
        "summary": [{"type": "summary_text", "text": "Hm"}],
        "encrypted_content": "e",
    },
    {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "content": [SAID, {"type": "refusal", "refusal": "No."}],
    },
    {"type": "function_call", "id": "f", "call_id": "c1", "name": "add", "arguments": '{"a": "b"}'},
    {"type": "unheard_of", "content": [1]},
]
FIGURES = {"input_tokens": 5, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 2}}
WHOLE = {
    "status": "completed",
    "model": "m-1",
    "output": ITEMS,
    "usage": FIGURES,
    "incomplete_details": {"reason": "x"},
}


def piece(name: str, number: int, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{name}", "output_index": number, "item_id": ITEMS[number]["id"], **fields}


RESPONSES: list[Any] = [
    {"type": "response.created", "response": {**WHOLE, "output": [], "status": "in_progress"}},
    *(piece("output_item.added", i, item={**ITEMS[i], "content": [], "arguments": ""}) for i in range(3)),
    piece("reasoning_summary_text.delta", 0, summary_index=0, delta="Hm"),
    piece("output_text.delta", 1, content_index=0, delta="Grüße \u2028 "),
    piece("output_text.delta", 1, content_index=0, delta="und 🎈"),
    piece("output_text.done", 1, content_index=0, text=SAID["text"]),
    piece("refusal.done", 1, content_index=1, refusal="No."),
    piece("function_call_arguments.delta", 2, delta='{"a": "b"}'),
    *(piece("output_item.done", i, item=ITEMS[i]) for i in range(3)),
    {"type": "response.unheard_of", "x": 1},
    {"type": "response.completed", "response": WHOLE},
]


def wire(values: list[Any]) -> bytes:
    text = "".join(f"data: {json.dumps(v, ensure_ascii=False)}\n\n" for v in values)
    return text.encode("utf-8", "surrogatepass") + b"data: [DONE]\n\n"


def chat() -> ChatStream:
    return ChatStream("m", STYLE)


def responses() -> ResponsesStream:
    return ResponsesStream("m", "here")


READERS: list[Callable[[], AnswerReader]] = [chat, responses]
MANY = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def goes_back(done: Done) -> None:
    """What comes of an answer can be sent again, in both formats."""
    message = done.completion.message().to_dict()
    json.dumps(openai_chat.build_request("m", [message], None, {}, stream=False, style=STYLE))
    json.dumps(openai_responses.build_request("m", [message], None, {}, stream=False, origin="here"))


@pytest.mark.parametrize(("reader", "stream"), [(chat, CHAT), (responses, RESPONSES)])
def test_the_streams_that_are_damaged_here_are_whole_without_damage(
    reader: Callable[[], AnswerReader], stream: list[Any]
) -> None:
    """Or nothing would be tested."""
    done = outcome(reader(), [wire(stream)])
    assert isinstance(done, Done)
    assert done.completion.content == "Grüße \u2028 und 🎈"
    assert done.completion.thinking.startswith("Hm")
    assert done.completion.tool_calls[0].arguments == {"a": "b"}
    assert done.completion.logprobs[0]["token"] == "a"
    assert done.completion.usage.reasoning_tokens == 2


@MANY
@given(damaged(wire(CHAT)))
def test_a_damaged_stream_of_chat_ends_in_an_answer_or_a_typed_error(pieces: list[bytes]) -> None:
    """Whatever is missing, doubled or foreign in it."""
    outcome(chat(), pieces)


@MANY
@given(damaged(wire(RESPONSES)))
def test_a_damaged_stream_of_responses_ends_in_an_answer_or_a_typed_error(pieces: list[bytes]) -> None:
    """Whatever is missing, doubled or foreign in it."""
    outcome(responses(), pieces)


@MANY
@given(confused(CHAT))
def test_values_of_other_types_in_chat_harm_nothing(values: list[Any]) -> None:
    """And what comes of them can go back to the service."""
    if isinstance(end := outcome(chat(), [wire(values)]), Done):
        goes_back(end)


@MANY
@given(confused(RESPONSES))
def test_values_of_other_types_in_responses_harm_nothing(values: list[Any]) -> None:
    """And what comes of them can go back to the service."""
    if isinstance(end := outcome(responses(), [wire(values)]), Done):
        goes_back(end)


@MANY
@given(confused([WHOLE_CHAT]) | st.lists(JSON, min_size=1, max_size=1))
def test_no_whole_answer_of_chat_breaks_the_reading(bodies: list[Any]) -> None:
    """There is a completion or a typed error, whatever JSON comes."""
    with contextlib.suppress(ProviderError):
        goes_back(Done(openai_answer.parse_response(bodies[0], "m", style=STYLE)))


@MANY
@given(confused([WHOLE]) | st.lists(JSON, min_size=1, max_size=1))
def test_no_whole_answer_of_responses_breaks_the_reading(bodies: list[Any]) -> None:
    """There is a completion or a typed error, whatever JSON comes."""
    with contextlib.suppress(ProviderError):
        goes_back(Done(openai_responses_answer.parse_response(bodies[0], "m", origin="here")))


@pytest.mark.parametrize("figure", ["NaN", "1e999", "-1e999", "true", "[1]"])
def test_figures_that_are_none_are_unknown(figure: str) -> None:
    """Not a number, endless, or of another type."""
    usage = json.loads(f'{{"prompt_tokens": {figure}, "input_tokens": {figure}}}')
    assert openai_answer.usage_of(usage).input_tokens is None
    assert openai_responses_answer.usage_of(usage).input_tokens is None


@pytest.mark.parametrize("reader", READERS)
def test_a_million_bytes_of_noise(reader: Callable[[], AnswerReader]) -> None:
    """No crash, no hang, and no answer: in one stream, and as the events of many."""
    assert isinstance(outcome(reader(), million()), IncompleteStreamError)
    for noise in million(framed=True):
        assert isinstance(outcome(reader(), [noise]), ProviderError)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", ["[" * 100_000, '{"choices":' * 50_000, "9" * 5000, "NaN", "1e999"])
def test_json_no_parser_likes(reader: Callable[[], AnswerReader], text: str) -> None:
    """Nested too deeply, or a number that is none."""
    assert isinstance(outcome(reader(), [f"data: {text}\n\n".encode()]), ProviderError)
