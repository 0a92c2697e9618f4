"""The HTTP provider against a service on the loopback: answers, retries, breaks, Stop, keys and many calls at once."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from fake_service import PATIENCE, Answer, Service, answer, chunk, sse

import gathering
from gathering.core import errors as e
from gathering.core.events import Done, TextDelta
from gathering.core.messages import Completion, Usage
from gathering.core.session import no_live_calls
from gathering.llm.http import HTTPProvider

KEY = "sk-verysecretkey0123456789"
ASK = [{"role": "user", "content": "1+1?"}]
JSON = {"content-type": "application/json"}
END = "[DONE]"


def provider(service: Service, **config: Any) -> Any:
    """A provider whose waits are only noted, in ``.waited``."""
    made = gathering.provider("openai:m", base_url=service.url, api_key=KEY, **config)
    made.waited = []
    made.sleep = made.waited.append

    async def sleep(seconds: float) -> None:
        made.waited.append(seconds)

    made.sleep_async = sleep
    return made


def failing(status: int, message: str = "trouble", **headers: str) -> Answer:
    return Answer([json.dumps({"error": {"message": message}}).encode()], status, {**JSON, **headers})


def good(text: str = "Hello!") -> Answer:
    return Answer([json.dumps(answer(text)).encode()], headers=JSON)


def whole(p: Any) -> Completion:
    """Through ``complete``."""
    result: Completion = p.complete(ASK)
    return result


def awaited(p: Any) -> Completion:
    """Through ``complete_async``, on a loop of its own."""
    result: Completion = asyncio.run(p.complete_async(ASK))
    return result


def streamed(p: Any) -> Completion:
    """Through ``stream`` and ``for``."""
    stream = p.stream(ASK)
    for _ in stream:
        pass
    result: Completion = stream.completion
    return result


def streamed_async(p: Any) -> Completion:
    """Through ``stream`` and ``async for``."""

    async def read() -> Completion:
        stream = p.stream(ASK)
        async for _ in stream:
            pass
        result: Completion = stream.completion
        return result

    return asyncio.run(read())


@pytest.fixture(params=[whole, awaited, streamed, streamed_async])
def call(request: pytest.FixtureRequest) -> Callable[[Any], Completion]:
    """Each of the four ways to ask."""
    found: Callable[[Any], Completion] = request.param
    return found


# -- answers -----------------------------------------------------------------------------------------------------


def test_an_answer(service: Service, call: Any) -> None:
    """Text, usage and model; the request carries the key and names the model."""
    completion = call(provider(service))
    assert (completion.content, completion.usage, completion.model) == ("Hello!", Usage(5, 2), "m-1")
    (received,) = service.received
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json["model"] == "m"
    assert received.json.get("stream", False) is (call in (streamed, streamed_async))


def test_a_stream_gives_text_as_it_arrives(service: Service) -> None:
    """The first piece is there while the service is still writing."""
    service.will(sse(chunk("Hel"), chunk("lo"), stall=True))
    stream = provider(service).stream(ASK)
    assert next(iter(stream)) == "Hel"
    stream.close()


def test_a_streamed_answer_to_a_whole_request(service: Service) -> None:
    """Some gateways always stream."""
    service.will(sse(chunk("Hel"), chunk("lo", "stop"), END))
    assert whole(provider(service)).content == "Hello"


@pytest.mark.parametrize("blank", [b"", b"\n\n  \n"])
def test_a_whole_answer_to_a_streamed_request(service: Service, blank: bytes) -> None:
    """What the body begins with decides, not what was asked nor what the header says."""
    for kind in ("application/json", "text/event-stream", "application/octet-stream"):
        service.will(Answer([blank, json.dumps(answer("Hi")).encode()], headers={"content-type": kind}))
        events = list(provider(service).stream(ASK).events())
        assert events[0] == TextDelta("Hi")
        assert isinstance(events[-1], Done)


def test_a_stream_under_another_content_type(service: Service) -> None:
    """Events are recognised by their form."""
    body = sse(chunk("Hi", "stop"), END)
    body.headers = {"content-type": "text/plain"}
    service.will(body)
    assert streamed(provider(service)).content == "Hi"


def test_compressed_answers_are_read(service: Service, call: Any) -> None:
    """Nobody asked for compression, but some gateways do it."""
    body = gzip.compress(json.dumps(answer("Hi")).encode())
    service.will(Answer([body[:20], body[20:]], headers={**JSON, "content-encoding": "gzip"}))
    assert call(provider(service)).content == "Hi"


def test_half_a_character_goes_out_as_an_escape(service: Service, call: Any) -> None:
    """A lone surrogate has no UTF-8 form; the request is sent all the same."""
    p = provider(service)
    p.params["stop"] = "\ud83d"
    assert call(p).content == "Hello!"
    assert b"\\ud83d" in service.received[0].body


def test_parameters_of_the_configuration_and_of_the_call(service: Service) -> None:
    """A call's own parameter wins."""
    provider(service, temperature=0, params={"top_p": 0.5}).complete(ASK, temperature=1, max_tokens=9)
    sent = service.received[0].json
    assert (sent["temperature"], sent["top_p"], sent["max_completion_tokens"]) == (1, 0.5, 9)


