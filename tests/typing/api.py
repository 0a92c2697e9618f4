"""What a type checker must know of the public names. Checked by mypy, never run."""

from __future__ import annotations

from typing import Any, assert_never, assert_type

import pandas as pd

import gathering
from gathering.core.events import (
    Done,
    Event,
    PermissionAsked,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolFinished,
    ToolStarted,
    UsageUpdate,
)
from gathering.core.interfaces import ILLMProvider, ITool
from gathering.core.messages import Completion, Reply, ToolCall, Usage
from gathering.testing import ScriptedProvider


@gathering.tool
def area(width: float, height: float = 1.0) -> float:
    """The area of a rectangle."""
    return width * height


class Parrot(ILLMProvider):
    """A provider of a user's own, as small as it can be."""

    def complete(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None, **params: Any
    ) -> dict[str, Any]:
        """Say it again."""
        return {"role": "assistant", "content": messages[-1]["content"]}


def of_an_agent() -> None:
    """An agent, its reply and its tables."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["Hello!"]), tools=["calculator", area])
    assert_type(gathering.Agent.from_config({"name": "ada"}), gathering.Agent)
    reply = ada.ask("Say hello.", temperature=0)
    assert_type(reply, Reply)
    assert_type(reply.text, str)
    assert_type(reply.tool_calls, tuple[ToolCall, ...])
    assert_type(reply.usage, Usage)
    assert_type(reply.cost, float | None)
    assert_type(ada.process_message("Say hello."), str)
    assert_type(ada.trace.tool_calls(), pd.DataFrame)
    assert_type(ada.fork(), gathering.Agent)
    assert_type(ada.tools, dict[str, ITool])


async def awaited() -> None:
    """The same, awaited."""
    ada = gathering.Agent("ada", llm_provider=Parrot("parrot", {}))
    assert_type(await ada.ask_async("Say hello."), Reply)
    async for event in ada.stream("Say hello."):
        named(event)


def named(event: Event) -> str:
    """A match over the events is complete, and the checker knows."""
    match event:
        case TextDelta(text) | ThinkingDelta(text):
            return text
        case ToolCallDelta() | PermissionAsked() | ToolStarted() | ToolFinished() | UsageUpdate():
            return type(event).__name__
        case Done(completion=completion):
            return assert_type(completion, Completion).content
        case _:
            assert_never(event)


def of_the_rest() -> None:
    """Providers, tools, traces and blocks without live calls."""
    assert_type(gathering.provider("local"), ILLMProvider)
    assert_type(area(2.0, height=3.0), float)
    assert_type(gathering.trace.calls(), pd.DataFrame)
    with gathering.no_live_calls():
        gathering.tape("tapes/lesson.jsonl")


def of_a_comparison() -> None:
    """A comparison is called by the front door's name."""
    result = gathering.compare(["Why?"], models=["local"], repeats=2)
    assert_type(result, gathering.Comparison)
    assert_type(result.df(), pd.DataFrame)
