"""The chat-completions dialect, streamed: every oddity of the servers, and any cut of the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_service import chunk
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import (
    BadRequestError,
    IncompleteStreamError,
    MalformedResponseError,
    OverloadedError,
    ProviderError,
    QuotaError,
)
from gathering.core.events import Done, Event, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.messages import Completion, Usage
from gathering.llm.openai_chat import ChatStyle, build_request
from gathering.llm.openai_stream import ChatStream

END = "[DONE]"
USAGE = {"prompt_tokens": 5, "completion_tokens": 2}


def events(*data: Any, end: bool = True) -> list[Event]:
    texts = [d if isinstance(d, str) else json.dumps(d) for d in (*data, *([END] if end else []))]
    stream = ChatStream("m")
    return [*stream.feed("".join(f"data: {t}\n\n" for t in texts).encode()), *stream.finish()]


def completion(*data: Any, end: bool = True) -> Completion:
    last = events(*data, end=end)[-1]
    assert isinstance(last, Done)
    return last.completion


def piece(arguments: Any = "", **fields: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": fields.pop("name")} if "name" in fields else {})}
    return chunk(tool_calls=[{**fields, "function": function}])


def test_text_comes_piece_by_piece() -> None:
    """Each chunk's text is one event; empty pieces are none."""
    seen = events(
        chunk("", role="assistant"), chunk("Hel"), chunk("lo", role="assistant"), chunk(finish="stop")
    )
    assert seen[:-1] == [TextDelta("Hel"), TextDelta("lo")]
    done = seen[-1]
    assert isinstance(done, Done)
    assert (done.completion.content, done.completion.finish_reason, done.completion.model) == (
        "Hello",
        "stop",
        "m-1",
    )


@given(st.lists(st.text(max_size=8), max_size=6), st.data())
def test_any_cut_of_the_bytes_gives_the_same_events(texts: list[str], data: st.DataObject) -> None:
    """Events do not depend on where the network cuts."""
    chunks = [*(chunk(t) for t in texts), {**chunk(finish="stop"), "usage": USAGE}]
    body = "".join(f"data: {json.dumps(c, ensure_ascii=False)}\r\n\r\n" for c in chunks).encode(
        "utf-8", "replace"
    )
    body += b"data: [DONE]\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    whole, cut = ChatStream(), ChatStream()
    expected = whole.feed(body) + whole.finish()
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert [e for p in pieces for e in cut.feed(p)] + cut.finish() == expected


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(index=0, id="c1", name="add"), piece('{"a"', index=0), piece(": 1}", index=0)],
        [piece(index=1, id="c1", name="add"), piece('{"a"', index=1), piece(": 1}", index=1)],
        [piece('{"a": 1}', index=0, id="c1", name="add")],
        [piece('{"a": 1}', id="c1", name="add")],
        [piece({"a": 1}, index=0, id="c1", name="add")],
        [piece('{"a"', index=0, id="c1", name="add"), piece(": 1}", index=0, id="c1", name="add")],
        [piece('{"a"', index=0, id="c1", name="add"), piece(": 1}", index=0, id="", name="")],
        [piece('{"a"', id="c1", name="add"), piece(": 1}", id="c1", name="add")],
        [piece('{"a"', id="c1", name="add"), piece(": 1}")],
        [piece(None, index=0, id="c1", name="add"), piece('{"a": 1}', index=0, id="null")],
    ],
)
def test_one_call_however_it_is_cut(pieces: list[Any]) -> None:
    """With and without index, id and name in later pieces, it is one call."""
    (call,) = completion(*pieces, chunk(finish="tool_calls")).tool_calls
    assert (call.id, call.name, call.arguments) == ("c1", "add", {"a": 1})


