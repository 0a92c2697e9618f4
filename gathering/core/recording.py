"""What happens in a turn, written as rows. Owns the mapping from a turn's happenings to the trace's columns.

Calls are put as ``started`` before the request goes out and settled after it; the text that has arrived so far
is handed over as a callable, so that a killed process leaves it in the store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from gathering.core.booking import Booking
from gathering.core.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.interfaces import ILLMProvider, IRecorder
from gathering.core.messages import Completion, Message, Timing, ToolCall, Usage
from gathering.core.permissions import Decision
from gathering.core.results import ToolResult
from gathering.core.session import current_cell, new_id, now, session_id, timer

__all__ = ["CallRecord", "TurnRecord"]

Status = Literal["ok", "error", "interrupted"]


@dataclass(slots=True)
class TurnRecord:
    """One turn's place in the trace. ``recorder`` None writes nothing, and costs nothing."""

    agent: str
    conversation: str
    recorder: IRecorder | None = None
    turn_id: str = field(default_factory=new_id)
    cell: int | None = field(default_factory=current_cell)
    agent_version: int | None = None

    def message(self, message: Message, call_id: str | None = None, tokens: int | None = None) -> None:
        """Put a message that is whole."""
        if self.recorder is not None:
            self.recorder.put("messages", self._message_row(new_id(), message, call_id, tokens))

    def call(self, provider: ILLMProvider, params: dict[str, Any]) -> CallRecord:
        """Put a call as started, before its request goes out."""
        record = CallRecord(self, provider.name, provider.model, dict(params))
        self.put(
            "calls",
            {
                "call_id": record.call_id,
                "turn_id": self.turn_id,
                "provider": provider.name,
                "model": provider.model,
                "started_at": record.started_at,
                "status": "started",
                "source": "live",
                "params": params,
                "agent_version": self.agent_version,
                "cell": self.cell,
            },
        )
        return record

    def tool_call(self, call: ToolCall, call_id: str, permission: str | None) -> None:
        """Put a tool call as about to run."""
        self.put(
            "tool_calls",
            {
                "tool_call_id": call.id,
                "call_id": call_id,
                "turn_id": self.turn_id,
                "tool": call.name,
                "arguments": call.arguments if call.malformed is None else call.malformed,
                "permission": permission,
                "started_at": now(),
                "cell": self.cell,
            },
        )

    def asked(self, call: ToolCall, call_id: str) -> None:
        """Put a tool call as waiting for a person's answer."""
        self.put("tool_calls", {"tool_call_id": call.id, "call_id": call_id, "decision": "ask"})
        if self.recorder is not None:
            self.recorder.flush()  # the answer may take a day, and this process may not live as long

    def decided(self, call: ToolCall, call_id: str, decision: Decision, permission: str | None) -> None:
        """Put a person's answer before the tool runs: if the process dies now, the row tells that it may have run."""
        row = {"tool_call_id": call.id, "call_id": call_id, "permission": permission, **_decision(decision)}
        self.put("tool_calls", row)
        if self.recorder is not None:
            self.recorder.flush()

    def tool_result(
        self, call: ToolCall, call_id: str, result: ToolResult, decision: Decision | None
    ) -> None:
        """Put what a tool call gave; with a person's own arguments where they took the place of the model's.

        Without a decision the row keeps the one it has: a person who was asked and has not answered is still asked.
        """
        self.put(
            "tool_calls",
            {
                "tool_call_id": call.id,
                "call_id": call_id,
                "arguments": call.arguments if call.malformed is None else call.malformed,
                "success": result.success,
                "output": result.output,
                "error": result.error,
                "execution_time_ms": result.execution_time_ms,
                **({} if decision is None else _decision(decision)),
            },
        )

    def end(self, error: BaseException | None = None) -> None:
        """Say that the turn is over, and with which error if it failed."""
        if self.recorder is not None:
            self.recorder.turn_over(error)

    def put(self, table: str, row: dict[str, Any]) -> None:
        """Put a row with this turn's session, conversation and agent."""
        if self.recorder is not None:
            row["session"] = session_id()
            row["conversation"] = self.conversation
            row["agent"] = self.agent
            self.recorder.put(table, row)

    def _message_row(
        self, message_id: str, message: Message, call_id: str | None, tokens: int | None
    ) -> dict[str, Any]:
        return {
            "message_id": message_id,
            "session": session_id(),
            "conversation": self.conversation,
            "agent": self.agent,
            "turn_id": self.turn_id,
            "call_id": call_id,
            "role": message.role,
            "content": message.content,
            "parts": list(_parts(message)),
            "tokens": tokens,
            "created_at": now(),
        }


def _decision(decision: Decision) -> dict[str, Any]:
    edited = decision.effect == "allow" and decision.arguments is not None
    return {"decision": "edit" if edited else decision.effect, "decided_by": decision.decided_by}


def _parts(message: Message) -> list[Any]:
    parts: list[Any] = [{"type": "tool_call", **call.to_dict()} for call in message.tool_calls]
    if message.tool_call_id is not None:
        parts.append({"type": "tool_result", "id": message.tool_call_id, "name": message.name})
    parts += [{"type": "image", **image.label()} for image in message.images]
    return [*parts, *message.parts]


