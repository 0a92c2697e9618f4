"""``gathering tape show|check|prune|merge|rerecord|scan``: the words, and what is printed. The work is done elsewhere.

The magic ``%gathering tape show`` and its like say the same words to ``told``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError
from gathering.testing.lanes import write_outputs
from gathering.testing.parameters import read_values, set_name, tape_of_set
from gathering.testing.scan import scan
from gathering.testing.tape_editing import merged, problems, pruned, rows
from gathering.testing.tape_rehearsal import notebook_of, rehearsed

__all__ = ["ACTIONS", "How", "add_to", "many", "told"]

_COLUMNS = ("line", "kind", "prompt", "asked", "ordinal", "outcome", "ms", "bytes")
_Answer = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class How:
    """What is said beside the files: the notebook that uses the tape, other values for its parameters, what is written."""

    notebook: str | None = None
    parameter: Sequence[str] = ()
    keep_outputs: bool = False

    def values(self) -> dict[str, Any]:
        """The parameters' values."""
        return read_values(self.parameter)

    def tape(self, file: str) -> str:
        """The tape of that set."""
        return tape_of_set(file, set_name(self.values())).as_posix()


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
            action.add_argument(
                "-p",
                "--parameter",
                action="append",
                default=[],
                metavar="NAME=VALUE",
                help="another value for a parameter, for the tape of that set",
            )
        if name == "rerecord":
            action.add_argument(
                "--keep-outputs", action="store_true", help="record, and leave the notebook as it is"
            )
        action.set_defaults(run=_run, action=name)


def told(action: str, words: Sequence[str], how: How | None = None) -> _Answer:
    """What is to be said, and whether all is well. Raises what says in one line why it cannot be done."""
    wanted, _, do = ACTIONS[action]
    least = sum(several in (None, "+") for _, several in wanted)
    if len(words) < least:
        names = " ".join(word for word, _ in wanted)
        raise ConfigurationError(f"tape {action} needs {names}: name the file")
    return do(list(words), how or How())


def _run(options: argparse.Namespace) -> int:
    words: list[str] = []
    for word, _ in ACTIONS[options.action][0]:
        given = getattr(options, word.lower())
        words += given if isinstance(given, list) else [given] if given is not None else []
    given = {f.name: getattr(options, f.name) for f in fields(How) if hasattr(options, f.name)}
    text, well = told(options.action, words, How(**given))
    sys.stdout.write(f"{text}\n")
    return 0 if well else 1


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _show(words: list[str], how: How) -> _Answer:
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


def _check(words: list[str], how: How) -> _Answer:
    found = problems(words[0])
    if found:
        return "\n".join(found), False
    return f"{words[0]}: sound, {many(sum(1 for _ in rows(words[0])))}", True


def _prune(words: list[str], how: How) -> _Answer:
    tape = how.tape(words[0])
    gone = pruned(tape)
    if how.notebook is None and not how.parameter:
        return f"{tape}: {gone} lines dropped that no replay could use", True
    done = rehearsed(tape, how.notebook or notebook_of(tape), record=False, values=how.values())
    return f"{tape}: {done.dropped} of {many(done.kept + done.dropped)} dropped, {done.kept} kept", True


def _rerecord(words: list[str], how: How) -> _Answer:
    tape = how.tape(words[0])
    book = Path(how.notebook or notebook_of(tape))
    done = rehearsed(tape, book, record=True, values=how.values())
    said = f"{tape}: {many(done.recorded)} recorded, {done.dropped} dropped, {done.kept} kept as they were"
    if how.keep_outputs or how.parameter or not done.recorded:
        return said, True
    write_outputs(book)
    return f"{said}; {book.name} has its new outputs", True


def _merge(words: list[str], how: How) -> _Answer:
    count, double = merged(words[0], words[1] if len(words) > 1 else None)
    note = f"; {double} were in both, and are as in the first" if double else ""
    return f"{words[0]}: {many(count)}{note}", True


def _scan(words: list[str], how: How) -> _Answer:
    found = scan(words)
    if found:
        return "\n".join(map(str, found)), False
    return f"no key in {', '.join(Path(word).as_posix() for word in words)}", True


def many(count: int) -> str:
    """So many entries, in words."""
    return f"{count} entry" if count == 1 else f"{count} entries"


#: Each action: the words it takes, what it is for, and what does it.
ACTIONS: Mapping[str, tuple[tuple[tuple[str, str | None], ...], str, Callable[[list[str], How], _Answer]]] = {
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
