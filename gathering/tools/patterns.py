"""Patterns of permission rules, and whether they fit what a call would touch. Owns the matching, no rule.

``*`` stops at a ``/``, ``**`` does not, ``?`` is one character and ``[x]`` the character itself. What widens is read
narrowly and what restrains widely: a pattern that allows has to fit everything a call would touch, letter by letter;
one that asks or denies has to fit any of it, in any case of its letters.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence

from gathering.core.results import Reach, Touched

__all__ = ["fits", "literal"]

_PIECES = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^\]]\])")
#: What the wild cards of a pattern mean to a regular expression.
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
#: No file, host or table is called this: only a wild card fits it, and only ``**`` so many folders of it.
_ANY_NAME = "\ufffe" * 300
_ANY_DEPTH = f"{_ANY_NAME}/" * 70


def literal(target: str) -> str:
    """A pattern that fits exactly this target."""
    text = ",".join(names[0] for names in target.things) if isinstance(target, Touched) else target
    return re.sub(r"([*?\[])", r"[\1]", text)


def fits(pattern: str, target: str, *, widens: bool) -> bool:
    """Whether a rule with this pattern is about the target; ``widens`` is True for a rule that allows."""
    pattern = unicodedata.normalize("NFC", pattern)
    if pattern == unicodedata.normalize("NFC", literal(target)):
        return True
    things = target.things if isinstance(target, Touched) else ((target,),)
    forms = _here(pattern)
    if widens:
        return bool(things) and all(
            any(_covers(p, name) for p in forms for name in names) for names in things
        )
    return any(_touches(p, name) for p in forms for names in things for name in names)


def _here(path: str) -> tuple[str, ...]:
    """The text, and without the ``./`` that a path in this folder may begin with."""
    return (path, path[2:]) if path.startswith("./") else (path,)


def _covers(pattern: str, value: str) -> bool:
    """Whether the pattern fits the value, or everything in a reach."""
    plain = unicodedata.normalize("NFC", value)
    if isinstance(value, Reach):
        plain = plain.replace("**/", _ANY_DEPTH).replace("**", _ANY_DEPTH).replace("*", _ANY_NAME)
    return _regex(pattern).fullmatch(plain) is not None


def _touches(pattern: str, value: str) -> bool:
    """Whether the pattern fits the value, or something in a reach, whatever the case of its letters."""
    folded, small = unicodedata.normalize("NFC", value).casefold(), pattern.casefold()
    if isinstance(value, Reach):
        return _overlap(small, folded)
    return any(_regex(small).fullmatch(form) for form in _here(folded))


@functools.lru_cache(maxsize=512)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join(_WILD.get(p) or re.escape(_plain(p)) for p in _PIECES.split(pattern)), re.DOTALL
    )


def _plain(piece: str) -> str:
    return piece[1] if len(piece) == 3 and piece[0] == "[" and piece[2] == "]" else piece


def _overlap(one: str, other: str) -> bool:
    """Whether a text fits both patterns: the places reached in both, side by side."""
    first, second = _tokens(one), _tokens(other)
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        i, j = waiting.pop()
        if i == len(first) and j == len(second):
            return True
        for step in _steps(first, second, i, j):
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    return False


def _steps(first: Sequence[str], second: Sequence[str], i: int, j: int) -> list[tuple[int, int]]:
    a, b = (first[i] if i < len(first) else ""), (second[j] if j < len(second) else "")
    skipped = [(i + 1, j)] * (a in ("*", "**")) + [(i, j + 1)] * (b in ("*", "**"))
    if a and b and _meet(a, b):
        return [*skipped, (i + (a not in ("*", "**")), j + (b not in ("*", "**")))]
    return skipped


def _meet(a: str, b: str) -> bool:
    """Whether one character can be both."""
    if "**" in (a, b):
        return True
    within = {"*", "?"}
    if a in within or b in within:
        return "/" not in (a, b)
    return a == b


def _tokens(pattern: str) -> list[str]:
    """Characters and wild cards; ``**/`` counts as ``**``, which fits more: this is for what restrains."""
    tokens: list[str] = []
    for piece in _PIECES.split(pattern):
        if piece in _WILD:
            tokens.append("**" if piece == "**/" else piece)
        else:
            # A star that is meant as itself is no wild card here.
            tokens += [f"[{c}]" if c in "*?" else c for c in _plain(piece)]
    return tokens
