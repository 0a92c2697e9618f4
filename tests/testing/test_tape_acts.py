"""Tools and persons on the tape: replayed, a tool does not run and nobody is asked, and tables come out the same."""

from __future__ import annotations

import _thread
import asyncio
import itertools
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gathering
from gathering.compare.run import last as last_comparison
from gathering.core import session
from gathering.core.errors import MissingRecordingError, TapeError
from gathering.core.images import Image
from gathering.core.permissions import Decision, set_asker
from gathering.storage import SQLiteStore, default_store
from gathering.testing import ScriptedProvider, tape, tape_clock

TAPE = "tapes/lesson.jsonl"


@pytest.fixture
def rolled() -> list[int]:
    """How often the dice were thrown."""
    return []


@pytest.fixture
def dice(rolled: list[int]) -> Callable[..., Any]:
    def roll(sides: int) -> dict[str, Any]:
        """Throws a die."""
        rolled.append(sides)
        return {"sides": sides, "thrown": len(rolled)}

    return roll


def script(*more: Any) -> list[Any]:
    return [{"tool_calls": [{"name": "roll", "arguments": {"sides": 6}}]}, "Done.", *more]


def agent(answers: list[Any], tools: Any, **options: Any) -> gathering.Agent:
    provider = ScriptedProvider(answers)
    return gathering.Agent(
        "ada", llm_provider=provider, tools=tools, store=SQLiteStore(":memory:"), **options
    )


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(TAPE).read_text("utf-8").splitlines()[1:]]


def output(ada: gathering.Agent) -> Any:
    return list(ada.trace.tool_calls()["output"])


@pytest.mark.parametrize("awaited", [False, True])
def test_a_tool_is_not_run_again(awaited: bool, dice: Any, rolled: list[int]) -> None:
    """Its result, as the model and the trace had it, comes from the tape; in both worlds."""

    def turn(answers: list[Any]) -> gathering.Agent:
        ada = agent(answers, [dice])
        if awaited:
            asyncio.run(ada.ask_async("Throw."))
        else:
            ada.ask("Throw.")
        return ada

    with tape(TAPE, "record"):
        recorded = turn(script())
    with tape(TAPE, "replay"):
        replayed = turn([])
    assert rolled == [6]
    assert output(replayed) == output(recorded) == [{"sides": 6, "thrown": 1}]
    times = replayed.trace.tool_calls()["execution_time_ms"]
    assert list(times) == [lines()[1]["result"]["execution_time_ms"]]


def test_tools_can_be_run_in_a_replay(dice: Any, rolled: list[int]) -> None:
    """tools="live" runs them; that the result differs now is what the next request's diff says."""
    with tape(TAPE, "record"):
        agent(script(), [dice]).ask("Throw.")
    with (
        tape(TAPE, "replay", tools="live"),
        pytest.raises(MissingRecordingError, match=r'thrown": 1.* -> .*thrown": 2'),
    ):
        agent([], [dice]).ask("Throw.")
    assert rolled == [6, 6]


def test_a_replayed_tool_shows_the_model_the_same_image() -> None:
    """Or the next request would be another one, and the tape would not know it."""
    taken: list[str] = []

    @gathering.tool
    def camera(what: str) -> Any:
        """Take a picture."""
        taken.append(what)
        return Image.read(b"\x89PNG\r\n\x1a\n" + b"0" * 20)

    look = {"tool_calls": [{"name": "camera", "arguments": {"what": "a cat"}}]}
    with tape(TAPE, "record"):
        agent([look, "A cat."], [camera]).ask("What is there?")
    with tape(TAPE, "replay"):
        assert agent([], [camera]).ask("What is there?").text == "A cat."
    assert taken == ["a cat"]


def test_a_tools_failure_comes_again() -> None:
    """What it raised is told to the model as it was then."""

    def roll(sides: int) -> int:
        """Throws a die."""
        raise RuntimeError("it fell off the table")

    with tape(TAPE, "record"):
        recorded = agent(script(), [roll])
        recorded.ask("Throw.")
    with tape(TAPE, "replay"):
        replayed = agent([], [roll])
        replayed.ask("Throw.")
    columns = ["success", "error"]
    assert replayed.trace.tool_calls()[columns].equals(recorded.trace.tool_calls()[columns])
    assert "fell off the table" in replayed.trace.tool_calls()["error"][0]


