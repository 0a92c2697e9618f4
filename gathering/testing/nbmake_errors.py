"""What nbmake does not see: a cell whose error left no error among its outputs, and a miss in a cell that expects an error.

Owns how nbmake's client is told, for the time of a test. nbmake asks outputs whether a cell failed; a wrong magic of IPython
leaves a line on stderr and an error in the kernel's reply alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["expects_a_miss", "seeing_all_errors"]

MISS = "MissingRecordingError"
_TAG = "raises-exception"


def expects_a_miss(outputs: Any) -> bool:
    """Whether a cell's committed outputs show that something is not on the tape, as in a lesson about tapes."""
    return MISS in str(outputs)


@contextmanager
def seeing_all_errors(notebook: Path) -> Iterator[None]:
    """A block in which nbmake fails a notebook for what its kernel calls an error."""
    from nbmake import nb_run
    from nbmake.nb_run import NotebookClient

    from gathering.testing.notebook_runs import read_notebook

    expected = [expects_a_miss(cell.get("outputs")) for cell in read_notebook(notebook).cells]
    nb_run.NotebookClient = partial(NotebookClient, on_cell_error=partial(_see, expected))
    try:
        yield
    finally:
        nb_run.NotebookClient = NotebookClient


def _see(expected: list[bool], cell: Any, cell_index: int, execute_reply: Mapping[str, Any]) -> None:
    from nbclient.exceptions import CellExecutionError
    from nbformat.v4 import new_output

    said = execute_reply["content"]
    if _TAG in cell.metadata.get("tags", ()):
        if said.get("ename") == MISS and not expected[cell_index]:
            raise CellExecutionError.from_cell_and_msg(cell, said)
    elif not any(output.output_type == "error" for output in cell.outputs):
        line = f"{said.get('ename')}: {said.get('evalue')}"
        error = {"ename": said.get("ename"), "evalue": said.get("evalue"), "traceback": [line]}
        cell.outputs.append(new_output("error", **error))  # type: ignore[no-untyped-call]
