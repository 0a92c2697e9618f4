"""The budget: booked at the worst case before a call, settled after it, and never above the ceiling."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gathering
from gathering.core import budget as budgets
from gathering.core import session
from gathering.core.budget import Account, Budget, Purse, dollars, enter, leave
from gathering.core.errors import (
    BudgetExceededError,
    ConfigurationError,
    ProviderTimeoutError,
    RateLimitError,
)
from gathering.core.interfaces import ILLMProvider
from gathering.core.prices import set_price
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider, tape

CENT = 0.01
#: With this price each token that is written costs a cent, and reading is free.
A_CENT_A_TOKEN = {"input": 0.0, "output": 10_000.0}


@pytest.fixture(autouse=True)
def prices_and_no_budget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cent for each token the scripted model writes; an account that knows nothing of other tests."""
    monkeypatch.setattr(budgets, "_session", Account())
    set_price("scripted:script", **A_CENT_A_TOKEN)
    yield
    set_price("scripted:script")
    budgets.budget_off()


def agent(*answers: Any, **options: Any) -> gathering.Agent:
    return gathering.Agent(
        "ada", llm_provider=ScriptedProvider(answers), store=SQLiteStore(":memory:"), **options
    )


def said(tokens: int) -> dict[str, Any]:
    """An answer of so many tokens."""
    return {"content": "x", "usage": {"input_tokens": 1, "output_tokens": tokens}}


def test_a_call_is_booked_at_its_worst_and_settled_at_its_cost() -> None:
    """While it runs the whole of max_tokens is booked; afterwards what it really cost is spent."""
    ceiling = gathering.budget(1.00)
    seen: list[tuple[float, float]] = []

    def answer(messages: Any) -> dict[str, Any]:
        seen.append((ceiling.booked, ceiling.left))
        return said(3)

    ada = agent(answer)
    reply = ada.ask("Hi", max_tokens=20)
    assert seen == [(pytest.approx(20 * CENT), pytest.approx(0.80))]
    assert reply.cost == pytest.approx(3 * CENT)
    assert (ceiling.spent, ceiling.booked) == (pytest.approx(3 * CENT), 0)
    row = ada.trace.calls().iloc[0]
    assert (row["cost_usd"], row["booked_usd"]) == (pytest.approx(3 * CENT), pytest.approx(20 * CENT))


def test_the_call_that_could_exceed_it_is_not_sent() -> None:
    """One line has the ceiling, what is spent, what the call could cost and what to do; its row says so too."""
    gathering.budget(0.10)
    ada = agent(said(5), said(5))
    ada.ask("Hi", max_tokens=8)
    with pytest.raises(BudgetExceededError, match="^[^\n]*$") as caught:
        ada.ask("Again", max_tokens=6)
    for figure in ("0.10 USD", "0.05 spent", "0.06 USD", "max_tokens", "gathering.budget(...)"):
        assert figure in str(caught.value)
    assert (caught.value.ceiling, caught.value.cost) == (0.10, pytest.approx(0.06))
    assert len(ada.llm_provider.requests) == 1  # type: ignore[attr-defined]
    assert list(ada.trace.calls()["status"]) == ["ok", "error"]
    assert ada.trace.calls()["booked_usd"].iloc[1] == 0
    assert ada.ask("Shorter", max_tokens=5).text == "x"


def test_without_max_tokens_the_model_s_limit_counts() -> None:
    """What is not said may be as long as the model allows."""

    class Short(ScriptedProvider):
        def get_max_output(self) -> int:
            return 7

    gathering.budget(0.07)
    ada = gathering.Agent("ada", llm_provider=Short([said(1)]), store=SQLiteStore(":memory:"))
    ada.ask("Hi")
    with pytest.raises(BudgetExceededError, match="could cost 0.07 USD"):
        ada.ask("Hi")


def test_what_is_read_is_booked_with_a_margin() -> None:
    """Messages, tools, the schema of the answer and images count; twice the estimate, for texts it gives too little."""
    set_price("scripted:script", input=1_000_000.0, output=0.0)  # a dollar for each token that is read
    gathering.budget(0.0)

    def booked(**options: Any) -> float:
        tools = options.pop("tools", ())
        with pytest.raises(BudgetExceededError) as caught:
            agent(said(0), tools=tools).ask("word " * 100, **options)
        assert caught.value.cost is not None
        return caught.value.cost

    plain = booked()
    assert plain >= 2 * 500 / 4
    assert booked(tools=["calculator"]) > plain + 100
    assert booked(prompt_cache="1h") == pytest.approx(2 * plain)


