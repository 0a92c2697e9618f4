"""What a cell gave beside what is recorded, as lines that a person reads. Owns those lines; nbval says whether they differ."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["compared", "difference"]

_HEAD = "the output is not what is recorded (- recorded, + now):"
#: So many equal lines are shown around those that differ.
_AROUND = 2


def compared(cell: Any, compare: Callable[..., bool], test: Any, ref: Any, skip_compare: Any = None) -> bool:
    """What nbval finds. Where outputs differ, the cell says so by their texts: nbval takes the first form, which is HTML."""
    same = compare(test, ref, skip_compare)
    if not same and (lines := difference(_text(ref, cell.sanitize), _text(test, cell.sanitize))):
        cell.comparison_traceback = lines
    return same


def difference(recorded: str, now: str) -> list[str]:
    r"""The lines that differ, with a few around them; none if the texts are equal.

    >>> print(*difference("It is 375.", "It is 376."), sep="\n")
    the output is not what is recorded (- recorded, + now):
    - It is 375.
    + It is 376.
    """
    lines = difflib.unified_diff(recorded.splitlines(), now.splitlines(), lineterm="", n=_AROUND)
    shown = list(_shown(line for number, line in enumerate(lines) if number > 1))
    return [_HEAD, *shown] if shown else []


def _shown(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if not line.startswith("@@"):
            yield f"{line[:1]} {line[1:]}"
        elif number:
            yield "  ..."


def _text(outputs: Iterable[Mapping[str, Any]], sanitize: Callable[[Any], Any]) -> str:
    """What a reader without pictures sees of a cell's outputs, what may differ taken out."""
    return "\n".join(str(sanitize(_plain(output))) for output in outputs)


def _plain(output: Mapping[str, Any]) -> str:
    if "data" in output:
        return str(output["data"].get("text/plain") or f"({', '.join(output['data'])})")
    if "ename" in output:
        return f"{output['ename']}: {output.get('evalue', '')}"
    return str(output.get("text", ""))
