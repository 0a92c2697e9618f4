"""What they agree on: rules that turn several agents' votes into one decision, each a small class.

Every rule ends: it asks a bounded number of rounds, and a vote that cannot be read is an abstention, never a retry.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gathering.agents.floor import AskAll, Asking, Floor, Heard
from gathering.core import display
from gathering.core.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "RULES",
    "Agreement",
    "Approval",
    "Borda",
    "Judge",
    "Majority",
    "Rule",
    "Unanimity",
    "Vote",
    "rule_of",
]


@dataclass(frozen=True, slots=True)
class Vote:
    """One agent's vote in one round: the options it chose, best first (none: it abstained), and its words."""

    agent: str
    choices: tuple[str, ...]
    reason: str
    round: int = 1


@dataclass(frozen=True, slots=True)
class Agreement:
    """What came out: ``winner`` (None: undecided), each vote, the points of each option, and how it was decided."""

    question: str
    options: tuple[str, ...]
    winner: str | None
    votes: tuple[Vote, ...]
    tally: Mapping[str, float]
    rule: str
    reason: str

    def df(self) -> pd.DataFrame:
        """One row for each vote: ``round, agent, choices, reason``."""
        import pandas as pd

        rows = [(v.round, v.agent, ", ".join(v.choices), v.reason) for v in self.votes]
        return pd.DataFrame(rows, columns=["round", "agent", "choices", "reason"])

    def __str__(self) -> str:
        """The winner, or that there is none."""
        return self.winner if self.winner is not None else "undecided"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        votes = [
            (f"{v.agent} (round {v.round})", f"{', '.join(v.choices) or 'abstains'}: {v.reason}")
            for v in self.votes
        ]
        return display.card(f"{self.question}: {self}", [(self.rule, self.reason), *votes])


class Rule(ABC):
    """Turns votes into a decision. ``decide`` is a generator that asks agents and returns an ``Agreement``."""

    name: ClassVar[str]
    #: What an agent is told about how to vote.
    how: ClassVar[str] = "Answer on the first line with the number of ONE option. Then one sentence why."

    def check(self, floor: Floor) -> None:  # noqa: B027 - most have nothing to check
        """Raise ``ConfigurationError`` if the rule cannot work with these agents."""

    @abstractmethod
    def decide(self, floor: Floor, question: str, options: Sequence[str]) -> Asking:
        """The ``Agreement``."""

    def to_dict(self) -> dict[str, Any]:
        """The rule as plain data, for ``rule_of``."""
        return {"name": self.name}

    def _vote(
        self, floor: Floor, question: str, options: Sequence[str], number: int = 1, note: str = ""
    ) -> Asking:
        """One vote of each agent."""
        text = _ballot(question, options, f"{note}{self.how}")
        heard = yield AskAll(tuple((name, text) for name in floor.names))
        return [self._read(h, options, number) for h in heard]

    def _read(self, heard: Heard, options: Sequence[str], number: int) -> Vote:
        return Vote(heard.agent, tuple(choices_in(heard.text, options)[:1]), heard.text.strip(), number)


class Majority(Rule):
    """More than half of the votes; if nobody has them, a second round between the two that lead."""

    name = "majority"

    def decide(self, floor: Floor, question: str, options: Sequence[str]) -> Asking:
        """The option with more than half of the votes cast."""
        votes: list[Vote] = yield from self._vote(floor, question, options)
        tally = _count(votes, options)
        winner = _more_than_half(tally)
        if winner is None and len(options) > 2 and any(tally.values()):
            leading = sorted(options, key=lambda o: -tally[o])[:2]
            again: list[Vote] = yield from self._vote(floor, question, leading, 2)
            votes, tally = [*votes, *again], _count(again, leading)
            winner = _more_than_half(tally)
        reason = (
            f"{tally[winner]:g} of {sum(tally.values()):g} votes"
            if winner
            else "no option has more than half"
        )
        return Agreement(question, tuple(options), winner, tuple(votes), tally, self.name, reason)


class Borda(Rule):
    """Each ranks all options: the last gets no point, each place above one more. Ties: more first places, then order."""

    name = "borda"
    how = "Answer on the first line with ALL option numbers, best first, parted by commas. Then one sentence why."

    def decide(self, floor: Floor, question: str, options: Sequence[str]) -> Asking:
        """The option with most points."""
        votes: list[Vote] = yield from self._vote(floor, question, options)
        tally = dict.fromkeys(options, 0.0)
        for vote in votes:
            for place, option in enumerate(vote.choices):
                tally[option] += len(options) - 1 - place
        firsts = Counter(v.choices[0] for v in votes if v.choices)
        cast = any(v.choices for v in votes)
        winner = max(options, key=lambda o: (tally[o], firsts[o])) if cast else None
        reason = f"{tally[winner]:g} points" if winner else "nobody voted"
        return Agreement(question, tuple(options), winner, tuple(votes), tally, self.name, reason)

    def _read(self, heard: Heard, options: Sequence[str], number: int) -> Vote:
        return Vote(heard.agent, tuple(choices_in(heard.text, options)), heard.text.strip(), number)