@pytest.mark.parametrize("error", [RateLimitError("slow down"), ValueError("broken")])
def test_a_failure_before_an_answer_costs_nothing(error: Exception) -> None:
    """What was booked is free again."""
    ceiling = gathering.budget(1.00)
    ada = agent(error)
    with pytest.raises(type(error)):
        ada.ask("Hi", max_tokens=50)
    assert (ceiling.spent, ceiling.booked) == (0, 0)
    assert ada.trace.calls()["booked_usd"].iloc[0] == 0


def test_an_answer_that_breaks_off_is_settled_at_what_had_arrived() -> None:
    """The pieces that came were written, so they cost; more than the estimate of them, less than the worst case."""
    ceiling = gathering.budget(10.00)
    ada = agent({"content": "four words had come", "raises": RateLimitError("broken off")})
    with pytest.raises(RateLimitError):
        list(ada.stream("Hi", max_tokens=900))
    estimate = ada.llm_provider.get_token_count("four words had come") * CENT
    assert estimate <= ceiling.spent <= 3 * estimate
    row = ada.trace.calls().iloc[0]
    assert row["booked_usd"] == pytest.approx(ceiling.spent)
    assert row["cost_usd"] is not row["cost_usd"] or row.isna()["cost_usd"]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_call_that_was_stopped_is_settled_at_an_upper_estimate(streaming: bool) -> None:
    """What arrived, and what may have been written before anything was to be seen; never above what was booked."""
    ceiling = gathering.budget(1.00)
    stopped = {"content": "Half an", "raises": KeyboardInterrupt()} if streaming else KeyboardInterrupt()
    ada = agent(stopped)
    with pytest.raises(KeyboardInterrupt):
        list(ada.stream("Hi", max_tokens=50)) if streaming else ada.ask("Hi", max_tokens=50)
    assert 0 < ceiling.spent <= 50 * CENT
    assert ceiling.booked == 0


def test_a_timeout_may_have_been_billed() -> None:
    """Nothing came, and yet the service may have read and written: that is counted."""
    ceiling = gathering.budget(1.00)
    with pytest.raises(ProviderTimeoutError):
        agent(ProviderTimeoutError("silence")).ask("Hi", max_tokens=50)
    assert 0 < ceiling.spent <= 50 * CENT


def test_an_answer_without_figures_is_settled_at_an_upper_estimate() -> None:
    """A service that does not say its tokens is not free; the row's cost stays missing."""

    class Silent(ScriptedProvider):
        def complete(self, *args: Any, **params: Any) -> Any:
            super().complete(*args, **params)
            return {"content": "some words of an answer"}

    ceiling = gathering.budget(10.00)
    ada = gathering.Agent("ada", llm_provider=Silent(["x"]), store=SQLiteStore(":memory:"))
    assert ada.ask("Hi", max_tokens=900).cost is None
    assert 5 * CENT < ceiling.spent < 20 * CENT
    row = ada.trace.calls().iloc[0]
    assert row.isna()["cost_usd"]
    assert row["booked_usd"] == pytest.approx(ceiling.spent)


def test_every_round_of_a_turn_is_booked() -> None:
    """A turn with tools that runs out of budget ends there, with what it had."""
    gathering.budget(0.10)
    call = {**said(5), "tool_calls": [{"name": "calculator", "arguments": {"expression": "1+1"}}]}
    ada = agent(call, said(1), tools=["calculator"])
    with pytest.raises(BudgetExceededError):
        ada.ask("1 + 1?", max_tokens=6)
    assert list(ada.trace.calls()["status"]) == ["ok", "error"]


def test_a_tape_books_nothing() -> None:
    """Replayed under a ceiling of nothing at all, at a price nobody could pay."""
    with tape("t.jsonl", "record"):
        agent(said(5)).ask("Hi")
    with gathering.budget(0) as ceiling, tape("t.jsonl", "replay"):
        reply = agent().ask("Hi")
    assert (reply.text, reply.cost) == ("x", pytest.approx(5 * CENT))
    assert (ceiling.spent, ceiling.booked) == (0, 0)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_costs_nothing_needs_no_room() -> None:
    """A free model answers under an exhausted budget."""
    set_price("scripted:script", input=0, output=0)
    gathering.budget(0)
    assert agent(said(1)).ask("Hi").cost == 0


