"""Keys that stand in notebooks and tapes are found, wherever they are, and not shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gathering.__main__ import main
from gathering.testing.scan import scan

KEY = "sk-proj-abcdefghijk1234567890"


def notebook(path: str, **cell: Any) -> None:
    made = {"cell_type": "code", "metadata": {}, "source": "1", "outputs": [], "execution_count": 1, **cell}
    content = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": "# A lesson"}, made]}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps({**content, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.mark.parametrize(("cell", "place"), [
    ({"source": ["import os\n", f"key = '{KEY}'\n"]}, "cell 2, source"),
    ({"outputs": [{"output_type": "stream", "name": "stdout", "text": [f"using {KEY}\n"]}]}, "cell 2, outputs"),
    ({"outputs": [{"output_type": "error", "ename": "E", "evalue": KEY, "traceback": ["x"]}]}, "cell 2, outputs"),
    ({"outputs": [{"output_type": "display_data", "metadata": {}, "data": {"text/plain": f"'{KEY}'"}}]}, "cell 2, outputs"),
    ({"metadata": {"api_key": "hunter2"}}, "cell 2, metadata"),
])  # fmt: skip
def test_a_key_in_a_notebook_is_found(cell: Any, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the cell it is in, and without the key itself; the exit code is 1."""
    notebook("lesson.ipynb", **cell)
    assert main(["tape", "scan", "lesson.ipynb"]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"lesson.ipynb, {place}: a key stands here")
    assert KEY not in said
    assert "hunter2" not in said


def test_a_folder_is_searched_and_a_clean_one_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Notebooks and tapes in it, but not the copies an editor keeps, nor images."""
    notebook("lessons/a.ipynb")
    image = {"output_type": "display_data", "metadata": {}, "data": {"image/png": KEY}}
    notebook("lessons/b.ipynb", outputs=[image])
    notebook("lessons/.ipynb_checkpoints/a.ipynb", source=KEY)
    assert main(["tape", "scan", "lessons"]) == 0
    assert capsys.readouterr().out == "no key in lessons\n"
    Path("lessons/tapes").mkdir()
    Path("lessons/tapes/t.jsonl").write_text(
        '{"gathering_tape": 1}\n{"request": "Bearer abcdef0123456789"}\n'
    )
    (found,) = scan(["lessons"])
    assert (found.file, found.place) == ("t.jsonl", "line 2")


def test_what_is_masked_already_is_no_key() -> None:
    """Tapes hold ``***`` where a key was."""
    Path("t.jsonl").write_text('{"api_key": "***", "text": "Bearer ***"}\n')
    assert scan(["t.jsonl"]) == []


def test_a_notebook_that_cannot_be_read_is_searched_by_its_lines() -> None:
    """Half a notebook may hold a whole key."""
    Path("half.ipynb").write_text(f'{{"cells": [\n"{KEY}"')
    (found,) = scan(["half.ipynb"])
    assert found.place == "line 2"
