"""Vectors of a service under a ceiling: booked before they are asked for, refused or asked about, settled after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import gathering
from gathering.agents import Agent, Competency, LongTermMemory
from gathering.core import budget as budgets
from gathering.core.budget import Account
from gathering.core.errors import BudgetExceededError, ProviderTimeoutError, RateLimitError
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Usage
from gathering.core.offers import Embeddings
from gathering.core.prices import set_price
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider, tape

CENT = 0.01


class Service(ILLMProvider):
    """A service that makes vectors, and says what it read; ``asked`` has the texts, ``seen`` runs while it is at work."""

    def __init__(self, usage: Usage = Usage(1, 0), *, fails: Exception | None = None) -> None:  # noqa: B008
        super().__init__("service", {"model": "v1"})
        self.usage, self.fails, self.asked = usage, fails, list[str]()
        self.seen: Callable[[], object] = lambda: None

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> dict[str, Any]:
        raise AssertionError("an embedder is asked for vectors only")

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        self.asked += texts
        self.seen()
        if self.fails is not None:
            raise self.fails
        return Embeddings(tuple((1.0, float(len(t))) for t in texts), "service:v1", self.usage)


@pytest.fixture(autouse=True)
def prices_and_no_budget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A cent for each token the service reads; an account that knows nothing of other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(budgets, "_session", Account())
    set_price("service:v1", input=10_000.0, output=0.0)
    set_price("scripted:script", input=0, output=0)
    yield
    set_price("service:v1")
    set_price("scripted:script")
    budgets.budget_off()


@pytest.fixture
def store() -> Iterator[SQLiteStore]:
    with SQLiteStore(":memory:") as made:
        yield made


def made(store: SQLiteStore, service: Service, *answers: str) -> tuple[Agent, LongTermMemory]:
    memory = LongTermMemory(embedder=service)
    return Agent(
        "ada", llm_provider=ScriptedProvider(answers or ["Well."]), memory=memory, store=store
    ), memory


def row(store: SQLiteStore) -> dict[str, Any]:
    store.flush()
    return [dict(r) for r in store.rows("calls") if r["agent"] == "ada (memory)"][-1]


def test_vectors_are_booked_and_settled(store: SQLiteStore) -> None:
    """While the service is at work more than it will cost is booked; then its cost is spent, and its row says both."""
    ceiling, service = gathering.budget(1.00), Service()
    booked: list[float] = []
    service.seen = lambda: booked.append(ceiling.booked)
    made(store, service)[1].remember("tea")
    assert booked
    assert booked[0] > CENT
    assert (ceiling.spent, ceiling.booked) == (pytest.approx(CENT), 0)
    assert (row(store)["cost_usd"], row(store)["booked_usd"]) == (
        pytest.approx(CENT),
        pytest.approx(booked[0]),
    )


def test_vectors_that_could_exceed_the_ceiling_are_not_asked_for(store: SQLiteStore) -> None:
    """Neither to remember nor in a turn: one line that says what to do, and nothing is sent or half kept."""
    service = Service()
    ada, memory = made(store, service)
    memory.remember("tea")
    asked = list(service.asked)
    with gathering.budget(2 * CENT) as ceiling:
        with pytest.raises(
            BudgetExceededError, match="^a call of service:v1 [^\n]*fewer or shorter texts[^\n]*$"
        ):
            memory.remember("a long story " * 100)
        with pytest.raises(BudgetExceededError):
            ada.ask("Tell me " + "much more " * 100)
        assert (ceiling.spent, ceiling.booked) == (0, 0)
    assert service.asked == asked
    assert [fact.content for fact in memory.facts()] == ["tea"]
    assert row(store)["status"] == "error"
    assert ada.ask("tea?").text == "Well."


def test_an_unknown_price_is_refused_or_asked_about(store: SQLiteStore) -> None:
    """As for any call; the line says how to give the price."""
    set_price("service:v1")
    service, asked = Service(), list[str]()
    memory = made(store, service)[1]
    gathering.budget(1.00)
    with pytest.raises(BudgetExceededError, match=r"set_price\('service:v1'"):
        memory.remember("tea")
    assert service.asked == []
    gathering.budget(1.00, on_unknown=lambda model: asked.append(model) or True)  # type: ignore[func-returns-value]
    memory.remember("tea")
    assert asked == ["service:v1"]
    assert row(store)["cost_usd"] is None


def test_what_a_service_does_not_say_is_an_upper_estimate(store: SQLiteStore) -> None:
    """Some do not say how many tokens they read: what was booked stays spent, and its cost unknown."""
    ceiling = gathering.budget(1.00)
    made(store, Service(Usage()))[1].remember("tea")
    assert ceiling.spent > CENT
    assert row(store)["cost_usd"] is None
    assert row(store)["booked_usd"] == pytest.approx(ceiling.spent)


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (RateLimitError("slow down", provider="service", model="v1"), False),
        (ProviderTimeoutError("late", provider="service", model="v1"), True),
    ],
)
def test_vectors_that_failed_count_if_the_service_was_at_work(
    store: SQLiteStore, error: Exception, counts: bool
) -> None:
    """Refused at once costs nothing; who answered too late may ask for it."""
    ceiling = gathering.budget(1.00)
    with pytest.raises(type(error)):
        made(store, Service(fails=error))[1].remember("tea")
    assert bool(ceiling.spent) is counts
    assert ceiling.booked == 0
    assert row(store)["booked_usd"] == pytest.approx(ceiling.spent)


def test_a_ceiling_of_the_project_counts_what_others_spent(store: SQLiteStore) -> None:
    """Another session's calls leave no room: nothing is sent, nothing stays booked."""
    store.put(
        "calls", {"source": "live", "call_id": "c0", "session": "another", "status": "ok", "cost_usd": 1.0}
    )
    store.flush()
    service, ceiling = Service(), gathering.budget(1.00, scope="project")
    with pytest.raises(BudgetExceededError):
        made(store, service)[1].remember("tea")
    assert service.asked == []
    assert ceiling.booked == 0


