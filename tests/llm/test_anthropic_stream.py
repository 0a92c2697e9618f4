"""The Anthropic Messages dialect, streamed: blocks put together from pieces, oddities of gateways, errors, cuts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import (
    AuthenticationError,
    IncompleteStreamError,
    MalformedResponseError,
    OverloadedError,
    ProviderError,
    RateLimitError,
)
from gathering.core.events import Done, Event, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.messages import Completion, Usage
from gathering.llm.anthropic_stream import MessagesStream

STOP = {"type": "message_stop"}
PING = {"type": "ping"}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}


def start(identity: str = "msg_1", **usage: Any) -> dict[str, Any]:
    message = {"id": identity, "model": "m-1", "content": [], "stop_reason": None}
    return {"type": "message_start", "message": {**message, "usage": {"input_tokens": 5, **usage}}}


def opened(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def piece(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", **fields}}


def text(said: str, index: int = 0) -> dict[str, Any]:
    return piece(index, "text", text=said)


def wire(*data: Any, names: bool = True) -> bytes:
    lines = []
    for d in data:
        name = f"event: {d['type']}\n" if names and isinstance(d, dict) and "type" in d else ""
        lines.append(f"{name}data: {d if isinstance(d, str) else json.dumps(d, ensure_ascii=False)}  \n\n")
    return "".join(lines).encode("utf-8", "replace")


def events(*data: Any, names: bool = True) -> list[Event]:
    stream = MessagesStream("m", "here")
    return [*stream.feed(wire(*data, names=names)), *stream.finish()]


def completion(*data: Any) -> Completion:
    last = events(*data)[-1]
    assert isinstance(last, Done)
    return last.completion


@pytest.mark.parametrize("names", [True, False])
def test_text_comes_piece_by_piece(names: bool) -> None:
    """Pings between any two events say nothing; gateways may drop the events' names."""
    seen = events(
        start(), PING, opened(0, "text", text=""), text("Hel"), PING, text("lo"), END, STOP, names=names
    )
    assert seen[:-1] == [TextDelta("Hel"), TextDelta("lo"), UsageUpdate(Usage(5, 7))]
    done = seen[-1]
    assert isinstance(done, Done)
    assert (done.completion.content, done.completion.finish_reason) == ("Hello", "stop")
    assert (done.completion.model, done.completion.usage) == ("m-1", Usage(5, 7))


@given(st.lists(st.text(max_size=8), max_size=6), st.data())
def test_any_cut_of_the_bytes_gives_the_same_events(texts: list[str], data: st.DataObject) -> None:
    """Events do not depend on where the network cuts."""
    body = wire(start(), opened(0, "text", text=""), *map(text, texts), PING, END, STOP)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    whole, cut = MessagesStream(), MessagesStream()
    expected = whole.feed(body) + whole.finish()
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert [e for p in pieces for e in cut.feed(p)] + cut.finish() == expected


@pytest.mark.parametrize("cuts", [[], [""], ["", ""]])
def test_a_call_without_arguments(cuts: list[str]) -> None:
    """No pieces or empty ones are an empty object."""
    pieces = [piece(0, "input_json", partial_json=p) for p in cuts]
    (call,) = completion(start(), opened(0, "tool_use", id="a", name="f", input={}), *pieces, STOP).tool_calls
    assert (call.id, call.name, call.arguments, call.malformed) == ("a", "f", {}, None)