# -- connections -------------------------------------------------------------------------------------------------


def test_connections_are_used_again(service: Service) -> None:
    """After answers, errors and streams, by all providers of the process."""
    whole(provider(service))
    service.will(failing(400))
    with pytest.raises(e.BadRequestError):
        whole(provider(service))
    service.will(sse(chunk("Hi", "stop"), END))
    streamed(provider(service))
    streamed(provider(service))
    assert service.connections == 1


async def test_async_connections_are_used_again(service: Service) -> None:
    """The same on a loop."""
    await provider(service).complete_async(ASK)
    service.will(sse(chunk("Hi", "stop"), END))
    for _ in range(2):
        async for _ in provider(service).stream(ASK):
            pass
    assert service.connections == 1


def test_a_server_that_hangs_after_the_end_mark_is_not_waited_for(service: Service, call: Any) -> None:
    """The answer is whole; the connection is closed instead of used again."""
    service.will(sse(chunk("Hi", "stop"), END, stall=True))
    assert call(provider(service)).content == "Hi"
    assert service.hung_up.wait(PATIENCE)


def test_one_provider_serves_loop_after_loop(service: Service) -> None:
    """Connections of a loop that is gone are not used, nor complained about."""
    p = provider(service)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for _ in range(3):
            assert awaited(p).content == "Hello!"


def test_a_call_from_a_thread_beside_a_loop(service: Service) -> None:
    """Sync and async work mix: neither uses the other's connections."""

    async def both() -> list[str]:
        p = provider(service)
        results = await asyncio.gather(p.complete_async(ASK), asyncio.to_thread(p.complete, ASK))
        return [r.content for r in results]

    assert asyncio.run(both()) == ["Hello!", "Hello!"]


async def test_a_hundred_calls_in_flight(service: Service) -> None:
    """One provider carries them side by side."""
    service.will(Answer([json.dumps(answer()).encode()], headers=JSON, delay=1.0))
    p = provider(service)
    completions = await asyncio.gather(*(p.complete_async(ASK) for _ in range(100)))
    assert {c.content for c in completions} == {"Hello!"}
    assert service.most_in_flight == 100


