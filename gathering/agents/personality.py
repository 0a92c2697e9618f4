"""Personality blocks: traits, emotions, behaviours and professions with an intensity, as sentences of the system prompt."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from gathering.agents.library import CONFLICTS, LIBRARY
from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.interfaces import IPersonalityBlock

__all__ = ["CombinedBlock", "PersonalityBlock", "conflicts", "warn_of_conflicts"]

#: From this intensity on, this adverb; and how often a behaviour shows.
_ADVERBS = ((0.85, "extremely "), (0.65, "very "), (0.35, ""), (0.0, "slightly "))
_OFTEN = ((0.85, "always"), (0.65, "mostly"), (0.35, "often"), (0.0, "now and then"))


class PersonalityBlock(IPersonalityBlock):
    """A trait, emotion, behaviour or profession of the library, or a custom one with its own ``prompt``.

    ``intensity`` is 0 to 1. Raises ``UnknownNameError`` for a name that is not in the library and has no prompt.

    >>> PersonalityBlock("curious", 0.8).get_prompt_modifiers()
    ['You are very curious: you ask a question about what interests or puzzles you.']
    >>> PersonalityBlock("pirate", prompt="You speak like a pirate.").get_prompt_modifiers()
    ['You speak like a pirate.']
    """

    def __init__(self, name: str, intensity: float = 0.5, *, prompt: str | None = None) -> None:
        if not 0 <= intensity <= 1:
            raise ConfigurationError(
                f"intensity {intensity!r} of {name!r} is not usable: give a number from 0 to 1"
            )
        if prompt is None and name not in LIBRARY:
            raise UnknownNameError(
                "personality trait", name, LIBRARY, "(or give the block a prompt of its own)"
            )
        self.name, self.intensity, self.prompt = name, float(intensity), prompt

    def get_prompt_modifiers(self) -> list[str]:
        """One sentence, worded after the intensity; none at intensity 0."""
        if self.intensity == 0:
            return []
        adverb = next(word for bound, word in _ADVERBS if self.intensity >= bound)
        if self.prompt is None:
            return [self._of_the_library(adverb)]
        strength = f" Be {adverb}marked in this." if adverb else ""
        return [self.prompt.strip() + strength]

    def _of_the_library(self, adverb: str) -> str:
        kind, text = LIBRARY[self.name]
        if kind == "behaviour":
            return f"You {next(word for bound, word in _OFTEN if self.intensity >= bound)} {text}."
        if kind == "profession":
            article = "an" if self.name[0] in "aeiou" else "a"
            return f"You work as {article} {self.name}: {text}."
        return f"You {'feel' if kind == 'emotion' else 'are'} {adverb}{self.name}: {text}."

    def combine(self, other: IPersonalityBlock) -> IPersonalityBlock:
        """One block that says what both say; the same trait twice has the mean of both intensities."""
        if isinstance(other, PersonalityBlock) and (other.name, other.prompt) == (self.name, self.prompt):
            return PersonalityBlock(self.name, (self.intensity + other.intensity) / 2, prompt=self.prompt)
        return CombinedBlock(self, other)

    def __repr__(self) -> str:
        """Name and intensity."""
        return f"PersonalityBlock({self.name!r}, {self.intensity:g})"


class CombinedBlock(IPersonalityBlock):
    """Several blocks that count as one."""

    def __init__(self, *blocks: IPersonalityBlock) -> None:
        self.blocks = blocks
        self.name = "+".join(b.name for b in blocks)
        self.intensity = max(b.intensity for b in blocks)

    def get_prompt_modifiers(self) -> list[str]:
        """The sentences of all of them, in order."""
        return [sentence for block in self.blocks for sentence in block.get_prompt_modifiers()]

    def combine(self, other: IPersonalityBlock) -> IPersonalityBlock:
        """These blocks and one more."""
        return CombinedBlock(*self.blocks, other)


def conflicts(blocks: Iterable[IPersonalityBlock]) -> list[tuple[str, str]]:
    """The pairs of blocks that ask for opposite things, in the order of the blocks.

    >>> conflicts([PersonalityBlock("formal"), PersonalityBlock("calm"), PersonalityBlock("casual")])
    [('formal', 'casual')]
    """
    names = [block.name for block in blocks if block.intensity > 0]
    pairs = ((one, other) for i, one in enumerate(names) for other in names[i + 1 :])
    return [pair for pair in pairs if frozenset(pair) in CONFLICTS]


def warn_of_conflicts(agent: str, blocks: Iterable[IPersonalityBlock]) -> None:
    """One warning that names what clashes, if anything does."""
    found = conflicts(blocks)
    if found:
        said = ", ".join(f"{one} with {other}" for one, other in found)
        warnings.warn(
            f"the personality of {agent!r} asks for opposite things ({said}): leave one of them out, or expect a mixture",
            UserWarning,
            stacklevel=3,
        )
