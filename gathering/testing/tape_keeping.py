"""Tapes as they were before a command recorded over them, wherever they lie: put back where it fails.

Owns the copies. The kernel in which a notebook is recorded makes them, the command that runs it puts them back.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["KEPT", "keep_copy", "kept_on_failure"]

#: The variable that names the folder of the copies.
KEPT = "GATHERING_TAPE_KEPT"


def keep_copy(tape: Path) -> None:
    """Before the tape is written to: keep it as it is, where a command asked for that. Nothing the second time."""
    folder = os.environ.get(KEPT)
    if not folder:
        return
    path = str(tape.absolute())
    note = Path(folder) / f"{hashlib.sha256(path.encode()).hexdigest()[:16]}.json"
    if note.exists():
        return
    if tape.exists():
        shutil.copyfile(tape, note.with_suffix(".tape"))
    note.write_text(json.dumps(path), "utf-8")  # last: what has a note has a whole copy


@contextmanager
def kept_on_failure() -> Iterator[dict[str, str]]:
    """A block after which all tapes that were written in it are as before, if it fails or is stopped.

    Gives the variables for the kernels that write them. A tape that was not there is gone again.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield {KEPT: folder}
        except BaseException:
            _put_back(Path(folder))
            raise


def _put_back(folder: Path) -> None:
    for note in folder.glob("*.json"):
        tape, copy = Path(json.loads(note.read_text("utf-8"))), note.with_suffix(".tape")
        if copy.exists():
            beside = tape.with_name(f"{tape.name}.part")
            shutil.copyfile(copy, beside)
            beside.replace(tape)
        else:
            tape.unlink(missing_ok=True)
