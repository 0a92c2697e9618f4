"""``%gathering tape show|check|prune|merge|scan``: what is on a tape and whether it is sound, seen from a cell.

Owns the forms in which it is shown; the work is done in ``gathering.testing``. Without a file it is the tape that is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gathering.core.display import bundle
from gathering.core.errors import ConfigurationError, TapeError
from gathering.notebook.screen import Note
from gathering.testing import current_tape, tape_cli
from gathering.testing.tape_editing import Row, rows

__all__ = ["ACTIONS", "TAPE_OPTIONS", "tape_action"]

#: The options of ``%gathering tape FILE`` that ``gathering.tape`` takes under the same name.
TAPE_OPTIONS = ("mode", "speed", "tools", "unused")

#: The words of the command line that make sense in a cell: a notebook cannot run itself again.
ACTIONS = tuple(name for name in tape_cli.ACTIONS if name != "rerecord")


def tape_action(words: Sequence[str]) -> Any:
    """What ``%gathering tape WORD [FILE]`` gives. Raises ``TapeError`` for a tape, or a key, that needs mending."""
    action, *files = words
    there = current_tape()
    if not files:
        if there is None:
            raise ConfigurationError(f"no tape is in: write %gathering tape {action} FILE")
        if action == "prune":
            return Note(
                bundle(f"{there.path}: {tape_cli.many(there.prune())} dropped, not used in this session")
            )
        files = [there.path]
    if action == "show":
        return _frame(files[0])
    text, well = tape_cli.told(action, files)
    if not well:
        raise TapeError(text)
    return Note(bundle(text))


def _frame(path: str) -> Any:
    import pandas as pd

    return pd.DataFrame([asdict(row) for row in rows(path)], columns=list(Row.__slots__)).set_index("line")
