"""What tools and persons answered, on the tape: a tool that is replayed does not run, and nobody is asked again.

Owns the entries of tool calls and permissions; where they are kept is the tape's. A tool in which a model was asked
(an agent as a tool) is run again, since the exchanges inside it are on the tape themselves.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable
from contextvars import ContextVar
from dataclasses import asdict, replace
from typing import Any, Protocol, Self

from gathering.core.errors import TapeError
from gathering.core.interfaces import ITool
from gathering.core.messages import ToolCall
from gathering.core.permissions import Asker, Decision, PermissionRequest
from gathering.core.results import ToolResult
from gathering.core.stored import Request, cut_of
from gathering.core.tooling import run_tool, run_tool_async
from gathering.testing.tape_lines import Entry

__all__ = ["IKeeper", "decided", "inside_a_tool", "wrapped_tool"]

#: The notes of the tool calls that run around this place and are being recorded.
_running: ContextVar[tuple[_Noting, ...]] = ContextVar("gathering_recorded_tools", default=())


class IKeeper(Protocol):
    """The tape, as seen from here."""

    speed: float

    def take(self, request: Request) -> tuple[int, Entry | None]:
        """The request's number among equal ones, and its entry if it is there."""
        ...

    def keep(self, request: Request, number: int, body: dict[str, Any]) -> None:
        """Write an entry."""
        ...


def inside_a_tool() -> None:
    """Say that a model is asked here: the tools that are being recorded around it are to be run again in a replay."""
    for noting in _running.get():
        noting.asks = True


def wrapped_tool(tape: IKeeper, tool: ITool, call: ToolCall, agent: str) -> ITool:
    """The tool that gives the recorded result of this call, or runs and has it recorded."""
    request = {"tool": call.name, "agent": agent, "call": call.id, "arguments": call.arguments}
    number, entry = tape.take(request)
    if entry is None:
        return _Recorded(tool, call, _Noting(tape, request, number))
    return _Replayed(
        tool, call, entry, tape.speed
    )  # read here: what a tool raises would be told to the model


def decided(tape: IKeeper, request: PermissionRequest, ask: Asker) -> Any:
    """The recorded decision, or the asker's, which is recorded (or an awaitable of it)."""
    asked: Request = {
        "permission": request.permission,
        "asked_for": request.tool,
        "agent": request.agent,
        "call": request.call.id,
        "arguments": request.call.arguments,
    }
    number, entry = tape.take(asked)
    if entry is not None:
        if "cut" in entry.body:
            raise KeyboardInterrupt
        return _decision(entry)
    noting = _Noting(tape, asked, number)
    with noting:
        answer = ask(request)
        if not inspect.isawaitable(answer):
            noting.body = {"decision": asdict(answer)}
            return answer
    return _noted(noting, answer)


async def _noted(noting: _Noting, answer: Awaitable[Decision]) -> Decision:
    with noting:
        decision = await answer
        noting.body = {"decision": asdict(decision)}
    return decision


def _decision(entry: Entry) -> Decision:
    try:
        return Decision(**entry.body["decision"])
    except (KeyError, TypeError) as err:
        raise _unreadable("decision") from err


def _unreadable(what: str) -> TapeError:
    return TapeError(f"the tape holds a {what} that cannot be read: record it again with mode='record'")


class _Noting:
    """One act while it is recorded: written when it has its answer, or when Stop cuts it."""

    def __init__(self, tape: IKeeper, request: Request, number: int) -> None:
        self.tape, self.request, self.number = tape, request, number
        self.body: dict[str, Any] | None = None
        self.asks = False

    def __enter__(self) -> Self:
        self._token = _running.set((*_running.get(), self))
        return self

    def noted(self, result: ToolResult) -> ToolResult:
        """The tool's result, which is what will be written."""
        self.body = _stored(result, self.asks)
        return result

    def __exit__(self, kind: object, error: BaseException | None, frames: object) -> None:
        _running.reset(self._token)
        cut = None if error is None else cut_of(error)
        body = {"cut": cut, **({"asks": True} if self.asks else {})} if cut is not None else self.body
        if body is not None:
            self.tape.keep(self.request, self.number, body)


class _Taped(ITool):
    """One call of a tool, behind a tape. What is wrong with its input, the tool itself says."""

    def __init__(self, tool: ITool, call: ToolCall) -> None:
        super().__init__(tool.name, tool.tool_type, {})
        self.tool, self.call, self.max_output = tool, call, tool.max_output


class _Recorded(_Taped):
    """The call is run, and its result recorded."""

    def __init__(self, tool: ITool, call: ToolCall, noting: _Noting) -> None:
        super().__init__(tool, call)
        self.noting = noting

    @property
    def asynchronous(self) -> bool:
        """As the tool."""
        return self.tool.asynchronous

    def execute(self, input_data: Any) -> ToolResult:
        """The tool's result."""
        with self.noting as noting:
            return noting.noted(run_tool(self.tool, self.call))

    async def execute_async(self, input_data: Any) -> ToolResult:
        """The tool's result, awaited."""
        with self.noting as noting:
            return noting.noted(await run_tool_async(self.tool, self.call))


class _Replayed(_Taped):
    """The call has its recorded result; it is run only if models were asked in it, whose answers are recorded."""

    def __init__(self, tool: ITool, call: ToolCall, entry: Entry, speed: float) -> None:
        super().__init__(tool, call)
        self.entry, self.speed = entry, speed
        self.again = bool(entry.body.get("asks"))
        self.result = None if "cut" in entry.body else _result(entry)

    @property
    def asynchronous(self) -> bool:
        """As the tool, if it is run; a recorded result takes no waiting."""
        return self.again and self.tool.asynchronous

    def execute(self, input_data: Any) -> ToolResult:
        """The recorded result."""
        if self.again:
            return self._timed(run_tool(self.tool, self.call))
        time.sleep(self._pause())
        return self._given(KeyboardInterrupt)

    async def execute_async(self, input_data: Any) -> ToolResult:
        """The recorded result."""
        if self.again:
            return self._timed(await run_tool_async(self.tool, self.call))
        await asyncio.sleep(self._pause())
        return self._given(asyncio.CancelledError)

    def _given(self, stop: type[BaseException]) -> ToolResult:
        """The result, or Stop where one had cut the call."""
        if self.result is None:
            raise stop
        return self.result

    def _pause(self) -> float:
        took = self.result.execution_time_ms if self.result is not None else None
        return (took or 0.0) / 1000 / self.speed if self.speed else 0.0

    def _timed(self, result: ToolResult) -> ToolResult:
        recorded = self.result.execution_time_ms if self.result is not None else None
        return replace(result, execution_time_ms=recorded)


def _result(entry: Entry) -> ToolResult:
    try:
        return ToolResult(**entry.body["result"])
    except (KeyError, TypeError) as err:
        raise _unreadable("tool's result") from err


def _stored(result: ToolResult, asks: bool) -> dict[str, Any]:
    """The result as JSON in which the model is told the same."""
    stored: dict[str, Any] = {"success": result.success, "output": _plain(result.output)}
    if result.error is not None:
        stored["error"] = result.error
    if result.execution_time_ms is not None:
        stored["execution_time_ms"] = round(result.execution_time_ms, 3)
    if images := result.metadata.get("images"):
        stored["metadata"] = {"images": images}
    return {"result": stored, **({"asks": True} if asks else {})}


def _plain(output: Any) -> Any:
    if output is None or isinstance(output, str):
        return output
    try:
        return json.loads(json.dumps(output, default=str))
    except (TypeError, ValueError):
        return str(output)
