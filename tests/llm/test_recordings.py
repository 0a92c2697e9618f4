"""Every recorded exchange: the answer is what a plain reading of its body says, however the network cuts it.

The end of a run says how many were played, and shows a table of features by providers.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from fake_service import Answer, Service, cut_in
from plain_reading import READERS, Said
from recorded import Recording, cuts, everything

import gathering
from gathering.core import errors as e
from gathering.core.events import Done, Event, TextDelta, ThinkingDelta
from gathering.core.messages import Completion
from gathering.llm import limits
from gathering.llm.faults import fault_of_answer
from gathering.llm.hosts import HOSTS

ALL = everything()
ANSWERS = [r for r in ALL if r.is_answer]
ERRORS: dict[str, type[e.ProviderError]] = {
    "anthropic/error-400": e.ContextOverflowError,
    "deepseek/error-400": e.ContextOverflowError,
    "gemini/error-400": e.AuthenticationError,
    "gemini/error-429": e.RateLimitError,
    "groq/error-400": e.BadRequestError,
    "groq/error-mid-stream": e.BadRequestError,
    "ollama/error-400": e.ContextOverflowError,
    "openai/error-400": e.BadRequestError,
    "openai/error-400-responses": e.ModelNotFoundError,
    "openai/responses-error-429": e.QuotaError,
    "openai/responses-error-mid-stream": e.QuotaError,
    "openrouter/error-400": e.ContextOverflowError,
    "openrouter/error-mid-stream": e.BadRequestError,
    "xai/responses-error-400": e.AuthenticationError,
}
BY_STATUS = {401: e.AuthenticationError, 404: e.ModelNotFoundError, 429: e.RateLimitError}
KEY = "0123456789abcdef"
ASK = [{"role": "user", "content": "?"}]

pytestmark = pytest.mark.skipif(not ALL, reason="the recordings are not here")


def expected_error(recording: Recording) -> type[e.ProviderError] | None:
    return ERRORS.get(recording.name) or BY_STATUS.get(recording.status)


def made(recording: Recording, base_url: str | None = None) -> Any:
    """A provider as a user would make it for this service, in the recorded format; what it learns stays with it."""
    limits.reset()
    name, kind = recording.provider, recording.kind
    config: dict[str, Any] = {"max_retries": 0, "api_key": KEY}
    if kind == "responses":
        config["api"] = kind
    if kind in ("chat", "responses") and name not in HOSTS and name not in ("openai", "azure", "ollama"):
        name = "openai-compatible"
    if name == "ollama":
        config = {"max_retries": 0, **({"api": "chat"} if kind == "chat" else {})}
    if name in ("azure", "openai-compatible"):
        config["base_url"] = "https://service.test/v1"
    if base_url:
        config["base_url"] = base_url
    return gathering.provider(f"{name}:m", **config)


@pytest.fixture(params=ALL, ids=lambda r: r.name)
def recording(request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]) -> Recording:
    found: Recording = request.param
    record_property("recording", found.name)
    return found


def check(completion: Completion, said: Said) -> None:
    calls = [(c.name, c.arguments if c.malformed is None else c.malformed) for c in completion.tool_calls]
    # Where the service refuses without a word, the words are ours.
    refusal = (
        said.refusal
        if completion.finish_reason == said.finish != "stop" and not said.refusal
        else completion.refusal
    )
    read = Said(
        completion.content,
        completion.thinking,
        refusal or "",
        calls,
        completion.finish_reason,
        completion.usage.input_tokens,
        completion.usage.output_tokens,
        completion.usage.cached_tokens,
        completion.usage.reasoning_tokens,
    )
    assert read == said
    assert all(call.id for call in completion.tool_calls)


def streamed(dialect: Any, pieces: list[bytes]) -> list[Event]:
    reader = dialect.stream_reader("m")
    events: list[Event] = []
    for piece in pieces:
        events += reader.feed(piece)
        if reader.failure is not None:
            raise reader.failure
    return events + reader.finish()


def test_an_answer_is_what_a_plain_reading_says(recording: Recording) -> None:
    """Text, thinking, refusal, calls, reason and figures, at each kind of cut; or the error that it is."""
    if not recording.is_answer:
        return
    dialect, error = made(recording).dialect, expected_error(recording)
    if recording.status >= 400:
        fault = fault_of_answer(recording.status, recording.headers, recording.body)
        assert type(fault.error) is error
        return
    if not recording.stream:
        check(
            dialect.parse_response(json.loads(recording.body), "m"),
            READERS[recording.kind](recording.body.decode(), False),
        )
        return
    for _, pieces in cuts(recording.body):
        if error is not None:
            with pytest.raises(error):
                streamed(dialect, pieces)
            continue
        events = streamed(dialect, pieces)
        done = events[-1]
        assert isinstance(done, Done)
        check(done.completion, READERS[recording.kind](recording.body.decode(), True))
        assert "".join(x.text for x in events if isinstance(x, TextDelta)) == done.completion.content
        assert "".join(x.text for x in events if isinstance(x, ThinkingDelta)) == done.completion.thinking


async def test_an_answer_through_a_socket(recording: Recording, service: Service) -> None:
    """The same to a caller who waits, to one who awaits, and to one who reads along."""
    if not recording.is_answer:
        return
    kind = recording.headers.get("content-type", "application/json")
    service.will(Answer(cut_in(recording.body, 997), recording.status, {"content-type": kind}))
    error = expected_error(recording)
    if error is not None:
        for call in (lambda p: p.complete(ASK), lambda p: list(p.stream(ASK))):
            with pytest.raises(error, match=r"Next: "):
                call(made(recording, service.url))
        with pytest.raises(error):
            await made(recording, service.url).complete_async(ASK)
        return
    said, provider = (
        READERS[recording.kind](recording.body.decode(), recording.stream),
        made(recording, service.url),
    )
    check(provider.complete(ASK), said)
    check(await provider.complete_async(ASK), said)
    stream = provider.stream(ASK)
    assert "".join(stream) == said.text
    check(stream.completion, said)


def test_vectors_and_lists_of_models(recording: Recording, service: Service) -> None:
    """Each vector and each name that is in the body, by whatever shape it is in there."""
    if recording.kind not in ("embeddings", "models"):
        return
    service.will(Answer([recording.body], 200, {"content-type": "application/json"}))
    said = json.loads(recording.body)
    provider = made(recording, service.url)
    if recording.kind == "models":
        entries = said.get("data") or said["models"]
        names = [str(entry.get("id") or entry["name"]).removeprefix("models/") for entry in entries]
        assert [info.name for info in provider.models()] == list(dict.fromkeys(names))
        return
    expected = vectors(said.get("data") or said.get("embeddings") or [said["embedding"]])
    found = provider.embed(["?"] * len(expected), model="m")
    assert [list(v) for v in found.vectors] == [pytest.approx(v) for v in expected]


def test_counts_of_tokens(recording: Recording, service: Service) -> None:
    """The service's own figure, and said to be exact."""
    if recording.kind != "count":
        return
    service.will(Answer([recording.body], 200, {"content-type": "application/json"}))
    said = json.loads(recording.body)
    counted = made(recording, service.url).count_tokens(ASK)
    assert (counted.tokens, counted.exact) == (said.get("input_tokens") or said["totalTokens"], True)


