"""Agents by name: kept, found by what they can do and how they did, set to work together, asked by each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gathering import Agent, AgentManager, Competency
from gathering.agents import AgentTool
from gathering.agents.manager import Record
from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.testing import ScriptedProvider


def agent(name: str, *answers: Any, **parts: Any) -> Agent:
    return Agent(name, llm_provider=ScriptedProvider(answers), **parts)


def manager() -> AgentManager:
    return AgentManager(
        [
            agent("ada", competencies=[Competency("mathematics", 0.8)]),
            agent("bob", competencies=[Competency("history", 0.9)]),
            agent("cleo", competencies=[Competency("mathematics", 0.8)]),
        ]
    )


def test_agents_are_made_kept_and_removed_by_name() -> None:
    """In the order in which they came; a name is taken once; a wrong one gets the nearest."""
    there = AgentManager()
    ada = there.create_agent({"name": "ada", "llm_provider": ScriptedProvider([])})
    assert there.get_agent("ada") is ada
    assert (there.list_agents(), len(there), "ada" in there) == (["ada"], 1, True)
    with pytest.raises(ConfigurationError, match="already"):
        there.create_agent({"name": "ada", "llm_provider": ScriptedProvider([])})
    with pytest.raises(UnknownNameError, match="did you mean 'ada'"):
        there.get_agent("adda")
    there.remove_agent("ada")
    assert there.list_agents() == []


def test_the_best_agent_fits_and_has_done_well() -> None:
    """Competence times expected success; equal scores go to who came first; None where nobody fits."""
    there = manager()
    assert there.find_best_agent("a problem of mathematics") is there.get_agent("ada")
    assert there.find_best_agent("cooking") is None
    for success in (True, False, False):
        there.record_outcome("ada", success)
    assert there.find_best_agent("a problem of mathematics") is there.get_agent("cleo")
    frame = there.rank("a problem of mathematics")
    assert list(frame["agent"]) == ["cleo", "ada", "bob"]
    assert frame.iloc[1]["reason"] == "mathematics fits with 0.80, 1 of 3 tasks done"
    assert frame.iloc[2]["reason"] == "no competency fits, no task yet"


@settings(deadline=None)  # scipy takes its time to load
@given(st.integers(0, 200), st.integers(0, 200))
def test_the_interval_of_a_record_is_an_interval(done: int, failed: int) -> None:
    """Within 0 and 1, around the rate, and narrower with more tasks; the same as scipy's."""
    from scipy.stats import binomtest

    record = Record(done, done + failed)
    low, high = record.interval()
    assert 0 <= low <= high <= 1
    if record.tried:
        expected = binomtest(done, record.tried).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_they_work_together_on_a_task() -> None:
    """All whose competencies fit, best first, or those who are named."""
    there = AgentManager(
        [
            agent("ada", "2", "4", competencies=[Competency("mathematics", 0.5)]),
            agent("bob", "x", competencies=["history"]),
            agent("cleo", "1", "3", competencies=[Competency("mathematics", 0.9)]),
        ]
    )
    conversation = there.collaborate("a problem of mathematics")
    assert [m["name"] for m in conversation.get_history()[1:]] == ["cleo", "ada", "cleo", "ada"]
    with pytest.raises(ConfigurationError, match="no competency fits"):
        there.collaborate("cooking")


def test_an_agent_works_with_others() -> None:
    """``collaborate_with`` talks a task through to its end."""
    conversation = agent("ada", "1", "3").collaborate_with([agent("bob", "2", "4")], "Count.")
    assert [m["content"] for m in conversation.get_history()[1:]] == ["1", "2", "3", "4"]


def test_an_agent_is_a_tool_of_another() -> None:
    """Given an agent among its tools, a model can hand a task on; its answer is the tool's result."""
    bob = agent("bob", "It is 375.", competencies=["mathematics"])
    wants = {"tool_calls": [{"name": "ask_bob", "arguments": {"task": "15% of 2500?"}}]}
    ada = agent("ada", wants, lambda messages: messages[-1]["content"], tools=[bob])
    assert ada.ask("What is 15% of 2500?").text == "It is 375."
    assert ada.tools["ask_bob"].get_description() == "Ask bob, who is good at mathematics."


def test_agents_that_would_wait_for_each_other_are_refused() -> None:
    """A circle is a failed result that the model can read, not a hang and not an error of the turn."""
    bob = agent("bob", {"tool_calls": [{"name": "ask_ada", "arguments": {"task": "?"}}]}, "I do it myself.")
    wants = {"tool_calls": [{"name": "ask_bob", "arguments": {"task": "?"}}]}
    ada = agent("ada", wants, "Done.", tools=[bob])
    bob.tools["ask_ada"] = AgentTool(ada)
    assert ada.ask("Go.").text == "Done."
    refused = bob.llm_provider.requests[1].messages[-1]["content"]  # type: ignore[attr-defined]
    assert "in the middle of another turn" in refused


def test_a_chain_of_agents_has_an_end() -> None:
    """Deeper than ``max_depth`` nobody is asked."""
    wants = lambda name: {"tool_calls": [{"name": f"ask_{name}", "arguments": {"task": "?"}}]}  # noqa: E731
    dora = agent("dora", "deep")
    cleo = agent("cleo", wants("dora"), lambda m: m[-1]["content"], tools=[AgentTool(dora, max_depth=2)])
    bob = agent("bob", wants("cleo"), lambda m: m[-1]["content"], tools=[AgentTool(cleo, max_depth=2)])
    ada = agent("ada", wants("bob"), lambda m: m[-1]["content"], tools=[AgentTool(bob, max_depth=2)])
    assert "2 agents wait for each other already (bob -> cleo -> dora)" in ada.ask("Go.").text


async def test_delegation_can_be_awaited() -> None:
    """In an awaited turn the other agent's turn is awaited too."""
    wants = {"tool_calls": [{"name": "ask_bob", "arguments": {"task": "?"}}]}
    ada = agent("ada", wants, lambda m: m[-1]["content"], tools=[agent("bob", "Yes.")])
    assert (await ada.ask_async("Go.")).text == "Yes."


def test_what_is_no_agent_is_no_tool() -> None:
    """Neither is a depth of nothing."""
    with pytest.raises(ConfigurationError, match="cannot be a tool"):
        AgentTool("bob")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="max_depth=0"):
        AgentTool(agent("bob"), max_depth=0)
    assert AgentTool(agent("bob")).why_invalid({"task": " "}) is not None
    assert {t.name for t in manager().as_tools()} == {"ask_ada", "ask_bob", "ask_cleo"}


@pytest.mark.parametrize("name", [None, 5, ["ada"]], ids=str)
def test_what_is_no_name_is_said_in_one_line(name: Any) -> None:
    """Also where it is no text; one name alone is a list of it."""
    manager = AgentManager([agent("ada", "1", "2")])
    with pytest.raises(UnknownNameError, match="unknown agent"):
        manager.get_agent(name)
    with pytest.raises(ConfigurationError, match="is no text"):
        manager.find_best_agent(name)
    assert list(manager.create_conversation("ada", max_turns=1).floor.agents) == ["ada"]
    both = [manager.get_agent("ada"), agent("bob")]
    assert list(manager.create_conversation(both).floor.agents) == ["ada", "bob"]