def test_stop_in_a_tool_comes_again() -> None:
    """The turn is cut at the same place, without the tool."""
    ran: list[int] = []

    def roll(sides: int) -> int:
        """Throws a die."""
        ran.append(sides)
        raise KeyboardInterrupt

    for mode, answers in (("record", script()), ("replay", [])):
        with tape(TAPE, mode), pytest.raises(KeyboardInterrupt):  # type: ignore[arg-type]
            agent(answers, [roll]).ask("Throw.")
    assert ran == [6]


def test_an_agent_inside_a_tool_is_replayed_from_its_own_recordings() -> None:
    """The tool that asks another agent runs again, with that agent's exchanges from the tape and its rows in the trace."""

    def turn(answers: list[Any], inner: list[Any]) -> tuple[str, int]:
        bob = agent(inner, [])

        def roll(sides: int) -> str:
            """Asks bob."""
            return bob.ask(f"Throw {sides}.").text

        text = agent(answers, [roll]).ask("Throw.").text
        return text, len(bob.trace.calls())

    with tape(TAPE, "record"):
        recorded = turn(script(), ["Four."])
    with tape(TAPE, "replay"):
        assert turn([], []) == recorded == ("Done.", 1)


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """A person who allows the first question and denies all others; what was asked."""
    questions: list[str] = []

    def answer(request: Any) -> Decision:
        questions.append(request.tool)
        return Decision("allow", "person") if len(questions) == 1 else Decision("deny", "person", "no more")

    before = set_asker(answer)
    yield questions
    set_asker(before)


def test_a_person_is_not_asked_again(asked: list[str], dice: Any) -> None:
    """Decisions are on the tape, a refusal with its reason too."""
    rules = ["ask *"]
    with tape(TAPE, "record"):
        recorded = agent(script(*script()), [dice], permissions=rules)
        recorded.ask("Throw.")
        recorded.ask("Again.")
    with tape(TAPE, "replay"):
        replayed = agent([], [dice], permissions=rules)
        replayed.ask("Throw.")
        replayed.ask("Again.")
    columns = ["decision", "decided_by", "error", "output"]
    assert asked == ["roll", "roll"]
    assert replayed.trace.tool_calls()[columns].equals(recorded.trace.tool_calls()[columns])
    assert list(replayed.trace.tool_calls()["decision"]) == ["allow", "deny"]


def test_what_no_tape_knows_is_neither_run_nor_asked(asked: list[str], dice: Any, rolled: list[int]) -> None:
    """A tool call without a recording is a missing recording that names tool and arguments, not a failed tool."""
    with tape(TAPE, "record"):
        agent(script(), [dice], permissions=["ask *"]).ask("Throw.")
    kept = [line for line in Path(TAPE).read_text().splitlines() if '"result"' not in line]
    Path(TAPE).write_text("\n".join(kept) + "\n")
    with tape(TAPE, "replay"), pytest.raises(MissingRecordingError, match=r'roll\(\{"sides": 6\}\)'):
        agent([], [dice], permissions=["ask *"]).ask("Throw.")
    kept = [line for line in kept if '"decision"' not in line]
    Path(TAPE).write_text("\n".join(kept) + "\n")
    with tape(TAPE, "replay"), pytest.raises(MissingRecordingError, match="roll"):
        agent([], [dice], permissions=["ask *"]).ask("Throw.")
    assert (rolled, asked) == ([6], ["roll"])


def test_a_result_edited_into_nonsense_is_said(dice: Any) -> None:
    """It is an error of the tape, not a failed tool."""
    with tape(TAPE, "record"):
        agent(script(), [dice]).ask("Throw.")
    Path(TAPE).write_text(Path(TAPE).read_text().replace('"success"', '"went_well"'))
    with (
        tape(TAPE, "replay", unused="ignore"),
        pytest.raises(TapeError, match="a tool's result that cannot be read"),
    ):
        agent([], [dice]).ask("Throw.")