def test_arguments_cut_anywhere() -> None:
    """Within an escape too; parallel calls are told apart by a number that starts at 0."""
    seen = events(
        start(),
        opened(0, "text", text="Both."),
        opened(1, "tool_use", id="a", name="f", input={}),
        *(piece(1, "input_json", partial_json=p) for p in ('{"x": "\\ud8', "3d\\ude", '00"}')),
        opened(2, "tool_use", id="b", name="g", input={"y": 1}),
        STOP,
    )
    assert [e for e in seen if isinstance(e, ToolCallDelta)] == [
        ToolCallDelta(0, "a", "f", ""),
        ToolCallDelta(0, "a", "f", '{"x": "\\ud8'),
        ToolCallDelta(0, "a", "f", "3d\\ude"),
        ToolCallDelta(0, "a", "f", '00"}'),
        ToolCallDelta(1, "b", "g", '{"y": 1}'),
    ]
    done = seen[-1]
    assert isinstance(done, Done)
    assert [c.arguments for c in done.completion.tool_calls] == [{"x": "\U0001f600"}, {"y": 1}]
    assert (done.completion.content, done.completion.finish_reason) == ("Both.", "tool_calls")


def test_arguments_that_are_no_object_are_kept() -> None:
    """An answer cut at its limit leaves half of them."""
    begun = opened(0, "tool_use", id="a", name="f", input={})
    end = {**END, "delta": {"stop_reason": "max_tokens"}}
    seen = completion(start(), begun, piece(0, "input_json", partial_json='{"x": '), end, STOP)
    assert (seen.tool_calls[0].malformed, seen.finish_reason) == ('{"x": ', "length")


def test_thinking_and_its_signature() -> None:
    """Pieces are events, the whole goes back with its signature; redacted thinking comes at once."""
    seen = events(
        start(),
        opened(0, "thinking", thinking="", signature=""),
        piece(0, "thinking", thinking="Hm"),
        piece(0, "thinking", thinking="."),
        piece(0, "signature", signature="s"),
        opened(1, "redacted_thinking", data="d"),
        opened(2, "text", text=""),
        text("4", 2),
        END,
        STOP,
    )
    assert seen[:3] == [ThinkingDelta("Hm"), ThinkingDelta("."), TextDelta("4")]
    done = seen[-1]
    assert isinstance(done, Done)
    assert done.completion.thinking == "Hm."
    (part,) = done.completion.parts
    assert part["origin"] == "here"
    assert part["value"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "4"},
    ]


def test_thinking_that_is_not_shown_keeps_its_signature() -> None:
    """The text is empty, the block goes back all the same."""
    begun = opened(0, "thinking", thinking="", signature="")
    seen = completion(start(), begun, piece(0, "signature", signature="s"), END, STOP)
    assert seen.thinking == ""
    assert seen.parts[0]["value"] == [{"type": "thinking", "thinking": "", "signature": "s"}]


def test_citations_and_server_tools_go_back() -> None:
    """They are no text of the answer and no calls of the caller's tools."""
    seen = completion(
        start(),
        opened(0, "server_tool_use", id="srv", name="web_search", input={}),
        piece(0, "input_json", partial_json='{"query": "x"}'),
        opened(1, "web_search_tool_result", tool_use_id="srv", content=[{"url": "u"}]),
        opened(2, "text", text="", citations=[]),
        text("A", 2),
        piece(2, "citations", citation={"url": "u"}),
        END,
        STOP,
    )
    assert (seen.content, seen.tool_calls, seen.finish_reason) == ("A", (), "stop")
    assert seen.parts[0]["value"] == [
        {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv", "content": [{"url": "u"}]},
        {"type": "text", "text": "A", "citations": [{"url": "u"}]},
    ]


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "brand_new", "x": 1},
        {"type": ["list"]},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "hum_delta", "hum": "..."}},
        {"type": "content_block_delta", "index": [1], "delta": None},
        {"type": "content_block_start", "index": 9, "content_block": {"type": "hologram", "text": "?"}},
        {"type": "content_block_start"},
        {"type": "message_delta", "delta": {"mood": "good"}, "usage": None},
        {"type": "message_delta", "error": None},
        "null",
        "[]",
        "7",
    ],
)
def test_unknown_events_blocks_and_pieces_are_passed_over(odd: Any) -> None:
    """They never raise, and the text around them stays whole."""
    seen = completion(start(), opened(0, "text", text=""), text("Hel"), odd, text("lo"), odd, END, STOP)
    assert (seen.content, seen.finish_reason) == ("Hello", "stop")


