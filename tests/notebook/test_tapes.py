"""``%gathering tape show`` and its like: a tape looked at and put in order from a cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from gathering.core.errors import TapeError
from gathering.testing import ScriptedProvider, current_tape, tape

Run = Callable[[str], Any]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A tape of two exchanges, none in."""
    monkeypatch.chdir(tmp_path)
    with tape("lesson.jsonl", "record") as made:
        for prompt in ("A", "B"):
            made.wrap(ScriptedProvider(["x"])).complete([{"role": "user", "content": prompt}])
    yield "lesson.jsonl"
    if (left := current_tape()) is not None:
        left.close()


def test_show_is_a_dataframe_and_check_a_line(run: Run, recorded: str) -> None:
    """Of the file that is named, or of the tape that is in."""
    shown = run(f"%gathering tape show {recorded}").result
    assert (list(shown["prompt"]), list(shown["outcome"])) == (["A", "B"], ["answer", "answer"])
    assert repr(run(f"%gathering tape check {recorded}").result) == "lesson.jsonl: sound, 2 entries"
    run(f"%gathering tape {recorded}")
    assert list(run("%gathering tape show").result.index) == [2, 3]
    assert "no key in" in repr(run(f"%gathering tape scan {recorded}").result)


def test_prune_keeps_what_the_session_used(run: Run, recorded: str) -> None:
    """Of the tape that is in."""
    run(f"%gathering tape {recorded}")
    there = current_tape()
    assert there is not None
    there.wrap(ScriptedProvider([])).complete([{"role": "user", "content": "B"}])
    assert repr(run("%gathering tape prune").result).startswith("lesson.jsonl: 1 entry dropped")
    assert list(run("%gathering tape show").result["prompt"]) == ["B"]
    run("%gathering tape off")


def test_the_options_are_those_of_python(run: Run, recorded: str) -> None:
    """Mode, speed, tools and what is unused can be said in the magic."""
    run(f"%gathering tape {recorded} --mode replay --speed 0.5 --tools live --unused ignore -o put")
    there = run("put").result
    assert there is current_tape()
    assert (there.mode, there.speed, there.tools, there.when_unused) == ("replay", 0.5, "live", "ignore")
    run("%gathering tape off")


def test_what_is_wrong_is_an_error(run: Run, recorded: str, shell: Any) -> None:
    """A damaged tape, a word too many, no tape at all, and entries that nobody played when it is taken out."""

    def failing(code: str) -> str:
        result = shell.run_cell(code, store_history=True)
        assert result.error_in_exec is not None
        return str(result.error_in_exec)

    assert "no tape is in" in failing("%gathering tape show")
    assert "no use for 'more'" in failing(f"%gathering tape {recorded} more")
    run(f"%gathering tape {recorded}")
    assert "2 of 2 entries" in failing("%gathering tape off")
    assert current_tape() is None
    Path(recorded).write_text("dear diary\n")
    assert "line 1 (not JSON)" in failing(f"%gathering tape check {recorded}")


def test_a_tape_that_was_put_in_order_is_played_from_its_beginning(run: Run, recorded: str) -> None:
    """The tape that is in knows what prune made of its file."""
    run(f"%gathering tape {recorded}")
    there = current_tape()
    assert there is not None
    ask(there, "A")
    lines = Path(recorded).read_bytes().splitlines(keepends=True)
    Path(recorded).write_bytes(lines[0] + lines[2] + lines[1] + lines[1])
    run(f"%gathering tape prune {recorded}")
    ask(there, "A")
    ask(there, "B")


def ask(there: Any, prompt: str) -> None:
    there.wrap(ScriptedProvider([])).complete([{"role": "user", "content": prompt}])


DRIFTED = """%load_ext gathering
import gathering
from gathering.testing import ScriptedProvider
for prompt in ("A", "C"):
    gathering.tape("lesson.jsonl", "replay").wrap(ScriptedProvider(["new"])).complete([{"role": "user", "content": prompt}])
%gathering tape rerecord"""


@pytest.mark.kernel
def test_what_has_drifted_is_recorded_from_a_cell(
    run: Run, recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a notebook that says replay, and one that holds the cell itself; the open notebook is not written."""
    book: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(DRIFTED)])  # type: ignore[no-untyped-call]
    nbformat.write(book, "lesson.ipynb")  # type: ignore[no-untyped-call]
    before = Path("lesson.ipynb").read_bytes(), Path(recorded).read_bytes().splitlines()[1]
    run(f"%gathering tape {recorded}")
    assert "not recorded again" in repr(run("%gathering tape rerecord").result)  # this is a test
    monkeypatch.delenv("PYTEST_VERSION")
    said = repr(run("%gathering tape rerecord").result)
    assert (
        said
        == "lesson.jsonl: 1 entry recorded, 1 dropped, 1 kept as they were; run the cells again to see it"
    )
    assert (Path("lesson.ipynb").read_bytes(), Path(recorded).read_bytes().splitlines()[1]) == before
    there = current_tape()
    assert there is not None
    ask(there, "C")
    with pytest.raises(TapeError, match="there is no notebook"):
        run("%gathering tape rerecord --notebook nowhere.ipynb")
