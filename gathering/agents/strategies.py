"""Who speaks next: turn strategies, each a small class. They choose; asking and recording is the conversation's.

Each is a function of the floor and of its seeded chance: the same inputs give the same order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gathering.agents.floor import AskAll, Asking, Floor, lines
from gathering.core.errors import ConfigurationError, UnknownNameError

__all__ = [
    "STRATEGIES",
    "Bidding",
    "Choice",
    "Everyone",
    "Graph",
    "Mention",
    "Moderator",
    "RoundRobin",
    "Strategy",
    "strategy_of",
]


@dataclass(frozen=True, slots=True)
class Choice:
    """The next speakers, side by side if there are several; none ends the conversation. ``reason`` says why."""

    speakers: tuple[str, ...]
    reason: str


class Strategy(ABC):
    """Chooses who speaks next. ``choose`` is a generator that may ask agents and returns a ``Choice``."""

    name: ClassVar[str]

    def check(self, floor: Floor) -> None:  # noqa: B027 - most have nothing to check
        """Raise ``ConfigurationError`` if the strategy cannot work with these agents."""

    @abstractmethod
    def choose(self, floor: Floor) -> Asking:
        """The next ``Choice``."""

    def to_dict(self) -> dict[str, Any]:
        """The strategy as plain data, for ``strategy_of``."""
        return {"name": self.name}

    def __repr__(self) -> str:
        """Name and options."""
        options = ", ".join(f"{k}={v!r}" for k, v in self.to_dict().items() if k != "name")
        return f"{type(self).__name__}({options})"


class RoundRobin(Strategy):
    """One after the other, in the order in which they were given."""

    name = "round_robin"

    def choose(self, floor: Floor) -> Asking:
        """The next in order."""
        yield from ()
        return Choice((floor.next_in_order(),), "next in order")


class Everyone(Strategy):
    """All of them at once, each answering the same; they hear each other in the next turn."""

    name = "everyone"

    def choose(self, floor: Floor) -> Asking:
        """All."""
        yield from ()
        return Choice(tuple(floor.names), "everyone speaks")


class Mention(Strategy):
    """Whoever was named in what was said last; the next in order where nobody was."""

    name = "mention"

    def choose(self, floor: Floor) -> Asking:
        """The one who was named first."""
        yield from ()
        last = floor.last()
        if last is not None:
            others = [n for n in floor.names if n != last.speaker]
            named = floor.mentioned(last.content, others)
            if named is not None:
                return Choice((named,), f"named by {last.speaker}")
        return Choice((floor.next_in_order(),), "nobody was named: next in order")


class Moderator(Strategy):
    """An agent decides who speaks next, or that it is enough. It is one of the agents (who then only moderates) or a helper."""

    name = "moderator"

    def __init__(self, moderator: str | None = None) -> None:
        self.moderator = moderator

    def check(self, floor: Floor) -> None:
        """There must be a moderator, and somebody to moderate."""
        who = self._who(floor)
        if who not in floor.agents and who not in floor.helpers:
            raise UnknownNameError("moderator", who, [*floor.agents, *floor.helpers])
        if not self._speakers(floor):
            raise ConfigurationError(f"{who!r} has nobody to moderate: give the conversation another agent")

    def choose(self, floor: Floor) -> Asking:
        """The one the moderator names; the next in order where the answer names nobody."""
        speakers = self._speakers(floor)
        said = lines(floor.speeches[-12:]) or "(nothing yet)"
        question = (
            f"You moderate a conversation of {', '.join(speakers)}. So far:\n{said}\n\n"
            "Who speaks next? Answer with one name, or END when everything is said."
        )
        (heard,) = yield AskAll(((self._who(floor), question),))
        named = floor.mentioned(heard.text, [*speakers, "END"])
        if named == "END":
            return Choice((), f"{heard.agent} ended it")
        if named is not None:
            return Choice((named,), f"called by {heard.agent}")
        last = floor.last_speaker()
        following = speakers[(speakers.index(last) + 1) % len(speakers)] if last in speakers else speakers[0]
        return Choice((following,), f"{heard.agent} named nobody: next in order")

    def to_dict(self) -> dict[str, Any]:
        """Name and moderator."""
        return {"name": self.name, "moderator": self.moderator}

    def _who(self, floor: Floor) -> str:
        return self.moderator or next(iter(floor.helpers or floor.agents))

    def _speakers(self, floor: Floor) -> list[str]:
        return [n for n in floor.names if n != self._who(floor)]


class Bidding(Strategy):
    """The most competent one for what was said last, but never the same one twice in a row; ties by seeded chance."""

    name = "bidding"

    def choose(self, floor: Floor) -> Asking:
        """The highest bid."""
        yield from ()
        last = floor.last()
        task = last.content if last is not None else ""
        others = [n for n in floor.names if n != floor.last_speaker()] or floor.names
        bids = {name: _bid(floor.agents[name], task) for name in others}
        best = max(bids.values())
        leading = [name for name, bid in bids.items() if bid == best]
        chosen = leading[0] if len(leading) == 1 else floor.chance.choice(leading)
        shown = ", ".join(f"{name} {bid:.2f}" for name, bid in bids.items())
        return Choice((chosen,), f"highest bid ({shown})")


class Graph(Strategy):
    """After each agent, one of those its edges lead to: the one who was named, else by seeded chance; no edge ends it."""

    name = "graph"

    def __init__(self, edges: Mapping[str, Sequence[str]], start: str | None = None) -> None:
        self.edges = {k: [v] if isinstance(v, str) else list(v) for k, v in edges.items()}
        self.start = start

    def check(self, floor: Floor) -> None:
        """All of the graph's names must be agents."""
        for name in [
            *self.edges,
            *(n for to in self.edges.values() for n in to),
            *([self.start] if self.start else []),
        ]:
            if name not in floor.agents:
                raise UnknownNameError("agent of the graph", name, floor.names)

    def choose(self, floor: Floor) -> Asking:
        """A neighbour of the last speaker."""
        yield from ()
        last = floor.last_speaker()
        if last is None:
            return Choice((self.start or next(iter(self.edges), floor.names[0]),), "start of the graph")
        neighbours = self.edges.get(last, [])
        if not neighbours:
            return Choice((), f"no edge leads on from {last}")
        words = floor.last()
        named = floor.mentioned(words.content, neighbours) if words is not None else None
        if named is not None:
            return Choice((named,), f"named by {last}, and an edge leads there")
        if len(neighbours) == 1:
            return Choice((neighbours[0],), f"the edge from {last}")
        return Choice((floor.chance.choice(neighbours),), f"one of the edges from {last}, by chance")

    def to_dict(self) -> dict[str, Any]:
        """Name, edges and start."""
        return {"name": self.name, "edges": self.edges, "start": self.start}


STRATEGIES: Mapping[str, type[Strategy]] = {
    s.name: s for s in (RoundRobin, Everyone, Mention, Moderator, Bidding, Graph)
}


def strategy_of(spec: Strategy | str | Mapping[str, Any]) -> Strategy:
    """The strategy itself, that of a name, or of a mapping with ``name`` and options. Raises ``ConfigurationError``."""
    if isinstance(spec, Strategy):
        return spec
    options = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = str(options.pop("name", "")).replace("-", "_")
    if name not in STRATEGIES:
        raise UnknownNameError("strategy", name, STRATEGIES)
    try:
        return STRATEGIES[name](**options)
    except TypeError as err:
        raise ConfigurationError(
            f"the strategy {name!r} cannot be made of {options!r:.80} ({err}): see its options"
        ) from err


def _bid(agent: Any, task: str) -> float:
    competencies: Iterable[Any] = getattr(agent, "competencies", ())
    return max((float(c.can_handle_task(task)) for c in competencies), default=0.0)
