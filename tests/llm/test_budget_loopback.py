"""The budget over real connections: a hundred calls at once that end well, fail or are stopped, and a killed process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fake_service import Answer, Service, answer

import gathering
from gathering.core import budget as budgets
from gathering.core.budget import Account
from gathering.core.errors import BadRequestError, BudgetExceededError, ProviderConnectionError
from gathering.core.prices import set_price
from gathering.storage import SQLiteStore

CALLS, MODEL = 100, "openai-compatible:m"
#: A tenth of a cent for each token that is written: with max_tokens=10 a call is booked at a cent.
WORST, CEILING = 0.01, 0.50


@pytest.fixture(autouse=True)
def prices_and_no_budget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(budgets, "_session", Account())
    set_price(MODEL, input=0.0, output=1000.0)
    yield
    set_price(MODEL)
    budgets.budget_off()


def asker(service: Service, store: SQLiteStore) -> Any:
    """Something that asks one call by an agent of its own, each time."""
    provider = gathering.provider(MODEL, base_url=service.url, max_retries=0)

    def made() -> gathering.Agent:
        return gathering.Agent("ada", llm_provider=provider, store=store)

    return made


def outcome(result: Any) -> str:
    return type(result).__name__


async def by_tasks(made: Any) -> list[Any]:
    asked = [made().ask_async("Hi", max_tokens=10) for _ in range(CALLS)]
    return await asyncio.gather(*asked, return_exceptions=True)


async def by_threads(made: Any) -> list[Any]:
    def one(_: int) -> Any:
        try:
            return made().ask("Hi", max_tokens=10)
        except Exception as error:
            return error

    with ThreadPoolExecutor(CALLS) as pool:
        running = [asyncio.wrap_future(pool.submit(one, n)) for n in range(CALLS)]
        return await asyncio.gather(*running)


@pytest.mark.parametrize("ask_all", [by_tasks, by_threads])
async def test_a_hundred_calls_at_once_stay_below_the_ceiling(service: Service, ask_all: Any) -> None:
    """No more run at once than fit at their worst; each that was sent is paid once, each other one was not sent."""
    service.will(
        Answer(
            [json.dumps(answer()).encode()],
            headers={"content-type": "application/json"},
            delay=0.3,
        )
    )
    ceiling, store = gathering.budget(CEILING), SQLiteStore(":memory:")
    results = await ask_all(asker(service, store))
    kinds = [outcome(r) for r in results]
    answered = kinds.count("Reply")
    assert answered + kinds.count("BudgetExceededError") == CALLS
    assert answered == len(service.received) >= CEILING / WORST
    assert service.most_in_flight <= CEILING / WORST
    assert ceiling.spent == pytest.approx(answered * 0.002)
    assert ceiling.spent <= CEILING
    assert ceiling.booked == 0
    costs = [row["cost_usd"] for row in store.rows("calls", {"status": "ok"})]
    assert sum(costs) == pytest.approx(ceiling.spent)


@pytest.mark.parametrize("ask_all", [by_tasks, by_threads])
async def test_a_hundred_failures_cost_nothing(service: Service, ask_all: Any) -> None:
    """Everything that was booked is free again."""
    service.will_say({"error": {"message": "no such parameter"}}, 400)
    ceiling = gathering.budget(CEILING)
    kinds = {outcome(r) for r in await ask_all(asker(service, SQLiteStore(":memory:")))}
    assert kinds <= {BadRequestError.__name__, BudgetExceededError.__name__}
    assert BadRequestError.__name__ in kinds
    assert (ceiling.spent, ceiling.booked) == (0, 0)


@pytest.mark.parametrize("ask_all", [by_tasks, by_threads])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_hundred_answers_that_break_off_are_settled(
    service: Service, ask_all: Any, begun: bool
) -> None:
    """The service was at work and may ask for it: an upper estimate, and together never above the ceiling."""
    if begun:  # the whole answer's head and a part of it
        service.will(Answer([b'{"choices": ['], headers={"content-type": "application/json"}, drop=True))
    else:
        service.will(Answer(drop=True))
    ceiling, store = gathering.budget(CEILING), SQLiteStore(":memory:")
    kinds = [outcome(r) for r in await ask_all(asker(service, store))]
    assert set(kinds) <= {"ProviderConnectionError", "BudgetExceededError"}
    assert ceiling.booked == 0
    assert 0 < ceiling.spent <= CEILING + 1e-9
    rows = store.rows("calls", {"status": "error"})
    assert sum(row["booked_usd"] or 0 for row in rows) == pytest.approx(ceiling.spent)


async def test_who_was_never_reached_is_not_paid() -> None:
    """No request had gone out."""
    ceiling = gathering.budget(CEILING)
    ada = gathering.Agent(
        "ada", llm_provider=gathering.provider(MODEL, base_url="http://127.0.0.1:9", max_retries=0)
    )
    with pytest.raises(ProviderConnectionError):
        await ada.ask_async("Hi", max_tokens=10)
    assert (ceiling.spent, ceiling.booked) == (0, 0)


async def test_a_hundred_stopped_calls_are_settled(service: Service) -> None:
    """Cancelled in mid-flight, they count at an upper estimate, and together never above the ceiling."""
    service.will(Answer(silent=True))
    ceiling, store = gathering.budget(CEILING), SQLiteStore(":memory:")
    made, refused, full = asker(service, store), [], asyncio.Event()

    async def one() -> None:
        try:
            await made().ask_async("Hi", max_tokens=10)
        except BudgetExceededError as error:
            refused.append(error)
            if len(refused) == CALLS - CEILING / WORST:
                full.set()

    tasks = [asyncio.ensure_future(one()) for _ in range(CALLS)]
    await full.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ceiling.booked == 0
    assert 0 < ceiling.spent <= CEILING + 1e-9
    rows = store.rows("calls", {"status": "interrupted"})
    assert len(rows) == CEILING / WORST
    assert sum(row["booked_usd"] for row in rows) == pytest.approx(ceiling.spent)
    assert {row["cost_usd"] for row in rows} == {None}


def test_a_killed_process_counts_at_its_worst_case(service: Service, tmp_path: Path) -> None:
    """kill -9 in the middle of a call: for a ceiling on the project it cost what was booked, until someone knows better."""
    service.will(Answer(silent=True))
    path = tmp_path / "trace.sqlite"
    code = """
        import sys, gathering
        from gathering.core.prices import set_price
        from gathering.storage import SQLiteStore
        url, path, model = sys.argv[1:]
        set_price(model, input=0.0, output=1000.0)
        gathering.budget(0.50, scope="project")
        provider = gathering.provider(model, base_url=url, max_retries=0)
        gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(path)).ask("Hi", max_tokens=10)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), service.url, str(path), MODEL])
    try:
        assert service.got_request.wait(20)
    finally:
        process.kill()
        process.wait()
    service.will_say(answer())
    with SQLiteStore(path) as store:
        (row,) = store.rows("calls")
        assert (row["status"], row["booked_usd"], row["cost_usd"]) == ("interrupted", WORST, None)
        ada = asker(service, store)()
        with gathering.budget(0.015, scope="project") as ceiling:
            with pytest.raises(BudgetExceededError, match=r"budget of 0\.015 USD .*0\.01 spent"):
                ada.ask("Hi", max_tokens=10)
            assert ceiling.booked == 0
        with gathering.budget(0.015):
            ada.ask("Hi", max_tokens=10)
        with gathering.budget(0.025, scope="project") as ceiling:
            ada.ask("Hi", max_tokens=10)
            assert ceiling.spent == pytest.approx(0.014)
