"""One run of a notebook in a kernel of its own, with its tapes or live. Owns the run, no verdict on it."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError
from gathering.testing.cells import cell_label, check_lines
from gathering.testing.parameters import with_values
from gathering.testing.tape_modes import COMMANDED

__all__ = [
    "LiveRun",
    "check_installed",
    "execute",
    "execute_or_say",
    "kept_on_failure",
    "live_run",
    "read_notebook",
]

#: Seconds a cell may take where a model is asked.
CELL_SECONDS = 600
_CHECKS = "__import__('gathering.notebook.checking', fromlist=['checking']).check_tagged({lines!r})"
#: What is no failure of a cell: a check that does not hold is a row.
_EXPECTED = "CheckFailedError"


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What one live run gave: which checks held, and by cell what was raised."""

    held: Mapping[str, bool]
    errors: Mapping[str, str]


def check_installed(*modules: str) -> None:
    """Raise ``ConfigurationError`` with what to install, unless these modules and those that run notebooks are there."""
    for module in ("nbformat", "nbclient", *modules):
        if find_spec(module) is None:
            raise ConfigurationError(
                f"running notebooks needs {module}: run pip install 'gathering[testing]'"
            )


def read_notebook(path: Path) -> Any:
    """The notebook in this file, in the newest form. Raises ``ConfigurationError``."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no notebook {str(path)!r}: name a file that ends in .ipynb"
        ) from None
    except Exception as err:  # nbformat raises errors of several libraries for what is no notebook
        raise ConfigurationError(f"{str(path)!r} is no notebook ({type(err).__name__}): name one") from err


def execute_or_say(notebook: Any, path: Path, variables: Mapping[str, str]) -> None:
    """Run a notebook as under a test runner. Raises ``ConfigurationError`` that names the error of the cell that failed."""
    from nbclient.exceptions import CellExecutionError

    try:
        # As under a test runner, where each cell has one final output.
        execute(notebook, path, {"PYTEST_VERSION": "recording", **variables})
    except CellExecutionError as err:
        raise ConfigurationError(
            f"{path.name} cannot be recorded, a cell failed ({err.ename}: {err.evalue}): correct it, or tag it 'raises-exception'"
        ) from err


def execute(notebook: Any, path: Path, variables: Mapping[str, str | None], **options: Any) -> None:
    """Run a notebook in its own folder with these variables (None: without that one); its outputs are in it then."""
    from nbclient import NotebookClient

    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(path.absolute().parent)}},
        extra_arguments=["--IPKernelApp.log_level=40"],  # what a kernel logs is not what was asked
        **options,
    )
    wanted = {**os.environ, **variables}
    client.execute(env={name: value for name, value in wanted.items() if value is not None})


@contextmanager
def kept_on_failure(path: Path) -> Iterator[None]:
    """A block after which the tapes that the notebook names are as before, if it fails or is stopped."""
    before = {tape: tape.read_bytes() for tape in _tapes_of(path)}
    try:
        yield
    except BaseException:
        for tape, content in before.items():
            tape.write_bytes(content)
        raise


def _tapes_of(path: Path) -> list[Path]:
    """The tapes in the notebook's folder and below it that are named in it, also those of sets of parameters."""
    source = path.read_text("utf-8", "replace")
    near = [*path.parent.glob("*.jsonl"), *path.parent.glob("*/*.jsonl")]
    return [tape for tape in near if any(name in source for name in _names(tape.name))]


def _names(tape: str) -> Iterator[str]:
    """What a notebook may call this tape: its name, and without the set of parameters in it, wherever that begins."""
    parts = tape.removesuffix(".jsonl").split(".")
    return (f"{'.'.join(parts[:count])}.jsonl" for count in range(1, len(parts) + 1))


def live_run(path: Path, values: Mapping[str, Any]) -> LiveRun:
    """Which checks held in one live run, each by its cell and words, and which cells raised."""
    from gathering.storage import SQLiteStore

    notebook = with_values(read_notebook(path), values, path.name) if values else read_notebook(path)
    _add_checks(notebook)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.sqlite"
        wanted = {"GATHERING_TAPE_MODE": "live", COMMANDED: "live", "GATHERING_STORE": str(trace)}
        execute(notebook, path, wanted, allow_errors=True)
        rows: list[Mapping[str, Any]] = []
        if trace.exists():
            with closing(SQLiteStore(trace)) as store:
                rows = list(store.rows("checks"))
    held: dict[str, bool] = defaultdict(lambda: True)
    for row in rows:
        name = f"cell {row['cell']}: {row['check']}"
        held[name] = held[name] and bool(row["passed"])
    return LiveRun(dict(held), dict(_errors(notebook)))


def _errors(notebook: Any) -> Iterator[tuple[str, str]]:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code):
        if "raises-exception" in cell.metadata.get("tags", ()):
            continue
        for output in cell.outputs:
            if output.output_type == "error" and output.ename != _EXPECTED:
                yield f"Cell {number}: {cell_label(cell.source)}", f"{output.ename}: {output.evalue}"


def _add_checks(notebook: Any) -> None:
    """What the tags of cells ask for becomes a cell after them; the plugin does so in a replay."""
    import nbformat

    for place in range(len(notebook.cells) - 1, -1, -1):
        cell = notebook.cells[place]
        lines = check_lines(cell.metadata) if cell.cell_type == "code" else []
        if lines:
            added = nbformat.v4.new_code_cell(_CHECKS.format(lines=lines))  # type: ignore[no-untyped-call]
            notebook.cells.insert(place + 1, added)
