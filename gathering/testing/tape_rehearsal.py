"""A notebook run in a kernel of its own to learn what it uses of its tapes: to record what has drifted, to drop the rest.

Owns the run and nothing of the tapes' form. The notebook itself is not written here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError, TapeError
from gathering.testing.notebook_runs import check_installed, execute, read_notebook
from gathering.testing.parameters import set_name, with_values
from gathering.testing.tape import opened, rehearse
from gathering.testing.tape_editing import keep_used
from gathering.testing.tape_modes import COMMANDED

__all__ = ["Rehearsed", "begin", "end", "notebook_of", "rehearsed"]

_BEGIN = "from gathering.testing import tape_rehearsal as _rehearsal; _rehearsal.begin()"
_END = "_rehearsal.end()"
#: In which environment, other than the caller's, the notebook is run. It is no test: what is missing is asked for.
_RECORDING = {
    "GATHERING_TAPE_MODE": "auto",
    COMMANDED: "auto",
    "GATHERING_LIVE": None,
    "PYTEST_VERSION": None,
}
_REPLAYING = {"GATHERING_TAPE_MODE": "replay", "GATHERING_LIVE": "never", "PYTEST_VERSION": None}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a run did to a tape: how many entries it used as they were, how many it recorded, how many it dropped."""

    kept: int
    recorded: int
    dropped: int


def begin() -> None:
    """Said first in the notebook's kernel: Stop is replayed too, and what nobody plays is no error yet."""
    rehearse()


def end() -> None:
    """Said last: prints what was used of each tape."""
    found = [
        {"path": str(t.file.path), "used": [[*name, fresh] for name, fresh in t.used().items()]}
        for t in opened()
    ]
    sys.stdout.write(json.dumps(found))


def notebook_of(tape: str | Path) -> Path:
    """The notebook beside the tape, or one folder up, that names it; for the tape of a set, that names its notebook's tape.

    Raises ``ConfigurationError`` for none or several.
    """
    path = Path(tape).expanduser().absolute()
    nearby = [p for folder in (path.parent, path.parent.parent) for p in sorted(folder.glob("*.ipynb"))]
    texts = {p: p.read_text("utf-8", "replace") for p in nearby}
    by_name = ([p for p, text in texts.items() if name in text] for name in (path.name, _of_all_sets(path)))
    found = next(filter(None, by_name), [])
    if len(found) != 1:
        what = "no notebook" if not found else f"{len(found)} notebooks"
        raise ConfigurationError(f"{what} near the tape {str(tape)!r} use it: say which with --notebook FILE")
    return found[0]


def _of_all_sets(tape: Path) -> str:
    """The name that the notebook gives to the tape of a set."""
    return f"{tape.name.partition('.')[0]}{tape.suffix}"


def _check_values(tape: Path, notebook: Path) -> None:
    """Raise ``ConfigurationError`` for the tape of a set whose parameters were not given: another tape would be recorded."""
    if not notebook.is_file() or tape.name == _of_all_sets(tape):
        return
    text = notebook.read_text("utf-8", "replace")
    if tape.name not in text and _of_all_sets(tape) in text:
        raise ConfigurationError(
            f"{tape.name!r} is the tape of a set of parameters: give them with -p NAME=VALUE"
        )


def rehearsed(
    tape: str | Path, notebook: str | Path, *, record: bool, values: Mapping[str, Any] | None = None
) -> Rehearsed:
    """Run the notebook and keep on the tape what it used; with ``record`` what is missing is asked live and recorded.

    With ``values`` for its parameters the tape is that of their set. Entries that are used as they were stay byte for byte. Raises ``TapeError`` where a cell fails or the tape is not used; the
    tape keeps all it had then.
    """
    path = Path(tape).expanduser().absolute()
    if not values:
        _check_values(path, Path(notebook).expanduser())
    used: dict[tuple[str, int], bool] = {}
    for one in _run(Path(notebook).expanduser().absolute(), record, values or {}):
        if Path(one["path"]) == path:
            used.update({(key, ordinal): fresh for key, ordinal, fresh in one["used"]})
    if not used:
        raise TapeError(
            f"the notebook {Path(notebook).name!r} used nothing of the tape {str(tape)!r}: is it the right one?"
        )
    recorded = sum(used.values())
    return Rehearsed(len(used) - recorded, recorded, keep_used(tape, used))


def _run(path: Path, record: bool, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the kernel said of its tapes at the end."""
    check_installed()
    import nbformat
    from nbclient.exceptions import CellExecutionError

    cell: Any = nbformat.v4.new_code_cell
    notebook = with_values(read_notebook(path), values, path.name) if values else read_notebook(path)
    chosen = {"GATHERING_TAPE_SET": set_name(values)} if values else {}
    notebook.cells = [cell(_BEGIN), *notebook.cells, cell(_END)]
    try:
        execute(notebook, path, {**(_RECORDING if record else _REPLAYING), **chosen})
    except CellExecutionError as err:
        raise TapeError(
            f"the notebook {path.name!r} stopped at a cell ({err.ename}: {err.evalue}): mend the cell; "
            "nothing was dropped from the tape"
        ) from err
    said: list[dict[str, Any]] = json.loads("".join(o.get("text", "") for o in notebook.cells[-1].outputs))
    return said