def unknown(*answers: Any) -> gathering.Agent:
    provider = ScriptedProvider(answers, "mine", "m")
    return gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"))


def test_an_unknown_price_is_refused() -> None:
    """Under a ceiling nobody is asked at a price nobody knows; the line says how to give one."""
    gathering.budget(1.00)
    with pytest.raises(BudgetExceededError, match=r"set_price\('mine:m', input=\.\.\., output=\.\.\.\)"):
        unknown("x").ask("Hi")


def test_an_unknown_price_may_be_allowed_or_asked_about() -> None:
    """Once for all, or by a function, which is asked once for each model."""
    asked: list[str] = []

    def ask(model: str) -> bool:
        asked.append(model)
        return len(asked) == 1

    with gathering.budget(1.00, on_unknown="allow"):
        assert unknown("x").ask("Hi").cost is None
    with gathering.budget(1.00, on_unknown=ask):
        ada = unknown("x", "y")
        assert [ada.ask("Hi").text, ada.ask("Hi").text] == ["x", "y"]
    assert asked == ["mine:m"]
    with gathering.budget(1.00, on_unknown=ask), pytest.raises(BudgetExceededError):
        unknown("x").ask("Hi")


def test_a_person_is_asked_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there under a test runner, nor where no front end has said how to ask."""
    questions: list[str] = []
    budgets.set_asker(lambda line: questions.append(line) or True)  # type: ignore[func-returns-value]
    with contextlib.ExitStack() as stack:
        stack.callback(budgets.set_asker, None)
        with gathering.budget(1.00, on_unknown="ask"), pytest.raises(BudgetExceededError):
            unknown("x").ask("Hi")
        monkeypatch.setattr(session, "under_test", lambda: False)
        with gathering.budget(1.00, on_unknown="ask"):
            assert unknown("x").ask("Hi").text == "x"
    assert questions == ["The price of mine:m is not known. Send the call anyway?"]
    with gathering.budget(1.00, on_unknown="ask"), pytest.raises(BudgetExceededError):
        unknown("x").ask("Hi")


def test_a_new_ceiling_keeps_what_was_spent() -> None:
    """Running its cell again gives no second budget; raising it gives room."""
    gathering.budget(0.10)
    ada = agent(said(6), said(6))
    ada.ask("Hi", max_tokens=6)
    again = gathering.budget(0.10)
    assert again.spent == pytest.approx(0.06)
    with pytest.raises(BudgetExceededError):
        ada.ask("Hi", max_tokens=6)
    gathering.budget(0.20)
    ada.ask("Hi", max_tokens=6)
    assert budgets.session_spent() == pytest.approx(0.12)


def test_what_was_spent_without_a_ceiling_counts_for_a_later_one() -> None:
    """The session's account is kept from its first call."""
    agent(said(6)).ask("Hi")
    assert gathering.budget(1.00).spent == pytest.approx(0.06)


def test_blocks_nest_and_all_must_have_room() -> None:
    """The inner ceiling counts what is spent in its block, the outer one all of it; afterwards the old one stands."""
    standing = gathering.budget(1.00)
    ada = agent(*[said(5)] * 4)
    with gathering.budget(0.12) as outer:
        ada.ask("Hi", max_tokens=5)
        with gathering.budget(0.06) as inner:
            assert budgets.current_budget() is inner
            ada.ask("Hi", max_tokens=5)
            with pytest.raises(BudgetExceededError, match="budget of 0.06"):
                ada.ask("Hi", max_tokens=5)
        with pytest.raises(BudgetExceededError, match="budget of 0.12"):
            ada.ask("Hi", max_tokens=5)
        assert [round(b.spent, 4) for b in (inner, outer, standing)] == [0.05, 0.10, 0.10]
    assert budgets.current_budget() is standing
    ada.ask("Hi", max_tokens=5)
    standing.close()
    assert budgets.current_budget() is None


def test_off_is_off() -> None:
    """Without a ceiling everything is sent, and nothing is booked."""
    gathering.budget(0.0)
    budgets.budget_off()
    ada = agent(said(5))
    ada.ask("Hi")
    assert ada.trace.calls().isna()["booked_usd"].iloc[0]


