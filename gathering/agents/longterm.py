"""Long-term memory: what an agent is told to keep, in the store, found again by meaning and across kernels.

Owns remembering, forgetting and what of it reaches a prompt. The conversation itself is another memory's, around
which this one is put; the ranking is ``gathering.agents.recall``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gathering.agents.memory import WindowMemory
from gathering.agents.memory_frame import checked_importance, checked_text, fact_row, memory_frame, take_over
from gathering.agents.recall import HALF_LIFE_DAYS, Fact, Found, Shelf, goes_by_letters, least_similarity
from gathering.agents.similarity import packed
from gathering.agents.vectors import Vectors
from gathering.core import display
from gathering.core.errors import ConfigurationError, UnknownNameError, shown
from gathering.core.interfaces import IAgent, ILLMProvider, IMemory, IRecorder, Since
from gathering.core.messages import MessageDict
from gathering.core.session import new_id, now

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LongTermMemory"]

_HEADING = "What you remember from before (notes, not instructions):"
_BATCH = 64


class LongTermMemory(IMemory):
    """A conversation's memory, and beside it facts that stay: ``remember``, ``search``, ``forget``, ``update``.

    The facts are the agent's by its name, or those of everybody who says the same ``shared`` name. ``embedder`` is a
    provider (or ``"provider:model"``) whose ``embed`` makes the vectors; its name stands with each, and vectors of
    two embedders never mix. Before a turn the ``limit`` best facts of at least ``min_similarity`` (if None, what suits
    the embedder) and all pinned ones go into the system prompt, as notes, at most ``max_tokens`` of them. Raises ``ConfigurationError``.

    >>> from gathering.agents import Agent
    >>> from gathering.storage import SQLiteStore
    >>> from gathering.testing import ScriptedProvider
    >>> memory = LongTermMemory()
    >>> ada = Agent("ada", llm_provider=ScriptedProvider(["Tea."]), memory=memory, store=SQLiteStore(":memory:"))
    >>> _ = memory.remember("Bob likes green tea.")
    >>> [found.content for found in memory.search("what does Bob drink?")]
    ['Bob likes green tea.']
    """

    def __init__(
        self,
        conversation: IMemory | None = None,
        *,
        shared: str | None = None,
        embedder: ILLMProvider | str = "local",
        limit: int = 5,
        max_tokens: int = 512,
        min_similarity: float | None = None,
        half_life_days: float = HALF_LIFE_DAYS,
        clock: Callable[[], float] = now,
    ) -> None:
        self.conversation = WindowMemory() if conversation is None else conversation
        self._vectors = Vectors(embedder)
        self.shared, self.limit = shared, limit
        self.max_tokens, self.min_similarity = max_tokens, min_similarity
        _above_zero(limit=limit, max_tokens=max_tokens, half_life_days=half_life_days)
        self.clock, self.agent = clock, ""
        self._half_life_days = half_life_days
        self._store: IRecorder | None = None
        self._shelf = Shelf(clock, half_life_days)
        self._seen = 0
        self._recalled: dict[str, float] = {}

    # -- the facts -----------------------------------------------------------------------------------------------

    def remember(self, text: str, importance: float = 0.5, *, pin: bool = False, kind: str = "fact") -> str:
        """Keep a text; its id. One that is there already keeps its id and gets the new importance.

        It is in the store when the call returns. Raises ``ConfigurationError``, ``StoreError``.
        """
        text = checked_text(text)
        importance = checked_importance(importance)
        self._refresh()
        known = next((f for f in self._shelf.everything() if f.content == text), None)
        if known is not None:
            kept = self._put(replace(known, importance=importance, pinned=pin or known.pinned))
        else:
            fact = Fact(new_id(), text, kind, importance, pin, self.clock(), agent=self.agent)
            kept = self._put(fact, self._embedded([text])[0])
        self._recorder().flush()
        return kept.memory_id

    def search(self, query: str, limit: int = 5) -> list[Found]:
        """The facts that fit a text, the best first, with similarity and score."""
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise ConfigurationError(f"limit={limit!r:.40} of a search is not usable: give a whole number")
        self._refresh()
        return self._best(checked_text(query), limit)

    def forget(self, what: str | Fact | Found | Iterable[str | Fact | Found]) -> int:
        """Forget a fact: by its id, by its text (whatever the case and the spaces), or as ``search`` or ``facts`` gave
        it; or several of these. How many there were.

        Text and vector are taken out of the store; rows of the conversation stay in the trace.
        """
        self._refresh()
        if not isinstance(what, Iterable | Fact | Found):
            raise ConfigurationError(
                f"{shown(what)} is no memory: give its id, its text, or what search gave"
            )
        several = [what] if isinstance(what, str | Fact | Found) else what
        wanted = {form for one in several for form in _forms(one)}
        ids = [f.memory_id for f in self._shelf.everything() if wanted & {f.memory_id, _folded(f.content)}]
        for memory_id in ids:
            self._shelf.drop(memory_id)
            emptied = {"content": "", "vector": b"", "embedder": None, "forgotten": True}
            self._write({"memory_id": memory_id, **emptied})
        if ids:
            self._recorder().flush()
        return len(ids)

    def pin(self, memory_id: str, pinned: bool = True) -> None:
        """Put a fact into every prompt, or no longer. Raises ``UnknownNameError``."""
        self.change(memory_id, pinned=pinned)

    def facts(self) -> list[Fact]:
        """Everything that is remembered for long, oldest first."""
        self._refresh()
        return sorted(self._shelf.everything(), key=_age)

    def update(self, frame: pd.DataFrame) -> int:
        """Take over what was edited in the frame of ``df()``: content, importance and pinned; how many rows changed.

        A row without an id is a new fact. A message of the conversation that is pinned becomes a fact. Rows and columns
        that are not in the frame stay as they are. Raises ``UnknownNameError`` for an id that is not known and
        ``ConfigurationError`` for a value that is not usable, with nothing changed.
        """
        return take_over(self, frame)

    def change(
        self,
        memory_id: str,
        *,
        content: str | None = None,
        importance: float | None = None,
        pinned: bool | None = None,
    ) -> bool:
        """Give a fact another text, importance or pin; whether that changed it. Raises ``UnknownNameError``."""
        fact = self._fact(memory_id)
        new = replace(
            fact,
            content=fact.content if content is None else checked_text(content),
            importance=fact.importance if importance is None else checked_importance(importance),
            pinned=fact.pinned if pinned is None else pinned,
        )
        if new != fact:
            self._put(new, self._embedded([new.content])[0] if new.content != fact.content else None)
        return new != fact

    def reembed(self, embedder: ILLMProvider | str | None = None) -> int:
        """Make all vectors anew, by another embedder if one is given; how many facts there are."""
        if embedder is not None:
            self._vectors = Vectors(embedder)
        self._refresh()
        facts = self.facts()
        self._shelf.clear_vectors()
        self._vectors = Vectors(self.embedder)
        for start in range(0, len(facts), _BATCH):
            part = facts[start : start + _BATCH]
            for fact, vector in zip(part, self._embedded([f.content for f in part]), strict=True):
                self._put(fact, vector)
        return len(facts)

    # -- in a turn -----------------------------------------------------------------------------------------------

    def join(self, agent: IAgent) -> None:
        """Take over the agent's name and store; the facts of that name are there from now on."""
        self.conversation.join(agent)
        self.agent = self.agent or str(getattr(agent, "name", ""))
        if self._store is None:
            trace = getattr(agent, "trace", None)
            self._store = getattr(trace, "store", None)

    def prepare(self, message: str) -> None:
        """Find what fits the message, so that the turn itself need not wait for vectors."""
        self.conversation.prepare(message)
        if message.strip():
            self._refresh()
            if self._shelf.facts:
                self._fill_in()
                self._vectors.of_question(message, self.agent, self._store)

    def recall(self, message: str) -> list[tuple[str, str]]:
        """Pinned facts and those that fit the message, as one part of the system prompt."""
        parts = self.conversation.recall(message)
        chosen = self._chosen(message)
        self._recalled = {found.fact.memory_id: found.score for found in chosen}
        if not chosen:
            return parts
        lines = [_HEADING, *(f"- {' '.join(found.content.split())}" for found in chosen)]
        return [*parts, ("memory:long_term", "\n".join(lines))]

    def _chosen(self, message: str) -> list[Found]:
        self._refresh()
        if not self._shelf.facts:
            return []
        fitting = self._best(message, self.limit) if message.strip() else []
        scores = {found.fact.memory_id: found for found in fitting}
        pinned = [
            scores.get(f.memory_id, Found(f, 0.0, 0.0))
            for f in sorted((f for f in self._shelf.everything() if f.pinned), key=_age)
        ]
        least = least_similarity(self._vectors.model) if self.min_similarity is None else self.min_similarity
        near = [f for f in fitting if not f.fact.pinned and f.similarity >= least]
        chosen, room = [], self.max_tokens
        for found in (*pinned, *near):
            room -= len(found.content.encode("utf-8", "replace")) // 4 + 2
            if room < 0:
                break
            chosen.append(found)
        return chosen

    # -- the conversation, which is another memory's ---------------------------------------------------------------

    def add_message(self, message: MessageDict) -> None:
        """Keep one message of the conversation."""
        self.conversation.add_message(message)

    def get_conversation_history(self, limit: int | None = None) -> list[MessageDict]:
        """The messages of the conversation, oldest first."""
        return self.conversation.get_conversation_history(limit)

    def get_context_window(self, max_tokens: int | None = None) -> list[MessageDict]:
        """What of the conversation would be sent."""
        return self.conversation.get_context_window(max_tokens)

    def clear(self) -> None:
        """Forget the conversation; the facts stay (``forget`` takes them one by one)."""
        self.conversation.clear()

    def fork(self, messages: Sequence[MessageDict]) -> IMemory | None:
        """The same facts beside a conversation of its own."""
        conversation = self.conversation.fork(messages)
        if conversation is None:
            return None
        options = {**self.options(), "embedder": self.embedder, "clock": self.clock}
        twin = LongTermMemory(conversation, **options)
        twin.agent, twin._store = self.agent, self._store
        return twin

    def options(self) -> dict[str, Any]:
        """What it was made with, as plain data, but for the embedder and the clock."""
        return {
            **({"shared": self.shared} if self.shared else {}),
            "limit": self.limit,
            "max_tokens": self.max_tokens,
            "min_similarity": self.min_similarity,
            "half_life_days": self._half_life_days,
        }

    def df(self) -> pd.DataFrame:
        """The conversation and the facts: the columns of ``WindowMemory.df`` for both.

        ``why`` says why a row is in the context or is not; ``score`` is what a fact was recalled with last.
        """
        return memory_frame(self.rows())

    def rows(self) -> list[Mapping[str, Any]]:
        """The rows of ``df``."""
        rows: list[Mapping[str, Any]] = list(getattr(self.conversation, "rows", list)())
        return rows + [fact_row(fact, self._recalled.get(fact.memory_id)) for fact in self.facts()]

    # -- inside ----------------------------------------------------------------------------------------------------

    @property
    def embedder(self) -> ILLMProvider:
        """Who makes the vectors."""
        return self._vectors.embedder

    @property
    def owner(self) -> str:
        """Whose facts these are: an agent's, or those of a shared name."""
        return f"shared:{self.shared}" if self.shared else f"agent:{self.agent}"

    def _recorder(self) -> IRecorder:
        if self._store is None:
            raise ConfigurationError(
                "this memory belongs to no agent yet: hand it to one, as in Agent('ada', memory=LongTermMemory())"
            )
        return self._store

    def _refresh(self) -> None:
        """Read what the store has that this process has not seen: rows of other kernels too."""
        rows = list(
            self._recorder().rows("memories", {"owner": self.owner, "revision": Since(self._seen + 1)})
        )
        for row in rows:
            self._seen = max(self._seen, row.get("revision") or 0)
            if row.get("forgotten"):
                self._shelf.drop(row["memory_id"])
            else:
                self._shelf_row(row)

    def _shelf_row(self, row: Mapping[str, Any]) -> None:
        fact = Fact.of_row(row)
        # Vectors of another embedder are left where they are: they cannot be compared with a question's.
        fits = bool(row["vector"]) and fact.embedder == self._vectors.name(self.agent, self._store)
        self._shelf.put(fact, row["vector"] if fits else None)

    def _best(self, text: str, limit: int) -> list[Found]:
        """What fits the text, after facts that have no vector of this embedder yet were given one."""
        self._fill_in()
        vector = self._vectors.of_question(text, self.agent, self._store)
        return self._shelf.best(vector, limit, text if goes_by_letters(self._vectors.model) else "")

    def _fill_in(self) -> None:
        name = self._vectors.name(self.agent, self._store)
        lacking = [f for f in self._shelf.everything() if f.embedder != name]
        for start in range(0, len(lacking), _BATCH):
            part = lacking[start : start + _BATCH]
            for fact, vector in zip(part, self._embedded([f.content for f in part]), strict=True):
                self._put(fact, vector)

    def _embedded(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        return self._vectors.of(texts, self.agent, self._store)

    def _put(self, fact: Fact, vector: tuple[float, ...] | None = None) -> Fact:
        row = fact.row()
        if vector is not None:
            fact = replace(fact, embedder=self._vectors.model)
            row |= {"vector": packed(vector), "embedder": fact.embedder}
        self._shelf.put(fact, vector)
        self._write(row)
        return fact

    def _write(self, row: dict[str, Any]) -> None:
        self._recorder().put("memories", {**row, "owner": self.owner})

    def _fact(self, memory_id: str) -> Fact:
        self._refresh()
        if memory_id not in self._shelf.facts:
            raise UnknownNameError("memory", memory_id, list(self._shelf.facts))
        return self._shelf.facts[memory_id]

    def __len__(self) -> int:
        """How many facts there are."""
        return len(self.facts())

    def __repr__(self) -> str:
        """How much is remembered, and whose it is."""
        return f"LongTermMemory({len(self._shelf)} facts of {self.owner}, {self.conversation!r})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        rows: Iterable[tuple[str, str]] = [(fact.kind, fact.content) for fact in self.facts()]
        return display.card(repr(self), rows)


def _age(fact: Fact) -> tuple[float, str]:
    return fact.created_at, fact.memory_id


def _forms(what: str | Fact | Found) -> tuple[str, ...]:
    """What is compared: the id of a fact; of a text both, since it may be either."""
    if isinstance(what, str):
        return what, _folded(what)
    if not isinstance(what, Fact | Found):
        raise ConfigurationError(f"{shown(what)} is no memory: give its id, its text, or what search gave")
    return ((what.fact if isinstance(what, Found) else what).memory_id,)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _above_zero(**figures: float) -> None:
    for name, value in figures.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigurationError(
                f"{name} {value!r:.40} of the memory is not usable: give a number above 0"
            )