@pytest.mark.parametrize(
    "pieces",
    [
        [piece('{"a": 1}', index=0, id="x", name="add"), piece('{"a": 2}', index=1, id="y", name="add")],
        [piece('{"a": 1}', index=0, id="x", name="add"), piece('{"a": 2}', index=0, id="y", name="add")],
        [piece('{"a": 1}', id="x", name="add"), piece('{"a": 2}', id="y", name="add")],
        [piece('{"a": 1}', id="", name="add"), piece('{"a": 2}', id="", name="add")],
        [
            piece(index=0, id="x", name="add"),
            piece(index=1, id="y", name="add"),
            piece('{"a": 1}', index=0),
            piece('{"a": 2}', index=1),
        ],
        [chunk(tool_calls=[piece("{}", name="add")["choices"][0]["delta"]["tool_calls"][0]] * 2)],
    ],
)
def test_two_calls_however_they_are_numbered(pieces: list[Any]) -> None:
    """Right, constant and missing indexes all give two calls with ids of their own."""
    calls = completion(*pieces, chunk(finish="stop")).tool_calls
    assert [c.name for c in calls] == ["add", "add"]
    assert calls[0].id != calls[1].id
    assert all(c.id for c in calls)


def test_calls_count_by_presence() -> None:
    """Several servers say stop beside a call."""
    assert (
        completion(piece("{}", index=0, id="c", name="f"), chunk(finish="stop")).finish_reason == "tool_calls"
    )


def test_pieces_of_a_call_are_events() -> None:
    """Parallel calls are told apart by a number that starts at 0."""
    seen = events(piece("{", index=1, id="c1", name="add"), piece("}", index=1), chunk(finish="tool_calls"))
    assert seen[:2] == [ToolCallDelta(0, "c1", "add", "{"), ToolCallDelta(0, "c1", "add", "}")]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_thinking(field: str) -> None:
    """Both names are read; the text beside it may be null or empty."""
    seen = events(chunk(None, **{field: "Hm"}), chunk("", **{field: "."}), chunk("4"), chunk(finish="stop"))
    assert seen[:3] == [ThinkingDelta("Hm"), ThinkingDelta("."), TextDelta("4")]
    both = events(chunk(None, reasoning="Hm", reasoning_content="Hm"), chunk(finish="stop"))
    assert both[0] == ThinkingDelta("Hm")
    assert len(both) == 2


