"""The readers of Gemini on what is no answer: noise, damaged streams, values of other types."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from noise import JSON, confused, damaged, million, outcome

from gathering.core.errors import IncompleteStreamError, ProviderError
from gathering.core.events import Done
from gathering.llm.gemini_answer import parse_response
from gathering.llm.gemini_content import build_request
from gathering.llm.gemini_stream import GeminiStream

TOKEN = {"token": "a", "logProbability": -0.5}


def chunk(*parts: Any, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}}


def piece(path: str, **value: Any) -> dict[str, Any]:
    return {"functionCall": {"partialArgs": [{"jsonPath": path, **value}], "willContinue": True}}


STREAM: list[dict[str, Any]] = [
    chunk({"text": "Hm", "thought": True}, {"text": "Grüße \u2028 "}),
    chunk({"text": "und 🎈", "thoughtSignature": "s=="}),
    chunk({"functionCall": {"name": "add", "args": {"a": 1}}, "thoughtSignature": "t=="}),
    chunk({"functionCall": {"name": "put", "willContinue": True}}),
    chunk(piece("$.where[0].city", stringValue="Ber"), piece("$.where[0].city", stringValue="lin")),
    chunk({"functionCall": {}}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
    chunk(
        {"text": ""},
        finishReason="STOP",
        logprobsResult={"chosenCandidates": [TOKEN], "topCandidates": [{"candidates": [TOKEN]}]},
    ),
]


def wire(values: list[Any]) -> bytes:
    return "".join(f"data: {json.dumps(v, ensure_ascii=False)}\r\n\r\n" for v in values).encode(
        "utf-8", "surrogatepass"
    )


def test_the_stream_that_is_damaged_here_is_whole_without_damage() -> None:
    """Or nothing would be tested."""
    done = outcome(GeminiStream(), [wire(STREAM)])
    assert isinstance(done, Done)
    assert done.completion.content == "Grüße \u2028 und 🎈"
    assert [c.arguments for c in done.completion.tool_calls] == [{"a": 1}, {"where": [{"city": "Berlin"}]}]
    assert len(done.completion.logprobs) == 1


@given(damaged(wire(STREAM)))
def test_a_damaged_stream_ends_in_an_answer_or_a_typed_error(pieces: list[bytes]) -> None:
    """Whatever is missing, doubled or foreign in it."""
    outcome(GeminiStream("m", "here"), pieces)


@given(confused(STREAM))
def test_values_of_other_types_harm_nothing(values: list[Any]) -> None:
    """And what comes of them can go back to the service."""
    end = outcome(GeminiStream("m", "here"), [wire(values)])
    if isinstance(end, Done):
        back = end.completion.message().to_dict()
        json.dumps(build_request("m", [back], None, {}, origin="here"))


@given(confused(STREAM) | JSON)
def test_no_whole_answer_breaks_the_reading(body: Any) -> None:
    """There is a completion or a typed error, whatever JSON comes."""
    with contextlib.suppress(ProviderError):
        back = parse_response(body, "m", origin="here").message().to_dict()
        json.dumps(build_request("m", [back], None, {}, origin="here"))


def test_figures_that_are_no_numbers_are_not_known() -> None:
    """JSON as it is read here can hold them."""
    odd = '{"usageMetadata":{"promptTokenCount":1e999,"candidatesTokenCount":NaN,"totalTokenCount":true}}'
    end = outcome(GeminiStream(), [wire(STREAM), f"data: {odd}\r\n\r\n".encode()])
    assert isinstance(end, Done)
    assert (end.completion.usage.input_tokens, end.completion.usage.output_tokens) == (None, None)


def test_a_million_bytes_of_noise() -> None:
    """No crash, no hang, and no answer: in one stream, and as the events of many."""
    assert isinstance(outcome(GeminiStream(), million()), IncompleteStreamError)
    for piece in million(framed=True):
        assert isinstance(outcome(GeminiStream(), [piece]), ProviderError)
