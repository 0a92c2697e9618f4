"""Limits of a service and key: what a user allows, what refusals teach, and that everything in the process keeps to it."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from fake_service import Answer, Service, answer
from hypothesis import given
from hypothesis import strategies as st

import gathering
from gathering.core import errors as e
from gathering.llm import limits
from gathering.llm.limits import FIRST_SPACING, LONGEST_CLOSED, MINUTE, MOST_SPACING, Gate, gate_of

ASK = [{"role": "user", "content": "1+1?"}]
KEY = "sk-verysecretkey0123456789"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock of this test's own."""
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    """A gate on that clock."""
    return Gate(clock=clock)


def starts(gate: Gate, count: int, tokens: int = 0) -> list[float]:
    """When requests that ask for a slot one after the other may be sent, in seconds from now."""
    return [pytest.approx(gate.wait_seconds(gate.take(tokens))) for _ in range(count)]


def test_what_was_never_limited_is_not_asked(gate: Gate) -> None:
    """One look is all it costs."""
    assert not gate.limited


def test_requests_per_minute(gate: Gate, clock: Clock) -> None:
    """Up to the limit at once, then each when the one before it in the window is a minute old."""
    gate.allow(requests_per_minute=3)
    assert gate.limited
    assert starts(gate, 4) == [0, 0, 0, MINUTE]
    clock.now += 10
    assert starts(gate, 3) == [MINUTE - 10, MINUTE - 10, 2 * MINUTE - 10]


def test_tokens_per_minute(gate: Gate, clock: Clock) -> None:
    """Counted as they are thought to be, corrected when the service has counted; nobody overtakes."""
    gate.allow(tokens_per_minute=100)
    first = gate.take(60)
    assert starts(gate, 1, tokens=60) == [MINUTE]
    assert starts(gate, 1, tokens=10) == [MINUTE]
    other = Gate(clock=clock)
    other.allow(tokens_per_minute=100)
    first = other.take(60)
    other.passed(first, clock.now, 20)
    assert starts(other, 1, tokens=60) == [0]


def test_a_request_larger_than_the_limit_goes_alone(gate: Gate) -> None:
    """It would never go otherwise; the service may say what it thinks of it."""
    gate.allow(tokens_per_minute=100)
    assert starts(gate, 2, tokens=500) == [0, MINUTE]


def test_a_place_given_back_is_free(gate: Gate) -> None:
    """A call that was stopped while it waited took nothing."""
    gate.allow(requests_per_minute=1)
    gate.leave(gate.take())
    assert starts(gate, 2) == [0, MINUTE]


def test_a_new_limit_counts_at_once(gate: Gate) -> None:
    """With what was taken under the old one; the same limit again changes nothing."""
    gate.allow(requests_per_minute=2)
    assert starts(gate, 2) == [0, 0]
    gate.allow(requests_per_minute=2)
    gate.allow(requests_per_minute=3)
    assert starts(gate, 2) == [0, MINUTE]


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 80)), max_size=40),
    st.integers(1, 5),
    st.integers(50, 200),
)
def test_no_minute_ever_has_more(asked: list[tuple[float, int]], requests: int, tokens: int) -> None:
    """However requests come, no window of a minute holds more of them, or of their tokens, than was allowed."""
    clock = Clock()
    gate = Gate(clock=clock)
    gate.allow(requests, tokens)
    sent: list[tuple[float, int]] = []
    for pause, size in asked:
        clock.now += pause
        sent.append((clock.now + gate.wait_seconds(gate.take(size)), size))
    for begin, _ in sent:
        window = [size for at, size in sent if begin <= at < begin + MINUTE - 1e-6]
        assert len(window) <= requests
        assert sum(window) <= tokens or len(window) == 1


def test_a_refusal_closes_the_gate_for_everybody(gate: Gate, clock: Clock) -> None:
    """For as long as the service said; then they go one by one."""
    gate.refused(clock.now, 7.0)
    assert gate.limited
    assert starts(gate, 3) == [7, 7 + FIRST_SPACING, 7 + 2 * FIRST_SPACING]


def test_those_who_wait_already_wait_on(gate: Gate, clock: Clock) -> None:
    """A refusal of another one moves their slots behind it, in order."""
    gate.allow(requests_per_minute=100)
    slot = gate.take()
    gate.refused(clock.now, 5.0)
    assert gate.wait_seconds(slot) == 5.0
    assert gate.wait_seconds(slot) == 0.0
    clock.now += 4
    gate.refused(clock.now, 5.0)
    assert gate.wait_seconds(slot) == pytest.approx(5.0)


def test_refusals_side_by_side_are_one(gate: Gate, clock: Clock) -> None:
    """Requests that were sent together are refused for one reason; each later refusal doubles the distance."""
    sent_at = clock.now
    clock.now += 1
    for _ in range(50):
        gate.refused(sent_at, 1.0)
    assert starts(gate, 2) == [1, 1 + FIRST_SPACING]
    for _ in range(10):
        clock.now += 100
        gate.refused(clock.now, 1.0)
    clock.now += 100
    assert starts(gate, 2) == [0, MOST_SPACING]


def test_successes_take_the_distance_away(gate: Gate, clock: Clock) -> None:
    """Those of requests sent after the refusal; what was on its way before says nothing."""
    before = gate.take()
    gate.refused(clock.now, 5.0)
    gate.passed(before, clock.now - 1, None)
    assert starts(gate, 1) == [5]
    for _ in range(20):
        clock.now += 10
        slot = gate.take()
        gate.passed(slot, clock.now, 9)
    assert starts(gate, 3) == [0, 0, 0]


