"""The readers of Anthropic Messages on what is no answer: noise, damaged streams, values of other types."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise import JSON, confused, damaged, million, outcome

from gathering.core.errors import IncompleteStreamError, ProviderError
from gathering.core.events import Done
from gathering.llm.anthropic_answer import parse_response
from gathering.llm.anthropic_messages import build_request
from gathering.llm.anthropic_stream import MessagesStream

USAGE = {"input_tokens": 5, "output_tokens": 7, "iterations": [{"type": "compaction", "output_tokens": 1}]}
BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "Hm, ", "signature": ""},
    {"type": "redacted_thinking", "data": "abc"},
    {"type": "text", "text": "Grüße \u2028 ", "citations": [{"url": "u"}]},
    {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}, "caller": {"type": "direct"}},
    {"type": "unheard_of", "content": [1]},
]
MESSAGE = {"id": "msg_1", "type": "message", "model": "m-1", "stop_reason": "tool_use", "usage": USAGE}
WHOLE = {**MESSAGE, "content": BLOCKS, "stop_details": {"type": "refusal", "category": "x"}}
DELTAS: list[tuple[int, dict[str, Any]]] = [
    (0, {"type": "thinking_delta", "thinking": "so"}),
    (0, {"type": "signature_delta", "signature": "s"}),
    (2, {"type": "text_delta", "text": "und 🎈"}),
    (2, {"type": "citations_delta", "citation": {"url": "v"}}),
    (3, {"type": "input_json_delta", "partial_json": '{"a": "'}),
    (3, {"type": "input_json_delta", "partial_json": 'b"}'}),
    (4, {"type": "unheard_of_delta", "content": "c"}),
]
STREAM: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    *({"type": "content_block_start", "index": i, "content_block": b} for i, b in enumerate(BLOCKS)),
    {"type": "ping"},
    *({"type": "content_block_delta", "index": i, "delta": d} for i, d in DELTAS),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": USAGE},
    {"type": "message_stop"},
]


def wire(values: list[Any]) -> bytes:
    return "".join(f"event: e\ndata: {json.dumps(v, ensure_ascii=False)}\n\n" for v in values).encode(
        "utf-8", "surrogatepass"
    )


def test_the_stream_that_is_damaged_here_is_whole_without_damage() -> None:
    """Or nothing would be tested."""
    done = outcome(MessagesStream(), [wire(STREAM)])
    assert isinstance(done, Done)
    assert (done.completion.content, done.completion.thinking) == ("Grüße \u2028 und 🎈", "Hm, so")
    assert done.completion.tool_calls[0].arguments == {"a": "b"}


@given(damaged(wire(STREAM)))
def test_a_damaged_stream_ends_in_an_answer_or_a_typed_error(pieces: list[bytes]) -> None:
    """Whatever is missing, doubled or foreign in it."""
    outcome(MessagesStream("m", "here"), pieces)


@given(confused(STREAM))
def test_values_of_other_types_harm_nothing(values: list[Any]) -> None:
    """And what comes of them can go back to the service."""
    end = outcome(MessagesStream("m", "here"), [wire(values)])
    if isinstance(end, Done):
        back = end.completion.message().to_dict()
        json.dumps(build_request("m", [back], None, {}, stream=False, origin="here"))


@given(confused([WHOLE]) | st.lists(JSON, min_size=1, max_size=1))
def test_no_whole_answer_breaks_the_reading(bodies: list[Any]) -> None:
    """There is a completion or a typed error, whatever JSON comes."""
    with contextlib.suppress(ProviderError):
        back = parse_response(bodies[0], "m", origin="here").message().to_dict()
        json.dumps(build_request("m", [back], None, {}, stream=False, origin="here"))


@pytest.mark.parametrize(
    "odd",
    [
        '{"type":"message_delta","delta":{},"usage":{"cache_read_input_tokens":1e999,"input_tokens":NaN}}',
        '{"type":"content_block_start","index":2,"content_block":{"type":"text","text":"","citations":7}}',
    ],
)
def test_what_the_noise_has_found(odd: str) -> None:
    """Figures that are no numbers, and citations that are no list."""
    more = wire([*STREAM[:-2], {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}])
    end = outcome(MessagesStream(), [wire(STREAM[:5]), f"data: {odd}\n\n".encode(), more, wire(STREAM[-1:])])
    assert isinstance(end, Done)
    assert end.completion.usage.output_tokens == 8


def test_a_million_bytes_of_noise() -> None:
    """No crash, no hang, and no answer: in one stream, and as the events of many."""
    assert isinstance(outcome(MessagesStream(), million()), IncompleteStreamError)
    for piece in million(framed=True):
        assert isinstance(outcome(MessagesStream(), [piece]), ProviderError)
