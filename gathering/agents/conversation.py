"""Several agents that talk under rules: a strategy says who speaks next, bounds say when it is over.

Owns the order of a conversation and its record; who speaks is ``gathering.agents.strategies``'s, what is agreed on
``gathering.agents.consensus``'s, and what happens in one speech an agent's turn.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from gathering.agents.consensus import Agreement, Rule, rule_of
from gathering.agents.floor import AskAll, Floor, Heard, Speech, lines
from gathering.agents.strategies import Choice, Strategy, strategy_of
from gathering.core import display
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import IAgent, IConversation
from gathering.core.messages import MessageDict
from gathering.core.portal import beat
from gathering.core.registry import open_panel

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Conversation", "asked_async"]

_Step: TypeAlias = Generator[AskAll, "list[Heard]", Any]
_OUTSIDE = "moderation"  # who speaks from outside, where no name is given


class Conversation(IConversation):
    """Agents that take turns. ``run()`` goes on to the end, ``process_turn()`` takes one turn, ``decide()`` has them vote.

    ``strategy`` is a name (``round_robin``, ``everyone``, ``mention``, ``moderator``, ``bidding``, ``graph``), a mapping
    with its options, or a ``Strategy``. It ends after ``max_turns`` turns, at ``max_cost`` (US dollars), when the same
    words come back ``repetitions`` times, or when the strategy says so: ``ended`` has the reason. ``helpers`` can
    moderate or judge without speaking. Raises ``ConfigurationError`` for anything that cannot work.
    """

    def __init__(
        self,
        agents: Sequence[IAgent] | Mapping[str, IAgent],
        *,
        strategy: Strategy | str | Mapping[str, Any] = "round_robin",
        helpers: Sequence[IAgent] = (),
        max_turns: int = 12,
        max_cost: float | None = None,
        repetitions: int = 3,
        seed: int = 0,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ConfigurationError(f"seed={seed!r:.40} is not usable: give a whole number")
        self.floor = Floor(_by_name(agents), _by_name(helpers), chance=random.Random(seed))  # noqa: S311 - order only
        if not self.floor.agents:
            raise ConfigurationError("a conversation needs agents: give it at least one")
        if both := set(self.floor.agents) & set(self.floor.helpers):
            raise ConfigurationError(f"{sorted(both)[0]!r} is an agent and a helper: name it once")
        self.strategy = strategy_of(strategy)
        self.strategy.check(self.floor)
        self.max_turns = _count("max_turns", max_turns, 1)
        self.repetitions = _count("repetitions", repetitions, 2)
        self.max_cost = None if max_cost is None else _dollars("max_cost", max_cost)
        self.seed = seed
        self.ended: str | None = None
        self.agreements: list[Agreement] = []
        #: Puts a question whose answer is a speech, in place of asking alone: a panel shows the words as they come.
        self.voice: Callable[[IAgent, str], Awaitable[Any]] | None = None

    @classmethod
    def create(cls, agents: Sequence[IAgent], **options: Any) -> Self:
        """A conversation of these agents; ``options`` are the constructor's."""
        return cls(agents, **options)

    # -- talking ---------------------------------------------------------------------------------------------------

    def add_message(self, message: MessageDict | str) -> None:
        """Say something from outside; everybody is told. A conversation that had ended goes on with it."""
        data = {"content": message} if isinstance(message, str) else message
        content = str(data.get("content") or "")
        if not content.strip():
            raise ConfigurationError("the message to the conversation is empty: write something to say")
        self.floor.speeches.append(Speech(str(data.get("name") or _OUTSIDE), content))
        self.ended = None

    def process_turn(self) -> list[MessageDict]:
        """What the next speakers said, as messages with their ``name``; empty when the conversation is over.

        A turn that is cut (Stop, a provider's error) is as if it had not been: it can be taken again.
        """
        said: list[MessageDict] = self._wait(self._turn())
        return said

    async def process_turn_async(self) -> list[MessageDict]:
        """The same, awaited; several speakers speak side by side."""
        said: list[MessageDict] = await self._await(self._turn())
        return said

    def run(self, message: str | None = None, *, heard: Callable[[Speech], None] | None = None) -> Self:
        """The conversation, gone on with until it ends. ``heard`` is called with each speech."""
        for step in self._steps(message):
            self._tell(self._wait(step), heard)
        return self

    async def run_async(
        self, message: str | None = None, *, heard: Callable[[Speech], None] | None = None
    ) -> Self:
        """The same, awaited."""
        for step in self._steps(message):
            self._tell(await self._await(step), heard)
        return self

    def decide(
        self,
        question: str,
        options: Sequence[str] | None = None,
        rule: Rule | str | Mapping[str, Any] = "majority",
    ) -> Agreement:
        """What they decide: each is asked by the rule. Without ``options``, each agent's last words are its proposal."""
        agreement: Agreement = self._wait(self._decision(question, options, rule))
        return agreement

    async def decide_async(
        self,
        question: str,
        options: Sequence[str] | None = None,
        rule: Rule | str | Mapping[str, Any] = "majority",
    ) -> Agreement:
        """The same, awaited."""
        agreement: Agreement = await self._await(self._decision(question, options, rule))
        return agreement

    # -- looking ---------------------------------------------------------------------------------------------------

    def panel(self, **options: Any) -> Any:
        """A panel for a notebook: who speaks, votes, and a person who has a say; ``height`` in pixels, ``readonly``."""
        return open_panel("conversation", self, **options)

    def get_history(self) -> list[MessageDict]:
        """Everything said, oldest first, as messages with a ``name``; ``role`` is ``user`` for words from outside."""
        return [_message(s) for s in self.floor.speeches]

    @property
    def cost(self) -> float:
        """US dollars spent on it so far, as far as prices are known: speeches, moderation and votes."""
        return self.floor.aside + sum(s.cost or 0.0 for s in self.floor.speeches)

    def df(self) -> pd.DataFrame:
        """One row for each speech and each vote: ``turn, speaker, content, reason, vote, turn_id, cost_usd``.

        ``reason`` is why it was the speaker's turn, or why it voted so; ``turn_id`` joins with the trace.
        """
        import pandas as pd

        rows: list[tuple[Any, ...]] = [
            (s.turn, s.speaker, s.content, s.reason, None, s.turn_id or None, s.cost)
            for s in self.floor.speeches
        ]
        for agreement in self.agreements:
            rows += [
                (self.floor.turn, v.agent, agreement.question, v.reason, ", ".join(v.choices), None, None)
                for v in agreement.votes
            ]
        columns = ["turn", "speaker", "content", "reason", "vote", "turn_id", "cost_usd"]
        return pd.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        """The dialogue, and how it ended."""
        end = f"\n({self.ended})" if self.ended else ""
        return f"{lines(self.floor.speeches) or '(nothing said yet)'}{end}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        said = (
            "\n\n".join(f"**{s.speaker}**: {s.content}" for s in self.floor.speeches) or "(nothing said yet)"
        )
        agreed = "".join(f"\n\n**{a.question}**: {a} ({a.rule}: {a.reason})" for a in self.agreements)
        end = f"\n\n*{self.ended}*" if self.ended else ""
        return display.bundle(repr(self), markdown=f"{said}{agreed}{end}")

    # -- keeping ---------------------------------------------------------------------------------------------------

    def save(self, path: str) -> None:
        """Write the conversation to a JSON file: what was said, each agent's own memory, the rules and the chance."""
        from gathering.agents.saved import write_conversation

        write_conversation(self, path)

    @classmethod
    def load(cls, path: str, agents: Sequence[IAgent] = (), helpers: Sequence[IAgent] = ()) -> Self:
        """The saved conversation, with these agents under the same names; it goes on where it stopped.

        Raises ``ConfigurationError`` for a file that is no conversation and for an agent that is missing.
        """
        from gathering.agents.saved import read_conversation

        return read_conversation(cls, path, agents, helpers)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _steps(self, message: str | None) -> Generator[_Step, None, None]:
        if message is not None:
            self.add_message(message)
        while self.ended is None:
            yield self._turn()

    def _turn(self) -> _Step:
        """One turn: bounds, choice, the speeches. Nothing changes before everyone has answered."""
        if self.ended is None:
            self.ended = self._bound()
        if self.ended is not None:
            return []
        choice: Choice = yield from self.strategy.choose(self.floor)
        if not choice.speakers:
            self.ended = choice.reason
            return []
        told = len(self.floor.speeches)
        questions = tuple((name, self._question(name)) for name in choice.speakers)
        answers = yield AskAll(questions, aloud=True)
        turn = self.floor.turn + 1
        said = [Speech(a.agent, a.text, turn, choice.reason, a.turn_id, a.cost) for a in answers]
        self.floor.speeches += said
        self.floor.told.update(dict.fromkeys(choice.speakers, told))
        self.ended = self._bound()
        return [_message(s) for s in said]

    def _bound(self) -> str | None:
        """Why it is over, None if it is not."""
        if self.floor.turn >= self.max_turns:
            return f"ended after {self.max_turns} turns (max_turns)"
        if self.max_cost is not None and self.cost >= self.max_cost:
            return f"ended at {self.cost:.4f} US dollars (max_cost)"
        spoken = [(s.speaker, " ".join(s.content.lower().split())) for s in self.floor.speeches if s.turn]
        if spoken and spoken.count(spoken[-1]) >= self.repetitions:
            return f"ended because {spoken[-1][0]} said the same {self.repetitions} times (repetitions)"
        return None

    def _question(self, name: str) -> str:
        """What this agent is told: who else is here when it comes in, then others' words since it last spoke."""
        said = lines(self.floor.untold(name)) or "(Nobody has said anything yet: begin.)"
        if name in self.floor.told:
            return said
        others = ", ".join(n for n in self.floor.names if n != name)
        return (
            f"You are {name} in a conversation"
            + (f" with {others}" if others else "")
            + f". Speak for yourself only.\n{said}"
        )

    def _decision(
        self, question: str, options: Sequence[str] | None, rule: Rule | str | Mapping[str, Any]
    ) -> _Step:
        how = rule_of(rule)
        how.check(self.floor)
        if not isinstance(question, str) or not question.strip():
            raise ConfigurationError(f"the question {question!r:.40} is no text: write what is to be decided")
        if isinstance(options, str):
            raise ConfigurationError(f"the options {options!r:.40} are one text: give a list of texts")
        chosen = list(dict.fromkeys(options)) if options is not None else self._proposals()
        if not chosen or any(not isinstance(o, str) or not o.strip() for o in chosen):
            raise ConfigurationError(
                f"there is nothing to decide among {chosen!r:.80}: give options that are texts"
            )
        agreement: Agreement = yield from how.decide(self.floor, question, chosen)
        self.agreements.append(agreement)
        return agreement

    def _proposals(self) -> list[str]:
        last = {s.speaker: s.content for s in self.floor.speeches if s.turn}
        return list(dict.fromkeys(last.values()))

    def _tell(self, said: list[MessageDict], heard: Callable[[Speech], None] | None) -> None:
        if heard is not None:
            for speech in self.floor.speeches[len(self.floor.speeches) - len(said) :]:
                heard(speech)

    def _agent(self, name: str) -> IAgent:
        return self.floor.agents.get(name) or self.floor.helpers[name]

    def _wait(self, step: _Step) -> Any:
        """Run a step here: its questions one after the other, on this thread."""
        ask, result = _advance(step, None)
        while ask is not None:
            found = [_asked(self._agent(name), text) for name, text in ask.questions]
            ask, result = _advance(step, self._heard(ask, found))
        return result

    async def _await(self, step: _Step) -> Any:
        """Run a step on this loop: its questions side by side."""
        ask, result = _advance(step, None)
        with beat():
            while ask is not None:
                put = asked_async if self.voice is None or not ask.aloud else self.voice
                found = await asyncio.gather(*(put(self._agent(n), text) for n, text in ask.questions))
                ask, result = _advance(step, self._heard(ask, found))
        return result

    def _heard(self, ask: AskAll, replies: Sequence[Any]) -> list[Heard]:
        """The answers; what they cost is counted here where they become no speeches."""
        heard = [_answer(name, reply) for (name, _), reply in zip(ask.questions, replies, strict=True)]
        if not ask.aloud:
            self.floor.aside += sum(one.cost or 0.0 for one in heard)
        return heard


