"""Tapes listed, checked, pruned and merged: what stays, stays byte for byte, and the command says what it did."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gathering.__main__ import main
from gathering.testing import ScriptedProvider, tape
from gathering.testing.tape_file import TapeFile

TAPE = "lesson.jsonl"
LONG = "a long text that is written once " * 30


def ask(answers: dict[str, Any], path: str = TAPE, **options: Any) -> None:
    """A tape of these prompts and their answers."""
    with tape(path, "record", **options) as made:
        for prompt, answer in answers.items():
            made.wrap(ScriptedProvider([answer])).complete([{"role": "user", "content": prompt}])


def lines(path: str = TAPE) -> list[str]:
    return [f"{line}\n" for line in Path(path).read_text("utf-8").split("\n")[:-1]]


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit code and what was printed."""
    code = main(["tape", *words])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def prompts(path: str = TAPE) -> list[str]:
    return [entry.request["messages"][-1]["content"] for entry in TapeFile(path).entries()]


def test_show_lists_the_entries(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each: where it stands, what was asked of whom, and how it ended."""
    ask({"What is a mean?": "The middle.", "Tell me a story.": LONG})
    code, text = said(capsys, "show", TAPE)
    assert code == 0
    rows = [row.split() for row in text.splitlines()]
    assert rows[0] == ["line", "kind", "prompt", "asked", "ordinal", "outcome", "ms", "bytes"]
    assert [row[0] for row in rows[1:]] == ["2", "4"]
    assert "What is a mean?" in text
    assert "scripted:script" in text


def test_a_sound_tape_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    """With how many entries it has."""
    ask({"A": "a", "B": LONG})
    assert said(capsys, "check", TAPE) == (0, f"{TAPE}: sound, 2 entries\n")


@pytest.mark.parametrize(("change", "wanted"), [
    (lambda text: text.replace('"content": "a"', '"content": a'), "damaged in line 2 (not JSON)"),
    (lambda text: text.replace('"content": "A"', '"content": "AA"'), "damaged in line 2 (its request was changed by hand"),
    (lambda text: "".join(text.splitlines(keepends=True)[:3]), "line 3 holds a long text that no entry uses"),
    (lambda text: "".join(line for line in text.splitlines(keepends=True) if '"long"' not in line), "a long text of it is missing"),
    (lambda text: text + text.splitlines(keepends=True)[1], "line 2 is taken over by line 5"),
    (lambda text: text.replace("{", "<", 1), "damaged in line 1 (not JSON)"),
    (lambda text: text.replace('"content": "a"', '"content": "sk-proj-abcdefghijk1234567890"'), "line 2: a key stands here (sk-…)"),
])  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(
    change: Any, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1, the line's number is named, a key is not shown, and the file is as it was."""
    ask({"A": "a", "B": LONG})
    Path(TAPE).write_text(change(Path(TAPE).read_text()))
    before = Path(TAPE).read_bytes()
    code, text = said(capsys, "check", TAPE)
    assert code == 1
    assert wanted in text
    assert "abcdefghijk" not in text
    assert Path(TAPE).read_bytes() == before


def test_prune_drops_what_no_replay_can_use(capsys: pytest.CaptureFixture[str]) -> None:
    """A line that another takes over, a long text without an entry, half a line; a changed request is taken as it is."""
    ask({"A": "a", "B": LONG, "C": "c"})
    header, first, value, second, third = lines()
    changed = first.replace('"content": "A"', '"content": "AA"')
    Path(TAPE).write_text(
        header + changed + value + second + value.replace('{"long": "', '{"long": "0') + third + third
    )
    code, text = said(capsys, "prune", TAPE)
    assert (code, text) == (0, f"{TAPE}: 2 lines dropped that no replay could use\n")
    assert prompts() == ["AA", "B", "C"]
    assert lines()[2:] == [value, second, third]
    assert said(capsys, "check", TAPE)[0] == 0


def test_pruned_by_a_session_the_tape_has_what_it_used() -> None:
    """The rest goes, what stays is as it was, and the tape that is in plays on."""
    ask({"A": "a", "B": LONG, "C": "c"})
    before = lines()
    with tape(TAPE, "replay") as made:
        assert made.wrap(ScriptedProvider([])).complete([{"role": "user", "content": "C"}])["content"] == "c"
        assert made.prune() == 2
        assert len(made) == 1
    assert lines() == [before[0], before[4]]


def test_merge_puts_two_tapes_together(capsys: pytest.CaptureFixture[str]) -> None:
    """Entries both have stay as the first has them; long texts are there once."""
    ask({"A": "a", "B": LONG})
    ask({"A": "another", "C": LONG}, "other.jsonl")
    ours = lines()
    assert said(capsys, "merge", TAPE, "other.jsonl") == (
        0,
        f"{TAPE}: 3 entries; 1 were in both, and are as in the first\n",
    )
    assert lines()[: len(ours)] == ours
    assert prompts() == ["A", "B", "C"]
    assert Path(TAPE).read_text().count(LONG) == 1


def test_merge_joins_the_sides_of_a_conflict(capsys: pytest.CaptureFixture[str]) -> None:
    """What git left between its marks becomes a tape again."""
    ask({"A": "a", "B": LONG, "C": "c"})
    header, *rest = lines()
    Path(TAPE).write_text(
        header + rest[0] + "<<<<<<< HEAD\n" + "".join(rest[1:3]) + "=======\n" + rest[3] + ">>>>>>> other\n"
    )
    assert said(capsys, "merge", TAPE) == (0, f"{TAPE}: 3 entries\n")
    assert lines() == [header, *rest]


def test_a_git_merge_driver(capsys: pytest.CaptureFixture[str]) -> None:
    """``gathering tape merge %A %B`` gives git what it asks of a driver: the result in the first file, exit code 0."""
    ask({"A": "a"}, ".merge_file_ours")
    ask({"B": "b"}, ".merge_file_theirs")
    assert said(capsys, "merge", ".merge_file_ours", ".merge_file_theirs")[0] == 0
    assert prompts(".merge_file_ours") == ["A", "B"]


@pytest.mark.parametrize(
    "words",
    [
        ["show", "none.jsonl"],
        ["check", "none.jsonl"],
        ["prune", "none.jsonl"],
        ["merge", "none.jsonl"],
        ["rerecord", "none.jsonl"],
        ["scan", "none.jsonl"],
    ],
)
def test_a_file_that_is_not_there_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with exit code 1."""
    code, text = said(capsys, *words)
    assert code == 1
    assert "none.jsonl" in text
    assert text.count("\n") == 1


def test_what_is_no_tape_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """No command writes into a file it does not understand."""
    Path(TAPE).write_bytes(b"dear diary\n")
    ask({"A": "a"}, "sound.jsonl")
    for words in (
        ["prune", TAPE],
        ["merge", TAPE],
        ["merge", TAPE, "sound.jsonl"],
        ["merge", "sound.jsonl", TAPE],
    ):
        code, text = said(capsys, *words)
        assert (code, "line 1" in text) == (1, True)
    assert Path(TAPE).read_bytes() == b"dear diary\n"
    assert prompts("sound.jsonl") == ["A"]


NOTEBOOK = """
import gathering
from gathering.testing import ScriptedProvider

answers = {{"A": "a", "B": "b", "C": "c", "CC": "cc"}}
gathering.tape("{tape}")
for prompt in {prompts}:
    gathering.Agent("ada", llm_provider=ScriptedProvider([answers[prompt]])).ask(prompt)
"""


def notebook(*prompts: str, **more: str) -> None:
    cells = [NOTEBOOK.format(tape=TAPE, prompts=list(prompts)), *more.values()]
    made = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {},
            "source": s,
            "outputs": [],
            "execution_count": None,
        }
        for n, s in enumerate(cells)
    ]
    Path("lesson.ipynb").write_text(
        json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )


@pytest.mark.kernel
def test_only_what_has_drifted_is_recorded_again(capsys: pytest.CaptureFixture[str]) -> None:
    """One prompt of three changed: its entry is replaced where it stood, the others keep their bytes; then nothing is."""
    notebook("A", "B", "C")
    Path(TAPE).write_text('{"gathering_tape": 1}\n')
    new = "; lesson.ipynb has its new outputs\n"
    assert (
        said(capsys, "rerecord", TAPE)[1]
        == f"{TAPE}: 3 entries recorded, 0 dropped, 0 kept as they were{new}"
    )
    before = lines()
    notebook("A", "CC", "C")
    assert said(capsys, "rerecord", TAPE) == (
        0,
        f"{TAPE}: 1 entry recorded, 1 dropped, 2 kept as they were{new}",
    )
    after = lines()
    assert [after[i] for i in (0, 1, 3)] == [before[i] for i in (0, 1, 3)]
    assert prompts() == ["A", "CC", "C"]
    notebook("A")
    assert said(capsys, "prune", TAPE, "--notebook", "lesson.ipynb")[1].endswith(
        "2 of 3 entries dropped, 1 kept\n"
    )
    assert lines() == before[:2]


@pytest.mark.kernel
def test_a_cell_that_fails_drops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """What comes after it was not played, which is no reason to lose it."""
    ask({"A": "a", "B": "b"})
    before = lines()
    notebook("A", bad="1 / 0")
    code, text = said(capsys, "rerecord", TAPE)
    assert code == 1
    assert "'lesson.ipynb' stopped at a cell (ZeroDivisionError: division by zero)" in text
    assert lines()[:3] == before


def test_which_notebook_is_asked_where_it_is_not_clear(capsys: pytest.CaptureFixture[str]) -> None:
    """None or several near the tape: one line that says how to name it."""
    ask({"A": "a"})
    assert "no notebook near the tape" in said(capsys, "rerecord", TAPE)[1]
    for name in ("one.ipynb", "two.ipynb"):
        Path(name).write_text(TAPE)
    assert "2 notebooks near the tape" in said(capsys, "rerecord", TAPE)[1]


def test_the_commands_help(capsys: pytest.CaptureFixture[str]) -> None:
    """``gathering tape`` alone lists what it can do; a slip gets the nearest right word."""
    assert "rerecord" in said(capsys)[1]
    code, text = said(capsys, "shwo", TAPE)
    assert (code, "did you mean 'show'?" in text) == (2, True)


def test_the_format_is_what_git_shows(tmp_path: Path) -> None:
    """Text that git takes as text: lines, no carriage returns, no NUL."""
    ask({"Grüße": "Schön, mit Umlaut und \u2028", "B": LONG})
    subprocess.run(["git", "init", "-q"], check=True)
    shown = subprocess.run(
        ["git", "diff", "--no-index", "--numstat", "/dev/null", TAPE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout.split()[0] == str(len(lines()))
    assert "Grüße" in Path(TAPE).read_text("utf-8")
