"""From the tool calls of one answer to their results: decided, asked about, run, recorded.

Owns the part of a turn between two calls to a model. A generator without I/O, like ``gathering.core.flow``: it yields
``AskPerson`` and ``RunTools`` for the driver and batches of events for the caller.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gathering.core.events import PermissionAsked, ToolFinished, ToolStarted
from gathering.core.images import tool_images
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
_INTERRUPTED = ToolResult(success=False, error="interrupted before it was done")


@dataclass(slots=True)
class ToolJob:
    """One tool call to run. ``tool`` is None when nothing of that name exists."""

    call: ToolCall
    tool: ITool | None


@dataclass(slots=True)
class RunTools:
    """Run these tool calls; the flow is sent their ``ToolResult`` list, in order. ``known`` names all tools there are.

    Each result is put into ``done`` as soon as it is there, by the place of its job: Stop may keep the list from coming.
    """

    jobs: tuple[ToolJob, ...]
    known: tuple[str, ...] = ()
    done: dict[int, ToolResult] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class AskPerson:
    """Ask whether this tool call may run; the flow is sent the ``Decision``."""

    request: PermissionRequest


@dataclass(slots=True)
class Acts:
    """The tool calls of one answer while they are settled. ``said`` receives a tool message for each, in order.

    ``shows_images``: whether the model is shown the images a tool gave, beside their text.
    """

    record: TurnRecord
    tools: Mapping[str, ITool]
    policy: IPolicy | None
    call_id: str
    said: list[Message]
    shows_images: bool = False

    def settle(self, calls: Sequence[ToolCall]) -> Generator[Any, Any, None]:
        """Decide, ask, run and tell. Whatever cuts it, each call has its answer, or the next turn would be refused."""
        jobs = [ToolJob(call, self.tools.get(call.name)) for call in calls]
        for job in jobs:
            self.record.tool_call(job.call, self.call_id, _permission(job))
        decisions: list[Decision] = []
        results: dict[int, ToolResult] = {}
        try:
            for index, job in enumerate(jobs):
                decision = yield from self._decided(job)
                decisions.append(decision)
                jobs[index] = _edited(job, decision)
            yield from self._run(jobs, decisions, results)
        finally:
            self._tell(jobs, decisions, results)
        yield [ToolFinished(job.call, results[i]) for i, job in enumerate(jobs)]

    def _decided(self, job: ToolJob) -> Generator[Any, Any, Decision]:
        """The rule's decision, or a person's where the rule says so."""
        if job.tool is None:
            return _UNKNOWN
        if self.policy is None or job.call.malformed is not None:
            return _ALLOWED
        try:
            request = self._request(job)
        except Exception as error:  # noqa: BLE001 - a tool that cannot say what it would do does not do it
            return _unsaid(error)
        decision = self.policy.decide(request)
        if decision.effect != "ask":
            return decision
        request = replace(request, reason=decision.reason)
        self.record.asked(job.call, self.call_id)
        asked: Batch = [PermissionAsked(request)]
        yield asked
        answer: Decision = yield AskPerson(request)
        meant = _edited(job, answer)
        answer = self._checked(meant, answer)
        self.record.decided(job.call, self.call_id, answer, _permission(meant))
        if answer.arguments is None:  # an edit is an answer to this call alone
            self.policy.remember(request, answer)
        return answer

    def _request(self, job: ToolJob) -> PermissionRequest:
        assert job.tool is not None
        arguments = job.call.arguments
        permission, targets = job.tool.permission_for(arguments), job.tool.targets(arguments)
        return PermissionRequest(self.record.agent, job.call, permission.value, targets)

    def _checked(self, job: ToolJob, answer: Decision) -> Decision:
        """The answer; where a person put in arguments that a rule forbids, the rule's."""
        if answer.arguments is None or self.policy is None or answer.effect != "allow":
            return answer
        try:
            ruled = self.policy.decide(self._request(job))
        except Exception as error:  # noqa: BLE001 - as for the model's own arguments
            ruled = _unsaid(error)
        return replace(ruled, arguments=answer.arguments) if ruled.effect == "deny" else answer

    def _run(
        self, jobs: Sequence[ToolJob], decisions: Sequence[Decision], results: dict[int, ToolResult]
    ) -> Generator[Any, Any, None]:
        """Fill in the results by their places; whatever cuts it, those that were there by then are in."""
        allowed = []
        for i, (job, decision) in enumerate(zip(jobs, decisions, strict=True)):
            if decision.effect == "allow" or not job.tool:
                allowed.append(i)
            else:
                results[i] = _denied(job, decision)
        yield [ToolStarted(jobs[i].call) for i in allowed]
        if not allowed:
            return
        command = RunTools(tuple(self._ready(jobs[i]) for i in allowed), tuple(self.tools))
        try:
            ran = yield command
            results.update(zip(allowed, ran, strict=True))
        finally:
            results.update({allowed[place]: result for place, result in command.done.items()})

    def _ready(self, job: ToolJob) -> ToolJob:
        """The job with the tool that runs it now: a tape may know its result already."""
        if job.tool is None or job.call.malformed is not None:
            return job
        return ToolJob(job.call, wrapped_tool(job.tool, job.call, self.record.agent))

    def _tell(
        self, jobs: Sequence[ToolJob], decisions: Sequence[Decision], results: Mapping[int, ToolResult]
    ) -> None:
        """Put what each call gave. One that Stop kept from its end, or from its decision, says so."""
        for i, job in enumerate(jobs):
            decision = decisions[i] if i < len(decisions) else None
            result = results.get(i, _INTERRUPTED)
            self.record.tool_result(job.call, self.call_id, result, decision)
            message = Message(
                "tool",
                result.text(),
                tool_call_id=job.call.id,
                name=job.call.name,
                images=tool_images(result.metadata.get("images")) if self.shows_images else (),
                is_error=not result.success,
            )
            self.record.message(message, self.call_id)
            self.said.append(message)


def _edited(job: ToolJob, decision: Decision) -> ToolJob:
    """The job with a person's own arguments, if there are any."""
    if decision.arguments is None:
        return job
    return ToolJob(replace(job.call, arguments=decision.arguments, malformed=None), job.tool)


def _unsaid(error: Exception) -> Decision:
    return Decision("deny", "tool", f"what it would do is not known ({type(error).__name__}: {error})")


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
