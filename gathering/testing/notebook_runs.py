"""One run of a notebook in a kernel of its own, with its tapes or live. Owns the run, no verdict on it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError
from gathering.testing.baseline import Checked
from gathering.testing.cells import cell_label, cell_names, check_lines
from gathering.testing.parameters import with_values
from gathering.testing.tape_modes import COMMANDED

__all__ = [
    "LiveRun",
    "check_installed",
    "execute",
    "execute_or_say",
    "live_run",
    "read_notebook",
]

#: Seconds a cell may take where a model is asked.
CELL_SECONDS = 600
_CHECKS = "__import__('gathering.notebook.checking', fromlist=['checking']).check_above({lines!r})"
#: What is no failure of a cell: a check that does not hold is a row.
_EXPECTED = "CheckFailedError"
#: Where a cell that is run keeps what it is found again by.
_NAME = "gathering_name"
#: What marks a cell that is not the notebook's own.
_ADDED = "gathering_added"


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What one live run gave: which checks held, by cell what was raised, and what it took.

    ``cost`` is in US dollars, without the calls whose cost is not known, of which there were ``unpriced``.
    """

    held: Mapping[Checked, bool]
    errors: Mapping[str, str]
    seconds: float
    cost: float
    unpriced: int


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
    """Run a notebook in its own folder with these variables (None: without that one); its outputs are in it then.

    Ctrl-C ends the kernel at once, and is a ``KeyboardInterrupt``.
    """
    from gathering.testing.notebook_client import StoppableClient

    client = StoppableClient(
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


def live_run(path: Path, values: Mapping[str, Any]) -> LiveRun:
    """Which checks held in one live run, which cells raised, and what it took."""
    from gathering.storage import SQLiteStore

    notebook = _marked(path)
    if values:
        notebook = with_values(notebook, values, path.name)
    _add_checks(notebook)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.sqlite"
        wanted = {"GATHERING_TAPE_MODE": "live", COMMANDED: "live", "GATHERING_STORE": str(trace)}
        started = time.perf_counter()
        execute(notebook, path, wanted, allow_errors=True)
        seconds = time.perf_counter() - started
        checks: list[Mapping[str, Any]] = []
        costs: list[float | None] = []
        if trace.exists():
            with closing(SQLiteStore(trace)) as store:
                checks = list(store.rows("checks"))
                costs = [call["cost_usd"] for call in store.rows("calls")]
    held = _held(checks, notebook)
    return LiveRun(held, dict(_errors(notebook)), seconds, sum(c or 0.0 for c in costs), costs.count(None))


def _marked(path: Path) -> Any:
    """The notebook, each cell with what it is found again by."""
    notebook = read_notebook(path)
    for cell, name in zip(notebook.cells, cell_names(path.read_text("utf-8")), strict=False):
        cell.metadata[_NAME] = name
    return notebook


def _held(rows: Iterable[Mapping[str, Any]], notebook: Any) -> dict[Checked, bool]:
    """The checks in the order in which they were made: one made several times in a cell held if it did each time."""
    names = {
        cell.execution_count: cell.metadata.get(_NAME) or (cell.get("id", ""), cell_label(cell.source))
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    held: dict[Checked, bool] = {}
    for row in rows:
        cell, label = names.get(row["cell"], ("", ""))
        checked = Checked(cell, label, row["check"])
        held[checked] = held.get(checked, True) and bool(row["passed"])
    return held


def _errors(notebook: Any) -> Iterator[tuple[str, str]]:
    """The cells that raised: what was added after a cell counts as that cell, which says one thing."""
    name, number, told = "", -1, False
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if not cell.metadata.get(_ADDED):
            number, told = number + 1, False
            name = f"Cell {number}: {cell_label(cell.source)}"
        if told or "raises-exception" in cell.metadata.get("tags", ()):
            continue
        for output in cell.outputs:
            if output.output_type == "error" and output.ename != _EXPECTED:
                told = True
                yield name, f"{output.ename}: {output.evalue}"


def _add_checks(notebook: Any) -> None:
    """What the tags of cells ask for becomes a cell after them; the plugin does so in a replay."""
    import nbformat

    for place in range(len(notebook.cells) - 1, -1, -1):
        cell = notebook.cells[place]
        lines = check_lines(cell.metadata) if cell.cell_type == "code" else []
        if lines:
            added: Any = nbformat.v4.new_code_cell(_CHECKS.format(lines=lines))  # type: ignore[no-untyped-call]
            added.metadata.update({_NAME: cell.metadata.get(_NAME), _ADDED: True})
            notebook.cells.insert(place + 1, added)
