"""Running one tool call the model asked for: checked, timed, and with a result whatever happens.

A tool that is unknown, refuses its input or raises gives a failed ``ToolResult`` that the model sees, and a result
that is too long is cut (``gathering.core.bounds``). Only what stops the program (Stop, exit) passes through.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, TypeAlias

from gathering.core.bounds import MAX_OUTPUT, bounded
from gathering.core.errors import ToolFailed, nearest
from gathering.core.interfaces import ITool
from gathering.core.messages import ToolCall, ToolSpec
from gathering.core.portal import Job, portal, wait_for
from gathering.core.results import ToolResult, result_of
from gathering.core.session import timer

__all__ = ["run_tool", "run_tool_async", "run_tools", "run_tools_async", "tool_spec"]

#: A call with the tool that runs it, None where there is none of that name.
Pair: TypeAlias = tuple[ITool | None, ToolCall]
#: Results by the place of their call.
Done: TypeAlias = dict[int, ToolResult]


def tool_spec(tool: ITool) -> ToolSpec:
    """The neutral dict in which a tool is offered to a provider."""
    spec: ToolSpec = {
        "name": tool.name,
        "description": tool.get_description(),
        "parameters": tool.get_parameters_schema(),
    }
    examples = tool.get_examples()
    if examples:
        spec["examples"] = [[question, dict(arguments)] for question, arguments in examples]
    return spec


def run_tool(tool: ITool | None, call: ToolCall, known: Iterable[str] = ()) -> ToolResult:
    """The result of the call, run on this thread."""
    with _Attempt(tool, call, known) as attempt:
        if attempt.runs is not None:
            outcome = attempt.runs.execute(call.arguments)
            # Some write ``execute`` itself as ``async def``.
            attempt.result = portal().run(_awaited(outcome)) if inspect.isawaitable(outcome) else outcome
    return attempt.told()


async def run_tool_async(tool: ITool | None, call: ToolCall, known: Iterable[str] = ()) -> ToolResult:
    """The result of the call, awaited."""
    with _Attempt(tool, call, known) as attempt:
        if attempt.runs is not None:
            outcome = await attempt.runs.execute_async(call.arguments)
            attempt.result = await outcome if inspect.isawaitable(outcome) else outcome
    return attempt.told()


async def _awaited(outcome: Awaitable[Any]) -> Any:
    return await outcome


class _Attempt:
    """One call while it runs: refused or not, timed, and with a result whatever the tool raises within the block."""

    def __init__(self, tool: ITool | None, call: ToolCall, known: Iterable[str]) -> None:
        self.tool, self.call, self.known = tool, call, known
        self.result: Any = None
        #: The tool that is to run, None where the call is refused.
        self.runs: ITool | None = None

    def __enter__(self) -> Self:
        self._begun = timer()
        try:
            self.result = _refusal(self.tool, self.call, self.known)
        except Exception as error:  # noqa: BLE001 - a tool may raise while it looks at its input
            self.result = _failed(error)
        self.runs = self.tool if self.result is None else None
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, asyncio.CancelledError) and not _is_cancelled():
            error = ToolFailed(f"{self.call.name} was cancelled from within")
        if not isinstance(error, Exception):
            return False  # nothing, or what stops the program
        self.result = _failed(error)  # whatever a tool raises is told to the model
        return True

    def told(self) -> ToolResult:
        """The result as the model is told it: not too long, and with its time."""
        elapsed = (timer() - self._begun) * 1000
        most = MAX_OUTPUT if self.tool is None else self.tool.max_output
        told = bounded(result_of(self.result), most)
        return told if told.execution_time_ms is not None else replace(told, execution_time_ms=elapsed)


def run_tools(calls: Sequence[Pair], known: Iterable[str] = (), done: Done | None = None) -> list[ToolResult]:
    """The results of several calls, in order.

    Tools that await run side by side on the I/O thread, the others meanwhile on this one, one after the other.
    ``done`` receives each result by its place as soon as it is there: what has run has run, also when Stop cuts the rest.
    """
    known, done = list(known), {} if done is None else done
    awaiting = [i for i, (tool, _) in enumerate(calls) if tool is not None and tool.asynchronous]
    if len(awaiting) < 2 or threading.current_thread() is portal().thread:
        awaiting = []
    job = Job(_side_by_side({i: calls[i] for i in awaiting}, known, done)) if awaiting else None
    try:
        beside = portal().submit(job.run()) if job else None
        for i, pair in enumerate(calls):
            if i not in awaiting:
                done[i] = run_tool(*pair, known)
        if beside is not None:
            wait_for(beside)
    except BaseException:
        if job is not None:
            job.stop(portal().loop)
        raise
    return [done[i] for i in range(len(calls))]


async def run_tools_async(
    calls: Sequence[Pair], known: Iterable[str] = (), done: Done | None = None
) -> list[ToolResult]:
    """The results of several calls, in order, run side by side; ``done`` as in ``run_tools``."""
    done = {} if done is None else done
    await _side_by_side(dict(enumerate(calls)), list(known), done)
    return [done[i] for i in range(len(calls))]


async def _side_by_side(calls: Mapping[int, Pair], known: Iterable[str], done: Done) -> None:
    async def one(i: int, tool: ITool | None, call: ToolCall) -> None:
        done[i] = await run_tool_async(tool, call, known)

    await asyncio.gather(*(one(i, *pair) for i, pair in calls.items()))


def _is_cancelled() -> bool:
    """Whether somebody cancels the task this runs in: else it was the tool that let a cancellation of its own out."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0


def _refusal(tool: ITool | None, call: ToolCall, known: Iterable[str]) -> ToolResult | None:
    """Why the call is not run at all, None if it is."""
    if tool is None:
        known = list(known)
        close = nearest(call.name, known)
        advice = f"did you mean {close[0]!r}?" if close else "the tools are: " + (", ".join(known) or "none")
        return ToolResult(success=False, error=f"there is no tool {call.name!r}: {advice}")
    if call.malformed is not None:
        return ToolResult(success=False, error=f"the arguments are not a JSON object: {call.malformed[:200]}")
    wrong = None if tool.checks_input else tool.why_invalid(call.arguments)
    return None if wrong is None else ToolResult(success=False, error=wrong)


def _failed(error: Exception) -> ToolResult:
    text = str(error) if isinstance(error, ToolFailed) else f"{type(error).__name__}: {error}".rstrip(": ")
    return ToolResult(success=False, error=text)
