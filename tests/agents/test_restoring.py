"""A kernel that ended: its agents and what they had said come back in another one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gathering
from gathering.agents.restoring import restore
from gathering.core.errors import ConfigurationError
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider

PROGRAM = """
import sys
import gathering
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider

@gathering.tool
def look(where: str) -> str:
    "Look somewhere."
    return "nothing"

store = SQLiteStore(sys.argv[1])
ada = gathering.Agent("ada", llm_provider="openai:gpt-5-mini", history="teaches", store=store)
bob = gathering.Agent("bob", llm_provider="local", tools=[look], store=store)
for agent in (ada, bob):
    made, agent.llm_provider = agent.llm_provider, ScriptedProvider(["I remember."])
    agent.ask("My name is Eve.")
    agent.llm_provider = made
    agent.save()
"""


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """The trace of a kernel that had two agents and is gone."""
    path = tmp_path / "trace.sqlite"
    subprocess.run([sys.executable, "-c", PROGRAM, path], check=True, timeout=60)
    return SQLiteStore(path)


@gathering.tool
def look(where: str) -> str:
    """Look somewhere."""
    return "nothing"


def test_agents_and_what_they_said_come_back(store: SQLiteStore) -> None:
    """All agents that were kept are there again, as they were, with the conversation."""
    ada, bob = restore(store, tools=[look])
    assert ada.agent is not None
    assert bob.agent is not None
    assert (ada.agent.model, ada.agent.history) == ("openai:gpt-5-mini", "teaches")
    assert [turn.question for turn in ada.agent.turns] == ["My name is Eve."]
    assert ada.agent.memory.get_conversation_history()[-1]["content"] == "I remember."
    assert list(bob.agent.tools) == ["look"]


def test_what_only_code_can_make_is_asked_for(store: SQLiteStore) -> None:
    """An agent with a function as a tool says which, and the others come back all the same."""
    ada, bob = restore(store)
    assert ada.agent is not None
    assert bob.agent is None
    assert "look" in bob.why_not


def test_an_agent_that_was_made_again_gets_its_conversation(store: SQLiteStore) -> None:
    """One that is here and has said nothing takes up what it had said; one that has spoken is left alone."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["Hello, Eve.", "Yes."]), store=store)
    (restored,) = restore(store, ["ada"], {"ada": ada})
    assert restored.agent is ada
    assert len(ada.turns) == 1
    ada.ask("Who am I?")
    (again,) = restore(store, ["ada"], {"ada": ada})
    assert again.agent is None
    assert "has taken turns" in again.why_not


def test_where_nothing_was_kept_that_is_said(store: SQLiteStore, tmp_path: Path) -> None:
    """A name nobody kept, and a trace without agents, are one line each."""
    with pytest.raises(ConfigurationError, match="no agent 'eve' was kept"):
        restore(store, ["eve"])
    with pytest.raises(ConfigurationError, match="nothing to restore"):
        restore(SQLiteStore(tmp_path / "empty.sqlite"))


# -- branches ------------------------------------------------------------------------------------------------------


def kernel(program: str, path: Path) -> None:
    """Run a program to its end as a kernel of its own."""
    before = """
import sys
import gathering
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider

store = SQLiteStore(sys.argv[1])
ada = gathering.Agent("ada", llm_provider="openai:gpt-5-mini", store=store)
model = ada.llm_provider
def say(agent, *questions):
    agent.llm_provider = ScriptedProvider([q.upper() for q in questions])
    for q in questions:
        agent.ask(q)
    agent.llm_provider = model
"""
    subprocess.run([sys.executable, "-c", before + program, path], check=True, timeout=60)


@pytest.mark.parametrize(
    ("program", "left"),
    [
        ("say(ada, 'a', 'b', 'c'); ada.rewind(1); ada.save()", ["a", "b"]),
        ("say(ada, 'a', 'b', 'c'); ada.save(); ada.rewind(2); say(ada, 'd'); ada.save()", ["a", "d"]),
        ("say(ada, 'a'); ada.rewind(1); ada.save()", []),
        ("say(ada, 'a', 'b'); ada.rewind(1); say(ada, 'c', 'd'); ada.rewind(2); ada.save()", ["a"]),
        ("say(ada, 'a', 'b'); f = ada.fork(at=1); say(f, 'c'); f.save()", ["a", "c"]),
        ("say(ada, 'a', 'b'); f = ada.fork(); f.save()", ["a", "b"]),
        ("say(ada, 'a', 'b'); f = ada.fork(at=1).fork(); say(f, 'c'); f.save()", ["a", "c"]),
        ("say(ada, 'a', 'b'); f = ada.fork(); ada.rewind(2); say(f, 'c'); f.save()", ["a", "b", "c"]),
        (
            "say(ada, 'a', 'b'); f = ada.fork(); say(ada, 'x'); f.rewind(1); say(f, 'c'); f.rewind(1); f.save()",
            ["a"],
        ),
        (
            "say(ada, 'a', 'b'); f = ada.fork(at=1); say(f, 'c'); g = f.fork(at=1); say(g, 'd'); g.save()",
            ["a", "d"],
        ),
        ("say(ada, 'a'); f = ada.fork(at=0); say(f, 'b'); f.save()", ["b"]),
    ],
)
def test_a_branch_comes_back_with_what_led_to_it(tmp_path: Path, program: str, left: list[str]) -> None:
    """What was taken back stays away, and a fork knows what was said before it left."""
    path = tmp_path / "trace.sqlite"
    kernel(program, path)
    ada = gathering.load("ada", store=SQLiteStore(path))
    assert [turn.question for turn in ada.turns] == left
    said = [m["content"] for m in ada.memory.get_conversation_history()]
    assert said == [text for q in left for text in (q, q.upper())]


def test_what_was_brought_back_can_be_brought_back_again(tmp_path: Path) -> None:
    """A third kernel has what the second said to what it had restored."""
    path = tmp_path / "trace.sqlite"
    kernel("say(ada, 'a', 'b'); f = ada.fork(at=1); say(f, 'c'); f.save()", path)
    kernel(
        "ada = gathering.load('ada', store=store); say(ada, 'd'); ada.rewind(1); say(ada, 'e'); ada.save()",
        path,
    )
    store = SQLiteStore(path)
    assert [turn.question for turn in gathering.load("ada", store=store).turns] == ["a", "c", "e"]
    assert list(gathering.Trace(store).branches().kind) == ["fork", "rewind"]


def test_a_turn_that_was_taken_back_is_not_resumed(tmp_path: Path) -> None:
    """The agent made anew is told that there is nothing to go on with."""
    path = tmp_path / "trace.sqlite"
    kernel("say(ada, 'a', 'b'); ada.rewind(1)", path)
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["no"]), store=SQLiteStore(path))
    with pytest.raises(ConfigurationError, match="was taken back: ask the next question"):
        ada.resume()