def test_content_parts_mix_with_strings() -> None:
    """Mistral's thinking comes as parts, its text as parts or strings."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    mixed = chunk([thought, {"type": "text", "text": "1"}])
    seen = completion(chunk(""), chunk([thought]), mixed, chunk("44", "stop"))
    assert (seen.content, seen.thinking) == ("144", "HmHm")
    (part,) = seen.parts
    joined = {"type": "thinking", "thinking": [{"type": "text", "text": "HmHm"}]}
    assert part["value"] == [joined, {"type": "text", "text": "144"}]


def test_a_thought_of_gemini_is_no_text() -> None:
    """On its OpenAI path thinking is content with a mark."""
    seen = completion(chunk("Hm", extra_content={"google": {"thought": True}}), chunk("4", "stop"))
    assert (seen.content, seen.thinking) == ("4", "Hm")


def test_a_refusal_is_no_text() -> None:
    """It comes in pieces of its own."""
    seen = completion(chunk(None, refusal="I'm"), chunk(None, refusal=" sorry"), chunk(finish="stop"))
    assert (seen.content, seen.refusal, seen.finish_reason) == ("", "I'm sorry", "refusal")


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk("a", "stop"), {"choices": [], "usage": USAGE}],
        [{**chunk("a", "stop"), "usage": USAGE}],
        [
            {**chunk("a"), "usage": {"prompt_tokens": 5, "completion_tokens": 1}},
            {**chunk(finish="stop"), "usage": USAGE},
        ],
        [{**chunk("a"), "usage": USAGE}, {**chunk(finish="stop"), "usage": USAGE}],
        [chunk("a", "stop"), {"choices": [], "x_groq": {"usage": USAGE}}],
    ],
)
def test_usage_wherever_it_comes(chunks: list[Any]) -> None:
    """At the end, in the last chunk, growing in each chunk: the last one counts, none is added."""
    assert completion(*chunks).usage == Usage(5, 2)
    updates = [e for e in events(*chunks) if isinstance(e, UsageUpdate)]
    assert updates[-1] == UsageUpdate(Usage(5, 2))


def test_chunks_without_choices_and_other_choices_are_passed_over() -> None:
    """Azure begins with one; of several answers the first is read."""
    second = {"choices": [{"index": 1, "delta": {"content": "no"}}]}
    assert (
        completion(
            {"choices": [], "prompt_filter_results": []}, chunk("a"), second, chunk(finish="stop")
        ).content
        == "a"
    )


@pytest.mark.parametrize(
    "broken", ["null", "[]", "7", '{"choices": null}', '{"choices": [null]}', '{"choices": [{"delta": 1}]}']
)
def test_odd_chunks_are_passed_over(broken: str) -> None:
    """What has no known form says nothing."""
    assert completion(chunk("a"), broken, chunk(finish="stop")).content == "a"


@pytest.mark.parametrize(
    "chunks",
    [[], [chunk("Hel")], [chunk("Hel"), {"choices": [], "usage": USAGE}]],
)
def test_a_stream_without_end_mark_is_a_failure(chunks: list[Any]) -> None:
    """Neither [DONE] nor a finish reason: the partial text is kept and the error says so."""
    with pytest.raises(IncompleteStreamError, match="end mark") as caught:
        events(*chunks, end=False)
    assert caught.value.partial == ("Hel" if chunks else "")


def test_half_an_event_at_the_end_is_no_event() -> None:
    """What a cut connection left behind is dropped, not taken for nonsense of the server."""
    stream = ChatStream()
    stream.feed(f'data: {json.dumps(chunk("Hel"))}\n\ndata: {{"choices": [{{'.encode())
    with pytest.raises(IncompleteStreamError):
        stream.finish()


def test_one_of_the_two_end_marks_is_enough() -> None:
    """Some servers send no [DONE], some no finish reason."""
    assert completion(chunk("a", "stop"), end=False).content == "a"
    assert completion(chunk("a")).finish_reason == "stop"
    stream = ChatStream()
    stream.feed(f"data: {json.dumps(chunk('a', 'stop'))}".encode())
    assert stream.finish()[-2] == TextDelta("a")  # the last event had no blank line


def test_nothing_counts_after_the_end_mark() -> None:
    """What a gateway adds behind it is not read."""
    stream = ChatStream()
    assert stream.feed(b"data: [DONE]\n\ndata: garbage\n\n") == []
    assert stream.ended


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"error": {"message": "boom", "code": 503}}, OverloadedError),
        ({"error": {"message": "no money", "code": "insufficient_quota"}}, QuotaError),
        ({"error": "boom"}, ProviderError),
        ({"error": {"code": 400, "message": "Token limit"}, **chunk("")}, BadRequestError),
        ({"choices": [{"error": {"code": 502, "message": "boom"}}]}, OverloadedError),
        ({"object": "error", "message": "boom", "code": 500}, OverloadedError),
        ("not json", MalformedResponseError),
    ],
)
def test_an_error_in_the_stream_is_raised(bad: Any, kind: type[ProviderError]) -> None:
    """Also after text and after a good finish reason; what had arrived is kept."""
    with pytest.raises(kind) as caught:
        events(chunk("Hel"), chunk("lo", "stop"), bad)
    assert caught.value.partial == "Hello"


def test_an_event_named_error_is_one() -> None:
    """Groq says it by the event's name."""
    stream = ChatStream()
    with pytest.raises(BadRequestError, match="did not call"):
        stream.feed(b'event: error\ndata: {"error":{"message":"did not call a tool","status_code":400}}\n\n')
    with pytest.raises(ProviderError, match="broken"):
        ChatStream().feed(b'event: error\ndata: {"message":"broken"}\n\n')


def test_reasoning_details_are_joined_and_go_back() -> None:
    """Pieces with the same index are one; signatures stay inside."""
    style = ChatStyle(origin="here")
    stream = ChatStream("m", style)
    details = [
        [{"type": "reasoning.text", "text": "Hm", "index": 0}],
        [{"type": "reasoning.text", "text": ".", "index": 0}],
        [{"type": "reasoning.text", "signature": "s", "index": 0}],
    ]
    chunks = [chunk("", reasoning_details=d) for d in details] + [chunk("4", "stop")]
    stream.feed("".join(f"data: {json.dumps(c)}\n\n" for c in chunks).encode())
    (done,) = stream.finish()
    assert isinstance(done, Done)
    message = done.completion.message().to_dict()
    (back,) = build_request("m", [message], None, {}, stream=False, style=style)["messages"]
    assert back["reasoning_details"] == [
        {"type": "reasoning.text", "text": "Hm.", "index": 0, "signature": "s"}
    ]
