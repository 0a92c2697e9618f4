"""The Gemini dialect on the way back: whole answers and streams, read leniently."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from fake_service import cut_in
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
from gathering.core.events import Done, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.messages import Completion, Usage
from gathering.llm.gemini_answer import parse_response, usage_of
from gathering.llm.gemini_stream import GeminiStream


def chunk(*parts: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **more}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"text": said, **more}


def call(**function: Any) -> dict[str, Any]:
    return {"functionCall": function}


def framed(*chunks: Any) -> bytes:
    lines = [c if isinstance(c, str) else f"data: {json.dumps(c, ensure_ascii=False)}" for c in chunks]
    return "".join(f"{line}\r\n\r\n" for line in lines).encode()


def events(*chunks: Any) -> list[Any]:
    stream = GeminiStream("m")
    return stream.feed(framed(*chunks)) + stream.finish()


def completion(*chunks: Any) -> Completion:
    done = events(*chunks)[-1]
    assert isinstance(done, Done)
    return done.completion


def test_a_stream_of_text_and_thoughts() -> None:
    """Thoughts are thinking, never text; both may alternate."""
    seen = events(
        chunk(text("Hm", thought=True)), chunk(text("4"), text("2")), chunk(text(""), finish="STOP")
    )
    assert seen[:3] == [ThinkingDelta("Hm"), TextDelta("4"), TextDelta("2")]
    done = seen[-1].completion
    assert (done.content, done.thinking, done.finish_reason, done.model) == ("42", "Hm", "stop", "m")


def test_text_behind_a_first_reason_to_stop_still_counts() -> None:
    """Some models give the reason in each object: the connection's end is the end."""
    stream = GeminiStream("m")
    stream.feed(framed(chunk(text("a"), finish="STOP")))
    assert stream.whole
    assert not stream.ended
    stream.feed(framed(chunk(text("b"), finish="STOP", usageMetadata={"promptTokenCount": 3})))
    done = stream.finish()[-1]
    assert isinstance(done, Done)
    assert (done.completion.content, done.completion.usage.input_tokens) == ("ab", 3)


def test_calls_come_whole() -> None:
    """Ids are made where there are none, arguments may be absent, and STOP is said beside calls."""
    seen = events(
        chunk(call(name="f", args={"x": "é"}), call(name="g", id="own")), chunk(text(""), finish="STOP")
    )
    first, second = seen[-1].completion.tool_calls
    assert (first.name, first.arguments) == ("f", {"x": "é"})
    assert (second.id, second.name, second.arguments) == ("own", "g", {})
    assert seen[:2] == [
        ToolCallDelta(0, first.id, "f", '{"x": "é"}'),
        ToolCallDelta(1, "own", "g", "{}"),
    ]
    assert first.id
    assert seen[-1].completion.finish_reason == "tool_calls"


def test_two_calls_never_share_an_id() -> None:
    """A result must name one call."""
    calls = completion(chunk(call(name="f", id="x"), call(name="f", id="x"), finish="STOP")).tool_calls
    assert len({c.id for c in calls}) == 2


def piece(path: str, more: bool = True, **value: Any) -> dict[str, Any]:
    return call(partialArgs=[{"jsonPath": path, **value}], **({"willContinue": True} if more else {}))


def test_arguments_in_pieces_are_put_together() -> None:
    """Strings grow, nested values find their place, and the part goes back in one piece with its signature."""
    done = completion(
        chunk({**call(name="f", willContinue=True), "thoughtSignature": "s"}),
        chunk(piece("$.city", stringValue="Bos", willContinue=True)),
        chunk(piece("$.city", stringValue="ton")),
        chunk(piece("$.where.at[0]['a b']", numberValue=1.5), piece("$.where.at[1]", nullValue="NULL_VALUE")),
        chunk(piece("$.sure", boolValue=True)),
        chunk(call()),
        chunk(call(name="g", willContinue=True)),
        chunk(piece("$.x", more=False, numberValue=2), finish="STOP"),
    )
    arguments = {"city": "Boston", "where": {"at": [{"a b": 1.5}, None]}, "sure": True}
    assert [(c.name, c.arguments) for c in done.tool_calls] == [("f", arguments), ("g", {"x": 2})]
    assert done.parts[0]["value"] == [
        {"functionCall": {"name": "f", "args": arguments}, "thoughtSignature": "s"},
        {"functionCall": {"name": "g", "args": {"x": 2}}},
    ]