def vectors(entries: Any) -> list[list[float]]:
    found = []
    for entry in entries:
        vector = entry if isinstance(entry, list) else entry.get("embedding", entry.get("values"))
        if isinstance(vector, str):
            raw = base64.b64decode(vector)
            vector = list(struct.unpack(f"<{len(raw) // 4}f", raw))
        found.append(vector)
    return found


def test_half_an_answer_is_none(recording: Recording) -> None:
    """A stream that lost its end is a failure that keeps what had arrived; never an answer, never another error."""
    if not recording.is_answer or not recording.stream or expected_error(recording):
        return
    dialect = made(recording).dialect
    for part in (0.1, 0.3, 0.5):
        reader = dialect.stream_reader("m")
        reader.feed(recording.body[: int(len(recording.body) * part)])
        if not reader.whole:
            with pytest.raises(e.IncompleteStreamError) as caught:
                reader.finish()
            assert caught.value.partial == reader.partial


def test_what_is_in_no_format_of_ours_ends_in_a_typed_error(recording: Recording, service: Service) -> None:
    """Such as Gemini's interactions: said as such, or an answer without text; never a crash."""
    if recording.kind:
        return
    kind = recording.headers.get("content-type", "application/json")
    service.will(Answer([recording.body], recording.status, {"content-type": kind}))
    for name in ("openai", "anthropic", "gemini"):
        provider: Any = gathering.provider(f"{name}:m", base_url=service.url, api_key=KEY, max_retries=0)
        try:
            text = provider.complete(ASK).content
        except e.ProviderError as error:
            text = "" if str(error).startswith(name) else repr(error)
        assert text == ""
