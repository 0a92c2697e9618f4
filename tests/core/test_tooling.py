"""Running the tool calls of one answer: whatever a tool does, there is a result, and the turn goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import gathering
from gathering.core.interfaces import ILLMProvider, ITool
from gathering.core.messages import ToolCall
from gathering.core.results import ToolResult
from gathering.core.tooling import run_tool_async, run_tools
from gathering.testing import ScriptedProvider


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name, name, arguments)


def test_async_tools_of_a_sync_turn_run_side_by_side() -> None:
    """Each waits for the other; the sync tool between them runs on the caller's thread."""
    barrier = asyncio.Barrier(2)

    @gathering.tool
    async def meet(who: str) -> str:
        await barrier.wait()
        return who

    @gathering.tool
    def where() -> str:
        return threading.current_thread().name

    pairs = [(meet, call("meet", who="a")), (where, call("where")), (meet, call("meet", who="b"))]
    results = run_tools(pairs)
    assert [r.output for r in results] == ["a", threading.current_thread().name, "b"]


def test_a_tool_that_only_awaits_runs_side_by_side_too() -> None:
    """Not functions only: any tool whose own form is ``execute_async``."""
    barrier = asyncio.Barrier(2)

    class Meeting(ITool):
        async def execute_async(self, input_data: Any) -> ToolResult:
            await barrier.wait()
            return ToolResult(success=True, output=self.name)

    pairs = [(Meeting("a"), call("a")), (None, call("c")), (Meeting("b"), call("b"))]
    assert [r.success for r in run_tools(pairs, ["a", "b"])] == [True, False, True]


def test_stop_in_a_sync_tool_ends_the_async_ones_beside_it() -> None:
    """Nothing goes on behind the back of a person who pressed Stop."""
    begun, ended = threading.Event(), threading.Event()

    @gathering.tool
    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    @gathering.tool
    def stopped() -> None:
        begun.wait(20)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tools([(endless, call("endless")), (endless, call("endless")), (stopped, call("stopped"))])
    assert ended.wait(5)


async def test_a_cancelled_turn_cancels_its_tool() -> None:
    """The tool unwinds before the canceller goes on."""
    begun, unwound = asyncio.Event(), []

    @gathering.tool
    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            unwound.append(True)

    task = asyncio.create_task(run_tool_async(endless, call("endless")))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert unwound == [True]


class Unshowable:
    """Raises when it is shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def hang() -> None:
    threading.Event().wait()


async def hang_async() -> None:
    await asyncio.Event().wait()


async def hang_stubbornly() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()
            raise


async def leave() -> None:
    raise SystemExit(3)


async def cancel_itself() -> None:
    raise asyncio.CancelledError


def no_more() -> None:
    raise StopIteration("done")


TROUBLE: list[tuple[Callable[..., Any], bool, str]] = [
    (hang, False, "took longer than 0.05 s"),
    (hang_async, False, "took longer than 0.05 s"),
    (hang_stubbornly, False, "took longer than 0.05 s"),
    (lambda: "x" * 100_000_000, True, "the result was cut after 50,000 characters"),
    (lambda: b"x" * 1_000_000, True, "cut"),
    (Unshowable, True, "<Unshowable>"),
    (lambda: {1, 2}, True, "{1, 2}"),
    (lambda: {"a": float("nan")}, True, "nan"),
    (lambda: "half \ud800", True, "half"),
    (leave, False, "tried to end the program (SystemExit)"),
    (cancel_itself, False, "cancelled from within"),
    (no_more, False, "StopIteration"),
    (lambda: 1 / 0, False, "ZeroDivisionError"),
]


@pytest.mark.parametrize(("function", "success", "said"), TROUBLE)
@pytest.mark.parametrize("awaited", [False, True])
async def test_the_turn_goes_on_whatever_the_tool_does(
    function: Callable[..., Any], success: bool, said: str, awaited: bool
) -> None:
    """Hanging, huge, no JSON, raising, cancelled: the model is told, answers, and the row says what happened."""
    trouble = gathering.tool(name="trouble", timeout=0.05 if "hang" in function.__name__ else 20)(function)
    provider = ScriptedProvider([{"tool_calls": [{"name": "trouble", "arguments": {}}]}, "I see."])
    ada = gathering.Agent("ada", llm_provider=provider, tools=[trouble])
    reply = await ada.ask_async("Go.") if awaited else await asyncio.to_thread(ada.ask, "Go.")
    assert reply.text == "I see."
    assert said.lower() in provider.requests[1].messages[-1]["content"].lower()
    row = ada.trace.tool_calls().iloc[0]
    assert bool(row["success"]) is success
    assert said in str(row["output"] if success else row["error"])


class Plain(ITool):
    """A tool as the seed's guide writes one, around a function."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__("trouble", "custom", {})
        self.function = function

    def execute(self, input_data: Any) -> Any:
        return self.function()


class PlainAwaited(Plain):
    """The same with an awaited form of its own."""

    async def execute_async(self, input_data: Any) -> Any:
        return self.function()


async def late() -> str:
    return "late"


def cancelled_inside() -> None:
    raise asyncio.CancelledError


PLAIN: list[tuple[Callable[[], Any], bool, str]] = [
    (lambda: "x" * 1_000_000, True, "the result was cut after 50,000 characters"),
    (lambda: None, True, "None"),
    (Unshowable, True, "<Unshowable>"),
    (late, True, "late"),
    (no_more, False, "StopIteration"),
    (cancelled_inside, False, "cancelled from within"),
    (lambda: 1 / 0, False, "ZeroDivisionError"),
]


@pytest.mark.parametrize(("function", "success", "said"), PLAIN)
@pytest.mark.parametrize("kind", [Plain, PlainAwaited])
@pytest.mark.parametrize("awaited", [False, True])
async def test_the_turn_goes_on_with_a_tool_of_ones_own_class(
    function: Callable[[], Any], success: bool, said: str, kind: type[Plain], awaited: bool
) -> None:
    """Also where ``execute`` gives no ``ToolResult``, is an ``async def`` by mistake or raises what no future carries."""
    provider = ScriptedProvider([{"tool_calls": [{"name": "trouble", "arguments": {}}]}, "I see."])
    ada = gathering.Agent("ada", llm_provider=provider, tools=[kind(function)])
    asking = ada.ask_async("Go.") if awaited else asyncio.to_thread(ada.ask, "Go.")
    reply = await asyncio.wait_for(asking, 30)
    assert reply.text == "I see."
    row = ada.trace.tool_calls().iloc[0]
    assert bool(row["success"]) is success
    assert said in str(row["output"] if success else row["error"])


async def test_a_provider_that_runs_dry_does_not_hang_an_awaited_turn() -> None:
    """A ``StopIteration`` of a sync ``complete`` is an error of the turn, not a wait for ever."""

    class Dry(ILLMProvider):
        def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
            return next(iter(()))

    ada = gathering.Agent("ada", llm_provider=Dry("dry", {"model": "m"}))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(ada.ask_async("Go."), 30)
