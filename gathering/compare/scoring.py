"""What an answer is worth: a user's functions, each a column. Owns calling them and nothing about statistics."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gathering.core.errors import ConfigurationError
from gathering.core.messages import Reply

__all__ = ["Score", "Scorer", "ScorerLike", "make_scorers"]

Score: TypeAlias = float | int | bool | str | None
ScorerLike: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Scorer:
    """One column of scores: ``function(text)`` or ``function(reply, case)``."""

    name: str
    function: ScorerLike
    sees_case: bool

    def score(self, reply: Reply, case: Mapping[str, Any]) -> Score:
        """The score of a reply. Raises ``TypeError`` for what is no number, bool or text, and what the function raises."""
        value = self.function(reply, case) if self.sees_case else self.function(reply.text)
        plain = value.item() if hasattr(value, "item") else value
        if plain is not None and not isinstance(plain, (int, float, str)):
            raise TypeError(f"gave {type(plain).__name__}: return a number, a bool or a text")
        return plain


def make_scorers(
    scorers: Iterable[ScorerLike] | Mapping[str, ScorerLike] | ScorerLike, taken: Iterable[str]
) -> tuple[Scorer, ...]:
    """The scorers of functions, named by ``__name__``, or of a dict of names.

    Raises ``ConfigurationError`` for what is no function of one or two arguments, and for a name that is
    already a column.
    """
    if callable(scorers):
        scorers = [scorers]
    named = (
        list(scorers.items())
        if isinstance(scorers, Mapping)
        else [(getattr(function, "__name__", ""), function) for function in scorers]
    )
    made: list[Scorer] = []
    for name, function in named:
        if not name or name == "<lambda>":
            raise ConfigurationError("a scorer without a name needs one: give scorers={'name': function}")
        if name in taken or any(scorer.name == name for scorer in made):
            raise ConfigurationError(f"the scorer {name!r} has the name of another column: rename it")
        made.append(Scorer(name, function, _sees_case(name, function)))
    return tuple(made)


def _sees_case(name: str, function: ScorerLike) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False  # a builtin such as len says nothing about itself
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty]
    if inspect.iscoroutinefunction(function) or not positional or len(needed) > 2:
        raise ConfigurationError(
            f"the scorer {name!r} cannot be called: write a function of (text) or of (reply, case)"
        )
    return len(needed) == 2
