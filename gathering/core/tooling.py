"""Running one tool call the model asked for: checked, timed, and with a result whatever happens.

A tool that is unknown, refuses its input or raises gives a failed ``ToolResult`` that the model sees. Only what
stops the program (Stop, exit) passes through.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gathering.core.errors import ToolFailed, nearest
from gathering.core.interfaces import ITool
from gathering.core.messages import ToolCall, ToolSpec
from gathering.core.results import ToolResult

__all__ = ["run_tool", "run_tool_async", "tool_spec"]


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
    begun = time.perf_counter()
    try:
        result = _refusal(tool, call, known)
        if result is None and tool is not None:
            result = tool.execute(call.arguments)
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is told to the model
        result = _failed(error)
    return _timed(result, begun)


async def run_tool_async(tool: ITool | None, call: ToolCall, known: Iterable[str] = ()) -> ToolResult:
    """The result of the call, awaited."""
    begun = time.perf_counter()
    try:
        result = _refusal(tool, call, known)
        if result is None and tool is not None:
            result = await tool.execute_async(call.arguments)
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is told to the model
        result = _failed(error)
    return _timed(result, begun)


def _refusal(tool: ITool | None, call: ToolCall, known: Iterable[str]) -> ToolResult | None:
    """Why the call is not run at all, None if it is."""
    if tool is None:
        known = list(known)
        close = nearest(call.name, known)
        advice = f"did you mean {close[0]!r}?" if close else "the tools are: " + (", ".join(known) or "none")
        return ToolResult(success=False, error=f"there is no tool {call.name!r}: {advice}")
    if call.malformed is not None:
        return ToolResult(success=False, error=f"the arguments are not a JSON object: {call.malformed[:200]}")
    wrong = tool.why_invalid(call.arguments)
    return None if wrong is None else ToolResult(success=False, error=wrong)


def _failed(error: Exception) -> ToolResult:
    text = str(error) if isinstance(error, ToolFailed) else f"{type(error).__name__}: {error}".rstrip(": ")
    return ToolResult(success=False, error=text)


def _timed(result: Any, begun: float) -> ToolResult:
    elapsed = (time.perf_counter() - begun) * 1000
    if not isinstance(result, ToolResult):
        return ToolResult(success=True, output=result, execution_time_ms=elapsed)
    return result if result.execution_time_ms is not None else replace(result, execution_time_ms=elapsed)