def test_many_threads_share_a_provider(service: Service) -> None:
    """Sync calls are safe from any thread."""
    p, seen = provider(service), []
    threads = [threading.Thread(target=lambda: seen.append(whole(p).content)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert seen == ["Hello!"] * 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_opens_its_own_connections(service: Service) -> None:
    """The parent's socket is not read by two."""
    p = provider(service)
    whole(p)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is what is tested
        child = context.Process(target=lambda: queue.put(whole(p).content))
        child.start()
    child.join(PATIENCE)
    assert queue.get() == "Hello!"
    assert whole(p).content == "Hello!"
    assert service.connections == 2


# -- failures ----------------------------------------------------------------------------------------------------


def test_a_dropped_stream_keeps_what_had_arrived(service: Service) -> None:
    """The error is of the connection, with the partial text, and nothing is asked twice."""
    service.will(sse(chunk("Hel"), chunk("lo"), drop=True))
    for ask in (streamed, streamed_async):
        service.received.clear()
        with pytest.raises(e.ProviderConnectionError) as caught:
            ask(provider(service))
        assert caught.value.partial == "Hello"
        assert (caught.value.provider, caught.value.model) == ("openai", "m")
        assert len(service.received) == 1


def test_a_stream_that_ends_without_its_end_mark(service: Service, call: Any) -> None:
    """A clean end of the connection is not the end of the answer."""
    service.will(sse(chunk("Hel")))
    with pytest.raises(e.IncompleteStreamError) as caught:
        call(provider(service))
    assert caught.value.partial == "Hel"
    service.will(sse())
    with pytest.raises(e.IncompleteStreamError):
        call(provider(service))


def test_a_break_after_the_finish_reason_is_no_loss(service: Service, call: Any) -> None:
    """The answer is whole already."""
    service.will(sse(chunk("Hello", "stop"), drop=True))
    assert call(provider(service)).content == "Hello"


def test_silence_is_a_timeout(service: Service, call: Any) -> None:
    """Before the answer and in its middle; it is not sent again, since it may be at work."""
    p = provider(service, timeout=0.2)
    service.will(Answer(silent=True))
    with pytest.raises(e.ProviderTimeoutError, match=r"silent for 0\.2 s"):
        call(p)
    service.will(sse(chunk("Hel"), stall=True))
    with pytest.raises(e.ProviderTimeoutError) as caught:
        call(p)
    assert caught.value.partial == "Hel"
    assert len(service.received) == 2


def test_nobody_there(service: Service, call: Any) -> None:
    """The address is named and what to check; it is tried again before that."""
    p = provider(service)
    service.close()
    with pytest.raises(e.ProviderConnectionError, match=r"no connection to http://127\.0\.0\.1") as caught:
        call(p)
    assert not isinstance(caught.value, e.ProviderTimeoutError)
    assert len(p.waited) == 2


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"<html><body>Login</body></html>", "text/html", "HTML page"),
        (b"", "application/json", "empty body"),
        (b"hm", "application/json", "'hm'"),
        (b'{"hello": 1}', "application/json", "no choices"),
    ],
)
def test_nonsense_with_a_good_status(service: Service, call: Any, body: bytes, kind: str, words: str) -> None:
    """It is said what came, and that base_url may be wrong."""
    service.will(Answer([body] if body else [], headers={"content-type": kind}))
    with pytest.raises(e.MalformedResponseError, match=words) as caught:
        call(provider(service))
    assert "base_url" in str(caught.value)
    assert len(service.received) == 1


def test_a_redirect_is_not_followed(service: Service, call: Any) -> None:
    """The key would go to wherever it points."""
    service.will(Answer(status=307, headers={"location": f"{service.url}/elsewhere"}))
    with pytest.raises(e.MalformedResponseError, match="redirect"):
        call(provider(service))
    assert len(service.received) == 1


# -- retries -----------------------------------------------------------------------------------------------------


def test_trouble_that_passes_is_retried(service: Service, call: Any) -> None:
    """Twice at most, with a growing wait, and the completion says how often."""
    service.will(failing(500), failing(503), good())
    p = provider(service)
    completion = call(p)
    assert (completion.content, completion.attempts) == ("Hello!", 3)
    first, second = p.waited
    assert 0.375 <= first <= 0.5
    assert 0.75 <= second <= 1.0


def test_retries_end(service: Service, call: Any) -> None:
    """The last error is raised; max_retries=0 switches them off."""
    service.will(failing(529))
    for retries in (2, 0):
        service.received.clear()
        with pytest.raises(e.OverloadedError):
            call(provider(service, max_retries=retries))
        assert len(service.received) == retries + 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_what_cannot_pass_is_not_retried(service: Service, call: Any, status: int) -> None:
    """The same request would fail the same way."""
    service.will(failing(status))
    with pytest.raises(e.ProviderError):
        call(provider(service))
    assert len(service.received) == 1


def test_missing_credit_is_not_retried(service: Service, call: Any) -> None:
    """A 429 is not always a rate."""
    body = json.dumps({"error": {"message": "exceeded your quota", "code": "insufficient_quota"}}).encode()
    service.will(Answer([body], 429, JSON))
    with pytest.raises(e.QuotaError):
        call(provider(service))
    assert len(service.received) == 1


def test_the_service_says_how_long_to_wait(service: Service, call: Any) -> None:
    """Up to two minutes; longer is the caller's decision, and the error says how long."""
    p = provider(service)
    service.will(failing(429, **{"retry-after": "7"}), good())
    assert call(p).attempts == 2
    assert p.waited == [7.0]
    service.received.clear()
    service.will(failing(429, **{"retry-after": "3600"}))
    with pytest.raises(e.RateLimitError) as caught:
        call(p)
    assert caught.value.retry_after == 3600
    assert len(service.received) == 1


