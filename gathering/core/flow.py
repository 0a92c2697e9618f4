"""The flow of a turn, written once: a generator without I/O.

It yields batches of events for the caller and commands for the driver, and is sent each command's result::

    flow = turn(plan)
    Complete | OpenStream, NextBatch ...   -> sent a Completion | a batch of events
    RunTools                               -> sent a list of ToolResults
    [TextDelta(...), ...]                  -> sent nothing; the caller's
    [Done(completion, reply)]              the end

Everything that decides lives here: the tool loop and its bound, what is remembered, what becomes a row, what a cut
turn leaves behind. Drivers (``gathering.core.drive``) only do what they are told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from gathering.core.errors import TurnLimitError
from gathering.core.events import Done, Event, TextDelta, ToolFinished, ToolStarted
from gathering.core.interfaces import ILLMProvider, ITool
from gathering.core.messages import Completion, Message, MessageDict, Reply, ToolCall, ToolSpec, Usage
from gathering.core.recording import CallRecord, TurnRecord
from gathering.core.results import ToolResult
from gathering.core.session import new_id
from gathering.core.stream import Batch, gives_only_text

__all__ = [
    "Command",
    "Complete",
    "Flow",
    "NextBatch",
    "OpenStream",
    "RunTools",
    "ToolJob",
    "TurnPlan",
    "turn",
]


@dataclass(frozen=True, slots=True)
class Complete:
    """Ask the provider for a whole answer; the flow is sent a ``Completion``."""

    provider: ILLMProvider
    messages: list[MessageDict]
    tools: list[ToolSpec] | None
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Open a stream; the flow is sent None, and asks for batches with ``NextBatch``."""

    provider: ILLMProvider
    messages: list[MessageDict]
    tools: list[ToolSpec] | None
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NextBatch:
    """The next batch of the open stream; the last one ends with ``Done``, after it the stream is closed."""


@dataclass(frozen=True, slots=True)
class ToolJob:
    """One tool call to run. ``tool`` is None when nothing of that name exists."""

    call: ToolCall
    tool: ITool | None


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run these tool calls; the flow is sent their ``ToolResult`` list, in order. ``known`` names all tools there are."""

    jobs: tuple[ToolJob, ...]
    known: tuple[str, ...] = ()


Command: TypeAlias = Complete | OpenStream | NextBatch | RunTools
Flow: TypeAlias = Generator[Command | Batch, Any, Reply]


@dataclass(slots=True)
class TurnPlan:
    """All a turn needs, handed in by the agent.

    ``messages`` is what is sent before the user's message: the system prompt and the context window.
    ``remember`` receives the turn's messages once, when it is over or cut with something to keep.
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
    remember: Callable[[Sequence[Message]], None] = lambda messages: None


def turn(plan: TurnPlan) -> Flow:
    """One user message to its final answer. Raises what the provider raises, or ``TurnLimitError``."""
    begun = time.perf_counter()
    said: list[Message] = [plan.message]
    calls: list[tuple[CallRecord, Completion, float | None]] = []
    plan.record.message(plan.message)
    try:
        for _ in range(plan.max_rounds):
            completion, record = yield from _call(plan, said, calls)
            if not completion.tool_calls:
                break
            yield from _run_tools(plan, completion.tool_calls, record.call_id, said)
        else:
            raise TurnLimitError(
                f"{plan.record.agent!r} was still calling tools after {plan.max_rounds} rounds: "
                "raise max_rounds, or say in its history when to stop"
            )
    except BaseException:
        _keep_what_is_whole(plan, said)
        raise
    plan.remember(said)
    reply = _reply(plan, said, calls, time.perf_counter() - begun)
    yield [Done(completion, reply)]
    return reply


def _call(
    plan: TurnPlan, said: list[Message], calls: list[tuple[CallRecord, Completion, float | None]]
) -> Generator[Command | Batch, Any, tuple[Completion, CallRecord]]:
    """One request to the provider, recorded from before it goes out to its end."""
    record = plan.record.call(plan.provider, dict(plan.params))
    messages = [*plan.messages, *(m.to_dict() for m in said)]
    try:
        completion = yield from _exchange(plan, messages, record)
    except BaseException as error:
        partial = record.fail(error, "interrupted" if _is_stop(error) else "error")
        if partial:
            said.append(Message("assistant", partial))
        raise
    completion = _with_ids(completion)
    cost = plan.provider.cost_of(completion)
    said.append(record.settle(completion, cost))
    calls.append((record, completion, cost))
    return completion, record


def _exchange(
    plan: TurnPlan, messages: list[MessageDict], record: CallRecord
) -> Generator[Command | Batch, Any, Completion]:
    # A stream of bare strings cannot carry tool calls: such a provider is asked for whole answers when there are tools.
    if not plan.streaming or (plan.specs and gives_only_text(plan.provider)):
        completion: Completion = yield Complete(plan.provider, messages, plan.specs, plan.params)
        if plan.streaming and completion.content:
            piece: Batch = [TextDelta(completion.content)]
            record.arrive(piece)
            yield piece
        return completion
    yield OpenStream(plan.provider, messages, plan.specs, plan.params)
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


def _run_tools(
    plan: TurnPlan, calls: Sequence[ToolCall], call_id: str, said: list[Message]
) -> Generator[Command | Batch, Any, None]:
    jobs = tuple(ToolJob(call, plan.tools.get(call.name)) for call in calls)
    for job in jobs:
        plan.record.tool_call(job.call, call_id, _permissions(job.tool))
    yield [ToolStarted(job.call) for job in jobs]
    try:
        results: list[ToolResult] = yield RunTools(jobs, tuple(plan.tools))
    except BaseException:
        # Every tool call needs its answer, or the next turn is refused by the provider.
        results = [ToolResult(success=False, error="interrupted before it was done") for _ in jobs]
        _tell(plan, jobs, results, call_id, said)
        raise
    _tell(plan, jobs, results, call_id, said)
    finished: list[Event] = [
        ToolFinished(job.call, result) for job, result in zip(jobs, results, strict=True)
    ]
    yield finished


def _tell(
    plan: TurnPlan, jobs: Sequence[ToolJob], results: Sequence[ToolResult], call_id: str, said: list[Message]
) -> None:
    for job, result in zip(jobs, results, strict=True):
        decision = "allow" if job.tool is not None else "deny"
        plan.record.tool_result(
            job.call, call_id, result, decision, "default" if job.tool else "unknown tool"
        )
        message = Message("tool", result.text(), tool_call_id=job.call.id, name=job.call.name)
        plan.record.message(message, call_id)
        said.append(message)


def _permissions(tool: ITool | None) -> str | None:
    return None if tool is None else ",".join(sorted(p.value for p in tool.permissions))


def _with_ids(completion: Completion) -> Completion:
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
        model=f"{last.provider or plan.provider.name}:{last.model or plan.provider.model}".rstrip(":"),
        finish_reason=last.finish_reason,
        turn_id=plan.record.turn_id,
    )


def _total(costs: Sequence[float | None]) -> float | None:
    known = [c for c in costs if c is not None]
    return sum(known) if len(known) == len(costs) else None
