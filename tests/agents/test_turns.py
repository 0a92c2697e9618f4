"""Time travel: forking after any turn, rewinding, replaying with other parts, and the tree that all of it makes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gathering
from gathering.agents.turns import Turns
from gathering.core.errors import ConfigurationError
from gathering.core.messages import Message
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider


def ada(*answers: Any, **parts: Any) -> gathering.Agent:
    return gathering.Agent("ada", llm_provider=ScriptedProvider(answers), **parts)


def asked(agent: gathering.Agent, *questions: str) -> gathering.Agent:
    for question in questions:
        agent.ask(question)
    return agent


def said(agent: gathering.Agent) -> list[str]:
    return [m["content"] for m in agent.memory.get_conversation_history()]


def test_a_fork_goes_on_after_the_turn_that_is_named() -> None:
    """By number, from the end, or by id; what came later is not in it, and the first agent stays as it is."""
    agent = asked(ada("one", "two", "three", "other"), "a", "b", "c")
    for at in (1, -3, agent.turns[0].turn_id):
        assert said(agent.fork(at=at)) == ["a", "one"]
    assert said(agent.fork(at=0)) == []
    twin = asked(agent.fork(at=2), "d")
    assert said(twin) == ["a", "one", "b", "two", "d", "other"]
    assert said(agent) == ["a", "one", "b", "two", "c", "three"]
    assert twin.conversation != agent.conversation


@pytest.mark.parametrize("at", [4, -5, "nothing", True])
def test_a_turn_there_is_not_is_refused(at: Any) -> None:
    """One line that says which there are."""
    with pytest.raises(ConfigurationError, match="a number from 0 to 3"):
        asked(ada("one", "two", "three"), "a", "b", "c").fork(at=at)


def test_rewind_takes_turns_back_and_the_trace_keeps_them() -> None:
    """The agent goes on from before; the rows of what was said are still there."""
    agent = asked(ada("one", "two", "new", store=SQLiteStore(":memory:")), "a", "b").rewind()
    assert said(agent) == ["a", "one"]
    assert asked(agent, "c").turns[-1].answer == "new"
    assert "two" in set(agent.trace.messages()["content"])
    with pytest.raises(ConfigurationError, match="from 0 to 2"):
        agent.rewind(3)


def test_replay_asks_another_model_the_same() -> None:
    """The same messages in order, with other parts; the difference is a table that says where they part."""
    agent = asked(ada("one", "two"), "a", "b")
    twin = agent.replay(ScriptedProvider(["one", "zwei"]), system_prompt="Speak German.")
    assert said(twin) == ["a", "one", "b", "zwei"]
    frame = agent.diff(twin)
    assert list(frame["same"]) == [True, False]
    assert list(frame.iloc[1][["answer", "other_answer"]]) == ["two", "zwei"]
    assert len(said(agent)) == 4, "the first agent was not touched"


def test_a_diff_of_unequal_lengths_shows_what_is_missing() -> None:
    """The longer one's turns have no counterpart."""
    agent = asked(ada("one", "two"), "a", "b")
    frame = agent.diff(agent.fork(at=1))
    assert list(frame["same"]) == [True, False]
    assert frame["other_answer"].isna().to_list() == [False, True]


def test_the_tree_shows_all_branches_and_where_one_is() -> None:
    """A branch is indented where it begins; the path of the agent that is asked is marked."""
    agent = asked(ada("one", "two", "three"), "a", "b")
    twin = asked(agent.fork(at=1), "c")
    assert repr(twin.turns.tree()) == "* a -> one\n    b -> two\n*   c -> three"
    frame = agent.turns.tree().df()
    assert list(frame["depth"]) == [0, 1, 1]
    assert list(frame["here"]) == [True, True, False]
    assert "a -&gt; one" in agent.turns.tree()._repr_mimebundle_()["text/html"]


def test_branches_that_said_the_same_share_the_row() -> None:
    """A replay with the same answers adds nothing to the tree."""
    agent = asked(ada("one", "two"), "a", "b")
    twin = agent.replay(ScriptedProvider(["one", "two"]))
    assert [t.node for t in twin.turns] == [t.node for t in agent.turns]
    assert len(agent.turns.tree().df()) == 2


def test_an_agent_without_turns_can_be_asked_for_all_of_it() -> None:
    """Empty tables and a sentence, no error."""
    agent = ada()
    assert agent.turns.df().empty
    assert repr(agent.turns.tree()) == "no turns yet"
    assert agent.diff(agent.fork(at=0)).empty
    assert agent.rewind(0) is agent


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 4), st.sampled_from("xyz")),
        st.tuples(st.just("fork"), st.integers(0, 4), st.integers(0, 8)),
        st.tuples(st.just("rewind"), st.integers(0, 4), st.integers(0, 3)),
    ),
    max_size=30,
)


@given(_steps)
def test_forks_rewinds_and_turns_keep_the_tree_whole(steps: list[tuple[str, int, Any]]) -> None:
    """Every path is a chain of nodes from the root, every parent is in the tree, and equal paths have equal nodes."""
    paths = [Turns()]
    for kind, which, value in steps:
        turns = paths[which % len(paths)]
        if kind == "ask":
            turns.add("id", "m", [Message("user", value), Message("assistant", value * 2)])
        elif kind == "fork":
            paths.append(turns.until(value % (len(turns) + 1)))
        else:
            paths[which % len(paths)] = turns.until(max(0, len(turns) - value))
    nodes = {row.node: row.parent for row in paths[0].tree().df().itertuples()}
    assert all(parent == "" or parent in nodes for parent in nodes.values())
    for turns in paths:
        chain = ["", *(t.node for t in turns)]
        assert [t.parent for t in turns] == chain[:-1]
        for other in paths:
            same = [a.node == b.node for a, b in zip(turns, other, strict=False)]
            equal = [a.question == b.question for a, b in zip(turns, other, strict=False)]
            assert same == [all(equal[: i + 1]) for i in range(len(equal))]
