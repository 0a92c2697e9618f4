"""What is to be asked of whom: cases x subjects x repeats, in a fixed order. Pure; nothing is asked here.

A case is one prompt with an id that stays the same from run to run: its index in a DataFrame, its ``case`` value, or
its place in the list. ``{{ name }}`` in a prompt is filled from the case; nothing else in it means anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from gathering.core.errors import ConfigurationError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Case", "CasesLike", "Plan", "Trial", "fill", "make_cases"]

CasesLike: TypeAlias = "str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] | pd.DataFrame"

_PLACE = re.compile(r"\{\{\s*(.+?)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt, its id, and the values it was made from."""

    id: Any
    prompt: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """One case put once to one subject; ``number`` is its place in the plan."""

    number: int
    case: Case
    subject: str
    repeat: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All trials: case by case, subject by subject, repeat by repeat. Subjects go by their labels."""

    cases: tuple[Case, ...]
    subjects: tuple[str, ...]
    repeats: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.repeats, int) or isinstance(self.repeats, bool) or self.repeats < 1:
            raise ConfigurationError(
                f"repeats = {self.repeats!r} is not usable: give a whole number of 1 or more"
            )

    def __len__(self) -> int:
        """How many trials there are."""
        return len(self.cases) * len(self.subjects) * self.repeats

    def trials(self) -> list[Trial]:
        """The trials in order; a repeat counts from 1."""
        order = (
            (case, subject, repeat)
            for case in self.cases
            for subject in self.subjects
            for repeat in range(1, self.repeats + 1)
        )
        return [Trial(number, *what) for number, what in enumerate(order)]


def make_cases(cases: CasesLike, prompt: str | None = None) -> tuple[Case, ...]:
    """The cases of a text, texts, dicts or a DataFrame; ``prompt`` is filled from each of them.

    Without ``prompt`` a dict or DataFrame says it itself under ``prompt``. Raises ``ConfigurationError`` for a
    column that is not there, a missing value, an empty prompt or two cases with one id.

    >>> [case.prompt for case in make_cases([{"word": "cat"}, {"word": "dog"}], "Spell {{ word }}.")]
    ['Spell cat.', 'Spell dog.']
    """
    rows = list(_rows(cases))
    if not rows:
        raise ConfigurationError("there is no case to compare on: give at least one prompt")
    if prompt is not None:
        _check_template(prompt, rows)
    made = tuple(_case(identity, row, prompt) for identity, row in rows)
    _check_ids(made)
    return made


def fill(template: str, values: Mapping[str, Any], case: Any = None) -> str:
    """The template with each ``{{ name }}`` replaced. Raises ``ConfigurationError`` for a name that has no value."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            close = nearest(name, map(str, values))
            advice = f"did you mean {close[0]!r}?" if close else f"there is {_listed(values)}"
            raise ConfigurationError(f"the prompt asks for {{{{ {name} }}}}, which no case has: {advice}")
        if _is_missing(values[name]):
            raise ConfigurationError(
                f"the case {case!r} has no value for {name!r}: fill it in or drop the case"
            )
        return str(values[name])

    return _PLACE.sub(value, template)


_Row: TypeAlias = "tuple[Any, str | Mapping[str, Any]]"


def _rows(cases: Any) -> Iterable[_Row]:
    if isinstance(cases, str | Mapping):
        cases = [cases]
    elif type(cases).__name__ == "DataFrame" and hasattr(cases, "to_dict"):  # without loading pandas to ask
        return [(_plain(i), row) for i, row in zip(cases.index, cases.to_dict("records"), strict=True)]
    elif hasattr(cases, "tolist"):  # a Series or an array
        cases = cases.tolist()
    try:
        return list(enumerate(cases, 1))
    except TypeError as err:
        raise ConfigurationError(
            f"the cases are {type(cases).__name__}: give a text, a list of texts or dicts, or a DataFrame"
        ) from err


def _case(identity: Any, row: Any, prompt: str | None) -> Case:
    if isinstance(row, str):
        values: Mapping[str, Any] = dict.fromkeys(_PLACE.findall(prompt or ""), row)
        text = row if prompt is None else fill(prompt, values, identity)
    elif isinstance(row, Mapping):
        values = row
        identity = _plain(row.get("case", identity))
        text = fill(prompt, row, identity) if prompt is not None else _own_prompt(row, identity)
    else:
        raise ConfigurationError(f"the case {identity!r} is {type(row).__name__}: give a text or a dict")
    if not text.strip():
        raise ConfigurationError(f"the prompt of the case {identity!r} is empty: write something to send")
    return Case(identity, text, dict(values))


def _own_prompt(row: Mapping[str, Any], identity: Any) -> str:
    text = row.get("prompt")
    if isinstance(text, str):
        return text
    if "prompt" in row:
        raise ConfigurationError(f"the prompt of the case {identity!r} is {text!r}: give a text")
    raise ConfigurationError(
        f"the case {identity!r} has {_listed(row)} and no 'prompt': give prompt='... {{{{ name }}}} ...'"
    )


def _check_template(prompt: Any, rows: Sequence[_Row]) -> None:
    if not isinstance(prompt, str):
        raise ConfigurationError(f"the prompt is {type(prompt).__name__}, not text: give a string")
    names = set(_PLACE.findall(prompt))
    if not names and len(rows) > 1:
        raise ConfigurationError(
            f"the prompt {prompt[:60]!r} has no {{{{ name }}}}, so all {len(rows)} cases would be the same: "
            "write where a case's value goes"
        )
    if len(names) > 1 and any(isinstance(row, str) for _, row in rows):
        raise ConfigurationError(
            f"the prompt asks for {_listed(sorted(names))}, but a case is one text: give dicts or a DataFrame"
        )


def _check_ids(cases: Sequence[Case]) -> None:
    seen: set[Any] = set()
    for case in cases:
        if isinstance(case.id, str | int) is False:
            raise ConfigurationError(
                f"the case id {case.id!r} is no text or number: use df.reset_index(drop=True)"
            )
        if case.id in seen:
            raise ConfigurationError(
                f"two cases have the id {case.id!r}: give each its own, for example by df.reset_index(drop=True)"
            )
        seen.add(case.id)


def _plain(identity: Any) -> Any:
    """The id as Python's own value, not NumPy's; a date or a tuple of index levels by its text."""
    item = identity.item() if hasattr(identity, "item") else identity
    if isinstance(item, float) and item.is_integer():
        return int(item)
    return item if isinstance(item, str | int) else str(item)


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and value != value)
    )


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(repr(str(name)) for name in list(names)[:20]) or "nothing"
