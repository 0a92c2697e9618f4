"""Agents by name: made, kept, and found by what they are good at and how they did so far.

Owns the choice of an agent for a task and the reason for it. What agents say to each other is
``gathering.agents.conversation``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gathering.agents.agent import Agent
from gathering.agents.competency import Record
from gathering.agents.conversation import Conversation
from gathering.agents.delegation import AgentTool
from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.interfaces import IAgent, IAgentManager

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AgentManager", "Record"]


class AgentManager(IAgentManager):
    """Agents by name, in the order in which they came.

    >>> manager = AgentManager()
    >>> _ = manager.create_agent({"name": "ada", "model": "local", "competencies": ["mathematics"]})
    >>> manager.find_best_agent("Teach me mathematics").name
    'ada'
    """

    def __init__(self, agents: Sequence[IAgent] = ()) -> None:
        self._agents: dict[str, IAgent] = {}
        self.records: dict[str, Record] = {}
        for agent in agents:
            self.add_agent(agent)

    def create_agent(self, config: Mapping[str, Any]) -> IAgent:
        """A new agent from plain data, kept under its name. Raises ``ConfigurationError``, also for a name that is taken."""
        name = config.get("name") if isinstance(config, Mapping) else None
        if name in self._agents:
            raise ConfigurationError(
                f"there is an agent {name!r} already: remove it first, or choose another name"
            )
        return self.add_agent(Agent.from_config(config))

    def add_agent(self, agent: IAgent) -> IAgent:
        """Keep an agent that is there already, under its name."""
        name = getattr(agent, "name", None)
        if not isinstance(agent, IAgent) or not isinstance(name, str) or not name:
            raise ConfigurationError(f"{agent!r:.60} cannot be kept: give an agent that has a name")
        if name in self._agents:
            raise ConfigurationError(
                f"there is an agent {name!r} already: remove it first, or choose another name"
            )
        self._agents[name], self.records[name] = agent, Record()
        return agent

    def get_agent(self, name: str) -> IAgent:
        """The agent of this name. Raises ``UnknownNameError`` with the nearest one."""
        if not isinstance(name, str) or name not in self._agents:
            raise UnknownNameError("agent", name, self._agents)
        return self._agents[name]

    def list_agents(self) -> list[str]:
        """The names, in the order in which they came."""
        return list(self._agents)

    def remove_agent(self, name: str) -> None:
        """Forget the agent of this name and its record. Raises ``UnknownNameError``."""
        self.get_agent(name)
        del self._agents[name], self.records[name]

    def create_conversation(self, names: Sequence[str | IAgent], **options: Any) -> Conversation:
        """A conversation of the named agents, or of agents as ``get_agent`` gave them; ``options`` are those of
        ``Conversation``.
        """
        chosen = [names] if isinstance(names, str | IAgent) else names
        return Conversation([n if isinstance(n, IAgent) else self.get_agent(n) for n in chosen], **options)

    def find_best_agent(self, task: str) -> IAgent | None:
        """The agent with the highest score for the task (see ``rank``), None if no competency fits it."""
        best = self._ranked(task)[:1]
        return self.get_agent(best[0].name) if best and best[0].competence > 0 else None

    def rank(self, task: str) -> pd.DataFrame:
        """All agents for a task, best first: ``agent, score, competence, done, tried, low, high, reason``.

        ``score`` is competence (0 to 1) times the expected success rate; ``low`` and ``high`` are the 95 % interval of
        the rate so far. Equal scores keep the order in which the agents came.
        """
        import pandas as pd

        rows = [
            (r.name, r.score, r.competence, r.record.done, r.record.tried, *r.record.interval(), r.reason)
            for r in self._ranked(task)
        ]
        columns = ["agent", "score", "competence", "done", "tried", "low", "high", "reason"]
        return pd.DataFrame(rows, columns=columns)

    def record_outcome(self, name: str, success: bool) -> None:
        """Note how a task went; it counts the next time somebody is looked for."""
        self.get_agent(name)
        record = self.records[name]
        record.tried += 1
        record.done += bool(success)

    def collaborate(self, task: str, names: Sequence[str] | None = None, **options: Any) -> Conversation:
        """What these agents (or all whose competencies fit, best first) say about a task, talked to its end."""
        chosen = (
            list(names) if names is not None else [r.name for r in self._ranked(task) if r.competence > 0]
        )
        if not chosen:
            raise ConfigurationError(
                f"no competency fits {task[:60]!r}: name the agents, or give one of them a competency"
            )
        options.setdefault("max_turns", 2 * len(chosen))
        return self.create_conversation(chosen, **options).run(task)

    def as_tools(self, names: Sequence[str] | None = None, *, max_depth: int = 3) -> list[AgentTool]:
        """The agents as tools that another one may ask."""
        chosen = self.list_agents() if names is None else names
        return [AgentTool(self.get_agent(n), max_depth=max_depth) for n in chosen]

    def _ranked(self, task: str) -> list[_Ranked]:
        if not isinstance(task, str):
            raise ConfigurationError(f"the task {task!r:.60} is no text: say what is to be done")
        ranked = [_Ranked.of(name, agent, self.records[name], task) for name, agent in self._agents.items()]
        return sorted(ranked, key=lambda r: -r.score)  # a stable sort: equal scores keep their order

    def __len__(self) -> int:
        """How many agents there are."""
        return len(self._agents)

    def __contains__(self, name: object) -> bool:
        """Whether there is an agent of this name."""
        return name in self._agents

    def __repr__(self) -> str:
        """The names."""
        return f"AgentManager({', '.join(self._agents)})"


@dataclass(frozen=True, slots=True)
class _Ranked:
    """One agent's fitness for a task."""

    name: str
    competence: float
    record: Record
    reason: str

    @property
    def score(self) -> float:
        return self.competence * self.record.expected

    @classmethod
    def of(cls, name: str, agent: IAgent, record: Record, task: str) -> _Ranked:
        fits = [(float(c.can_handle_task(task)), str(c.name)) for c in getattr(agent, "competencies", ())]
        competence, field = max(fits, default=(0.0, ""), key=lambda fit: fit[0])
        why = f"{field} fits with {competence:.2f}" if competence else "no competency fits"
        how = f"{record.done} of {record.tried} tasks done" if record.tried else "no task yet"
        return cls(name, competence, record, f"{why}, {how}")
