"""The quickstart as a person sees it: opened in JupyterLab, run from top to bottom, and looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect

QUICKSTART = Path(__file__).parent.parent.parent / "notebooks" / "01_quickstart.ipynb"
PATIENCE = 60_000


def tagged(tag: str) -> list[int]:
    """The positions of the cells with this tag."""
    cells = nbformat.read(QUICKSTART, as_version=4).cells
    return [i for i, cell in enumerate(cells) if tag in cell.metadata.get("tags", ())]


def test_the_quickstart_runs_in_jupyterlab(lab: Any, open_notebook: Callable[[str], Any]) -> None:
    """Every cell runs; the answers, the two tables and the comparison are on the page, and no error is."""
    notebook = open_notebook(QUICKSTART.name)
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    notebook.run_all()
    notebook.wait_idle()
    notebook.shot("quickstart")
    for index in tagged("answer"):
        expect(notebook.output(index)).not_to_be_empty(timeout=PATIENCE)
    expect(notebook.output(tagged("answer")[0])).to_contain_text("375")
    for tag, column in {"tool-calls": "arguments", "memory": "content"}.items():
        table = notebook.output(tagged(tag)[0]).locator("table.dataframe")
        expect(table).to_be_visible()
        expect(table.locator("thead")).to_contain_text(column)
    expect(notebook.output(tagged("comparison")[0])).not_to_be_empty()
    assert (
        notebook.page.locator(".jp-Notebook [data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    )
    assert notebook.page.locator(".jp-RenderedText[data-mime-type*='error']").count() == 0


@pytest.mark.parametrize("tag", ["answer", "tool-calls", "memory", "comparison"])
def test_the_quickstart_tells_the_whole_story(tag: str) -> None:
    """Each part of the story has its cell."""
    assert tagged(tag)
