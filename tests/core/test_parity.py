"""Every scenario of a turn, through both drivers, whole and streamed, and once by hand through neither.

The flow decides everything, so all five ways must agree on the reply, the messages kept and the rows written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

import gathering
from gathering.core.errors import GatheringError, RateLimitError, TurnLimitError
from gathering.core.events import Done, TextDelta
from gathering.core.flow import Complete, NextBatch, OpenStream, RunTools, TurnPlan, turn
from gathering.core.messages import Completion, Message, Reply, ToolCall
from gathering.core.recording import TurnRecord
from gathering.core.results import ToolResult
from gathering.core.tooling import tool_spec
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider


@gathering.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@gathering.tool
async def slow_add(a: int, b: int) -> int:
    """Add two numbers, awaited."""
    await asyncio.sleep(0)
    return a + b


@gathering.tool
def broken(a: int) -> int:
    """Always fail."""
    raise ZeroDivisionError("no luck")


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


@dataclass(frozen=True)
class Scenario:
    """What the model says, turn after turn, and what may come of it."""

    name: str
    script: list[Any]
    asks: tuple[str, ...] = ("Hi",)
    tools: tuple[Any, ...] = ()
    raises: type[BaseException] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


SCENARIOS = [
    Scenario("text", ["Hello there!"]),
    Scenario("empty answer", [""]),
    Scenario("thinking", [{"thinking": "hm", "content": "42"}]),
    Scenario("two turns", ["one", "two"], asks=("Hi", "And then?")),
    Scenario("a tool", [{"tool_calls": [call("add", a=1, b=2)]}, "3"], tools=(add,)),
    Scenario("text before a tool", [{"content": "Let me see. ", "tool_calls": [call("add", a=1, b=2)]}, "3"], tools=(add,)),
    Scenario(
        "two tools at once", [{"tool_calls": [call("add", a=1, b=2), call("slow_add", a=3, b=4)]}, "3 and 7"],
        tools=(add, slow_add),
    ),
    Scenario("a failing tool", [{"tool_calls": [call("broken", a=1)]}, "sorry"], tools=(broken,)),
    Scenario("an unknown tool", [{"tool_calls": [call("ad", a=1)]}, "sorry"], tools=(add,)),
    Scenario("bad arguments", [{"tool_calls": [call("add", a="x")]}, "sorry"], tools=(add,)),
    Scenario("a refusal of the service", [RateLimitError("slow down", status=429)], raises=RateLimitError),
    Scenario(
        "a second call that fails", [{"tool_calls": [call("add", a=1, b=2)]}, RateLimitError("slow down")],
        tools=(add,), raises=RateLimitError,
    ),
    Scenario(
        "tools without end", [{"tool_calls": [call("add", a=1, b=2)]}] * 3, tools=(add,),
        raises=TurnLimitError, options={"max_rounds": 3},
    ),
]  # fmt: skip


def agent(scenario: Scenario) -> gathering.Agent:
    return gathering.Agent(
        "ada", llm_provider=ScriptedProvider(list(scenario.script)), tools=scenario.tools,
        store=SQLiteStore(":memory:"), **scenario.options,
    )  # fmt: skip


def by_ask(ada: gathering.Agent, message: str) -> Reply:
    return ada.ask(message)


def by_ask_async(ada: gathering.Agent, message: str) -> Reply:
    return asyncio.run(ada.ask_async(message))


def by_stream(ada: gathering.Agent, message: str) -> Reply:
    stream = ada.stream(message)
    text = "".join(e.text for e in stream if isinstance(e, TextDelta))
    assert text.endswith(stream.reply.text)
    return stream.reply


def by_async_stream(ada: gathering.Agent, message: str) -> Reply:
    async def read() -> Reply:
        stream = ada.stream(message)
        text = "".join([e.text async for e in stream if isinstance(e, TextDelta)])
        assert text.endswith(stream.reply.text)
        return stream.reply

    return asyncio.run(read())


def by_hand(ada: gathering.Agent, message: str) -> Reply:
    """Play the driver: send each command's result into the flow, without any driver of ours."""
    plan = TurnPlan(
        provider=ada.llm_provider,
        message=Message("user", message),
        record=TurnRecord("ada", ada.conversation, ada._store),
        messages=ada.memory.get_context_window(),
        tools=ada.tools,
        specs=[tool_spec(t) for t in ada.tools.values()] or None,
        max_rounds=ada.max_rounds,
        remember=lambda messages: [ada.memory.add_message(m.to_dict()) for m in messages] and None,
    )
    flow, result, failure = turn(plan), None, None
    while True:
        try:
            item = flow.throw(failure) if failure else flow.send(result)
        except StopIteration as end:
            return end.value
        result = failure = None
        match item:
            case Complete(provider, messages, tools, params):
                try:
                    result = provider.complete(messages, tools, **params)
                except GatheringError as error:
                    failure = error
            case RunTools(jobs):
                result = [_execute(job.tool, job.call, ada) for job in jobs]
            case OpenStream() | NextBatch():
                raise AssertionError("this turn was not to be streamed")
            case list():
                pass


