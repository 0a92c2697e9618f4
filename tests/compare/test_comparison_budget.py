"""A comparison under a budget: it waits for room, says what it had no room for, and ends with what it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import gathering
from gathering.compare import compare, compare_async
from gathering.core import budget as budgets
from gathering.core.budget import Account
from gathering.core.errors import ConfigurationError
from gathering.core.prices import set_price
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider


@pytest.fixture(autouse=True)
def prices_and_no_budget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each token the model ``dear`` writes costs a cent, ``free`` costs nothing, of ``odd`` nobody knows."""
    monkeypatch.setattr(budgets, "_session", Account())
    set_price("dear", input=0, output=10_000)
    set_price("free", input=0, output=0)
    yield
    set_price("dear")
    set_price("free")
    budgets.budget_off()


def model(name: str, answers: int = 20) -> ScriptedProvider:
    usage = {"input_tokens": 1, "output_tokens": 1}
    return ScriptedProvider([{"content": name, "usage": usage}] * answers, name, "m")


def asked(cases: int, *models: Any, **options: Any) -> Any:
    prompts = [f"Case {n}" for n in range(cases)]
    return compare(prompts, models, params={"max_tokens": 10}, store=SQLiteStore(":memory:"), **options)


def test_calls_wait_for_room_instead_of_failing() -> None:
    """Only one worst case fits at a time, but all of them fit one after the other."""
    result = asked(8, model("dear"), budget=0.18)
    assert [row["status"] for row in result.rows] == ["ok"] * 8
    assert sum(row["cost_usd"] for row in result.rows) == pytest.approx(0.08)
    assert result.notes == []


def test_what_has_no_room_is_said_and_the_rest_is_there() -> None:
    """Rows that were refused say so, a free model goes on, and the note below the grid has the figures."""
    dear = model("dear")
    result = asked(6, dear, model("free"), budget=0.12)
    states = {name: [r["status"] for r in result.rows if r["model"] == name] for name in ("dear:m", "free:m")}
    assert states["free:m"] == ["ok"] * 6
    answered = states["dear:m"].count("ok")
    assert answered == len(dear.requests) == 3
    refused = [r for r in result.rows if r["status"] == "error"]
    assert len(refused) == 3
    assert all(r["error"].startswith("BudgetExceededError: a call of dear:m") for r in refused)
    assert result.notes[0].startswith(
        "3 of 12 answers were not asked for: a call of dear:m could cost 0.10 USD"
    )
    assert result.done == 12


def test_an_unknown_price_stops_only_its_own_model() -> None:
    """Nobody knows what it would cost, so it is not asked; the others are."""
    odd = model("odd")
    result = asked(2, odd, model("free"), budget=1.00)
    assert [row["status"] for row in result.rows] == ["error", "ok"] * 2
    assert "the price of odd:m is not known" in result.rows[0]["error"]
    assert not odd.requests


def test_the_ceiling_that_stands_counts_too() -> None:
    """A comparison without a budget of its own is under the session's."""
    gathering.budget(0.10)
    result = asked(3, model("dear"))
    assert [row["status"] for row in result.rows].count("ok") == 1


async def test_awaited_it_is_the_same() -> None:
    """On the caller's own loop."""
    result = await compare_async(
        ["A", "B", "C"],
        [model("dear")],
        params={"max_tokens": 10},
        budget=0.11,
        store=SQLiteStore(":memory:"),
    )
    assert [row["status"] for row in result.rows].count("ok") == 2
    assert len(result.notes) == 1


def test_what_is_no_budget_is_said_before_anything_is_asked() -> None:
    """Nothing is sent."""
    dear = model("dear")
    with pytest.raises(ConfigurationError, match="give US dollars"):
        asked(1, dear, budget="cheap")
    assert not dear.requests
