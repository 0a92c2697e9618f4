"""From the tool calls of one answer to their results: decided, asked about, run, recorded.

Owns the part of a turn between two calls to a model. A generator without I/O, like ``gathering.core.flow``: it yields
``AskPerson`` and ``RunTools`` for the driver and batches of events for the caller.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gathering.core.events import Event, PermissionAsked, ToolFinished, ToolStarted
from gathering.core.interfaces import ITool
from gathering.core.messages import Message, ToolCall
from gathering.core.permissions import Decision, IPolicy, PermissionRequest
from gathering.core.recording import TurnRecord
from gathering.core.results import ToolResult
from gathering.core.session import wrapped_tool
from gathering.core.stream import Batch

__all__ = ["Acts", "AskPerson", "RunTools", "ToolJob"]

_ALLOWED = Decision("allow")
_UNKNOWN = Decision("deny", "unknown tool")


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


@dataclass(frozen=True, slots=True)
class AskPerson:
    """Ask whether this tool call may run; the flow is sent the ``Decision``."""

    request: PermissionRequest


@dataclass(slots=True)
class Acts:
    """The tool calls of one answer while they are settled. ``said`` receives a tool message for each, in order."""

    record: TurnRecord
    tools: Mapping[str, ITool]
    policy: IPolicy | None
    call_id: str
    said: list[Message]

    def settle(self, calls: Sequence[ToolCall]) -> Generator[Any, Any, None]:
        """Decide, ask, run and tell. Whatever cuts it, each call has its answer, or the next turn would be refused."""
        jobs = [ToolJob(call, self.tools.get(call.name)) for call in calls]
        for job in jobs:
            self.record.tool_call(job.call, self.call_id, _permission(job))
        decisions: list[Decision] = []
        results: list[ToolResult] | None = None
        try:
            for index, job in enumerate(jobs):
                decision = yield from self._decided(job)
                decisions.append(decision)
                if decision.arguments is not None:
                    jobs[index] = ToolJob(
                        replace(job.call, arguments=decision.arguments, malformed=None), job.tool
                    )
            results = yield from self._run(jobs, decisions)
        finally:
            if results is None:
                results = [ToolResult(success=False, error="interrupted before it was done") for _ in jobs]
            decisions += [_ALLOWED] * (len(jobs) - len(decisions))
            self._tell(jobs, decisions, results)
        yield self._finished(jobs, results)

    def _decided(self, job: ToolJob) -> Generator[Any, Any, Decision]:
        """The rule's decision, or a person's where the rule says so."""
        if job.tool is None:
            return _UNKNOWN
        if self.policy is None or job.call.malformed is not None:
            return _ALLOWED
        try:
            permission, targets = (
                job.tool.permission_for(job.call.arguments),
                job.tool.targets(job.call.arguments),
            )
        except Exception as error:  # noqa: BLE001 - a tool that cannot say what it would do does not do it
            return Decision(
                "deny", "tool", f"what it would do is not known ({type(error).__name__}: {error})"
            )
        request = PermissionRequest(self.record.agent, job.call, permission.value, targets)
        decision = self.policy.decide(request)
        if decision.effect != "ask":
            return decision
        request = replace(request, reason=decision.reason)
        self.record.asked(job.call, self.call_id)
        asked: Batch = [PermissionAsked(request)]
        yield asked
        answer: Decision = yield AskPerson(request)
        self.policy.remember(request, answer)
        return answer

    def _run(
        self, jobs: Sequence[ToolJob], decisions: Sequence[Decision]
    ) -> Generator[Any, Any, list[ToolResult]]:
        allowed = [
            i
            for i, (job, d) in enumerate(zip(jobs, decisions, strict=True))
            if d.effect == "allow" or not job.tool
        ]
        results = {i: _denied(jobs[i], decisions[i]) for i in range(len(jobs)) if i not in allowed}
        yield [ToolStarted(jobs[i].call) for i in allowed]
        if allowed:
            ran = yield RunTools(tuple(self._ready(jobs[i]) for i in allowed), tuple(self.tools))
            results.update(zip(allowed, ran, strict=True))
        return [results[i] for i in range(len(jobs))]

    def _ready(self, job: ToolJob) -> ToolJob:
        """The job with the tool that runs it now: a tape may know its result already."""
        if job.tool is None or job.call.malformed is not None:
            return job
        return ToolJob(job.call, wrapped_tool(job.tool, job.call, self.record.agent))

    def _tell(
        self, jobs: Sequence[ToolJob], decisions: Sequence[Decision], results: Sequence[ToolResult]
    ) -> None:
        for job, decision, result in zip(jobs, decisions, results, strict=True):
            self.record.tool_result(job.call, self.call_id, result, decision)
            failed = not result.success
            message = Message(
                "tool", result.text(), tool_call_id=job.call.id, name=job.call.name, is_error=failed
            )
            self.record.message(message, self.call_id)
            self.said.append(message)

    @staticmethod
    def _finished(jobs: Sequence[ToolJob], results: Sequence[ToolResult]) -> list[Event]:
        return [ToolFinished(job.call, result) for job, result in zip(jobs, results, strict=True)]


def _denied(job: ToolJob, decision: Decision) -> ToolResult:
    why = decision.reason or f"denied by {decision.decided_by}"
    return ToolResult(success=False, error=f"{job.call.name} was not allowed to run: {why}")


def _permission(job: ToolJob) -> str | None:
    """The kind of the act, for the row; None where nothing of that name can be done."""
    if job.tool is None:
        return None
    try:
        return job.tool.permission_for(job.call.arguments).value
    except Exception:  # noqa: BLE001 - the decision says why; a row is written all the same
        return None
