"""Outputs as they are in the end: displays painted over and output cleared, by hand and under nbval itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from gathering.testing.outputs import settled

pytest_plugins = ["pytester"]

PAINTING = """
from IPython.display import clear_output, display
handle = display("begun", display_id=True)
print("counting")
for n in range(3):
    handle.update(f"step {n}")
handle.update("done")
"""
CLEARING = """
print("thrown away")
clear_output()
print("kept")
"""
WAITING = """
for n in range(3):
    clear_output(wait=True)
    print(n)
"""


def display(text: str, identity: str | None = None, update: bool = False) -> dict[str, Any]:
    content: dict[str, Any] = {"data": {"text/plain": text}, "metadata": {}, "transient": {}}
    if identity:
        content["transient"] = {"display_id": identity}
    return {"msg_type": "update_display_data" if update else "display_data", "content": content}


def stream(text: str) -> dict[str, Any]:
    return {"msg_type": "stream", "content": {"name": "stdout", "text": text}}


def clear(wait: bool = False) -> dict[str, Any]:
    return {"msg_type": "clear_output", "content": {"wait": wait}}


def shown(*messages: dict[str, Any]) -> list[str]:
    contents = [m["content"] for m in settled(messages)]
    return [c["text"] if "text" in c else c["data"].get("text/plain", "") for c in contents]


def test_a_display_is_what_it_was_painted_over_with() -> None:
    """In its place; another display, and an update of one that is not of this cell, change nothing."""
    said = shown(
        display("a", "1"),
        stream("x"),
        display("b", "2"),
        display("c", "1", update=True),
        display("d", "9", update=True),
    )
    assert said == ["c", "x", "b"]


def test_two_displays_of_one_id_change_together() -> None:
    """As in a notebook."""
    assert shown(display("a", "1"), display("a", "1"), display("b", "1", update=True)) == ["b", "b"]


def test_a_display_that_was_wiped_is_empty() -> None:
    """It stays where it is, with nothing in it."""
    wiped: dict[str, Any] = {
        "msg_type": "update_display_data",
        "content": {"data": {}, "metadata": {}, "transient": {"display_id": "1"}},
    }
    assert shown(display("a", "1"), wiped) == [""]


def test_cleared_output_is_gone() -> None:
    """At once, or when the next output comes; never if none does."""
    assert shown(stream("a"), clear(), stream("b")) == ["b"]
    assert shown(stream("a"), clear(wait=True), stream("b")) == ["b"]
    assert shown(stream("a"), clear(wait=True)) == ["a"]


def notebook(path: Path, *sources: str) -> Any:
    """A notebook with the outputs that running it gives, as a front end saves them."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbclient.NotebookClient(made, timeout=60).execute()
    for number, cell in enumerate(made.cells, 1):
        cell.execution_count = number
    nbformat.write(made, path)
    return made


@pytest.mark.kernel
def test_nbval_compares_what_is_there_in_the_end(pytester: pytest.Pytester) -> None:
    """Strictly: three cells that nbval alone cannot pass; a display that ends otherwise fails its cell only."""
    path = pytester.path / "painting.ipynb"
    made = notebook(path, PAINTING, CLEARING, WAITING)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "--nbval", str(path)).assert_outcomes(passed=3)
    made.cells[0].source = PAINTING.replace("done", "over")
    nbformat.write(made, path)
    failed = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--nbval", str(path))
    failed.assert_outcomes(failed=1, passed=2)
    failed.stdout.fnmatch_lines(["*over*"])


@pytest.mark.kernel
def test_a_cell_that_fails_is_still_said(pytester: pytest.Pytester) -> None:
    """The error of a cell behind a painted display reaches nbval, and the next cell runs."""
    path = pytester.path / "failing.ipynb"
    made = notebook(path, PAINTING, "1", "2")
    made.cells[1].source = PAINTING + "1 / 0"
    nbformat.write(made, path)
    failed = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--nbval", str(path))
    failed.assert_outcomes(failed=1, passed=2)
    failed.stdout.fnmatch_lines(["*ZeroDivisionError*"])


WIDGET = """import ipywidgets
box = ipywidgets.Output()
box"""
INSIDE = """with box:
    print("inside")
    display(2)
print("outside")"""
CLEARED = """print("kept")
with box:
    from IPython.display import clear_output
    clear_output()"""


@pytest.mark.kernel
def test_what_a_widget_takes_is_not_the_cells(pytester: pytest.Pytester) -> None:
    """Printed, shown or cleared inside an ``ipywidgets.Output``, it is compared nowhere; what is outside still is."""
    path = pytester.path / "widget.ipynb"
    made = notebook(path, WIDGET, INSIDE, CLEARED)
    assert [o["text"] for o in made.cells[1].outputs] == ["outside\n"]
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "--nbval", str(path)).assert_outcomes(passed=3)
    made.cells[1].source = INSIDE.replace("outside", "elsewhere")
    nbformat.write(made, path)
    failed = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--nbval", str(path))
    failed.assert_outcomes(failed=1, passed=2)


@pytest.mark.kernel
@pytest.mark.parametrize("how", ["--nbval", "--nbval-lax"])
def test_a_wrong_magic_fails_its_cell(pytester: pytest.Pytester, how: str) -> None:
    """IPython prints it and goes on; the cell fails all the same, unless it is tagged to raise."""
    path = pytester.path / "wrong.ipynb"
    made = notebook(path, "1", "2", "3")
    stderr = nbformat.v4.new_output(
        "stream", name="stderr", text="UsageError: Line magic function `%nowhere` not found.\n"
    )
    for cell in made.cells[:2]:
        cell.source, cell.outputs = "%nowhere", [stderr]
    made.cells[1].metadata["tags"] = ["raises-exception"]
    nbformat.write(made, path)
    failed = pytester.runpytest_subprocess("-p", "no:cacheprovider", how, str(path))
    failed.assert_outcomes(failed=1, passed=2)
    failed.stdout.fnmatch_lines(["*UsageError: Line magic function `%nowhere` not found*"])
