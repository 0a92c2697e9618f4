"""The notebooks as tests: strictly against their tapes, and in shape against the embedded model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

PROJECT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
QUICKSTART = PROJECT / "notebooks" / "01_quickstart.ipynb"
RUNNER = PROJECT / "scripts" / "notebooks.py"
SHAPES = {
    "answer": ["375"],
    "tool-calls": ["calculator", "arguments", "success"],
    "memory": ["user", "content"],
    "comparison": ["answered", "tokens"],
}

pytestmark = pytest.mark.timeout(600)


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The notebook runner in a process that knows nothing of this test run's settings."""
    ours = ("GATHERING_STORE", "GATHERING_TAPE_MODE", "GATHERING_LIVE", "PYTEST_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | variables
    command = [sys.executable, str(RUNNER), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=PROJECT)


def plain(cell: Any) -> str:
    return "\n".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The quickstart after a run against the embedded model."""
    to = tmp_path_factory.mktemp("live") / "quickstart.ipynb"
    ran = run("live", QUICKSTART, to)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return nbformat.read(to, as_version=4)


@pytest.mark.kernel
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_outputs_come_out_again(path: Path) -> None:
    """Replayed from its tape with live calls made impossible, the notebook gives exactly what is committed."""
    ran = run("strict", path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.kernel
@pytest.mark.local_model
def test_no_cell_of_the_live_run_fails(live: Any) -> None:
    """Against the real model every cell runs, and has been run."""
    code = [cell for cell in live.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]


@pytest.mark.kernel
@pytest.mark.local_model
@pytest.mark.parametrize("tag", SHAPES)
def test_the_live_run_has_the_shape_of_the_story(live: Any, tag: str) -> None:
    """The words may differ from the committed ones; the facts, the columns and the models do not."""
    shown = "\n".join(plain(cell) for cell in live.cells if tag in cell.metadata.get("tags", ()))
    assert shown.strip()
    assert not [wanted for wanted in SHAPES[tag] if wanted not in shown]


@pytest.mark.kernel
@pytest.mark.local_model
@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p != QUICKSTART], ids=lambda path: path.stem)
def test_the_other_notebooks_run_live(path: Path, tmp_path: Path) -> None:
    """Against the real model every cell runs: the first one that fails would end the run."""
    ran = run("live", path, tmp_path / path.name)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_is_clean(path: Path) -> None:
    """It has outputs, no widget state, no time stamps, no machine's path, and runs with the kernel ``python3``."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    text = path.read_text("utf-8")
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert not [c for c in notebook.cells if "execution" in c.metadata]
    assert str(Path.home()) not in text