def test_a_call_on_behalf_of_a_turn_counts_under_its_ceilings() -> None:
    """As a summary does, which another agent writes for the memory of the one that is asked."""
    comparison = Budget(3 * CENT)
    with budgets.paying(Purse((comparison,))):
        agent(said(2)).ask("Hi", max_tokens=2)
        with pytest.raises(BudgetExceededError):
            agent(said(2)).ask("Hi", max_tokens=2)
    assert comparison.spent == pytest.approx(2 * CENT)
    agent(said(2)).ask("Hi", max_tokens=2)
    assert comparison.spent == pytest.approx(2 * CENT)


async def test_a_patient_turn_waits_for_room() -> None:
    """As in a comparison: three calls fit under the ceiling one after the other, so none of them is refused."""
    running, most = 0, 0
    release: list[asyncio.Event] = []

    class Slow(ILLMProvider):
        def complete(self, *args: Any, **params: Any) -> Any:
            raise AssertionError("only awaited")

        async def complete_async(self, *args: Any, **params: Any) -> Any:
            nonlocal running, most
            running, gate = running + 1, asyncio.Event()
            most = max(most, running)
            asyncio.get_running_loop().call_soon(gate.set)
            release.append(gate)
            await gate.wait()
            running -= 1
            return said(1)

    set_price("slow:m", **A_CENT_A_TOKEN)
    ceiling = Budget(0.12)

    async def one() -> str:
        ada = gathering.Agent("ada", llm_provider=Slow("slow", {"model": "m"}), store=SQLiteStore(":memory:"))
        ada.purse = Purse((ceiling,), patient=True)
        return (await ada.ask_async("Hi", max_tokens=10)).text

    assert await asyncio.gather(*(one() for _ in range(3))) == ["x"] * 3
    assert most == 1
    assert ceiling.spent == pytest.approx(3 * CENT)
    with pytest.raises(BudgetExceededError):
        await one()
    set_price("slow:m")


@pytest.mark.parametrize("ceiling", [-1, float("nan"), float("inf"), "1.00", True, None])
def test_what_is_no_amount_is_an_error(ceiling: Any) -> None:
    """It is said at once, in one line."""
    with pytest.raises(ConfigurationError, match="give US dollars"):
        gathering.budget(ceiling)


def test_unknown_words_are_errors() -> None:
    """Scope and answer to an unknown price are closed sets."""
    with pytest.raises(ConfigurationError, match="'session' or 'project'"):
        gathering.budget(1, scope="day")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="'refuse', 'allow', 'ask'"):
        gathering.budget(1, on_unknown="maybe")  # type: ignore[arg-type]


def test_a_budget_shows_its_ceiling_alone() -> None:
    """A saved notebook holds the same, recorded or replayed."""
    ceiling = gathering.budget(1)
    agent(said(5)).ask("Hi", max_tokens=5)
    assert repr(ceiling) == "Budget(1.00 USD)"
    assert ceiling._repr_mimebundle_()["text/plain"] == "budget: 1.00 USD"
    assert dollars(0.000123456) == "0.000123"


def test_the_error_survives_a_worker_process() -> None:
    """Its figures come along."""
    error = BudgetExceededError("full", ceiling=1.0, spent=0.5, booked=0.25, cost=0.3)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.cost, again.may_fit_later) == ("full", 0.3, True)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60), st.floats(0, 3))
def test_any_order_of_bookings_stays_below_the_ceiling(
    calls: list[tuple[float, float]], ceiling: float
) -> None:
    """However calls overlap, spent and booked together never pass it, and in the end nothing is booked."""
    one = Budget(ceiling)
    running: list[tuple[list[Account], float, float]] = []
    for amount, share in calls:
        accounts, full = enter([one], amount)
        if full is None:
            running.append((accounts, amount, amount * share))
        assert one.spent + one.booked <= ceiling + 1e-9
        if share < 0.5 and running:
            leave(*running.pop(0))
    for booking in running:
        leave(*booking)
    assert one.booked == 0
    assert one.spent <= ceiling + 1e-9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_nothing_booked() -> None:
    """The calls that run are its parent's; what was spent counts."""
    checked: Callable[[], bool] = lambda: budgets._session.booked == 0 and budgets._session.spent > 0  # noqa: E731
    accounts, _ = enter([], 0.5)
    budgets._session.spent = 0.25
    child = os.fork()
    if not child:
        os._exit(0 if checked() else 1)
    leave(accounts, 0.5, 0.0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