class Approval(Borda):
    """Each approves of as many as it likes; most approvals win, ties by the order of the options."""

    name = "approval"
    how = "Answer on the first line with the numbers of ALL options you can live with, parted by commas. Then one sentence why."

    def decide(self, floor: Floor, question: str, options: Sequence[str]) -> Asking:
        """The option most agents approve of."""
        votes: list[Vote] = yield from self._vote(floor, question, options)
        tally = {o: float(sum(o in v.choices for v in votes)) for o in options}
        winner = max(options, key=tally.__getitem__) if any(tally.values()) else None
        reason = f"{tally[winner]:g} of {len(votes)} approve" if winner else "nobody approves of anything"
        return Agreement(question, tuple(options), winner, tuple(votes), tally, self.name, reason)


class Unanimity(Rule):
    """All for the same. Until then objections are read to everyone and they vote again, ``rounds`` times at most."""

    name = "unanimity"

    def __init__(self, rounds: int = 3) -> None:
        if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
            raise ConfigurationError(
                f"rounds={rounds!r} of unanimity is not usable: give a whole number of 1 or more"
            )
        self.rounds = rounds

    def decide(self, floor: Floor, question: str, options: Sequence[str]) -> Asking:
        """The option all are for, or the objections that are left."""
        votes: list[Vote] = []
        note, tally = "", dict.fromkeys(options, 0.0)
        for number in range(1, self.rounds + 1):
            now: list[Vote] = yield from self._vote(floor, question, options, number, note)
            votes += now
            tally = _count(now, options)
            winner = next((o for o, count in tally.items() if count == len(now)), None)
            if winner is not None:
                return Agreement(
                    question,
                    tuple(options),
                    winner,
                    tuple(votes),
                    tally,
                    self.name,
                    f"all agree in round {number}",
                )
            note = "They do not agree yet:\n" + "\n".join(f"{v.agent}: {v.reason}" for v in now) + "\n"
        left = "; ".join(
            f"{v.agent} is for {v.choices[0] if v.choices else 'nothing'}" for v in votes[-len(floor.names) :]
        )
        return Agreement(
            question, tuple(options), None, tuple(votes), tally, self.name, f"objections are left: {left}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Name and rounds."""
        return {"name": self.name, "rounds": self.rounds}


class Judge(Rule):
    """One agent decides: a helper, or one of the agents (the first one unless it is named)."""

    name = "judge"

    def __init__(self, judge: str | None = None) -> None:
        self.judge = judge

    def check(self, floor: Floor) -> None:
        """There must be a judge."""
        if self._who(floor) not in {*floor.agents, *floor.helpers}:
            raise UnknownNameError("judge", self._who(floor), [*floor.agents, *floor.helpers])

    def decide(self, floor: Floor, question: str, options: Sequence[str]) -> Asking:
        """The option the judge chose."""
        (heard,) = yield AskAll(((self._who(floor), _ballot(question, options, self.how)),))
        vote = self._read(heard, options, 1)
        winner = vote.choices[0] if vote.choices else None
        reason = f"{heard.agent} decided" if winner else f"{heard.agent} chose none of the options"
        return Agreement(
            question, tuple(options), winner, (vote,), _count([vote], options), self.name, reason
        )

    def to_dict(self) -> dict[str, Any]:
        """Name and judge."""
        return {"name": self.name, "judge": self.judge}

    def _who(self, floor: Floor) -> str:
        return self.judge or next(iter(floor.helpers or floor.agents))


RULES: Mapping[str, type[Rule]] = {r.name: r for r in (Majority, Borda, Approval, Unanimity, Judge)}


def rule_of(spec: Rule | str | Mapping[str, Any]) -> Rule:
    """The rule itself, that of a name, or of a mapping with ``name`` and options. Raises ``ConfigurationError``."""
    if isinstance(spec, Rule):
        return spec
    options = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = str(options.pop("name", ""))
    if name not in RULES:
        raise UnknownNameError("consensus rule", name, RULES)
    try:
        return RULES[name](**options)
    except TypeError as err:
        raise ConfigurationError(
            f"the rule {name!r} cannot be made of {options!r:.80} ({err}): see its options"
        ) from err


def choices_in(text: str, options: Sequence[str]) -> list[str]:
    """The options a vote names, in its order, each once: by number on its first line, else by an option's own words.

    >>> choices_in("2, 1 because it is shorter", ["tea", "coffee"]), choices_in("Tea, please", ["tea", "coffee"])
    (['coffee', 'tea'], ['tea'])
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    leading = re.match(
        r"[^\w]*(?:option\s+|vote\s*:?\s*)?(\d+(?:\s*(?:,|>|;|and)\s*\d+)*)", first, re.IGNORECASE
    )
    if leading is not None:
        numbers = [int(n) for n in re.findall(r"\d+", leading[1])]
        return list(dict.fromkeys(options[n - 1] for n in numbers if 1 <= n <= len(options)))
    places = {o: first.lower().find(o.lower()) for o in options}
    return sorted((o for o in options if places[o] >= 0), key=places.__getitem__)


def _ballot(question: str, options: Sequence[str], how: str) -> str:
    listed = "\n".join(f"{n}. {option}" for n, option in enumerate(options, 1))
    return f"{question}\n{listed}\n{how}"


def _count(votes: Sequence[Vote], options: Sequence[str]) -> dict[str, float]:
    found = Counter(v.choices[0] for v in votes if v.choices)
    return {option: float(found[option]) for option in options}


def _more_than_half(tally: Mapping[str, float]) -> str | None:
    cast = sum(tally.values())
    return next((option for option, count in tally.items() if count * 2 > cast), None)
