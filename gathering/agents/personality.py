"""Personality blocks: traits with an intensity, as sentences of the system prompt."""

from __future__ import annotations

from gathering.agents.traits import TRAITS
from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.interfaces import IPersonalityBlock

__all__ = ["CombinedBlock", "PersonalityBlock"]

#: From this intensity on, this adverb.
_ADVERBS = ((0.85, "extremely "), (0.65, "very "), (0.35, ""), (0.0, "slightly "))


class PersonalityBlock(IPersonalityBlock):
    """A trait of the library, or a custom one with its own ``prompt``. ``intensity`` is 0 to 1.

    Raises ``UnknownNameError`` for a name that is no trait and has no prompt.

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
        if prompt is None and name not in TRAITS:
            raise UnknownNameError(
                "personality trait", name, TRAITS, "(or give the block a prompt of its own)"
            )
        self.name, self.intensity, self.prompt = name, float(intensity), prompt

    def get_prompt_modifiers(self) -> list[str]:
        """One sentence, worded after the intensity; none at intensity 0."""
        if self.intensity == 0:
            return []
        adverb = next(word for bound, word in _ADVERBS if self.intensity >= bound)
        if self.prompt is None:
            return [f"You are {adverb}{self.name}: {TRAITS[self.name]}."]
        strength = f" Be {adverb}marked in this." if adverb else ""
        return [self.prompt.strip() + strength]

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
