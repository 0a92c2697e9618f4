"""A provider somebody else wrote, whose stream blocks: nobody but its own caller waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from gathering import Agent
from gathering.core.events import TextDelta
from gathering.core.interfaces import ILLMProvider
from gathering.core.portal import portal
from gathering.testing import ScriptedProvider


class Blocking(ILLMProvider):
    """Waits in the middle of its async generator, without awaiting."""

    def __init__(self) -> None:
        super().__init__("blocking", {"model": "m"})
        self.reached, self.go_on = threading.Event(), threading.Event()

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> dict[str, Any]:
        return {"content": "whole"}

    async def stream(self, messages: Any, tools: Any = None, **params: Any) -> AsyncGenerator[str, None]:
        yield "before "
        self.reached.set()
        assert self.go_on.wait(10)
        yield "after"


class Awaiting(Blocking):
    """Has an awaited form of its own: what it holds may belong to the caller's loop."""

    loop: Any = None

    async def complete_async(self, messages: Any, tools: Any = None, **params: Any) -> dict[str, Any]:
        return {"content": "whole"}

    async def stream(self, messages: Any, tools: Any = None, **params: Any) -> AsyncGenerator[str, None]:
        self.loop = asyncio.get_running_loop()
        yield "here"


async def said(agent: Agent) -> str:
    return "".join([e.text async for e in agent.stream("?") if isinstance(e, TextDelta)])


async def test_a_stream_that_blocks_leaves_the_loop_to_others() -> None:
    """They ask and are answered while it waits; then it goes on."""
    provider = Blocking()
    blocked = asyncio.create_task(said(Agent("slow", llm_provider=provider)))
    await asyncio.to_thread(provider.reached.wait, 10)
    assert (await Agent("quick", llm_provider=ScriptedProvider(["Hi"])).ask_async("?")).text == "Hi"
    assert not blocked.done()
    provider.go_on.set()
    assert await blocked == "before after"


def test_a_stream_that_blocks_a_sync_caller_leaves_the_io_thread_to_others() -> None:
    """Where panels and comparisons run."""
    provider = Blocking()
    texts: list[str] = []

    def ask() -> None:
        events = Agent("slow", llm_provider=provider).stream("?")
        texts.extend(e.text for e in events if isinstance(e, TextDelta))

    async def answered() -> str:
        return (await Agent("quick", llm_provider=ScriptedProvider(["Hi"])).ask_async("?")).text

    thread = threading.Thread(target=ask)
    thread.start()
    assert provider.reached.wait(10)
    assert portal().run(answered()) == "Hi"
    provider.go_on.set()
    thread.join(10)
    assert texts == ["before ", "after"]


async def test_stop_does_not_wait_for_what_blocks() -> None:
    """The turn is cut, and what had arrived is in the trace."""
    provider = Blocking()
    agent = Agent("slow", llm_provider=provider)
    blocked = asyncio.create_task(said(agent))
    await asyncio.to_thread(provider.reached.wait, 10)
    blocked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await blocked
    provider.go_on.set()
    (row,) = agent.trace.calls().to_dict("records")
    assert row["status"] == "interrupted"
    assert agent.memory.get_conversation_history()[-1]["content"] == "before "


async def test_a_provider_that_awaits_stays_on_the_caller_s_loop() -> None:
    """Its client may be bound to it."""
    provider = Awaiting()
    assert await said(Agent("ada", llm_provider=provider)) == "here"
    assert provider.loop is asyncio.get_running_loop()