def test_vectors_from_a_tape_are_not_booked(store: SQLiteStore) -> None:
    """Replayed, they need no room and no known price."""
    with tape("tapes/vectors.jsonl", mode="record"):
        made(store, Service())[1].remember("tea")
    set_price("service:v1")
    service = Service()
    with SQLiteStore(":memory:") as other, gathering.budget(0.0) as ceiling:
        with tape("tapes/vectors.jsonl", mode="replay"):
            made(other, service)[1].remember("tea")
        assert (ceiling.spent, service.asked) == (0, [])


def test_a_comparison_pays_for_the_vectors_of_its_agents(store: SQLiteStore) -> None:
    """Under its own budget, like what the models answer."""
    ada, memory = made(store, Service(), "One.", "Two.")
    memory.remember("tea")
    result = gathering.compare(["tea? " * 50], models=[ada], budget=CENT)
    frame = result.df()
    assert list(frame["status"]) == ["error"]
    assert "service:v1" in frame["error"][0]
    assert list(gathering.compare(["tea?"], models=[ada], budget=1.00).df()["output"]) == ["One."]


def test_competencies_and_checks_are_booked_too() -> None:
    """A task compared by meaning, and an answer."""
    reply = Agent("ada", llm_provider=ScriptedProvider(["Well."]), store=SQLiteStore(":memory:")).ask("Hi")
    gathering.budget(0.0)
    with pytest.raises(BudgetExceededError):
        Competency("mathematics", embedder=Service()).can_handle_task("sum up")
    with pytest.raises(BudgetExceededError):
        gathering.check(reply).similar("Good.", embedder=Service())


def test_vectors_that_cost_nothing_need_no_room(store: SQLiteStore) -> None:
    """Under an exhausted budget too."""
    set_price("service:v1", input=0, output=0)
    gathering.budget(0.0)
    memory = made(store, Service())[1]
    memory.remember("tea")
    assert [found.content for found in memory.search("tea")] == ["tea"]


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("openai:gpt-5-mini", "openai:text-embedding-3-small"),
        ("openai:text-embedding-3-large", "openai:text-embedding-3-large"),
        ("gemini:gemini-3-flash", "gemini:gemini-embedding-001"),
        ("openai:gpt-5-mini | mistral:mistral-medium", "openai:text-embedding-3-small"),
    ],
)
def test_the_price_is_that_of_the_model_that_makes_vectors(
    model: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of the one that answers."""
    for key in ("OPENAI_API_KEY", "MISTRAL_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(key, "k")
    assert gathering.provider(model).embedding_model() == named