def test_used_up_headers_close_the_gate(gate: Gate) -> None:
    """Before the service has to refuse."""
    gate.heard({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "9s"})
    assert not gate.limited
    gate.heard({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"})
    assert starts(gate, 1) == [9]


def test_no_gate_stays_closed_for_long(gate: Gate, clock: Clock) -> None:
    """A service that says an hour is asked again after two minutes: the plan may be another one by then."""
    gate.refused(clock.now, 3600.0)
    assert starts(gate, 1) == [LONGEST_CLOSED]


def test_gates_are_of_a_model_and_allowances_of_a_key() -> None:
    """Services count by model; what a user allows is of the key. The key itself is nowhere."""
    one, other = gate_of("a", "u", KEY, "m"), gate_of("a", "u", KEY, "n")
    assert one is gate_of("a", "u", KEY, "m")
    one.refused(0.0, 1.0)
    assert not other.limited
    one.allow(requests_per_minute=1)
    assert other.limited
    assert not gate_of("a", "u", "sk-another", "m").limited
    assert KEY not in repr((vars(limits), limits._gates, limits._allowances))


def test_many_threads_keep_to_one_limit(gate: Gate, clock: Clock) -> None:
    """No slot is given twice."""
    gate.allow(requests_per_minute=10)
    found: list[float] = []

    def work() -> None:
        found.extend(gate.wait_seconds(gate.take()) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == pytest.approx([MINUTE * (i // 10) for i in range(40)])


# -- over HTTP ---------------------------------------------------------------------------------------------------


def provider(service: Service, **config: Any) -> Any:
    """A provider whose waits are only noted, in ``.waited``."""
    made: Any = gathering.provider("openai:m", base_url=service.url, api_key=KEY, **config)
    made.waited = []
    made.sleep = made.waited.append

    async def sleep(seconds: float) -> None:
        made.waited.append(seconds)

    made.sleep_async = sleep
    return made


def refusing(**headers: str) -> Answer:
    return Answer([b'{"error": {"message": "slow down"}}'], 429, headers)


def good(**headers: str) -> Answer:
    return Answer([json.dumps(answer()).encode()], headers=headers)


def test_providers_with_one_key_share_a_limit(service: Service) -> None:
    """Also one that was not told of it; the wait is before the request."""
    provider(service, requests_per_minute=2).complete(ASK)
    other = provider(service)
    other.complete(ASK)
    assert other.waited == []
    other.complete(ASK)
    assert other.waited == [pytest.approx(MINUTE, abs=5)]
    assert len(service.received) == 3


def test_async_and_sync_calls_share_a_limit(service: Service) -> None:
    """The state is the process's, not a loop's."""
    first = provider(service, requests_per_minute=1)
    asyncio.run(first.complete_async(ASK))
    second = provider(service)
    second.complete(ASK)
    assert (first.waited, second.waited) == ([], [pytest.approx(MINUTE, abs=5)])


def test_tokens_are_corrected_by_the_answer(service: Service) -> None:
    """The request was thought to be a few tokens; the service counted a thousand."""
    body = {**answer(), "usage": {"prompt_tokens": 900, "completion_tokens": 100}}
    service.will_say(body)
    p = provider(service, tokens_per_minute=1000)
    p.complete(ASK)
    p.complete(ASK)
    assert p.waited == [pytest.approx(MINUTE, abs=5)]


def test_one_refusal_holds_the_others_back(service: Service) -> None:
    """The next call of another provider waits out what the first one was told, and says so in no error."""
    service.will(refusing(**{"retry-after": "9"}), good())
    with pytest.raises(e.RateLimitError):
        provider(service, max_retries=0).complete(ASK)
    second = provider(service)
    second.complete(ASK)
    assert second.waited == [pytest.approx(9, abs=5)]


def test_a_wait_that_is_too_long_is_an_error_at_once(service: Service) -> None:
    """Nothing is sent; the error says for how long."""
    service.will(refusing(**{"retry-after": "100"}))
    with pytest.raises(e.RateLimitError):
        provider(service, max_wait=5).complete(ASK)
    with pytest.raises(e.RateLimitError, match="openai:m was not asked: its limit is used up for") as caught:
        provider(service, max_wait=5).complete(ASK)
    assert (caught.value.retry_after or 0) > 90
    assert len(service.received) == 1


def test_what_a_user_allows_is_waited_for_however_long(service: Service) -> None:
    """A comparison of a hundred cases at ten a minute takes ten minutes, and fails none of them."""
    p = provider(service, requests_per_minute=1, max_wait=5)
    for _ in range(4):
        p.complete(ASK)
    assert p.waited == pytest.approx([MINUTE, 2 * MINUTE, 3 * MINUTE], abs=5)


def test_used_up_headers_of_an_answer_are_kept_to(service: Service) -> None:
    """The next request waits before it is sent, and is not refused."""
    service.will(good(**{"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s"}), good())
    p = provider(service)
    p.complete(ASK)
    p.complete(ASK)
    assert p.waited == [pytest.approx(30, abs=5)]


@pytest.mark.parametrize("wrong", [0, "many", True])
def test_a_limit_that_is_none_is_refused(wrong: Any) -> None:
    """In one line."""
    with pytest.raises(e.ConfigurationError, match="requests_per_minute of openai is"):
        gathering.provider("openai:m", requests_per_minute=wrong)