def _advance(step: _Step, answers: list[Heard] | None) -> tuple[AskAll | None, Any]:
    """The step's next question, or None and what it came to."""
    try:
        return step.send(answers), None  # type: ignore[arg-type]
    except StopIteration as end:
        return None, end.value


def _asked(agent: IAgent, text: str) -> Any:
    ask = getattr(agent, "ask", None)
    return ask(text) if callable(ask) else agent.process_message(text)


async def asked_async(agent: IAgent, text: str) -> Any:
    """The agent's reply, or its text where it is no ``Agent``, awaited."""
    ask = getattr(agent, "ask_async", None)
    found = ask(text) if callable(ask) else agent.process_message_async(text)
    return await found if inspect.isawaitable(found) else found


def _answer(name: str, reply: Any) -> Heard:
    text = reply if isinstance(reply, str) else str(getattr(reply, "text", reply))
    return Heard(name, text, getattr(reply, "turn_id", ""), getattr(reply, "cost", None))


def _message(speech: Speech) -> MessageDict:
    return {"role": "assistant" if speech.turn else "user", "name": speech.speaker, "content": speech.content}


def _by_name(agents: Sequence[IAgent] | Mapping[str, IAgent]) -> dict[str, IAgent]:
    if isinstance(agents, Mapping):
        return dict(agents)
    if isinstance(agents, str | IAgent) or not isinstance(agents, Iterable):
        raise ConfigurationError(f"{agents!r:.60} is no list of agents: give a list of them")
    found: dict[str, IAgent] = {}
    for agent in agents:
        name = getattr(agent, "name", None)
        if not isinstance(agent, IAgent) or not isinstance(name, str) or not name:
            raise ConfigurationError(
                f"{agent!r:.60} cannot take part: give agents that have a name, or a mapping of names to agents"
            )
        if name in found:
            raise ConfigurationError(f"two agents are named {name!r}: give one of them another name")
        found[name] = agent
    return found


def _count(what: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{what}={value!r} is not usable: give a whole number of {least} or more")
    return value


def _dollars(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ConfigurationError(f"{what}={value!r:.40} is not usable: give US dollars, 0 or more, or None")
    return float(value)
