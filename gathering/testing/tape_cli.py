"""``gathering tape show|check|prune|merge|rerecord|scan``: the words, and what is printed. The work is done elsewhere.

The magic ``%gathering tape show`` and its like say the same words to ``told``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError
from gathering.testing.lanes import write_outputs
from gathering.testing.scan import scan
from gathering.testing.tape_editing import merged, problems, pruned, rows
from gathering.testing.tape_rehearsal import Rehearsed, notebook_of, rehearsed

__all__ = ["ACTIONS", "add_to", "many", "told"]

_COLUMNS = ("line", "kind", "prompt", "asked", "ordinal", "outcome", "ms", "bytes")
_Answer = tuple[str, bool]


def add_to(commands: Any) -> None:
    """Put the command and its words into the parser of ``gathering``."""
    tape = commands.add_parser("tape", help="show, check and mend tapes, and find keys in notebooks")
    tape.set_defaults(run=lambda options: _help(tape))
    actions = tape.add_subparsers(title="what to do", metavar="ACTION")
    for name, (words, about, _) in ACTIONS.items():
        action = actions.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        for word, several in words:
            action.add_argument(word.lower(), metavar=word, nargs=several)
        if name in ("prune", "rerecord"):
            action.add_argument("--notebook", metavar="FILE", help="the notebook that uses the tape")
        if name == "rerecord":
            action.add_argument(
                "--keep-outputs", action="store_true", help="record, and leave the notebook as it is"
            )
        action.set_defaults(run=_run, action=name)


def told(action: str, words: Sequence[str], notebook: str | None = None) -> _Answer:
    """What is to be said, and whether all is well. Raises what says in one line why it cannot be done."""
    wanted, _, do = ACTIONS[action]
    least = sum(several in (None, "+") for _, several in wanted)
    if len(words) < least:
        names = " ".join(word for word, _ in wanted)
        raise ConfigurationError(f"tape {action} needs {names}: name the file")
    return do(list(words), notebook)


def _run(options: argparse.Namespace) -> int:
    words: list[str] = []
    for word, _ in ACTIONS[options.action][0]:
        given = getattr(options, word.lower())
        words += given if isinstance(given, list) else [given] if given is not None else []
    if getattr(options, "keep_outputs", False):
        text, well = _recorded(words, options.notebook)
    else:
        text, well = told(options.action, words, getattr(options, "notebook", None))
    sys.stdout.write(f"{text}\n")
    return 0 if well else 1


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _show(words: list[str], notebook: str | None) -> _Answer:
    table = [_COLUMNS, *(tuple(_cell(value) for value in astuple(row)) for row in rows(words[0]))]
    widths = [max(len(row[i]) for row in table) for i in range(len(_COLUMNS))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
    return "\n".join(lines), True


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _check(words: list[str], notebook: str | None) -> _Answer:
    found = problems(words[0])
    if found:
        return "\n".join(found), False
    return f"{words[0]}: sound, {many(sum(1 for _ in rows(words[0])))}", True


def _prune(words: list[str], notebook: str | None) -> _Answer:
    gone = pruned(words[0])
    if notebook is None:
        return f"{words[0]}: {gone} lines dropped that no replay could use", True
    done = rehearsed(words[0], notebook, record=False)
    return f"{words[0]}: {done.dropped} of {many(done.kept + done.dropped)} dropped, {done.kept} kept", True


def _rerecord(words: list[str], notebook: str | None) -> _Answer:
    book = Path(notebook or notebook_of(words[0]))
    done = rehearsed(words[0], book, record=True)
    if done.recorded:
        write_outputs(book)
    new = f"; {book.name} has its new outputs" if done.recorded else ""
    return f"{words[0]}: {_said(done)}{new}", True


def _recorded(words: list[str], notebook: str | None) -> _Answer:
    """The same, and the notebook is left as it is."""
    return f"{words[0]}: {_said(rehearsed(words[0], notebook or notebook_of(words[0]), record=True))}", True


def _said(done: Rehearsed) -> str:
    return f"{many(done.recorded)} recorded, {done.dropped} dropped, {done.kept} kept as they were"


def _merge(words: list[str], notebook: str | None) -> _Answer:
    count, double = merged(words[0], words[1] if len(words) > 1 else None)
    note = f"; {double} were in both, and are as in the first" if double else ""
    return f"{words[0]}: {many(count)}{note}", True


def _scan(words: list[str], notebook: str | None) -> _Answer:
    found = scan(words)
    if found:
        return "\n".join(map(str, found)), False
    return f"no key in {', '.join(Path(word).as_posix() for word in words)}", True


def many(count: int) -> str:
    """So many entries, in words."""
    return f"{count} entry" if count == 1 else f"{count} entries"


#: Each action: the words it takes, what it is for, and what does it.
ACTIONS: Mapping[
    str, tuple[tuple[tuple[str, str | None], ...], str, Callable[[list[str], str | None], _Answer]]
] = {
    "show": ((("FILE", None),), "list what is on a tape", _show),
    "check": ((("FILE", None),), "say what is wrong with a tape, line by line", _check),
    "prune": ((("FILE", None),), "drop what no replay can use, or what a notebook does not use", _prune),
    "merge": (
        (("FILE", None), ("OTHER", "?")),
        "put another tape's entries into a tape, or join the sides of a git merge",
        _merge,
    ),
    "rerecord": ((("FILE", None),), "run the notebook and record only what has drifted", _rerecord),
    "scan": ((("PATHS", "+"),), "find keys in notebooks, tapes and folders of them", _scan),
}