@dataclass(slots=True)
class CallRecord:
    """One call while it runs: what has arrived, when the first piece did, and how it ended."""

    turn: TurnRecord
    provider: str
    model: str
    params: dict[str, Any]
    call_id: str = field(default_factory=new_id)
    started_at: float = field(default_factory=now)
    arrived: list[list[Event]] = field(default_factory=list)
    timing: Timing | None = None
    _begun: float = field(default_factory=timer)
    _first: float | None = None
    _message_id: str = ""

    def arrive(self, batch: list[Event]) -> None:
        """Keep a batch of events; from the first text on the growing answer is in the trace."""
        self.arrived.append(batch)
        if self._first is None and any(type(e) in (TextDelta, ThinkingDelta, ToolCallDelta) for e in batch):
            self._first = timer()
            self._put_growing()

    def text(self) -> str:
        """The answer's text that has arrived so far."""
        return "".join(e.text for batch in self.arrived for e in batch if type(e) is TextDelta)

    def booked(self, booking: Booking) -> None:
        """Put what is booked for the call before it is sent. Raises ``BudgetExceededError``.

        Under a ceiling on the whole project it is in the store then, and other processes had their say.
        """
        if booking.amount is None:
            return
        self.turn.put("calls", {"call_id": self.call_id, "booked_usd": booking.amount})
        if booking.needs_store() and self.turn.recorder is not None:
            self.turn.recorder.flush()
            booking.check_others(self.turn.recorder)

    def settle(self, completion: Completion, cost: float | None, booking: Booking) -> Message:
        """Put the call as ``ok`` with its answer, and settle what was booked for it; the answer's message."""
        counted = booking.answered(completion, cost)
        message = completion.message()
        row: dict[str, Any] = {
            "provider": completion.provider or self.provider,
            "model": completion.model or ("" if completion.provider else self.model),
            "source": completion.source,
            "attempts": completion.attempts,
            "finish_reason": completion.finish_reason,
            "cost_usd": cost,
            **completion.usage.to_dict(),
        }
        if completion.constrained:
            row["params"] = {**self.params, "constrained": True}
        if booking.amount is not None and cost is None:
            row["booked_usd"] = counted
        self._settle("ok", completion.timing, row)
        self._put_message(message, completion.usage.output_tokens)
        return message

    def fail(self, error: BaseException, status: Status, booking: Booking) -> str:
        """Put the call as failed or interrupted, settled, with the text that had arrived; that text."""
        partial = self.text() or str(getattr(error, "partial", "") or "")
        row: dict[str, Any] = {"error": f"{type(error).__name__}: {error}".rstrip(": ")}
        timing = getattr(error, "timing", None)  # a failure from a tape has its recorded times
        source = getattr(error, "source", timing and "tape")
        if isinstance(source, str) and source in (
            "live",
            "cache",
            "tape",
        ):  # errors of others may call something else so
            row["source"] = source
        counted = booking.cut(error, partial + self._thoughts(), self._usage(), self._hidden())
        if booking.amount is not None:
            row["booked_usd"] = counted
        self._settle(status, timing, row)
        if partial or self._message_id:  # a row that was growing gets its last text, also when it is empty
            self._put_message(Message("assistant", partial), None)
        return partial

    def _settle(self, status: Status, timing: Timing | None, row: dict[str, Any]) -> None:
        self.timing = timing or self._measured()
        row["call_id"] = self.call_id
        row["status"] = status
        row["started_at"] = self.timing.started_at
        row["ttft_ms"] = self.timing.ttft_ms
        row["latency_ms"] = self.timing.latency_ms
        self.turn.put("calls", row)

    def _thoughts(self) -> str:
        """What has arrived beside the text: thoughts, and arguments of tool calls."""
        events = (event for batch in self.arrived for event in batch)
        return "".join(
            e.text if type(e) is ThinkingDelta else e.arguments if type(e) is ToolCallDelta else ""
            for e in events
        )

    def _usage(self) -> Usage:
        """What the provider has said of the tokens so far."""
        events = (event for batch in reversed(self.arrived) for event in reversed(batch))
        return next((e.usage for e in events if type(e) is UsageUpdate), Usage())

    def _hidden(self) -> float:
        """Seconds in which nothing was to be seen: up to the first piece, or all of them."""
        return (timer() if self._first is None else self._first) - self._begun

    def _measured(self) -> Timing:
        end = timer()
        # An answer that came whole came all at once: its first token is as late as its last.
        first = self._first if self._first is not None else end
        return Timing(self.started_at, (first - self._begun) * 1000, (end - self._begun) * 1000)

    def _put_growing(self) -> None:
        if self.turn.recorder is not None:
            self._message_id = new_id()
            row = self.turn._message_row(self._message_id, Message("assistant", ""), self.call_id, None)
            row["content"] = self.text
            self.turn.recorder.put("messages", row)

    def _put_message(self, message: Message, tokens: int | None) -> None:
        if self.turn.recorder is not None:
            row = self.turn._message_row(self._message_id or new_id(), message, self.call_id, tokens)
            self.turn.recorder.put("messages", row)
