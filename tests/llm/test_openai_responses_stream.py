"""The Responses dialect, streamed, and every recording of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_service import Answer, Service, cut_in, recordings

import gathering
from gathering.core import errors as e
from gathering.core.events import Done, Event, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.messages import Completion, ToolCall, Usage
from gathering.llm.openai_responses import build_request
from gathering.llm.openai_responses_answer import parse_response
from gathering.llm.openai_responses_stream import ResponsesStream

ASK = [{"role": "user", "content": "?"}]
USAGE = {"input_tokens": 5, "output_tokens": 2}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add"}


def say(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def text(piece: str, index: int = 0) -> dict[str, Any]:
    return say("output_text.delta", output_index=index, content_index=0, delta=piece)


def message(words: str) -> dict[str, Any]:
    return {"type": "message", "id": "m", "content": [{"type": "output_text", "text": words}]}


def end(kind: str = "completed", **fields: Any) -> dict[str, Any]:
    return say(kind, response={"model": "m-1", "status": kind, "usage": USAGE, **fields})


def events(*data: Any) -> list[Event]:
    stream = ResponsesStream("m", "here")
    body = "".join(f"data: {d if isinstance(d, str) else json.dumps(d)}\n\n" for d in data)
    return [*stream.feed(body.encode()), *stream.finish()]


def completion(*data: Any) -> Completion:
    last = events(*data)[-1]
    assert isinstance(last, Done)
    return last.completion


def test_text_comes_piece_by_piece_and_needs_no_other_end_mark() -> None:
    """The answer ends with its own event; what follows is not read."""
    seen = events(say("created", response={}), text("Hel"), text("lo"), end(), "[DONE]", "garbage")
    assert seen[:-1] == [TextDelta("Hel"), TextDelta("lo"), UsageUpdate(Usage(5, 2))]
    got = completion(text("Hello"), end())
    assert (got.content, got.model, got.finish_reason, got.usage) == ("Hello", "m-1", "stop", Usage(5, 2))


def test_what_came_without_pieces_is_given_once() -> None:
    """From the part's end, the item's end, or the whole answer."""
    done = say("output_item.done", output_index=0, item=message("Hello"))
    part = say("output_text.done", output_index=0, content_index=0, text="Hello")
    for data in ([text("Hel"), part], [part, done], [done], [text("Hel"), done], []):
        seen = events(*data, end(output=[message("Hello")]))
        assert "".join(x.text for x in seen if isinstance(x, TextDelta)) == "Hello"
        assert completion(*data, end(output=[message("Hello")])).content == "Hello"


def test_calls_are_kept_apart_by_their_number() -> None:
    """Ids may change between the events of one item."""
    seen = events(
        say("output_item.added", output_index=0, item={**CALL, "arguments": ""}),
        say("output_item.added", output_index=1, item={**CALL, "call_id": "c2", "id": "x"}),
        say("function_call_arguments.delta", output_index=1, item_id="y", delta='{"a": 2}'),
        say("function_call_arguments.delta", output_index=0, item_id="z", delta='{"a": 1}'),
        say("output_item.done", output_index=0, item={**CALL, "id": "w", "arguments": '{"a": 1}'}),
        end(),
    )
    assert seen[:4] == [
        ToolCallDelta(0, "c1", "add", ""),
        ToolCallDelta(1, "c2", "add", ""),
        ToolCallDelta(1, "c2", "add", '{"a": 2}'),
        ToolCallDelta(0, "c1", "add", '{"a": 1}'),
    ]
    last = seen[-1]
    assert isinstance(last, Done)
    assert last.completion.tool_calls == (ToolCall("c1", "add", {"a": 1}), ToolCall("c2", "add", {"a": 2}))
    assert last.completion.finish_reason == "tool_calls"


def test_items_without_numbers_are_found_by_id() -> None:
    """Some servers number nothing."""
    got = completion(
        say("output_item.added", item={**CALL, "arguments": ""}),
        say("function_call_arguments.delta", item_id="fc_1", delta='{"a"'),
        say("function_call_arguments.delta", delta=": 1}"),
        say("output_item.added", item={"type": "message", "id": "m"}),
        say("output_text.delta", item_id="m", delta="Hi"),
        end(output=[{**CALL, "arguments": '{"a": 1}'}, message("Hi")]),
    )
    assert (got.content, got.tool_calls) == ("Hi", (ToolCall("c1", "add", {"a": 1}),))


def test_thoughts_are_those_of_the_items_end() -> None:
    """What is encrypted differs between the beginning and the end of an item; parts of a summary are paragraphs."""
    thought = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "begun"}
    summary = [{"type": "summary_text", "text": t} for t in ("One", "Two")]
    seen = events(
        say("output_item.added", output_index=0, item=thought),
        say("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="One"),
        say("reasoning_summary_text.delta", output_index=0, summary_index=1, delta="Two"),
        say(
            "output_item.done",
            output_index=0,
            item={**thought, "summary": summary, "encrypted_content": "whole"},
        ),
        text("4", 1),
        end(output=[{**thought, "encrypted_content": "other"}]),
    )
    assert seen[:2] == [ThinkingDelta("One"), ThinkingDelta("\n\nTwo")]
    last = seen[-1]
    assert isinstance(last, Done)
    assert last.completion.thinking == "One\n\nTwo"
    assert last.completion.parts[0]["value"]["encrypted_content"] == "whole"
    assert last.completion.parts[0]["origin"] == "here"


def test_a_refusal_is_no_text() -> None:
    """It comes in pieces of its own."""
    got = completion(
        say("refusal.delta", output_index=0, delta="I'm"),
        say("refusal.delta", output_index=0, delta=" sorry"),
        end(),
    )
    assert (got.content, got.refusal, got.finish_reason) == ("", "I'm sorry", "refusal")


@pytest.mark.parametrize(("reason", "neutral"), [("max_output_tokens", "length"), ("steered", "other")])
def test_an_incomplete_answer_is_an_answer(reason: str, neutral: str) -> None:
    """It says why it was cut off."""
    got = completion(text("Hel"), end("incomplete", incomplete_details={"reason": reason}))
    assert (got.content, got.finish_reason) == ("Hel", neutral)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"type": "error", "code": "server_error", "message": "boom"}, e.OverloadedError),
        ({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "boom"}}, e.RateLimitError),
        ({"error": {"message": "boom", "code": 503}}, e.OverloadedError),
        (end("failed", error={"code": "insufficient_quota", "message": "boom"}), e.QuotaError),
        (say("failed"), e.ProviderError),
        ("not json", e.MalformedResponseError),
    ],
)
def test_an_error_is_raised_once_with_what_had_come(bad: Any, kind: type[e.ProviderError]) -> None:
    """Flat, nested, or in an answer that failed."""
    with pytest.raises(kind) as caught:
        events(text("Hel"), bad, end("failed", error={"message": "again"}))
    assert caught.value.partial == "Hel"


def test_an_event_named_error_is_one() -> None:
    """Also where its data does not say so."""
    with pytest.raises(e.ProviderError, match="boom"):
        ResponsesStream().feed(b'event: error\ndata: {"message":"boom"}\n\n')


@pytest.mark.parametrize("tail", ["", "data: [DONE]\n\n", 'data: {"type": "response.comp'])
def test_a_stream_without_end_mark_is_a_failure(tail: str) -> None:
    """Half an event and another dialect's mark are none."""
    stream = ResponsesStream()
    stream.feed(f"data: {json.dumps(text('Hel'))}\n\n{tail}".encode())
    with pytest.raises(e.IncompleteStreamError, match="end mark") as caught:
        stream.finish()
    assert caught.value.partial == "Hel"


