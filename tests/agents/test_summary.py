"""Summary memory: what leaves the window is told in a few sentences, and nothing is lost by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gathering import Agent
from gathering.agents import SummaryMemory, WindowMemory
from gathering.core.errors import LiveCallError, ProviderTimeoutError
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider


@pytest.fixture
def store() -> Iterator[SQLiteStore]:
    with SQLiteStore(":memory:") as made:
        yield made


def words(text: str) -> int:
    return len(text.split())


def made(
    store: SQLiteStore, summaries: list[Any], **options: Any
) -> tuple[Agent, SummaryMemory, ScriptedProvider]:
    writer = ScriptedProvider(summaries, name="writer")
    memory = SummaryMemory(WindowMemory(8, count_tokens=words), model=writer, every=2, **options)
    model = ScriptedProvider([f"answer {n}" for n in range(20)])
    return Agent("ada", llm_provider=model, memory=memory, store=store), memory, writer


def talk(agent: Agent, count: int) -> None:
    for n in range(count):
        agent.ask(f"question {n}")


def test_what_left_the_window_is_in_the_prompt_as_a_summary(store: SQLiteStore) -> None:
    """The writer is asked before the turn; its call is in the trace, and the summary's row says what it stands for."""
    ada, memory, writer = made(store, ["They counted to one."])
    talk(ada, 4)
    assert isinstance(ada.llm_provider, ScriptedProvider)
    system = ada.llm_provider.requests[3].messages[0]
    assert system["role"] == "system"
    assert system["content"].endswith("They counted to one.")
    assert "question 0" in writer.requests[0].messages[-1]["content"]
    assert {row["agent"] for row in store.rows("calls")} == {"ada", "ada (summary)"}
    (row,) = store.rows("memories", {"kind": "summary"})
    ids = [r["memory_id"] for r in memory.rows() if r["why"] == "in the summary"]
    assert row["replaces"] == ids
    assert ids
    assert len(ada.memory.get_conversation_history()) == 8


def test_the_next_summary_takes_the_last_one_in(store: SQLiteStore) -> None:
    """The writer is told the summary so far and what is new; only the newest one is sent."""
    ada, memory, writer = made(store, ["first", "second", "third"])
    talk(ada, 6)
    assert len(memory.summaries) == len(writer.requests) > 1
    assert writer.requests[1].messages[-1]["content"].startswith("So far: first")
    frame = memory.df()
    summaries = frame[frame["kind"] == "summary"]
    assert summaries["in_context"].tolist() == [False] * (len(summaries) - 1) + [True]


def test_a_summary_that_fails_is_no_failed_turn(store: SQLiteStore) -> None:
    """The person gets an answer, why it failed is kept, and the next turn tries again."""
    ada, memory, _ = made(store, [ProviderTimeoutError("no answer"), "", "at last"])
    talk(ada, 6)
    assert [s.text for s in memory.summaries] == ["at last"]
    assert memory.failure is None


def test_nothing_is_summarised_that_fits(store: SQLiteStore) -> None:
    """A short conversation asks nobody."""
    ada, memory, writer = made(store, [])
    talk(ada, 2)
    assert (memory.summaries, writer.requests) == ([], [])
    assert ada.explain("more").df()["source"].tolist() == ["memory"] * 4 + ["message"]


def test_a_fork_keeps_what_it_has_the_messages_of(store: SQLiteStore) -> None:
    """A fork at an earlier turn must not know what was said later."""
    ada, memory, _ = made(store, ["first", "second", "third", "fourth"])
    talk(ada, 6)
    assert len(ada.fork().memory.summaries) == len(memory.summaries)  # type: ignore[attr-defined]
    early = ada.fork(at=1).memory
    assert isinstance(early, SummaryMemory)
    assert 1 <= len(early.summaries) < len(memory.summaries)
    assert len(early.summaries[-1].replaces) == 2
    memory.clear()
    assert (memory.summaries, memory.get_conversation_history()) == ([], [])


def test_the_agents_own_model_writes_if_no_other_is_named(store: SQLiteStore) -> None:
    """One model is enough."""
    memory = SummaryMemory(WindowMemory(4, count_tokens=words), every=2)
    model = ScriptedProvider(
        [lambda messages: "short" if "shorten" in messages[0]["content"] else "an answer"] * 9
    )
    ada = Agent("ada", llm_provider=model, memory=memory, store=store)
    talk(ada, 3)
    assert memory.summaries[-1].text == "short"


def test_what_forbids_a_call_is_no_summary_that_failed(store: SQLiteStore) -> None:
    """A tape without the summary, or a test that allows no live call, is said and not passed over."""
    ada, memory, _ = made(store, [LiveCallError("a live call was stopped")])
    with pytest.raises(LiveCallError):
        talk(ada, 6)
    assert memory.summaries == []
