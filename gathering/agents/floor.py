"""Who has the floor: what was said in a conversation so far, and the commands its rules are written in.

A strategy or a consensus rule is a generator without I/O: it yields ``AskAll`` and is sent the answers, so that a
conversation runs the same whether it is waited for or awaited. Owns no rule and asks nobody.
"""

from __future__ import annotations

import random
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gathering.core.interfaces import IAgent

__all__ = ["AskAll", "Asking", "Floor", "Heard", "Speech", "lines"]


@dataclass(frozen=True, slots=True)
class Speech:
    """Something said: by an agent in a turn of the conversation (1 is the first), or from outside (turn 0)."""

    speaker: str
    content: str
    turn: int = 0
    reason: str = ""  # why it was this speaker's turn
    turn_id: str = ""
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class AskAll:
    """Ask these agents, side by side where the caller can; the generator is sent a ``Heard`` for each, in order."""

    questions: tuple[tuple[str, str], ...]  # (agent, text)
    aloud: bool = False  # the answers are speeches: everybody hears them


@dataclass(frozen=True, slots=True)
class Heard:
    """What an agent answered."""

    agent: str
    text: str
    turn_id: str = ""
    cost: float | None = None


Asking: TypeAlias = Generator[AskAll, "list[Heard]", Any]


@dataclass(slots=True)
class Floor:
    """The agents by name in their order, what was said, how much of it each has been told, and a seeded chance.

    ``helpers`` can be asked and do not speak: a moderator or a judge from outside.
    """

    agents: Mapping[str, IAgent]
    helpers: Mapping[str, IAgent] = field(default_factory=dict)
    speeches: list[Speech] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)
    aside: float = 0.0  # US dollars of what was asked and is no speech: moderation, votes
    chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - order, not secrets

    @property
    def names(self) -> list[str]:
        """The speakers' names, in order."""
        return list(self.agents)

    @property
    def turn(self) -> int:
        """How many turns have been taken."""
        return max((s.turn for s in self.speeches), default=0)

    def last(self) -> Speech | None:
        """What was said last, by whomever."""
        return self.speeches[-1] if self.speeches else None

    def last_speaker(self) -> str | None:
        """The agent who spoke last, None before the first one did."""
        return next((s.speaker for s in reversed(self.speeches) if s.turn), None)

    def next_in_order(self) -> str:
        """The agent after the one who spoke last; the first one at the beginning."""
        names, last = self.names, self.last_speaker()
        return names[0] if last is None else names[(names.index(last) + 1) % len(names)]

    def untold(self, name: str) -> list[Speech]:
        """What was said since this agent was last told: others' words only."""
        return [s for s in self.speeches[self.told.get(name, 0) :] if s.speaker != name or not s.turn]

    def mentioned(self, text: str, among: Sequence[str]) -> str | None:
        """The agent whose name comes first in the text, as a word or as ``@name``."""
        found = {name: re.search(rf"(?<!\w)@?{re.escape(name)}(?!\w)", text, re.IGNORECASE) for name in among}
        places = {name: match.start() for name, match in found.items() if match}
        return min(places, key=places.__getitem__, default=None)


def lines(speeches: Sequence[Speech]) -> str:
    """The speeches as a dialogue, one below the other."""
    return "\n".join(f"{s.speaker}: {s.content}" for s in speeches)
