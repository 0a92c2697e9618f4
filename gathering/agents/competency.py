"""Competencies: what an agent is good at, as a sentence of the system prompt and a score for a task."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import ICompetency

__all__ = ["Competency"]

#: From this level on, this wording.
_LEVELS = (
    (0.85, "You are an expert in {}."),
    (0.6, "You know {} well."),
    (0.3, "You have a working knowledge of {}."),
    (0.0, "You know the basics of {}."),
)


class Competency(ICompetency):
    """A field and how well it is mastered, ``level`` 0 to 1. ``keywords`` are words that point to it.

    >>> Competency("mathematics", 0.9).get_prompt_enhancement()
    'You are an expert in mathematics.'
    """

    def __init__(self, name: str, level: float = 0.5, keywords: Iterable[str] = ()) -> None:
        if not 0 <= level <= 1:
            raise ConfigurationError(f"level {level!r} of {name!r} is not usable: give a number from 0 to 1")
        self.name, self.level, self.keywords = name, float(level), tuple(keywords)

    def get_prompt_enhancement(self) -> str:
        """One sentence, worded after the level."""
        wording = next(words for bound, words in _LEVELS if self.level >= bound)
        return wording.format(self.name.replace("_", " "))

    def can_handle_task(self, task: str) -> float:
        """The level if a word of the task points to this field, else 0.

        A word points to it when it begins as the field's name or a keyword does ("maths" to "mathematics").
        """
        stems = {_stem(w) for text in (self.name, *self.keywords) for w in _words(text)}
        return self.level if any(_stem(w) in stems for w in _words(task)) else 0.0

    def __repr__(self) -> str:
        """Name and level."""
        return f"Competency({self.name!r}, {self.level:g})"


def _words(text: str) -> list[str]:
    return [w for w in re.findall(r"[^\W_]+", text.lower()) if len(w) > 2]


def _stem(word: str) -> str:
    return word[:4]
