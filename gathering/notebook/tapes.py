"""``%gathering tape show|check|prune|merge|rerecord|scan``: a tape looked at and put in order from a cell.

Owns the forms in which it is shown; the work is done in ``gathering.testing``. Without a file it is the tape that is in.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gathering.core import session
from gathering.core.display import bundle
from gathering.core.errors import ConfigurationError, TapeError
from gathering.notebook.screen import Note
from gathering.testing import current_tape, tape_cli
from gathering.testing.tape import is_rehearsal
from gathering.testing.tape_editing import Row, rows

__all__ = ["ACTIONS", "TAPE_OPTIONS", "tape_action"]

#: The options of ``%gathering tape FILE`` that ``gathering.tape`` takes under the same name.
TAPE_OPTIONS = ("mode", "speed", "tools", "unused")

#: The words of the command line.
ACTIONS = tuple(tape_cli.ACTIONS)


def tape_action(words: Sequence[str], notebook: str | None = None) -> Any:
    """What ``%gathering tape WORD [FILE]`` gives. Raises ``TapeError`` for a tape, or a key, that needs mending.

    ``notebook`` is the one that uses the tape, for ``prune`` and ``rerecord``.
    """
    action, *files = words
    there = current_tape()
    if not files:
        if there is None:
            raise ConfigurationError(f"no tape is in: write %gathering tape {action} FILE")
        if action == "prune" and notebook is None:
            return Note(
                bundle(f"{there.path}: {tape_cli.many(there.prune())} dropped, not used in this session")
            )
        files = [there.path]
    if action == "show":
        return _frame(files[0])
    if action == "rerecord":
        return _rerecorded(files[0], notebook)
    text, well = tape_cli.told(action, files, tape_cli.How(notebook))
    if action in ("prune", "merge"):
        _reread(files[0])
    if not well:
        raise TapeError(text)
    return Note(bundle(text))


def _frame(path: str) -> Any:
    import pandas as pd

    return pd.DataFrame([asdict(row) for row in rows(path)], columns=list(Row.__slots__)).set_index("line")


def _rerecorded(file: str, notebook: str | None) -> Note:
    """The notebook as it is saved is run by a process of its own, which Stop reaches; the tape that is in is played anew."""
    if is_rehearsal() or session.under_test():  # the notebook that is run may hold this very cell
        return Note(bundle(f"{file}: not recorded again, this is a run of the notebook itself"))
    named = ("--notebook", notebook) if notebook else ()
    command = [sys.executable, "-m", "gathering", "tape", "rerecord", file, *named, "--keep-outputs"]
    ran = subprocess.run(  # noqa: S603 - our own interpreter, with our own words
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if ran.returncode:
        last = (ran.stderr or ran.stdout).strip().rpartition("\n")[2]
        raise TapeError(last.removeprefix("gathering: "))
    _reread(file)
    return Note(bundle(f"{ran.stdout.strip()}; run the cells again to see it"))


def _reread(file: str) -> None:
    """The file has changed: if it is the tape that is in, that is played from its beginning."""
    there = current_tape()
    if there is not None and there.file.path == Path(file).expanduser().absolute():
        there.reread()