@pytest.mark.parametrize(
    "odd",
    [
        "null",
        "[]",
        "7",
        say("of_the_future.delta", delta="x"),
        say("output_item.done", item=3),
        {"type": [1]},
    ],
)
def test_odd_events_are_passed_over(odd: Any) -> None:
    """What has no known form says nothing."""
    assert completion(text("a"), odd, end()).content == "a"


# -- recordings --------------------------------------------------------------------------------------------------

ERRORS = {
    "openai/error-400-responses": e.ModelNotFoundError,
    "openai/responses-error-429": e.QuotaError,
    "openai/responses-error-mid-stream": e.QuotaError,
    "xai/responses-error-400": e.AuthenticationError,
}
RECORDED = [
    path
    for path in recordings()
    if "responses-api" in (covers := json.loads(path.read_text("utf-8"))["covers"])
    and "token-count" not in covers
]
needs_recordings = pytest.mark.skipif(not RECORDED, reason="the recordings are not here")


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def read(path: Path) -> tuple[dict[str, Any], bytes]:
    data = json.loads(path.read_text("utf-8"))
    return data, data["response"]["body_text"].encode()


def last_answer(data: dict[str, Any]) -> dict[str, Any]:
    """The whole answer of a recording, read as simply as can be."""
    body = data["response"]["body_text"]
    if not data["response"]["stream"]:
        return dict(json.loads(body))
    lines = [line for line in body.split("\n") if line.startswith("data: {")]
    return dict(json.loads(lines[-1][6:])["response"])