def _execute(tool: Any, call: ToolCall, ada: gathering.Agent) -> ToolResult:
    from gathering.core.tooling import run_tool

    return run_tool(tool, call, ada.tools)


WAYS: list[Callable[[gathering.Agent, str], Reply]] = [
    by_ask,
    by_ask_async,
    by_stream,
    by_async_stream,
    by_hand,
]


def outcome(scenario: Scenario, way: Callable[[gathering.Agent, str], Reply]) -> dict[str, Any]:
    """All that can be seen of a run, without ids and times."""
    ada, replies, raised = agent(scenario), [], None
    for message in scenario.asks:
        try:
            reply = way(ada, message)
            replies.append(
                (reply.text, reply.thinking, reply.finish_reason, reply.usage, reply.model, reply.cost)
            )
        except GatheringError as error:
            raised = (type(error), str(error))
    calls = ada.trace.calls()[
        ["agent", "provider", "model", "status", "error", "finish_reason", "source", "input_tokens"]
    ]
    tool_calls = ada.trace.tool_calls()[
        ["tool", "arguments", "success", "output", "error", "permission", "decision"]
    ]
    messages = ada.trace.messages()[["role", "content"]]
    return {
        "replies": replies,
        "raised": raised,
        "memory": [(m["role"], m["content"]) for m in ada.memory.get_conversation_history()],
        "calls": calls.astype(object).where(calls.notna(), None).values.tolist(),
        "tool_calls": tool_calls.astype(object).where(tool_calls.notna(), None).values.tolist(),
        "messages": messages.values.tolist(),
    }


@pytest.mark.parametrize("way", WAYS[1:], ids=lambda w: w.__name__)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_every_way_through_a_turn_gives_the_same(scenario: Scenario, way: Any) -> None:
    """Reply, error, memory and rows are those of the plain ``ask``."""
    assert outcome(scenario, way) == outcome(scenario, by_ask)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_a_scenario_ends_as_it_should(scenario: Scenario) -> None:
    """It raises what it says it raises, and otherwise answers each message."""
    seen = outcome(scenario, by_ask)
    assert (seen["raised"][0] if seen["raised"] else None) == scenario.raises
    assert len(seen["replies"]) == len(scenario.asks) - bool(scenario.raises)


def test_the_flow_needs_no_driver_and_no_io() -> None:
    """Fed by hand with completions that nobody asked a provider for, the flow still makes the reply and its events."""
    plan = TurnPlan(ScriptedProvider([]), Message("user", "Hi"), TurnRecord("ada", "c"), streaming=True)
    flow = turn(plan)
    assert isinstance(flow.send(None), OpenStream)
    assert isinstance(flow.send(None), NextBatch)
    assert flow.send([TextDelta("Hel")]) == [TextDelta("Hel")]
    assert isinstance(flow.send(None), NextBatch)
    assert flow.send([TextDelta("lo"), Done(Completion("Hello"))]) == [TextDelta("lo")]
    end = flow.send(None)
    assert isinstance(end[-1], Done)
    assert end[-1].reply.text == "Hello"
