"""Stop among several tools: what had run has run, in its row and for the model; only the rest was interrupted."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import gathering
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider


def wants(*names: str) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "arguments": {}} for name in names]}


@gathering.tool
def quick() -> str:
    """Done at once."""
    return "quick is done"


@gathering.tool
def stopped() -> str:
    """Meets the Stop button."""
    raise KeyboardInterrupt


@gathering.tool
async def swift() -> str:
    """Done in its first turn of the loop."""
    return "swift is done"


async def turns_of_the_loop() -> None:
    """Let everything that is ready run to its end."""
    for _ in range(50):
        await asyncio.sleep(0)


def agent(answers: list[Any], *tools: Any) -> gathering.Agent:
    return gathering.Agent(
        "ada", llm_provider=ScriptedProvider(answers), tools=tools, store=SQLiteStore(":memory:")
    )


def ends(ada: gathering.Agent) -> list[tuple[str, bool, str | None]]:
    rows = ada.trace.tool_calls()[["tool", "success", "output", "error"]].to_dict("records")
    return [(r["tool"], bool(r["success"]), r["output"] if r["success"] else r["error"]) for r in rows]


EXPECTED = [
    ("quick", True, "quick is done"),
    ("stopped", False, "interrupted before it was done"),
    ("quick", False, "interrupted before it was done"),
]


def test_a_tool_that_had_run_keeps_its_result() -> None:
    """The first of three is done, the second meets Stop, the third was not begun; the next turn is told so."""
    ada = agent([wants("quick", "stopped", "quick"), "good"], quick, stopped)
    with pytest.raises(KeyboardInterrupt):
        ada.ask("Do all.")
    assert ends(ada) == EXPECTED
    said = [m["content"] for m in ada.memory.get_conversation_history() if m["role"] == "tool"]
    assert said[0] == "quick is done"
    assert ada.ask("And now?").text == "good"


async def test_cancelled_while_two_run_side_by_side_the_finished_one_keeps_its_result() -> None:
    """In an awaited turn that is cancelled while the slower tool still waits."""
    waiting = asyncio.Event()

    @gathering.tool
    async def slow() -> str:
        """Never done."""
        await turns_of_the_loop()
        waiting.set()
        await asyncio.Event().wait()
        return "never"

    ada = agent([wants("swift", "slow")], swift, slow)
    turn = asyncio.create_task(ada.ask_async("Do both."))
    await waiting.wait()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert ends(ada) == [("swift", True, "swift is done"), ("slow", False, "interrupted before it was done")]


def test_stop_beside_async_tools_keeps_those_that_are_done() -> None:
    """In a plain turn async tools run on the I/O thread; the one that was done when Stop came has its result."""
    done = threading.Event()

    @gathering.tool
    async def endless() -> str:
        """Begins last and is never done."""
        await turns_of_the_loop()
        done.set()
        await asyncio.Event().wait()
        return "never"

    @gathering.tool
    def stop() -> str:
        """Meets Stop when the others have begun."""
        assert done.wait(10)
        raise KeyboardInterrupt

    ada = agent([wants("swift", "endless", "stop")], swift, endless, stop)
    with pytest.raises(KeyboardInterrupt):
        ada.ask("Do all.")
    assert [(name, ok) for name, ok, _ in ends(ada)] == [("swift", True), ("endless", False), ("stop", False)]
