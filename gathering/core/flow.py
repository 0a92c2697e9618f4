"""The flow of a turn, written once: a generator without I/O.

It yields batches of events for the caller and commands for the driver, and is sent each command's result::

    flow = turn(plan)
    Complete | OpenStream, NextBatch ...   -> sent a Completion | a batch of events
    AskPerson                              -> sent a Decision
    RunTools                               -> sent a list of ToolResults
    [TextDelta(...), ...]                  -> sent nothing; the caller's
    [Done(completion, reply)]              the end

Everything that decides lives here and in ``gathering.core.acts``: the tool loop and its bound, what is remembered, what
becomes a row, what a cut turn leaves behind. Drivers (``gathering.core.drive``) only do what they are told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from gathering.core.acts import Acts, AskPerson, RunTools
from gathering.core.booking import Booking
from gathering.core.budget import Purse
from gathering.core.errors import BudgetExceededError, OutputError, TurnLimitError
from gathering.core.events import Done, TextDelta
from gathering.core.interfaces import ILLMProvider, ITool
from gathering.core.messages import (
    Completion,
    Message,
    MessageDict,
    OutputMode,
    Reply,
    ToolCall,
    ToolSpec,
    Usage,
)
from gathering.core.permissions import IPolicy
from gathering.core.recording import CallRecord, TurnRecord
from gathering.core.sent import Sent, keep_sent
from gathering.core.session import new_id, timer
from gathering.core.stream import Batch, gives_only_text

__all__ = [
    "Command",
    "Complete",
    "Flow",
    "NextBatch",
    "OpenStream",
    "OutputForm",
    "Pause",
    "TurnPlan",
    "turn",
    "with_ids",
]


@dataclass(slots=True)
class Complete:
    """Ask the provider for a whole answer; the flow is sent a ``Completion``."""

    provider: ILLMProvider
    messages: list[MessageDict]
    tools: list[ToolSpec] | None
    params: Mapping[str, Any]


@dataclass(slots=True)
class OpenStream:
    """Open a stream; the flow is sent None, and asks for batches with ``NextBatch``."""

    provider: ILLMProvider
    messages: list[MessageDict]
    tools: list[ToolSpec] | None
    params: Mapping[str, Any]


@dataclass(slots=True)
class NextBatch:
    """The next batch of the open stream; the last one ends with ``Done``, after it the stream is closed."""


class OutputForm(Protocol):
    """The form a structured answer is to have (``gathering.agents.output``)."""

    @property
    def param(self) -> dict[str, Any]:
        """``{"name", "schema"}``, for a provider that keeps to a schema."""

    @property
    def instruction(self) -> str:
        """What to tell a model whose provider does not."""

    def read(self, text: str) -> Any:
        """The value in an answer. Raises ``OutputError``."""


#: A turn that waits for room under a ceiling looks again this often (seconds).
WAITING = 0.02


@dataclass(slots=True)
class Pause:
    """Wait so many seconds; the flow is sent None."""

    seconds: float


Command: TypeAlias = Complete | OpenStream | NextBatch | Pause | AskPerson | RunTools
Flow: TypeAlias = Generator[Command | Batch, Any, Reply]


@dataclass(slots=True)
class TurnPlan:
    """All a turn needs, handed in by the agent.

    ``messages`` is what is sent before the user's message: the system prompt and the context window.
    ``remember`` receives the turn's messages once, when it is over or cut with something to keep. ``said`` is what an
    earlier process had of this turn, from the user's message on; ``waiting`` are calls of its last answer to settle first.
    """

    provider: ILLMProvider
    message: Message
    record: TurnRecord
    messages: Sequence[MessageDict] = ()
    tools: Mapping[str, ITool] = field(default_factory=dict)
    specs: list[ToolSpec] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    streaming: bool = False
    max_rounds: int = 8
    policy: IPolicy | None = None
    output: OutputForm | None = None
    purse: Purse = Purse()  # noqa: RUF009 - a frozen value
    said: Sequence[Message] = ()
    said_call_id: str = ""
    waiting: Sequence[ToolCall] = ()
    remember: Callable[[Sequence[Message]], None] = lambda messages: None


def turn(plan: TurnPlan) -> Flow:
    """One user message to its final answer. Raises what the provider raises, or ``TurnLimitError``."""
    begun = timer()
    said: list[Message] = list(plan.said) or [plan.message]
    calls: list[tuple[CallRecord, Completion, float | None]] = []
    try:
        if not plan.said:
            plan.record.message(plan.message)
        elif plan.waiting:
            yield from _acts(plan, plan.said_call_id, said).settle(plan.waiting)
        completion = yield from _rounds(plan, said, calls)
        output, repaired = yield from _output(plan, said, calls)
    except BaseException as error:
        _keep_what_is_whole(plan, said)
        plan.record.end(error)
        raise
    plan.remember(said)
    plan.record.end()
    reply = _reply(plan, said, calls, timer() - begun)
    if plan.output is not None:
        completion = calls[-1][1]
        reply = replace(reply, output=output, output_mode=_mode(plan, completion), repaired=repaired)
    yield [Done(completion, reply)]
    return reply


def _rounds(
    plan: TurnPlan, said: list[Message], calls: list[tuple[CallRecord, Completion, float | None]]
) -> Generator[Command | Batch, Any, Completion]:
    """Ask, run the tools that are wanted, ask again: to the first answer without tool calls."""
    for _ in range(plan.max_rounds):
        completion, record = yield from _call(plan, said, calls)
        if not completion.tool_calls:
            return completion
        yield from _acts(plan, record.call_id, said).settle(completion.tool_calls)
    raise TurnLimitError(
        f"{plan.record.agent!r} was still calling tools after {plan.max_rounds} rounds: "
        "raise max_rounds, or say in its history when to stop"
    )


def _output(
    plan: TurnPlan, said: list[Message], calls: list[tuple[CallRecord, Completion, float | None]]
) -> Generator[Command | Batch, Any, tuple[Any, bool]]:
    """The value in the answer, and whether it took a second try: the model is told once what is wrong."""
    if plan.output is None:
        return None, False
    try:
        return plan.output.read(said[-1].content), False
    except OutputError as error:
        if calls[-1][1].refusal is not None:
            raise
        repair = Message("user", f"{error.problem}. Answer again, with the JSON alone.")
    plan.record.message(repair)
    said.append(repair)
    yield from _rounds(plan, said, calls)
    return plan.output.read(said[-1].content), True


def _mode(plan: TurnPlan, completion: Completion) -> OutputMode:
    return completion.output_mode or plan.provider.structured_output


def _acts(plan: TurnPlan, call_id: str, said: list[Message]) -> Acts:
    return Acts(plan.record, plan.tools, plan.policy, call_id, said, plan.provider.takes_images)


def _call(
    plan: TurnPlan, said: list[Message], calls: list[tuple[CallRecord, Completion, float | None]]
) -> Generator[Command | Batch, Any, tuple[Completion, CallRecord]]:
    """One request to the provider, recorded and booked from before it goes out to its end."""
    params = _params(plan)
    record = plan.record.call(plan.provider, params)
    messages = [*plan.messages, *(m.to_dict() for m in said)]
    keep_sent(record.call_id, Sent(messages, plan.specs, params))
    booking = Booking(plan.provider, messages, plan.specs, params)
    try:
        provider = plan.provider.prepared(messages, plan.specs, params)
        if provider.is_live:
            yield from _book(plan, booking, record)
        completion = yield from _exchange(plan, provider, messages, params, record)
    except BaseException as error:
        partial = record.fail(error, "interrupted" if _is_stop(error) else "error", booking)
        if partial:
            said.append(Message("assistant", partial))
        raise
    completion = with_ids(completion)
    cost = plan.provider.cost_of(completion)
    said.append(record.settle(completion, cost, booking))
    calls.append((record, completion, cost))
    return completion, record


def _book(plan: TurnPlan, booking: Booking, record: CallRecord) -> Generator[Command | Batch, Any, None]:
    """Book the call at its worst case. Raises ``BudgetExceededError``; a patient turn waits while there may be room."""
    booking.budgets = plan.purse.applying()
    booking.price()
    while True:
        try:
            booking.take()
            break
        except BudgetExceededError as error:
            if not (plan.purse.patient and error.may_fit_later):
                raise
        yield Pause(WAITING)
    record.booked(booking)


def _params(plan: TurnPlan) -> dict[str, Any]:
    """The turn's params; a provider that keeps to schemas is given the answer's."""
    if plan.output is None or plan.provider.structured_output == "prompted":
        return dict(plan.params)
    return {**plan.params, "output": plan.output.param}


def _exchange(
    plan: TurnPlan,
    provider: ILLMProvider,
    messages: list[MessageDict],
    params: dict[str, Any],
    record: CallRecord,
) -> Generator[Command | Batch, Any, Completion]:
    # A stream of bare strings cannot carry tool calls: such a provider is asked for whole answers when there are tools.
    if not plan.streaming or (plan.specs and gives_only_text(provider)):
        completion: Completion = yield Complete(provider, messages, plan.specs, params)
        if plan.streaming and completion.content:
            piece: Batch = [TextDelta(completion.content)]
            record.arrive(piece)
            yield piece
        return completion
    yield OpenStream(provider, messages, plan.specs, params)
    while True:
        batch: Batch = yield NextBatch()
        last = batch[-1] if batch else None
        if isinstance(last, Done):
            batch = batch[:-1]
        if batch:
            record.arrive(batch)
            yield batch
        if isinstance(last, Done):
            return last.completion


def with_ids(completion: Completion) -> Completion:
    """The completion with an id on each tool call: some servers give none, and results must name one."""
    if all(call.id for call in completion.tool_calls):
        return completion
    calls = tuple(replace(c, id=c.id or f"call_{new_id()}") for c in completion.tool_calls)
    return replace(completion, tool_calls=calls)


def _is_stop(error: BaseException) -> bool:
    return isinstance(error, (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, SystemExit))


def _keep_what_is_whole(plan: TurnPlan, said: list[Message]) -> None:
    """A cut turn is remembered if the model had said something; a lone question would be asked twice otherwise."""
    if len(said) > 1:
        plan.remember(said)


def _reply(
    plan: TurnPlan,
    said: Sequence[Message],
    calls: Sequence[tuple[CallRecord, Completion, float | None]],
    elapsed: float,
) -> Reply:
    completions = [completion for _, completion, _ in calls]
    last = completions[-1]
    timings = [record.timing for record, _, _ in calls if record.timing is not None]
    taped = last.timing is not None
    latency = sum(t.latency_ms for t in timings) / 1000 if taped else elapsed
    ttft = timings[0].ttft_ms if timings else None
    return Reply(
        text=last.content if last.refusal is None or last.content else last.refusal,
        agent=plan.record.agent,
        thinking="\n\n".join(c.thinking for c in completions if c.thinking),
        tool_calls=tuple(call for c in completions for call in c.tool_calls),
        messages=tuple(said),
        usage=sum((c.usage for c in completions), Usage()),
        cost=_total([cost for _, _, cost in calls]),
        latency=latency,
        ttft=None if ttft is None else ttft / 1000,
        model=_who(last, plan.provider),
        finish_reason=last.finish_reason,
        turn_id=plan.record.turn_id,
    )


def _who(completion: Completion, provider: ILLMProvider) -> str:
    """``"provider:model"`` of who answered, which need not be who was asked."""
    if completion.provider:
        return f"{completion.provider}:{completion.model}".rstrip(":")
    return f"{provider.name}:{completion.model or provider.model}".rstrip(":")


def _total(costs: Sequence[float | None]) -> float | None:
    known = [c for c in costs if c is not None]
    return sum(known) if len(known) == len(costs) else None