def test_a_call_cut_off_in_its_arguments_is_malformed() -> None:
    """It must not be run with half of them."""
    done = completion(
        chunk(call(name="f", willContinue=True)),
        chunk(piece("$.path", stringValue="/ho", willContinue=True), finish="MAX_TOKENS"),
    )
    (cut,) = done.tool_calls
    assert cut.malformed == '{"path": "/ho"'
    assert done.finish_reason == "length"


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "other"),
        ("SOMETHING_NEW", "other"),
    ],
)
def test_why_it_stopped(finish: str, expected: str) -> None:
    """Content may be empty or absent, and an unknown reason never raises."""
    for content in ({}, {"content": {}}, {"content": None}):
        done = parse_response({"candidates": [{**content, "finishReason": finish}]})
        assert done.finish_reason == expected
        assert (done.refusal is not None) == (expected == "content_filter")


def test_a_blocked_prompt_has_no_candidates() -> None:
    """Whole and streamed it is an answer that says so."""
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}
    for done in (parse_response(body), completion(body)):
        assert done.finish_reason == "content_filter"
        assert "SAFETY" in (done.refusal or "")


def test_usage() -> None:
    """Thoughts are not among the candidates' tokens, the cache is among the prompt's; zeros are left out."""
    full = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "toolUsePromptTokenCount": 2,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 7,
    }
    assert usage_of(full) == Usage(12, 12, 4, 7)
    assert usage_of({"promptTokenCount": 3, "totalTokenCount": 3}) == Usage(3, 0)
    assert usage_of({"promptTokenCount": 3}) == Usage(3)
    assert usage_of(None) == Usage()


def test_logprobs_of_all_objects_are_in_the_answer() -> None:
    """Each token with what else stood at its place, as far as the service says so."""
    a, b = {"token": "A", "tokenId": 1, "logProbability": -0.1}, {"token": "B", "logProbability": -2.5}
    first, second = chunk({"text": "A"}), chunk({"text": "B"}, finish="STOP")
    first["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [a],
        "topCandidates": [{"candidates": [a, b]}],
    }
    second["candidates"][0]["logprobsResult"] = {"chosenCandidates": [b]}
    said = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.5}]
    assert list(completion(first, second).logprobs) == [{**said[0], "top": said}, {**said[1], "top": []}]


def test_usage_in_each_object_is_not_added() -> None:
    """The last figures count, and an object without any takes none away."""
    chunks = [
        chunk(text("a"), usageMetadata={"promptTokenCount": 1, "candidatesTokenCount": 1}),
        chunk(text("b"), usageMetadata={"promptTokenCount": 9, "candidatesTokenCount": 2}),
        chunk(finish="STOP", usageMetadata={"trafficType": "ON_DEMAND"}),
    ]
    assert completion(*chunks).usage == Usage(9, 2)
    assert [e for e in events(*chunks) if isinstance(e, UsageUpdate)][-1] == UsageUpdate(Usage(9, 2))


def test_unknown_parts_are_kept_and_say_nothing() -> None:
    """Code the service ran goes back as it came."""
    code = {"executableCode": {"code": "1+1", "language": "PYTHON"}}
    done = completion(chunk(text("a"), code, text("b")), chunk(text("c"), finish="STOP"))
    assert done.content == "abc"
    assert done.parts[0]["value"] == [{"text": "a"}, code, {"text": "bc"}]


@pytest.mark.parametrize("chunks", [[], [chunk(text("Hel"))], [chunk(text("Hel")), {"usageMetadata": {}}]])
def test_a_stream_without_a_reason_to_stop_is_a_failure(chunks: list[Any]) -> None:
    """The partial text is kept."""
    with pytest.raises(IncompleteStreamError, match="end mark") as caught:
        events(*chunks)
    assert caught.value.partial == ("Hel" if chunks else "")


