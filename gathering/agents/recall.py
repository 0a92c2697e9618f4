"""What is remembered for long, in this process's reach: rows of the store, their vectors, and the best of them.

Owns the ranking; the vectors are a table of ``gathering.agents.similarity``. Where the rows are kept is the store's; which of them reach a
prompt is ``gathering.agents.longterm``'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gathering.agents.similarity import Table, table_for, unpacked, with_room
from gathering.storage.words import WordIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["HALF_LIFE_DAYS", "Fact", "Found", "Shelf", "goes_by_letters", "least_similarity"]

#: Days after which being new counts half.
HALF_LIFE_DAYS = 30.0
_DAY = 86_400.0
#: What a fact must share with a message to be recalled. Twelve questions that shared almost no word with twelve facts all
#: found theirs so with sentence vectors, beside one wrong fact for every second question. Letters share less.
_LEAST, _LEAST_BY_EMBEDDER = 0.2, {"local:hashed-ngram": 0.1}
#: Embedders that know no meaning: what they find is put together with what the words find.
_BY_LETTERS = frozenset({"local:hashed-ngram"})
#: How flat places count in the two lists (reciprocal rank: 1 / (60 + place)), and how many of each list.
_FLAT, _PLACES = 60, 100


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing remembered. ``importance`` is 0 to 1; ``embedder`` says which vectors it has been given."""

    memory_id: str
    content: str
    kind: str = "fact"
    importance: float = 0.5
    pinned: bool = False
    created_at: float = 0.0
    embedder: str = ""
    agent: str = ""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Fact:
        """The fact of a row of ``memories``."""
        importance = row["importance"]
        return cls(
            row["memory_id"],
            row["content"] or "",
            row["kind"] or "fact",
            0.5 if importance is None else importance,
            bool(row["pinned"]),
            row["created_at"] or 0.0,
            row["embedder"] or "",
            row["agent"] or "",
        )

    def row(self) -> dict[str, Any]:
        """The row of ``memories``, without what goes with its vector."""
        names = ("memory_id", "agent", "kind", "content", "importance", "pinned", "created_at")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Found:
    """A fact that fits a question: ``similarity`` of the two texts, and the ``score`` it is ranked by."""

    fact: Fact
    similarity: float
    score: float

    @property
    def content(self) -> str:
        """The text of the fact."""
        return self.fact.content


def least_similarity(embedder: str) -> float:
    """The similarity from which on a fact is recalled, where nothing else is said."""
    return _LEAST_BY_EMBEDDER.get(embedder, _LEAST)


def goes_by_letters(embedder: str) -> bool:
    """Whether words have to help this embedder."""
    return embedder in _BY_LETTERS