def test_a_wait_named_on_a_good_answer_is_nothing(service: Service, call: Any) -> None:
    """Some services send it with status 200."""
    service.will(Answer([json.dumps(answer()).encode()], headers={**JSON, "retry-after": "60"}))
    p = provider(service)
    call(p)
    assert p.waited == []


def test_a_connection_dropped_before_the_answer_is_retried(service: Service, call: Any) -> None:
    """Nothing had been shown."""
    service.will(Answer([b'{"choi'], headers=JSON, drop=True), good())
    assert call(provider(service)).attempts == 2


def test_an_error_before_the_first_event_is_retried(service: Service, call: Any) -> None:
    """A stream that begins with trouble was not shown to anybody."""
    service.will(sse({"error": {"code": 503, "message": "busy"}}), good())
    assert call(provider(service)).attempts == 2


def test_nothing_is_retried_after_the_first_event(service: Service) -> None:
    """A half answer that was seen must not begin again."""
    service.will(sse(chunk("Hel"), {"error": {"code": 503, "message": "busy"}}), good())
    for ask in (streamed, streamed_async):
        service.received.clear()
        service.will(sse(chunk("Hel"), {"error": {"code": 503, "message": "busy"}}), good())
        with pytest.raises(e.OverloadedError) as caught:
            ask(provider(service))
        assert caught.value.partial == "Hel"
        assert len(service.received) == 1


def test_a_parameter_the_model_does_not_take_is_left_out(service: Service, call: Any) -> None:
    """Once, and the user is told."""
    refused = {"error": {"message": "no stop", "code": "unsupported_parameter", "param": "stop"}}
    service.will(Answer([json.dumps(refused).encode()], 400, JSON), good())
    p = provider(service, stop="x")
    with pytest.warns(UserWarning, match="stop='x'"):
        assert call(p).content == "Hello!"
    assert "stop" not in service.received[1].json
    assert p.waited == []


def test_max_tokens_is_renamed_where_the_server_says_so(service: Service) -> None:
    """A gateway in front of OpenAI wants the newer name."""
    text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    refused = {"error": {"message": text, "code": "unsupported_parameter", "param": "max_tokens"}}
    service.will(Answer([json.dumps(refused).encode()], 400, JSON), good())
    p = gathering.provider("openai-compatible:m", base_url=service.url, max_tokens=9)
    assert p.complete(ASK)["content"] == "Hello!"
    assert service.received[1].json["max_completion_tokens"] == 9


# -- Stop --------------------------------------------------------------------------------------------------------


def test_closing_a_stream_hangs_up(service: Service) -> None:
    """The service sees it at once, and the next call works."""
    service.will(sse(chunk("Hel"), stall=True))
    p = provider(service)
    with p.stream(ASK) as stream:
        assert next(iter(stream)) == "Hel"
    assert service.hung_up.wait(PATIENCE)
    service.will(good())
    assert whole(p).content == "Hello!"


async def test_leaving_an_async_stream_hangs_up(service: Service) -> None:
    """``async with`` closes it for certain."""
    service.will(sse(chunk("Hel"), stall=True))
    async with provider(service).stream(ASK) as stream:
        async for piece in stream:
            assert piece == "Hel"
            break
    assert await asyncio.to_thread(service.hung_up.wait, PATIENCE)


