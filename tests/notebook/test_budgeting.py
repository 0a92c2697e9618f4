"""``%gathering budget``: a ceiling from a cell, how far it is used, and the question about an unknown price."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gathering.core import budget as budgets
from gathering.core import session
from gathering.core.budget import Account, Budget, current_budget
from gathering.core.prices import set_price
from gathering.notebook.budgeting import PriceQuestion
from gathering.testing.scripted import ScriptedProvider


@pytest.fixture(autouse=True)
def prices_and_no_budget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(budgets, "_session", Account())
    set_price("scripted:script", input=0, output=10_000)
    yield
    set_price("scripted:script")
    budgets.budget_off()


def text(result: Any) -> str:
    return str(result._repr_mimebundle_()["text/plain"])


def test_a_ceiling_is_set_shown_and_taken_away(run: Callable[[str], Any], ada: ScriptedProvider) -> None:
    """What it shows when it is set is the same in each run; how far it is used is asked for."""
    made = run("%gathering budget 1.00").result
    assert isinstance(made, Budget)
    assert (text(made), made.scope) == ("budget: 1.00 USD", "session")
    run("%gathering ask ada --max-tokens 20 What is it?")
    assert text(run("%gathering budget").result) == "budget: 0.04 of 1.00 USD spent"
    assert "0.04 of 1.00 USD spent" in text(run("%gathering").result)
    assert text(run("%gathering budget off").result) == "budget: off"
    assert current_budget() is None
    assert text(run("%gathering budget").result) == "budget: 0.04 USD spent, no ceiling"


def test_a_ceiling_on_the_project(run: Callable[[str], Any]) -> None:
    """Scope and what is done about unknown prices are options."""
    made = run("%gathering budget 2 --scope project --on-unknown allow").result
    assert (made.scope, made.on_unknown) == ("project", "allow")
    assert text(run("%gathering budget").result) == "budget: 0.00 of 2.00 USD spent by the whole project"


@pytest.mark.parametrize(
    "line", ["budget lots", "budget nan", "budget 1 --scope day", "budget 1 --on-unknown x"]
)
def test_what_is_no_budget_is_one_line(line: str, failing: Callable[[str], str]) -> None:
    """It says what would be one."""
    shown = failing(f"%gathering {line}")
    assert len(shown.splitlines()) == 1
    assert "ConfigurationError" in shown


def test_an_exhausted_budget_is_one_line_in_the_cell(
    run: Callable[[str], Any], failing: Callable[[str], str], ada: ScriptedProvider
) -> None:
    """The model is not asked."""
    run("%gathering budget 0.02")
    shown = failing("%gathering ask ada --max-tokens 3 What is it?")
    assert shown.startswith("BudgetExceededError: a call of scripted:script could cost 0.03 USD")
    assert not ada.requests


def test_a_comparison_has_a_budget_of_its_own(run: Callable[[str], Any], ada: ScriptedProvider) -> None:
    """What it has no room for is said below the grid."""
    result = run("%%gathering compare @ada --budget 0.00\nWhat is it?").result
    assert "BudgetExceededError" in text(result)
    assert "1 of 1 answers were not asked for" in text(result)
    assert not ada.requests


@pytest.mark.parametrize(("typed", "sent"), [("y", True), ("YES", True), ("n", False), ("", False)])
def test_a_person_is_asked_in_one_line(typed: str, sent: bool) -> None:
    """Yes has to be said."""
    asked: list[str] = []

    def read(question: str) -> str:
        asked.append(question)
        return typed

    screen: Any = SimpleNamespace(way="live")
    assert PriceQuestion(lambda: screen, read)("Send it?") is sent
    assert asked == ["Send it? [y/N] "]


def test_nobody_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """A front end without input, a rendered notebook: the answer is no, and nothing hangs."""

    def refuse(question: str) -> str:
        raise NotImplementedError

    def never(question: str) -> str:
        raise AssertionError("nobody is there")

    assert PriceQuestion(lambda: SimpleNamespace(way="live"), refuse)("?") is False  # type: ignore[arg-type, return-value]
    assert PriceQuestion(lambda: SimpleNamespace(way="final"), never)("?") is False  # type: ignore[arg-type, return-value]


def test_the_extension_asks_and_leaves_no_trace(
    run: Callable[[str], Any], shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is loaded it is the one that asks; afterwards nobody is."""
    monkeypatch.setattr(session, "under_test", lambda: False)
    assert isinstance(budgets._asker, PriceQuestion)
    from gathering import notebook

    notebook.unload(shell)
    assert budgets._asker is None
