"""An answer while it comes: the events of a turn become an item and what is told of it.

Owns that translation, on the I/O thread. Who asked, and what follows, is the room's (``gathering.notebook.room``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from gathering.core.errors import GatheringError
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
from gathering.core.messages import Reply, ToolCall, Usage
from gathering.core.permissions import Decision
from gathering.core.stream import Batch
from gathering.notebook.channel import Channel
from gathering.notebook.items import Call, CallState, Item, Kind, Part, sendable

__all__ = ["Answer", "failure"]


class Answer:
    """Feeds an open item from a turn's batches. ``counted`` is told the tokens of the turn so far."""

    def __init__(
        self, channel: Channel, item: Item, counted: Callable[[Usage], None] = lambda usage: None
    ) -> None:
        self.channel, self.item, self._counted = channel, item, counted
        # Of the calls of this turn that are over, and of the one that runs.
        self._before, self._now = Usage(), Usage()

    def take(self, batch: Batch) -> None:
        """A batch of events."""
        for event in batch:
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case TextDelta(text):
                self._grow("text", text)
            case ThinkingDelta(text):
                self._grow("thinking", text)
            case PermissionAsked(request):
                place = self._place(request.call)
                self._call(place).permission = request.permission
                self._call(place).reason = sendable(request.reason)
                self._moved(place, "asked")
            case ToolStarted(call):
                self._before, self._now = self._before + self._now, Usage()
                self._moved(self._place(call), "running")
            case ToolFinished(call, result):
                place = self._place(call)
                self._call(place).finish(result)
                self.channel.tool(self.item, place)
            case UsageUpdate(usage):
                self._now = usage
                self._counted(self._before + usage)
            case ToolCallDelta() | Done():
                pass
            case _:
                assert_never(event)

    def decided(self, call: ToolCall, decision: Decision) -> None:
        """A person has decided about an asked call."""
        place = self._place(call)
        shown = self._call(place)
        if decision.arguments is not None:
            shown.arguments = Call.of(replace(call, arguments=decision.arguments, malformed=None)).arguments
        shown.reason = sendable(decision.reason)
        self._moved(place, "running" if decision.effect == "allow" else "denied")

    def end(self, reply: Reply) -> None:
        """The turn came to its end."""
        item = self.item
        if reply.text and not any(part.kind == "text" for part in item.parts):
            self._grow("text", reply.text)  # a refusal comes with no delta
        item.status, item.model, item.turn = "done", reply.model, reply.turn_id
        item.usage, item.cost = reply.usage, reply.cost
        item.ms = None if reply.latency is None else reply.latency * 1000
        item.ttft = None if reply.ttft is None else reply.ttft * 1000
        self.channel.end(item)

    def fail(self, error: BaseException, turn_id: str = "") -> None:
        """The turn was cut, by a person or a fault; what had come stays."""
        stopped = isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit)
        for place, part in enumerate(self.item.parts):
            if part.call is not None and part.call.state in ("asked", "running"):
                self._moved(place, "interrupted")
        self.item.status, self.item.turn = "stopped" if stopped else "error", turn_id
        self.item.error = None if stopped else failure(error)
        self.channel.end(self.item)

    def _grow(self, kind: Kind, text: str) -> None:
        self.channel.grow(self.item, self.item.open_part(kind), text)

    def _place(self, call: ToolCall) -> int:
        place = self.item.place_of(call)
        if place is None:
            self.item.parts.append(Part("tool", call=Call.of(call)))
            return len(self.item.parts) - 1
        return place

    def _call(self, place: int) -> Call:
        call = self.item.parts[place].call
        assert call is not None
        return call

    def _moved(self, place: int, state: CallState) -> None:
        self._call(place).state = state
        self.channel.tool(self.item, place)


def failure(error: BaseException) -> dict[str, str]:
    """An error as it is shown: what failed and, where its own line does not say, what to do."""
    if isinstance(error, GatheringError):
        return {"message": sendable(str(error)), "next": ""}
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return {"message": sendable(text), "next": "Try again; the whole traceback comes with ask() in a cell."}