@pytest.mark.parametrize("begun", [True, False])
async def test_cancelling_a_task_hangs_up(service: Service, begun: bool) -> None:
    """Before the first byte and in the middle of a stream."""
    service.will(sse(chunk("Hel"), stall=True) if begun else Answer(silent=True))
    p, arrived = provider(service), asyncio.Event()

    async def read() -> None:
        async for _ in p.stream(ASK):
            arrived.set()

    task = asyncio.create_task(read())
    if begun:
        await asyncio.wait_for(arrived.wait(), PATIENCE)
    else:
        assert await asyncio.to_thread(service.got_request.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(service.hung_up.wait, PATIENCE)
    service.will(good())
    assert (await p.complete_async(ASK)).content == "Hello!"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no signals to a thread")
@pytest.mark.parametrize("begun", [True, False])
def test_an_interrupt_hangs_up(service: Service, begun: bool) -> None:
    """Ctrl-C in a thread that reads raises in the read, and the connection closes."""
    service.will(sse(chunk("Hel"), stall=True) if begun else Answer(silent=True))
    p, main = provider(service), threading.get_ident()

    def interrupt() -> None:
        service.got_request.wait(PATIENCE)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        _interruptible(p)
    thread.join(PATIENCE)
    assert service.hung_up.wait(PATIENCE)
    service.will(good())
    assert whole(p).content == "Hello!"


def _interruptible(p: Any) -> None:
    for _ in p.stream(ASK):
        pass


def test_an_interrupt_ends_a_wait(service: Service) -> None:
    """Stop during the pause before a retry sends nothing more."""
    service.will(failing(500))
    p = provider(service)

    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    p.sleep = stop
    with pytest.raises(KeyboardInterrupt):
        whole(p)
    assert len(service.received) == 1


# -- no live calls, keys -----------------------------------------------------------------------------------------


def test_live_calls_can_be_forbidden(service: Service, call: Any) -> None:
    """Nothing reaches the service, and the error quotes the prompt."""
    with no_live_calls("this is a test"), pytest.raises(e.LiveCallError, match=r"1\+1\?"):
        call(provider(service))
    with no_live_calls("this is a test"):
        assert "this is a test" in provider(service).why_unavailable()
    assert service.received == []


LEAKS = [
    Answer([json.dumps({"error": {"message": f"Incorrect key {KEY}"}}).encode()], 401, JSON),
    Answer([json.dumps({"error": {"message": f"we got Bearer {KEY}"}}).encode()], 500, JSON),
    Answer([f"<html><title>{KEY}</title>".encode()], 502),
    Answer([f"<html>{KEY}".encode()], 200),
    Answer([json.dumps({"echo": KEY}).encode()], 200, JSON),
    Answer(status=302, headers={"location": f"http://x/?key={KEY}"}),
    sse(chunk("Hel"), {"error": {"message": f"bad {KEY}"}}),
    sse(chunk("Hel"), f"nonsense {KEY}"),
    sse(chunk("Hel"), drop=True),
    sse(chunk("Hel"), stall=True),
    Answer(silent=True),
]


@pytest.mark.parametrize("leak", LEAKS)
def test_no_error_shows_the_key(service: Service, call: Any, leak: Answer) -> None:
    """Not in the message, not in the attributes, not in the traceback with all variables, causes included."""
    service.will(leak)
    p = provider(service, max_retries=0, timeout=0.2, headers={"x-api-key": "hunter2hunter2"})
    with pytest.raises(e.ProviderError) as caught:
        call(p)
    error = caught.value
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    ours = "\n".join(
        part for part in shown.split("  File ") if "test_http" not in part and "fake_service" not in part
    )
    assert KEY not in f"{error} {error!r} {vars(error)} {ours}"
    assert "hunter2" not in f"{error} {ours}"


def test_no_repr_shows_the_key(service: Service) -> None:
    """Neither the provider's nor that of what it holds."""
    p = provider(service, headers={"x-api-key": "hunter2hunter2"})
    call = p.stream(ASK)
    shown = f"{p!r} {p} {vars(p)} {p.config} {call!r}"
    assert KEY not in shown
    assert "hunter2" not in shown


def test_no_pickle_holds_the_key(service: Service) -> None:
    """Whoever unpickles the provider finds the key anew; a copy in the same process keeps it."""
    headers = {"x-api-key": "hunter2", "x-title": "t"}
    p = gathering.provider("openai:m", base_url=service.url, api_key=KEY, headers=headers)
    frozen = pickle.dumps(p)
    assert KEY.encode() not in frozen
    assert b"hunter2" not in frozen
    assert pickle.loads(frozen).complete(ASK)["content"] == "Hello!"
    assert service.received[0].headers["x-title"] == "t"
    copy.deepcopy(p).complete(ASK)
    assert service.received[1].headers["authorization"] == f"Bearer {KEY}"
    assert service.received[1].headers["x-api-key"] == "hunter2"


def test_no_log_holds_the_key(service: Service, call: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Not even with every library's logging switched on."""
    caplog.set_level(logging.DEBUG)
    call(provider(service))
    assert KEY not in caplog.text


def test_without_a_key_nothing_is_sent(service: Service) -> None:
    """The variable is named; the loopback needs none."""
    with pytest.raises(e.AuthenticationError, match="OPENAI_API_KEY"):
        gathering.provider("openai:m", base_url="https://service.invalid/v1").complete(ASK)
    assert gathering.provider("openai:m", base_url=service.url).complete(ASK)["content"] == "Hello!"
    assert "authorization" not in service.received[0].headers


def test_a_refused_key_is_named_by_its_variable(service: Service) -> None:
    """What to do is in the message."""
    service.will(failing(401, "no"))
    with pytest.raises(e.AuthenticationError, match="OPENAI_API_KEY"):
        whole(provider(service))


# -- is it there? ------------------------------------------------------------------------------------------------


def test_a_service_that_answers_is_available(service: Service) -> None:
    """The list of models is asked for, with the key; servers without one are there all the same."""
    service.will_say({"data": [{"id": "a"}, {"id": "b"}]})
    p = provider(service)
    assert p.is_available()
    assert p.why_unavailable() is None
    assert [m.name for m in p.models()] == ["a", "b"]
    assert {(r.method, r.path) for r in service.received} == {("GET", "/v1/models")}
    service.will(failing(404))
    assert p.is_available()


def test_why_a_service_is_not_available(service: Service) -> None:
    """One line that says what to do, and no exception."""
    p = provider(service)
    service.will(failing(401, "bad key"))
    assert not p.is_available()
    assert "OPENAI_API_KEY" in p.why_unavailable()
    service.will(failing(503))
    assert "try again later" in p.why_unavailable()
    service.close()
    assert "no connection" in p.why_unavailable()
    assert "OPENAI_API_KEY" in gathering.provider("openai:m").why_unavailable()


def test_a_list_of_models_in_no_known_form(service: Service) -> None:
    """It is an error that says so."""
    service.will_say({"hello": 1})
    with pytest.raises(e.MalformedResponseError, match="lists its models"):
        provider(service).models()
    service.will(failing(403, "not you"))
    with pytest.raises(e.PermissionDeniedError, match="not you"):
        provider(service).models()


# -- configuration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"tempratur": 1}, "did you mean 'temperature'"),
        ({"base_urll": "http://x"}, "did you mean 'base_url'"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "long"}, "timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"context": 0}, "context"),
        ({"base_url": "ftp://x/v1"}, "base_url"),
        ({"base_url": "not an address"}, "base_url"),
        ({"base_url": 7}, "base_url"),
        ({"headers": "x"}, "headers"),
        ({"params": [1]}, "params"),
        ({"api": "native"}, "'chat' or api='responses'"),
        ({"api_key": "two\nlines"}, "key"),
    ],
)
def test_a_wrong_option_is_named(config: dict[str, Any], words: str) -> None:
    """With the nearest right one, or with what would be right."""
    with pytest.raises(e.ConfigurationError, match=words):
        gathering.provider("openai:m", **config)