def test_half_an_event_at_the_end_is_no_event() -> None:
    """What a cut connection left behind is not nonsense of the server."""
    stream = GeminiStream()
    stream.feed(framed(chunk(text("Hel"))) + b'data: {"candidates": [{')
    with pytest.raises(IncompleteStreamError):
        stream.finish()


def test_the_last_event_may_lack_its_blank_line() -> None:
    """It counts if it is whole."""
    stream = GeminiStream()
    stream.feed(framed(chunk(text("a"), finish="STOP")).rstrip())
    assert stream.finish()[0] == TextDelta("a")


def read_all(stream: GeminiStream, pieces: list[bytes]) -> None:
    for data in pieces:
        stream.feed(data)
    stream.finish()


BUSY = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize("size", [None, 1, 7])
@pytest.mark.parametrize("body", [BUSY, [BUSY]])
@pytest.mark.parametrize("end", ["", "\r\n", "\n\n"])
def test_plain_json_behind_good_events_is_an_error(size: int | None, body: Any, end: str) -> None:
    """Over many lines and without ``data:``, however the network cuts it."""
    data = framed(chunk(text("Hel"))) + (json.dumps(body, indent=2) + end).encode()
    with pytest.raises(OverloadedError) as caught:
        read_all(GeminiStream(), cut_in(data, size))
    assert caught.value.partial == "Hel"


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (BUSY, OverloadedError),
        ([BUSY], OverloadedError),
        ({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}, RateLimitError),
        ({"error": {"code": 400, "message": "API key not valid."}}, AuthenticationError),
        ("data: not json", MalformedResponseError),
    ],
)
def test_an_error_in_the_stream_is_raised(bad: Any, kind: type[ProviderError]) -> None:
    """Also behind text and a reason to stop; what had arrived is kept, and given first."""
    stream = GeminiStream()
    assert stream.feed(framed(chunk(text("Hello"), finish="STOP"), bad)) == [TextDelta("Hello")]
    assert isinstance(stream.failure, kind)
    with pytest.raises(kind) as caught:
        stream.finish()
    assert caught.value.partial == "Hello"


def test_a_list_of_objects_is_one_answer() -> None:
    """It comes where something dropped ``alt=sse``; an error in it is raised."""
    assert parse_response([chunk(text("a")), chunk(text("b"), finish="STOP")]).content == "ab"
    with pytest.raises(OverloadedError):
        parse_response([BUSY])


def test_what_is_no_answer_is_said_to_be_none() -> None:
    """The address is the likely reason."""
    with pytest.raises(MalformedResponseError, match="base_url"):
        parse_response({"hello": "world"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "candidates",
                        "content",
                        "parts",
                        "text",
                        "functionCall",
                        "name",
                        "args",
                        "id",
                        "error",
                    ),
                    *("partialArgs", "jsonPath", "stringValue", "willContinue", "usageMetadata", "thought"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=14,
)


@given(st.lists(JSON, max_size=4))
def test_no_answer_breaks_the_reading(bodies: list[Any]) -> None:
    """Whatever JSON comes, there is a completion or a typed error."""
    for body in bodies:
        with contextlib.suppress(ProviderError):
            parse_response(body)
    with contextlib.suppress(ProviderError):
        events(*(chunk(*(b if isinstance(b, list) else [b])) for b in bodies), *bodies)


@given(st.lists(st.tuples(st.sampled_from(["$", ".a", "[0]", "[999]", "['b']", "x", "["]), JSON), max_size=6))
def test_no_path_breaks_the_reading(pieces: list[tuple[str, Any]]) -> None:
    """Paths are the model's writing."""
    made = [call(name="f", willContinue=True)]
    made += [piece("$" + path * 2, stringValue=value) for path, value in pieces]
    assert completion(chunk(*made, call(), finish="STOP")).tool_calls[0].name == "f"
