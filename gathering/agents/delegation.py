"""An agent as a tool of another one: it is given a task and its answer is the tool's result.

Bounded in depth, and nobody is asked by somebody whose answer it waits for (an agent takes one turn at a time): a refusal
is a failed result, which the model that asked can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Self

from gathering.core.errors import ConfigurationError, GatheringError, shown
from gathering.core.interfaces import IAgent, ITool
from gathering.core.results import ToolPermission, ToolResult

__all__ = ["AgentTool"]

#: The agents that wait for an answer now, outermost first.
_waiting: ContextVar[tuple[str, ...]] = ContextVar("gathering_waiting_agents", default=())


class AgentTool(ITool):
    """A tool that asks an agent. ``max_depth`` bounds how many agents may wait for each other.

    >>> from gathering.agents import Agent
    >>> from gathering.testing import ScriptedProvider
    >>> bob = Agent("bob", llm_provider=ScriptedProvider(["375"]))
    >>> AgentTool(bob).execute({"task": "What is 15% of 2500?"}).output
    '375'
    """

    def __init__(self, agent: IAgent, *, description: str = "", max_depth: int = 3) -> None:
        name = getattr(agent, "name", "")
        if not isinstance(agent, IAgent) or not name:
            raise ConfigurationError(f"{agent!r:.60} cannot be a tool: give an agent that has a name")
        if isinstance(max_depth, bool) or not isinstance(max_depth, int) or max_depth < 1:
            raise ConfigurationError(
                f"max_depth={max_depth!r} is not usable: give a whole number of 1 or more"
            )
        super().__init__(f"ask_{_usable(name)}", "agent", {"permissions": [ToolPermission.EXECUTE]})
        self.agent, self.max_depth = agent, max_depth
        self._description = description

    def execute(self, input_data: Any) -> ToolResult:
        """The agent's answer to the task; a failed result where it has none."""
        with _Waiting(self, input_data) as waiting:
            if waiting.refused:
                return waiting.refused
            try:
                return ToolResult(success=True, output=self.agent.process_message(_task(input_data)))
            except GatheringError as error:
                return self._unanswered(error)

    async def execute_async(self, input_data: Any) -> ToolResult:
        """The agent's answer to the task, awaited."""
        with _Waiting(self, input_data) as waiting:
            if waiting.refused:
                return waiting.refused
            try:
                answer = await self.agent.process_message_async(_task(input_data))
            except GatheringError as error:
                return self._unanswered(error)
            return ToolResult(success=True, output=answer)

    def _unanswered(self, error: GatheringError) -> ToolResult:
        return ToolResult(success=False, error=f"{self._name} gave no answer: {error}")

    def validate_input(self, input_data: Any) -> bool:
        """Whether there is a task."""
        return bool(_task(input_data).strip())

    def get_description(self) -> str:
        """Who is asked, and what it is good at."""
        good_at = ", ".join(c.name.replace("_", " ") for c in getattr(self.agent, "competencies", ()))
        return self._description or f"Ask {self._name}" + (f", who is good at {good_at}." if good_at else ".")

    def get_parameters_schema(self) -> dict[str, Any]:
        """One text: the task."""
        task = {
            "type": "string",
            "description": f"What {self._name} is to do, with everything it has to know.",
        }
        return {"type": "object", "properties": {"task": task}, "required": ["task"]}

    def targets(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """The agent, for rules to match."""
        return {"agent": self._name}

    @property
    def _name(self) -> str:
        return str(getattr(self.agent, "name", ""))


class _Waiting:
    """While the agent is asked: who waits for whom, or why it is not asked at all."""

    def __init__(self, tool: AgentTool, input_data: Any) -> None:
        self.tool, self.refused = tool, self._refusal(tool)
        if not tool.validate_input(input_data):
            why = f"{tool.name} needs a task as text, got {shown(input_data)}: say what is to be done"
            self.refused = ToolResult(success=False, error=why)

    def __enter__(self) -> Self:
        self._token = _waiting.set(self._chain(self.tool))
        return self

    def __exit__(self, *exc: object) -> None:
        _waiting.reset(self._token)

    @staticmethod
    def _chain(tool: AgentTool) -> tuple[str, ...]:
        return (*_waiting.get(), tool._name)

    def _refusal(self, tool: AgentTool) -> ToolResult | None:
        chain = self._chain(tool)
        shown = " -> ".join(chain)
        if chain.count(tool._name) > 1:
            why = f"it waits for this very answer ({shown})"
        elif len(chain) > tool.max_depth:
            why = f"{len(chain) - 1} agents wait for each other already ({shown})"
        else:
            return None
        return ToolResult(success=False, error=f"{tool._name} cannot be asked: {why}. Answer yourself")


def _task(input_data: Any) -> str:
    task = input_data.get("task") if isinstance(input_data, Mapping) else input_data
    return task if isinstance(task, str) else ""


def _usable(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name)[:60]
