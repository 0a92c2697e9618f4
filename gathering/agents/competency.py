"""Competencies: what an agent is good at, as a sentence of the system prompt and a score for a task.

Owns also how its tasks went (``Record``). Who is chosen for a task is ``gathering.agents.manager``'s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from gathering.agents.embedding import embedded
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import ICompetency, ILLMProvider
from gathering.core.registry import create_provider

__all__ = ["Competency", "Record"]

#: Texts that have nothing to do with each other are about this similar to a sentence embedder.
_UNRELATED = 0.2

#: Words that point nowhere.
_EMPTY = frozenset({
    "and", "are", "for", "from", "how", "into", "not", "the", "that", "this", "what", "when", "which", "who",
    "why", "with", "you", "your",
})  # fmt: skip

#: From this level on, this wording.
_LEVELS = (
    (0.85, "You are an expert in {}."),
    (0.6, "You know {} well."),
    (0.3, "You have a working knowledge of {}."),
    (0.0, "You know the basics of {}."),
)


@dataclass(slots=True)
class Record:
    """How an agent did so far: ``done`` of ``tried`` tasks."""

    done: int = 0
    tried: int = 0

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Wilson's interval of its success rate, at 95 % for the usual ``z``; (0, 1) before the first task."""
        if not self.tried:
            return 0.0, 1.0
        n, p = self.tried, self.done / self.tried
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def expected(self) -> float:
        """The rate to reckon with: one success and one failure are assumed beforehand, so that nobody begins at 0 or 1."""
        return (self.done + 1) / (self.tried + 2)


class Competency(ICompetency):
    """A field and how well it is mastered, ``level`` 0 to 1. ``keywords`` are words that point to it.

    ``evidence`` says what the level rests on and goes into no prompt. ``outcomes`` counts how tasks went, see
    ``record``. With an ``embedder`` (a provider, or ``"provider:model"``) a task fits also by what it means.
    Raises ``ConfigurationError``.

    >>> Competency("mathematics", 0.9).get_prompt_enhancement()
    'You are an expert in mathematics.'
    """

    def __init__(
        self,
        name: str,
        level: float = 0.5,
        keywords: Iterable[str] = (),
        *,
        evidence: Iterable[str] = (),
        embedder: ILLMProvider | str | None = None,
    ) -> None:
        if not 0 <= level <= 1:
            raise ConfigurationError(f"level {level!r} of {name!r} is not usable: give a number from 0 to 1")
        self.name, self.level, self.keywords = name, float(level), tuple(keywords)
        self.evidence = (evidence,) if isinstance(evidence, str) else tuple(evidence)
        self.embedder = create_provider(embedder) if isinstance(embedder, str) else embedder
        self.outcomes = Record()

    def record(self, success: bool) -> Record:
        """Count how a task of this field went; the counts so far. ``save()`` of the agent keeps them."""
        self.outcomes.tried += 1
        self.outcomes.done += bool(success)
        return self.outcomes

    def get_prompt_enhancement(self) -> str:
        """One sentence, worded after the level."""
        wording = next(words for bound, words in _LEVELS if self.level >= bound)
        return wording.format(self.name.replace("_", " "))

    def can_handle_task(self, task: str) -> float:
        """The level if a word of the task points to this field; else what is near in meaning, or 0 without an embedder.

        A word points to it when it begins as the field's name or a keyword does ("maths" to "mathematics"). By
        meaning it is the level times the similarity, counted from what unrelated texts have.
        """
        stems = {_stem(w) for text in (self.name, *self.keywords) for w in _words(text)}
        if any(_stem(w) in stems for w in _words(task)):
            return self.level
        if self.embedder is None or not task.strip():
            return 0.0
        return self.level * max(0.0, (self._similarity(task) - _UNRELATED) / (1 - _UNRELATED))

    def _similarity(self, task: str) -> float:
        """The cosine between the task and what is nearest to it of the name and the keywords."""
        assert self.embedder is not None
        fields = [text.replace("_", " ") for text in (self.name, *self.keywords)]
        asked, *known = embedded(self.embedder, [task, *fields]).vectors
        return min(1.0, max(_cosine(asked, vector) for vector in known))

    def __repr__(self) -> str:
        """Name and level."""
        return f"Competency({self.name!r}, {self.level:g})"


def _cosine(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    length = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / length if length else 0.0


def _words(text: str) -> list[str]:
    return [w for w in re.findall(r"[^\W_]+", text.lower()) if len(w) > 2 and w not in _EMPTY]


def _stem(word: str) -> str:
    return word[:4]
