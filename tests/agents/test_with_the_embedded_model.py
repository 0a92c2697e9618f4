"""Agents against the real embedded model: a task with three tools, and a debate that ends in a recorded decision."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import gathering
from gathering.core.permissions import Decision, PermissionRequest, set_asker
from gathering.llm.local_process import stop_servers
from gathering.storage import SQLiteStore

pytestmark = [pytest.mark.local_model, pytest.mark.timeout(300)]

MEANINGS = {"austere": "severe or strict in manner", "brief": "short in time"}


@pytest.fixture(scope="module", autouse=True)
def _no_server_stays() -> Iterator[None]:
    yield
    stop_servers()


@pytest.fixture(autouse=True)
def _nobody_is_asked_afterwards() -> Iterator[None]:
    yield
    set_asker(None)


@gathering.tool(permissions=["read"], examples=[("What does brief mean?", {"word": "brief"})])
def lookup(word: str) -> str:
    """Look up the meaning of an English word in the dictionary.

    Args:
        word: The word.
    """
    return MEANINGS[word]


@gathering.tool(permissions=["write"], examples=[("Order 30 pencils.", {"item": "pencils", "count": 30})])
def order(item: str, count: int) -> str:
    """Order things for the school.

    Args:
        item: What to order.
        count: How many.
    """
    return f"{count} {item} ordered"


def test_an_agent_with_three_tools_finishes_a_task() -> None:
    """It calculates, looks up and orders, each with the right tool; the order as a person allowed it."""
    asked: list[PermissionRequest] = []

    def asker(request: PermissionRequest) -> Decision:
        asked.append(request)
        return Decision("allow", "person", arguments={**request.call.arguments, "count": 20})

    set_asker(asker)
    store = SQLiteStore(":memory:")
    ada = gathering.Agent(
        "ada",
        llm_provider="local",
        tools=["calculator", lookup, order],
        permissions=["allow calculator", "allow lookup", "ask order"],
        store=store,
    )
    assert "480" in ada.ask("What is 12 times 40?").text
    assert MEANINGS["austere"] in ada.ask("What does austere mean?").text
    assert "20 pencils ordered" in ada.ask("Order 60 pencils.").text
    assert [request.call.arguments for request in asked] == [{"item": "pencils", "count": 60}]
    rows = ada.trace.tool_calls()
    assert rows[["tool", "success", "decision", "decided_by"]].values.tolist() == [
        ["calculator", True, "allow", "rule"],
        ["lookup", True, "allow", "rule"],
        ["order", True, "edit", "person"],
    ]
    assert len(ada.turns) == 3


def test_two_agents_debate_to_a_recorded_decision() -> None:
    """They talk for as long as they may and vote; what was said, what was chosen and what it cost are rows."""
    store = SQLiteStore(":memory:")
    ada, bob = (
        gathering.Agent(name, llm_provider="local", history=likes, params={"max_tokens": 40}, store=store)
        for name, likes in (("ada", "a nurse who likes tea"), ("bob", "a sailor who likes coffee"))
    )
    talk = gathering.Conversation([ada, bob], max_turns=4)
    talk.run("What should the school offer in the break, tea or coffee?")
    decision = talk.decide("What should the school offer?", ["tea", "coffee"], rule="borda")
    assert decision.winner in ("tea", "coffee")
    assert sorted(vote.agent for vote in decision.votes) == ["ada", "bob"]
    said = talk.df()
    assert list(said["speaker"])[1:] == ["ada", "bob"] * 3
    turns = [turn_id for turn_id in said["turn_id"] if isinstance(turn_id, str) and turn_id]
    assert len(turns) == 4
    assert all(vote in ("tea", "coffee", "tea, coffee", "coffee, tea") for vote in said["vote"][-2:])
    assert {row["turn_id"] for row in store.rows("calls")} >= set(turns)
    assert talk.cost == 0.0
