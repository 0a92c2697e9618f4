"""The course of a call: each way an answer can go wrong is one typed error with all that is known of it, and retries end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fake_service import Answer, Service, answer, chunk, sse

import gathering
from gathering.core import errors as e
from gathering.core.events import TextDelta
from gathering.llm.admission import Admission
from gathering.llm.exchange import NEXT, Head, Request, Send, course
from gathering.llm.openai import ChatDialect
from gathering.llm.openai_chat import ChatStyle

ASK = [{"role": "user", "content": "1+1?"}]
HEAD = {"content-type": "text/event-stream", "x-request-id": "req_7"}
JSON = {"content-type": "application/json", "x-request-id": "req_7"}


def provider(service: Service, **config: Any) -> Any:
    """A provider that does not wait."""
    made: Any = gathering.provider("openai:m", base_url=service.url, api_key="k", **config)
    made.waited = []
    made.sleep = made.waited.append

    async def sleep(seconds: float) -> None:
        made.waited.append(seconds)

    made.sleep_async = sleep
    return made


def read(p: Any) -> str:
    """The text that is shown, by ``for``."""
    return "".join(p.stream(ASK))


def read_async(p: Any) -> str:
    """The text that is shown, by ``async for``."""

    async def all_of_it() -> str:
        return "".join([piece async for piece in p.stream(ASK)])

    return asyncio.run(all_of_it())


@pytest.fixture(params=[read, read_async])
def call(request: pytest.FixtureRequest) -> Callable[[Any], str]:
    """A stream, read either way."""
    found: Callable[[Any], str] = request.param
    return found


def events(*data: Any, **options: Any) -> Answer:
    return sse(*data, headers=HEAD, **options)


def body(*pieces: bytes, status: int = 200, kind: str = "application/json") -> Answer:
    return Answer(pieces, status, {"content-type": kind, "x-request-id": "req_7"})


HEL = chunk("Hel")
BUSY = {"error": {"message": "the engine is tired", "type": "server_error", "code": 503}}

#: What the service does, what it is called, its status, what is in the text, what had arrived.
FAULTS: dict[str, tuple[Answer, type[e.ProviderError], int | None, str, str]] = {
    "no end mark": (events(HEL), e.IncompleteStreamError, 200, "Next: ", "Hel"),
    "an error in the stream": (events(HEL, BUSY), e.OverloadedError, 503, "the engine is tired", "Hel"),
    "a malformed chunk": (events(HEL, "{nonsense"), e.MalformedResponseError, 200, "{nonsense", "Hel"),
    "silence": (events(HEL, stall=True), e.ProviderTimeoutError, 200, "silent for 0.2 s", "Hel"),
    "a dropped socket": (events(HEL, drop=True), e.ProviderConnectionError, 200, "broke", "Hel"),
    "HTML": (body(b"<html><title>Sign in</title></html>"), e.MalformedResponseError, 200, "an HTML page", ""),
    "an empty body": (body(), e.MalformedResponseError, 200, "an empty body", ""),
    "an image": (
        body(b"\x89PNG\r\n", kind="image/png"),
        e.MalformedResponseError,
        200,
        "in place of JSON",
        "",
    ),
    "an error with a good status": (
        body(json.dumps(BUSY).encode()),
        e.OverloadedError,
        503,
        "the engine is tired",
        "",
    ),
    "half a JSON body": (body(b'{"choices": [{"mess'), e.MalformedResponseError, 200, "in place of JSON", ""),
    "an error page": (
        body(b"<html><title>502 Bad Gateway</title></html>", status=502, kind="text/html"),
        e.OverloadedError,
        502,
        "502 Bad Gateway",
        "",
    ),
    "an error that is no JSON": (
        body(b"no way", status=400, kind="image/png"),
        e.BadRequestError,
        400,
        "no way",
        "",
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_each_fault_is_one_typed_error_with_all_that_is_known(service: Service, call: Any, what: str) -> None:
    """Class, status, the provider's message, the request's id, the partial text, the next step; in one line."""
    faulty, kind, status, words, partial = FAULTS[what]
    service.will(replace(faulty))
    with pytest.raises(e.ProviderError) as caught:
        call(provider(service, timeout=0.2, max_retries=0))
    error = caught.value
    assert type(error) is kind
    assert (error.provider, error.model) == ("openai", "m")
    assert (error.status, error.request_id, error.partial) == (status, "req_7", partial)
    text = str(error)
    assert text.startswith("openai:m ")
    assert words in text
    assert "Next: " in text
    assert "\n" not in text


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """One line, or one body, that never ends does not fill the memory; what came before is kept."""
    monkeypatch.setattr("gathering.llm.bodies._MOST", 1000)
    request = Request(
        ChatDialect(ChatStyle()), "m", {}, stream, 0, lambda error: error, admission=Admission()
    )
    run = course(request)
    assert isinstance(next(run), Send)
    run.send(Head(200, {"content-type": "text/event-stream" if stream else "application/json"}))
    sent = 0
    if stream:
        run.send(b"data: " + json.dumps(chunk("Hel")).encode() + b"\n\n")
        run.send(None)
    with pytest.raises(e.MalformedResponseError, match="no end of it") as caught:  # noqa: PT012 - one of many
        for sent in range(1, 50):  # noqa: B007 - looked at below
            run.send(b"{" * 100)
    assert sent == 11
    assert caught.value.partial == ("Hel" if stream else "")


def test_signs_of_life_are_no_answer() -> None:
    """A stream of comments alone ends when silence would have; what comes in between begins the time anew."""
    ticking = iter(range(1000))
    admission = Admission(clock=lambda: float(next(ticking)))
    request = Request(
        ChatDialect(ChatStyle()), "m", {}, True, 0, lambda error: error, admission=admission, patience=15
    )
    ping, said = b": ping\n\n", b"data: " + json.dumps(chunk("x")).encode() + b"\n\n"
    run = course(request)
    assert isinstance(next(run), Send)
    assert run.send(Head(200, HEAD)) is NEXT
    for piece in (*[ping] * 10, said, *[ping] * 10, said):
        shown = run.send(piece)
        if piece is said:
            assert shown == [TextDelta("x")]
            assert next(run) is NEXT
    for _ in range(16):
        assert run.send(ping) is NEXT
    with pytest.raises(e.ProviderTimeoutError, match="signs of life and nothing else for 15 s") as caught:
        run.send(ping)
    assert caught.value.partial == "xx"


def test_nobody_there_has_no_status(service: Service, call: Any) -> None:
    """No answer, no status: the next step is about the address."""
    service.close()
    with pytest.raises(e.ProviderConnectionError) as caught:
        call(provider(service, max_retries=0))
    assert (caught.value.status, caught.value.request_id) == (None, None)
    assert "Next: check the network and base_url" in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"retry-after": "7"}, "slow down", 7.0),
        ({"retry-after-ms": "2500"}, "slow down", 2.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6.5s"}, "slow down", 6.5),
        ({}, "Rate limit reached. Please try again in 20s.", 20.0),
    ],
)
def test_a_wait_is_kept_to_wherever_it_stands(
    service: Service, call: Any, headers: dict[str, str], text: str, seconds: float
) -> None:
    """In a header, in the limits, in the words; the first one who was refused waits just that long."""
    refused = Answer([json.dumps({"error": {"message": text}}).encode()], 429, {**JSON, **headers})
    service.will(refused, Answer([json.dumps(answer("Hi")).encode()], headers=JSON))
    p = provider(service)
    assert call(p) == "Hi"
    assert p.waited == [seconds]


def test_overload_told_in_a_stream_without_a_status_is_retried(service: Service, call: Any) -> None:
    """Before the first piece; the kind of the error says that it passes."""
    overloaded = {"error": {"type": "overloaded_error", "message": "Overloaded"}}
    service.will(events(overloaded), events(chunk("Hi", "stop"), "[DONE]"))
    assert call(provider(service)) == "Hi"


def test_no_retry_begins_when_the_time_is_up(service: Service, call: Any) -> None:
    """However many tries are left: waits together stay below max_wait."""
    service.will(Answer([b"{}"], 500, JSON))
    p = provider(service, max_retries=50, max_wait=0.4)
    ticking = iter(range(1000))
    p._admission = lambda key: Admission(max_wait=20, clock=lambda: float(next(ticking)))
    with pytest.raises(e.OverloadedError):
        call(p)
    assert 1 < len(service.received) < 15
    assert p.waited


def test_a_refusal_longer_than_the_time_is_the_caller_s(service: Service, call: Any) -> None:
    """Nothing is waited for; the error says how long it would have been."""
    service.will(Answer([b"{}"], 429, {**JSON, "retry-after": "30"}))
    p = provider(service, max_wait=10)
    with pytest.raises(e.RateLimitError) as caught:
        call(p)
    assert (p.waited, caught.value.retry_after, len(service.received)) == ([], 30.0, 1)


def test_a_stopped_wait_gives_its_place_back(service: Service) -> None:
    """A call that is interrupted while it waits for its turn has taken nothing of the limit."""
    p = provider(service, requests_per_minute=1)
    p.complete(ASK)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    p.sleep = interrupt
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            p.complete(ASK)
    p.sleep = p.waited.append
    p.complete(ASK)
    assert p.waited == [pytest.approx(60, abs=5)]