def test_a_server_of_ones_own_needs_an_address(monkeypatch: pytest.MonkeyPatch, service: Service) -> None:
    """From the configuration or the environment."""
    with pytest.raises(e.ConfigurationError, match="base_url"):
        gathering.provider("openai-compatible:m")
    monkeypatch.setenv("OPENAI_COMPATIBLE_BASE_URL", service.url + "/")
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "abcd1234")
    assert gathering.provider("openai-compatible:m").complete(ASK)["content"] == "Hello!"
    assert service.received[0].headers["authorization"] == "Bearer abcd1234"
    assert service.received[0].path == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("openai:gpt-5-mini", 400_000),
        ("openai:o3", 200_000),
        ("openai:other", 128_000),
        ("xai:grok-3", 131_072),
        ("vllm:gpt-5-mini", 8_192),  # the user's own machine: the name says nothing about its memory
    ],
)
def test_how_much_a_model_can_hold(model: str, tokens: int) -> None:
    """Known models by name, anything by ``context``."""
    assert gathering.provider(model).get_max_tokens() == tokens
    assert gathering.provider(model, context=5).get_max_tokens() == 5


def test_a_service_of_ones_own_is_a_small_subclass(service: Service) -> None:
    """It says its address, its headers and its dialect; all else is there."""
    from gathering.llm.openai import ChatDialect, ChatStyle

    class Mine(HTTPProvider):
        dialect = ChatDialect(ChatStyle())
        base_url = service.url

        def auth_headers(self, key: Any) -> dict[str, str]:
            return {"x-token": "t"}

    assert whole(Mine("mine", {"model": "m"})).content == "Hello!"
    assert service.received[0].headers["x-token"] == "t"