def check(got: Completion, data: dict[str, Any]) -> None:
    answer = last_answer(data)
    items = answer["output"]
    words = [p.get("text", "") for i in items if i["type"] == "message" for p in i["content"]]
    assert got.content == "".join(words)
    calls = [(i["call_id"], i["name"]) for i in items if i["type"] == "function_call"]
    assert [(c.id, c.name) for c in got.tool_calls] == calls
    assert all(c.malformed is None for c in got.tool_calls)
    assert got.usage.input_tokens == answer["usage"]["input_tokens"]
    assert got.usage.output_tokens == answer["usage"]["output_tokens"]
    refusals = [p["refusal"] for i in items if i["type"] == "message" for p in i["content"] if "refusal" in p]
    assert (got.refusal or "") == "".join(refusals)
    expected = "length" if answer["status"] == "incomplete" else "tool_calls" if calls else "stop"
    assert got.finish_reason == ("refusal" if refusals else expected)
    if got.parts:
        assert [p["value"]["type"] for p in got.parts] == [i["type"] for i in items]


@needs_recordings
@pytest.mark.parametrize("size", [None, 7, 50])
@pytest.mark.parametrize("path", RECORDED, ids=name_of)
async def test_a_recording_to_sync_and_async_callers(path: Path, size: int | None, service: Service) -> None:
    """The answer or the error is the one recorded, however the network cuts it."""
    data, body = read(path)
    response = data["response"]
    service.will(
        Answer(cut_in(body, size), response["status"], {"content-type": response["headers"]["content-type"]})
    )
    provider = gathering.provider("openai-compatible:m", base_url=service.url, api="responses", max_retries=0)
    if name_of(path) in ERRORS:
        kind = ERRORS[name_of(path)]
        with pytest.raises(kind, match="Next: "):
            list(provider.stream(ASK))
        with pytest.raises(kind):
            await provider.complete_async(ASK)
        return
    stream = provider.stream(ASK)
    seen = "".join(stream)
    check(stream.completion, data)
    assert seen == stream.completion.content
    check(await provider.complete_async(ASK), data)
    later = provider.stream(ASK)
    assert "".join([piece async for piece in later]) == seen


@needs_recordings
@pytest.mark.parametrize("path", RECORDED, ids=name_of)
def test_a_recording_byte_by_byte_and_cut_short(path: Path) -> None:
    """Events do not depend on the cuts; half a stream is no answer."""
    data, body = read(path)
    if not data["response"]["stream"] or name_of(path) in ERRORS:
        return
    whole, cut = ResponsesStream("m"), ResponsesStream("m")
    expected = whole.feed(body) + whole.finish()
    seen = [event for piece in cut_in(body, 1) for event in cut.feed(piece)] + cut.finish()
    assert seen == expected
    done = seen[-1]
    assert isinstance(done, Done)
    assert "".join(x.text for x in seen if isinstance(x, ThinkingDelta)) == done.completion.thinking
    half = ResponsesStream("m")
    half.feed(body[: len(body) // 2])
    with pytest.raises(e.IncompleteStreamError):
        half.finish()


@needs_recordings
def test_a_recorded_request_is_what_is_sent() -> None:
    """A conversation with a tool and thoughts becomes the input that the service accepted."""
    path = next(p for p in RECORDED if p.stem == "responses-stream-stream-tools-thinking")
    wire = read(path)[0]["request"]["json"]
    history: list[Any] = []
    turn: list[Any] = []
    for item in wire["input"]:
        if item.get("type") in ("reasoning", "function_call") or item.get("role") == "assistant":
            turn.append({"type": "message", **item})
            continue
        if turn:
            history.append(parse_response({"output": turn}, origin="here").message().to_dict())
            turn = []
        if item.get("type") == "function_call_output":
            history.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
        else:
            history.append(item)
    if turn:
        history.append(parse_response({"output": turn}, origin="here").message().to_dict())
    sent = build_request(wire["model"], history, wire["tools"], {}, stream=True, origin="here")
    untyped = [{k: v for k, v in i.items() if (k, v) != ("type", "message")} for i in sent["input"]]
    for ours, theirs in zip(untyped, wire["input"], strict=True):
        if "arguments" in theirs:
            ours["arguments"], theirs["arguments"] = (json.loads(x["arguments"]) for x in (ours, theirs))
        assert ours == theirs
    assert {**sent, "input": 0} == {**wire, "input": 0}


@needs_recordings
def test_the_recorded_requests_of_xai_are_what_is_sent() -> None:
    """The whole body, with instructions and a tool."""
    for path in RECORDED:
        if path.parent.name != "xai":
            continue
        wire = read(path)[0]["request"]["json"]
        system = [{"role": "system", "content": wire["instructions"]}] if "instructions" in wire else []
        sent = build_request(
            wire["model"], [*system, *wire["input"]], wire.get("tools"), {}, stream=wire["stream"]
        )
        assert {"stream": False, **sent} == wire