class Shelf:
    """Facts with their vectors. Everything is ranked in one go: a hundred thousand of them take some milliseconds.

    Safe from any thread: an awaited turn looks beside the loop, while a cell may search or remember.
    """

    def __init__(self, clock: Callable[[], float], half_life_days: float = HALF_LIFE_DAYS) -> None:
        self.clock, self.half_life = clock, half_life_days * _DAY
        self.facts: dict[str, Fact] = {}
        self._lock = threading.RLock()
        self._rows: dict[str, int] = {}
        self._ids: list[str] = []
        self._table: Table | None = None
        self._weights: NDArray[np.float32] | None = None  # importance, or -1 where the row is empty
        self._created: NDArray[np.float64] | None = None
        self._words: WordIndex | None = None  # made when it is asked for first

    def put(self, fact: Fact, vector: Any = None) -> None:
        """Keep a fact; without a vector it is found by nothing but its id, or keeps the one it has."""
        with self._lock:
            before = self.facts.get(fact.memory_id)
            self.facts[fact.memory_id] = fact
            if self._words is not None and (before is None or before.content != fact.content):
                self._words.put(fact.memory_id, fact.content)
            if vector is not None:
                self._place(fact.memory_id, vector)
            self._weigh(fact)

    def everything(self) -> list[Fact]:
        """All facts as they are now, in no order."""
        with self._lock:
            return list(self.facts.values())

    def drop(self, memory_id: str) -> None:
        """Forget a fact and its vector."""
        with self._lock:
            self.facts.pop(memory_id, None)
            if self._words is not None:
                self._words.drop(memory_id)
            row = self._rows.pop(memory_id, None)
            if row is not None and self._table is not None and self._weights is not None:
                self._table.empty(row)
                self._weights[row] = -1
                self._ids[row] = ""

    def clear_vectors(self) -> None:
        """Leave the facts without vectors, as before another embedder."""
        with self._lock:
            self._rows, self._ids = {}, []
            self._table = self._weights = self._created = None
            self.facts = {i: replace(f, embedder="") for i, f in self.facts.items()}

    def best(self, vector: Sequence[float], limit: int, words: str = "") -> list[Found]:
        """The facts that fit best, the best first, older ones first where two are equal.

        The score is ``similarity x (0.5 + importance) x (0.5 + 0.5 x 2^(-age / half-life))``: importance changes it
        by up to three times, age by up to two. With ``words`` it is the place in that list and in the list of the
        facts that have these words, put together by reciprocal rank: 1 for what is first in both.
        """
        import numpy as np

        with self._lock:
            count = len(self._ids)
            if (
                not count
                or limit < 1
                or self._table is None
                or self._weights is None
                or self._created is None
            ):
                return []
            near = self._table.near(np.asarray(vector, dtype=np.float32), count)
            age = np.maximum(0.0, self.clock() - self._created[:count]) / self.half_life
            weights = (0.5 + self._weights[:count]) * (0.5 + 0.5 * np.exp2(-age))
            scores = np.maximum(near, 0) * weights
            scores[self._weights[:count] < 0] = -1
            if words:
                scores = self._fused(scores, weights, words, max(limit, _PLACES))
            return [
                Found(self.facts[self._ids[row]], float(near[row]), float(scores[row]))
                for row in self._first(scores, limit)
            ]

    def _first(self, scores: NDArray[Any], limit: int) -> list[int]:
        """The rows with the highest scores above 0, in order."""
        import numpy as np

        most = min(limit, len(scores))
        chosen = np.argpartition(-scores, most - 1)[:most]
        ordered = sorted(chosen.tolist(), key=lambda row: (-float(scores[row]), self._ids[row]))
        return [row for row in ordered if scores[row] > 0]

    def _fused(self, scores: NDArray[Any], weights: NDArray[Any], words: str, most: int) -> NDArray[Any]:
        """Scores by the places in the list of these scores and in that of the words."""
        import numpy as np

        if self._words is None:
            self._words = WordIndex((fact.memory_id, fact.content) for fact in self.facts.values())
        named = [(self._rows[i], w) for i, w in self._words.ranked(words, most) if i in self._rows]
        by_words = sorted(
            named, key=lambda found: (-found[1] * float(weights[found[0]]), self._ids[found[0]])
        )
        fused = np.zeros(len(scores))
        for rows in (self._first(scores, most), [row for row, _ in by_words]):
            for place, row in enumerate(rows, 1):
                fused[row] += (_FLAT + 1) / (2 * (_FLAT + place))
        return fused

    def _place(self, memory_id: str, vector: Any) -> None:
        import numpy as np

        given = unpacked(vector) if isinstance(vector, bytes) else np.asarray(vector, dtype=np.float32)
        if self._table is None or self._weights is None or self._created is None:
            self._table = table_for(given)
            self._weights, self._created = np.zeros(64, np.float32), np.zeros(64, np.float64)
        row = self._rows.get(memory_id)
        if row is None:
            row = self._rows[memory_id] = len(self._ids)
            self._ids.append(memory_id)
            self._weights = with_room(self._weights, row + 1)
            self._created = with_room(self._created, row + 1)
        self._table.put(row, given)

    def _weigh(self, fact: Fact) -> None:
        row = self._rows.get(fact.memory_id)
        if row is not None and self._weights is not None and self._created is not None:
            self._weights[row], self._created[row] = fact.importance, fact.created_at

    def __len__(self) -> int:
        """How many facts there are."""
        return len(self.facts)