def test_tables_of_two_replays_are_equal(dice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids, times, costs and latencies too, of calls, messages and tool calls, with turns that fail and are compared."""

    def lesson(answers: dict[str, list[Any]]) -> list[Any]:
        store = SQLiteStore(":memory:")
        models = {name: ScriptedProvider(list(given), name) for name, given in answers.items()}
        ada = gathering.Agent("ada", llm_provider=models["one"], tools=[dice], store=store)
        ada.ask("Throw.")
        with pytest.raises(ValueError, match="odd"):
            ada.ask("Fail.")
        result = gathering.compare(
            ["A?", "B?"], [models["two"], models["three"]], repeats=3, store=store, concurrency=4
        )
        trace = gathering.Trace(store)
        return [trace.calls(), trace.messages(), trace.tool_calls(), result.df()]

    with tape(TAPE, "record"):
        lesson({"one": [*script(), ValueError("odd")], "two": ["x"] * 6, "three": ["y"] * 6})
    replays = []
    for _ in range(2):
        monkeypatch.setattr(tape_clock, "_counters", defaultdict(itertools.count))  # as in a new process
        with tape(TAPE, "replay"):
            replays.append(lesson({"one": [], "two": [], "three": []}))
    for first, second in zip(*replays, strict=True):
        assert len(first)
        pd.testing.assert_frame_equal(first, second)


def test_a_replay_leaves_the_projects_trace_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ids come again each time, so its rows are kept in memory, unless a setting names a place."""
    monkeypatch.delenv("GATHERING_STORE", raising=False)
    with tape(TAPE, "replay"):
        assert default_store().path == ":memory:"
        monkeypatch.setenv("GATHERING_STORE", str(Path("named.sqlite").absolute()))
        assert default_store().path.endswith("named.sqlite")
    monkeypatch.delenv("GATHERING_STORE")
    assert default_store().path.endswith("trace.sqlite")


def test_a_comparison_that_was_stopped_is_stopped_again() -> None:
    """What had been answered before Stop is answered in the replay, the rest is interrupted, and the cell ends alike."""

    class Slow(ScriptedProvider):
        """Answers all but the last prompt; while that one is waited for, Stop comes."""

        async def complete_async(self, messages: Any, tools: Any = None, **params: Any) -> Any:
            if "last" in messages[-1]["content"]:
                _thread.interrupt_main()
                await asyncio.Event().wait()
            return "done"

    def stopped(provider: Any) -> list[Any]:
        with pytest.raises(KeyboardInterrupt):
            gathering.compare(["one", "last", "two"], [provider], store=SQLiteStore(":memory:"))
        found = last_comparison()
        assert found is not None
        return [(row["prompt"], row["status"], row["output"]) for row in found.rows]

    with tape(TAPE, "record"):
        recorded = stopped(Slow([]))
    with tape(TAPE, "replay"):
        assert stopped(ScriptedProvider([])) == recorded
    assert sorted(status for _, status, _ in recorded) == ["interrupted", "ok", "ok"]


def test_an_awaited_decision_and_stop_at_the_question_come_again(dice: Any) -> None:
    """A panel's asker is awaited; a person may press Stop in place of an answer."""

    async def later(request: Any) -> Decision:
        return Decision("deny", "person", "not now")

    def stop(request: Any) -> Decision:
        raise KeyboardInterrupt

    def lesson(answers: list[Any]) -> list[Any]:
        ada = agent(answers, [dice], permissions=["ask *"])
        before = set_asker(later if answers else None)
        asyncio.run(ada.ask_async("Throw."))
        set_asker(stop if answers else None)
        with pytest.raises(KeyboardInterrupt):
            ada.ask("Again.")
        set_asker(before)
        return list(ada.trace.tool_calls()["decision"])

    with tape(TAPE, "record"):
        recorded = lesson(script(*script()[:1]))
    with tape(TAPE, "replay"):
        assert lesson([]) == recorded
    assert recorded[0] == "deny"


def test_a_rehearsal_replays_stop_and_asks_for_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording what has drifted leaves a cell that shows Stop as it is, and minds no entry that is unused."""
    monkeypatch.setattr(session, "under_test", lambda: False)
    with tape(TAPE, "record"), pytest.raises(KeyboardInterrupt):
        agent([KeyboardInterrupt()], []).ask("Stop here.")
    monkeypatch.setattr(sys.modules["gathering.testing.tape"], "_rehearsing", True)
    with tape(TAPE), pytest.raises(KeyboardInterrupt):
        agent([], []).ask("Stop here.")
    assert len(lines()) == 1
    with tape(TAPE, "replay") as made:
        assert made.unused() == ["Stop here."]