def test_a_block_nobody_announced() -> None:
    """Some servers leave its beginning out."""
    seen = completion(start(), piece(0, "thinking", thinking="Hm"), text("Hi", 1), END, STOP)
    assert (seen.content, seen.thinking) == ("Hi", "Hm")


def test_usage_is_replaced_not_added() -> None:
    """The last figures are of the whole call; what they leave out is as it was at the beginning."""
    cached = {"cache_creation_input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 1}
    grown = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 3}}
    last = {**END, "usage": {"input_tokens": 6, "output_tokens": 7, "cache_read_input_tokens": None}}
    assert completion(start(**cached), grown, last, STOP).usage == Usage(116, 7, 100)


def test_a_beginning_said_twice_is_noise() -> None:
    """Some proxies repeat it, also in the middle."""
    assert completion(start(), start(), text("Hel"), start(), text("lo"), END, STOP).content == "Hello"


def test_an_answer_begun_anew_is_the_answer() -> None:
    """Another id in the same stream: what came before it is no part of it."""
    first = (start(), opened(0, "text", text=""), text("No"), END)
    seen = completion(*first, start("msg_2"), opened(0, "text", text=""), text("Yes"), END, STOP)
    assert (seen.content, seen.usage) == ("Yes", Usage(5, 7))


@pytest.mark.parametrize("data", [[], [start(), text("Hel")], [start(), text("Hel"), END]])
def test_a_stream_without_end_mark_is_a_failure(data: list[Any]) -> None:
    """The partial text is kept."""
    with pytest.raises(IncompleteStreamError, match="end mark") as caught:
        events(*data)
    assert caught.value.partial == ("Hel" if data else "")


def test_half_an_event_at_the_end_is_no_event() -> None:
    """What a cut connection left behind is dropped; a whole one without its blank line counts."""
    stream = MessagesStream()
    stream.feed(wire(start(), text("Hel")) + b'data: {"type": "content_blo')
    with pytest.raises(IncompleteStreamError):
        stream.finish()
    stream = MessagesStream()
    stream.feed(wire(start(), text("Hel")) + b'data: {"type": "message_stop"}')
    assert isinstance(stream.finish()[-1], Done)


def test_the_end_mark_of_another_dialect() -> None:
    """Gateways add it; nothing counts after the end, and it is no end of its own."""
    assert completion(start(), text("Hi"), END, STOP, "[DONE]", "garbage").content == "Hi"
    assert completion(start(), text("Hi"), END, "[DONE]").content == "Hi"
    with pytest.raises(IncompleteStreamError):
        events(start(), text("Hi"), "[DONE]")


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, OverloadedError),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, RateLimitError),
        ({"type": "error", "error": {"type": "authentication_error", "message": "no"}}, AuthenticationError),
        ({"type": "error", "error": {"type": "api_error", "message": "boom"}}, OverloadedError),
        ({"type": "error", "error": {"type": "brand_new", "message": "boom"}}, ProviderError),
        ({"type": "error", "message": "boom"}, ProviderError),
        ({"error": {"message": "boom", "code": 502}}, OverloadedError),
        ("not json", MalformedResponseError),
    ],
)
def test_an_error_in_the_stream_is_raised(bad: Any, kind: type[ProviderError]) -> None:
    """By its type, whatever the status was; what had arrived is given first and kept."""
    stream = MessagesStream()
    assert stream.feed(wire(start(), text("Hello"), bad)) == [TextDelta("Hello")]
    assert isinstance(stream.failure, kind)
    for again in (stream.finish, lambda: stream.feed(b"")):
        with pytest.raises(kind) as caught:
            again()
        assert caught.value.partial == "Hello"
    with pytest.raises(kind):
        MessagesStream().feed(wire(start(), bad))


def test_an_event_named_error_is_one() -> None:
    """Also where the data do not say so."""
    with pytest.raises(ProviderError, match="broken"):
        MessagesStream().feed(b'event: error\ndata: {"message":"broken"}\n\n')
