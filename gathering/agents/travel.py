"""Time travel: an agent forked, rewound and asked again, over the tree of turns that its forks share.

Owns how another agent is made from one and how it gets its past. The path of turns is ``gathering.agents.turns``, what a fork or
a rewind leaves in the trace ``gathering.agents.branches``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from gathering.agents.branches import Branch
from gathering.agents.memory import WindowMemory
from gathering.agents.turns import Turns, difference
from gathering.core.errors import ConfigurationError, UnknownNameError, shown
from gathering.core.interfaces import IAgent, ILLMProvider, IMemory, IRecorder

if TYPE_CHECKING:
    import pandas as pd

    from gathering.agents.agent import Agent
    from gathering.agents.asking import OneTurn

__all__ = ["TimeTravel"]

#: What an agent hands on to those made from it, as its constructor calls it; its store and its turns beside.
_PARTS = (
    "llm_provider",
    "tools",
    "personality_blocks",
    "competencies",
    "age",
    "history",
    "system_prompt",
    "max_rounds",
    "params",
    "permissions",
    "guardrails",
)


class TimeTravel(IAgent):
    """What an agent can do with its past. For ``Agent``, which has the parts."""

    name: str
    conversation: str
    llm_provider: ILLMProvider
    memory: IMemory
    turns: Turns
    tool_sources: Mapping[str, Any]
    version: int | None
    digest: str
    branch: Branch | None
    _store: IRecorder | None

    @abstractmethod
    def _one_turn(self) -> OneTurn:
        """The guard that keeps it to one turn at a time."""

    @abstractmethod
    def _recorder(self) -> IRecorder:
        """Its store."""

    def fork(self, at: int | str | None = None) -> Agent:
        """The same agent after turn ``at`` (1 is the first, -1 the last, or a turn's id), with a conversation of its own.

        Without ``at``: as it is now. Raises ``ConfigurationError`` for a turn there is not.
        """
        turns = self.turns.until(at)
        twin = self._with(turns, memory=self._memory_of(turns, whole=at is None))
        twin.branch = twin.branch_here(self._written()) if len(turns) else None
        return twin

    def rewind(self, count: int = 1) -> Self:
        """The agent itself, as it was ``count`` turns ago. The trace keeps what was said.

        Raises ``ConfigurationError`` when it has not taken that many turns.
        """
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= len(self.turns):
            raise ConfigurationError(
                f"cannot rewind {count!r} turns: give a number from 0 to {len(self.turns)}"
            )
        with self._one_turn():
            turns = self.turns.until(len(self.turns) - count)
            self.memory, self.turns = self._memory_of(turns), turns
            self.branch = self.branch_here(self._written())
            self.keep_branch()
        return self

    def branch_here(self, origin: str) -> Branch:
        """The place where it stands now, after its last turn, on the path of this conversation."""
        return Branch(origin, self.turns[-1].turn_id if len(self.turns) else None)

    def _written(self) -> str:
        """The conversation in which the trace has its last turn: a fork that said nothing yet has none of its own."""
        return self.branch.origin if self.branch else self.conversation

    def keep_branch(self) -> None:
        """Have the trace say where its conversation goes on from, if it does not yet."""
        branch, self.branch = self.branch, None
        if branch is not None:
            branch.keep(self._recorder(), self.name, self.conversation)

    def replay(self, model: ILLMProvider | str | None = None, **parts: Any) -> Agent:
        """Another agent that is asked the same messages, in order, from the beginning.

        It has this one's parts, but for ``model`` and the ``parts`` given by the names of the constructor
        (``personality_blocks``, ``tools``, ``system_prompt``, ...). Compare with ``diff``.
        """
        twin = self._with(self.turns.until(0), llm_provider=model or self.llm_provider, **parts)
        if "memory" not in parts:
            twin.memory = self._memory_of(twin.turns)
            twin.memory.join(twin)
        for taken in self.turns:
            twin.ask(taken.question, images=taken.messages[0].images)
        return twin

    def diff(self, other: Agent) -> pd.DataFrame:
        """Two agents' turns side by side: ``turn, same, question, answer, other_question, other_answer``."""
        if not isinstance(other, TimeTravel):
            raise ConfigurationError(f"{shown(other, 60)} has no turns to compare: give another agent")
        return difference(self.turns, other.turns)

    def _with(self, turns: Turns, **parts: Any) -> Agent:
        from gathering.agents.agent import Agent

        own = {part: getattr(self, part) for part in _PARTS}
        for part in parts:
            if part not in (*_PARTS, "memory", "store", "cache"):
                raise UnknownNameError("part of an agent", part, [*_PARTS, "memory", "store", "cache"])
        twin = Agent(self.name, **{"store": self._store, **own, **parts})
        twin.turns, twin.tool_sources = turns, {**self.tool_sources, **twin.tool_sources}
        twin.version, twin.digest = self.version, self.digest
        return twin

    def _memory_of(self, turns: Turns, *, whole: bool = False) -> IMemory:
        """A memory like this agent's that holds these turns (``whole``: everything it holds now)."""
        messages = (
            self.memory.get_conversation_history() if whole else [m.to_dict() for m in turns.messages()]
        )
        memory = self.memory.fork(messages)
        if memory is None:
            memory = WindowMemory()
            memory.join(self)
            for message in messages:
                memory.add_message(message)
        return memory
