"""The circuit before a dead service: when it opens, who may try, how long it stays open, and what closes it."""

from __future__ import annotations

import pytest
from fake_service import Answer, Service, answer

import gathering
from gathering.core import errors as e
from gathering.llm.circuit import FIRST_PAUSE, LONGEST_PAUSE, THRESHOLD, Circuit, circuit_of

ASK = [{"role": "user", "content": "1+1?"}]


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
def circuit(clock: Clock) -> Circuit:
    """A circuit on that clock."""
    return Circuit(clock)


def fail(circuit: Circuit, clock: Clock, times: int = 1) -> None:
    for _ in range(times):
        clock.now += 0.1
        circuit.failed(clock.now)


def test_it_opens_after_failures_in_a_row(circuit: Circuit, clock: Clock) -> None:
    """Not before, and a success in between begins the count anew."""
    fail(circuit, clock, THRESHOLD - 1)
    circuit.answered()
    fail(circuit, clock, THRESHOLD - 1)
    assert circuit.refuses() is None
    fail(circuit, clock)
    assert circuit.refuses() == pytest.approx(FIRST_PAUSE)


def test_failures_side_by_side_are_one(circuit: Circuit, clock: Clock) -> None:
    """A hundred calls that break at once say no more than one."""
    for _ in range(100):
        circuit.failed(clock.now - 1)
    assert circuit.refuses() is None


def test_after_the_pause_one_may_try(circuit: Circuit, clock: Clock) -> None:
    """The others are refused until it is known how that ended; a success lets everybody through."""
    fail(circuit, clock, THRESHOLD)
    clock.now += FIRST_PAUSE
    assert circuit.refuses() is None
    assert circuit.refuses() == pytest.approx(FIRST_PAUSE)
    circuit.answered()
    assert circuit.refuses() is None
    assert circuit.refuses() is None


def test_the_pause_grows_with_each_try_that_fails(circuit: Circuit, clock: Clock) -> None:
    """Up to a bound; and a try that is never heard of again does not keep it open for ever."""
    fail(circuit, clock, THRESHOLD)
    pause = FIRST_PAUSE
    for _ in range(6):
        clock.now += pause
        assert circuit.refuses() is None
        fail(circuit, clock)
        pause = min(LONGEST_PAUSE, 2 * pause)
        assert circuit.refuses() == pytest.approx(pause)
    clock.now += pause
    assert circuit.refuses() is None  # tries, and is stopped by its user
    clock.now += pause
    assert circuit.refuses() is None


def test_each_service_has_its_own(circuit: Circuit) -> None:
    """And everything in the process has the same."""
    assert circuit_of("a", "https://x") is circuit_of("a", "https://x")
    assert circuit_of("a", "https://x") is not circuit_of("a", "https://y")


def test_a_dead_service_is_left_alone(service: Service) -> None:
    """Over HTTP: nothing is sent any more, in one line that says until when; a look at its models may close it."""
    service.will(Answer([b"{}"], 500))
    p = gathering.provider("openai:m", base_url=service.url, api_key="k", max_retries=0)
    for _ in range(THRESHOLD):
        with pytest.raises(e.OverloadedError):
            p.complete(ASK)
    with pytest.raises(
        e.ProviderConnectionError, match=r"openai:other was not asked: it failed 5 times .* until \d\d:"
    ) as caught:
        gathering.provider("openai:other", base_url=service.url, api_key="k").complete(ASK)
    assert len(service.received) == THRESHOLD
    assert 0 < (caught.value.retry_after or 0) <= FIRST_PAUSE
    service.will_say(answer("Hi"))
    assert p.is_available()
    assert p.complete(ASK)["content"] == "Hi"


@pytest.mark.parametrize("status", [429, 529, 400])
def test_a_service_that_is_busy_is_not_dead(service: Service, status: int) -> None:
    """It answered, and may do so better in a moment."""
    service.will(Answer([b"{}"], status))
    p = gathering.provider("openai:m", base_url=service.url, api_key="k", max_retries=0)
    p.sleep = [].append  # type: ignore[attr-defined]
    for _ in range(THRESHOLD + 1):
        with pytest.raises(e.ProviderError) as caught:
            p.complete(ASK)
    assert caught.value.status == status


def test_a_chain_goes_past_an_open_circuit(service: Service) -> None:
    """At once: the dead service is not asked."""
    service.will(Answer([b"{}"], 500))
    dead = gathering.provider("openai:m", base_url=service.url, api_key="k", max_retries=0)
    other = Service()
    try:
        other.will_say(answer("Hi"))
        alive = gathering.provider("mistral:m", base_url=other.url, api_key="k")
        chain = gathering.provider("fallback", providers=[dead, alive])
        answers = [chain.complete(ASK)["content"] for _ in range(THRESHOLD + 3)]
    finally:
        other.close()
    assert answers == ["Hi"] * (THRESHOLD + 3)
    assert len(service.received) == THRESHOLD
