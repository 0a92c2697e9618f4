"""``gathering test``, as it is typed: lanes, table, reports, baseline and parameters, with real kernels."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest

import gathering
from gathering.__main__ import main
from gathering.core.errors import ConfigurationError
from gathering.testing import ScriptedProvider
from gathering.testing.baseline import Checked, baseline_of, read_baseline, write_baseline
from gathering.testing.cells import cell_label, cell_names, check_lines
from gathering.testing.lanes import Spent
from gathering.testing.parameters import parameters_of, read_values, set_name, with_values
from gathering.testing.verdict import Rate

SETUP = """%load_ext gathering
import gathering
from gathering.testing import ScriptedProvider
from pathlib import Path

def answer(messages):
    "Right, but for every third live run."
    count = Path("count.txt")
    number = int(count.read_text()) + 1 if count.exists() else 1
    count.write_text(str(number))
    return f"It is {375 if number % 3 else 376}."

ada = gathering.Agent("ada", llm_provider=ScriptedProvider([answer, "Blue <b>"]))
%gathering tape lesson.jsonl"""
PARAMETERS = ("amount = 2500", {"tags": ["parameters"]})
ASKED = "%%gathering ask ada -o reply\nWhat is 15% of {{ amount }}?"
CHECKED = "%gathering check reply --contains 375"
CHECK = Checked("c3", CHECKED, "contains '375'")


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook with a parameter, a question and a check, its tape and outputs recorded."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "lesson.ipynb", SETUP, PARAMETERS, ASKED, CHECKED)
    assert main(["test", "lesson.ipynb", "--record"]) == 0
    return path


def write(path: Path, *cells: Any) -> Path:
    book: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    for number, cell in enumerate(cells):
        source, metadata = (cell, {}) if isinstance(cell, str) else cell
        made = nbformat.v4.new_code_cell(source, metadata=metadata)  # type: ignore[no-untyped-call]
        made["id"] = f"c{number}"
        book.cells.append(made)
    nbformat.write(book, path)  # type: ignore[no-untyped-call]
    return path


def change(path: Path, cell: int, before: str, after: str) -> None:
    book = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    assert before in book.cells[cell].source
    book.cells[cell].source = book.cells[cell].source.replace(before, after)
    nbformat.write(book, path)  # type: ignore[no-untyped-call]


@pytest.mark.kernel
def test_a_notebook_that_is_as_it_was_passes(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a notebook, and recording again from the same answers gives the same bytes."""
    capsys.readouterr()
    assert main(["test", "lesson.ipynb"]) == 0
    assert "lesson.ipynb  replay  4 passed" in capsys.readouterr().out
    before = notebook.read_bytes()
    Path("count.txt").unlink()
    assert main(["test", "lesson.ipynb", "--record"]) == 0
    assert notebook.read_bytes() == before


@pytest.mark.kernel
def test_a_change_is_named_in_table_and_reports(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell that asks something else fails in all three forms, which say what changed; no key is in any."""
    key = "sk-proj-" + "aB3d" * 8
    change(notebook, 2, "15%", f"20% ({key})")
    capsys.readouterr()
    assert main(["test", "lesson.ipynb", "--junit", "out/r.xml", "--html", "out/r.html"]) == 1
    said = capsys.readouterr().out
    assert "FAILED    Cell 2: What is 20%" in said
    assert "differs in prompt" in " ".join(said.split())
    assert "differs in prompt" in Path("out/r.html").read_text()
    suite = ElementTree.parse("out/r.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    for text in (said, Path("out/r.xml").read_text(), Path("out/r.html").read_text()):
        assert "aB3d" not in text


@pytest.mark.kernel
def test_live_runs_are_judged_beside_a_baseline(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a baseline nothing is decided; with one the rate, its interval, pass^k and the cost are said."""
    Path("count.txt").unlink()
    baseline_of(notebook).write_text('{"version": 1, "checks": {}}')
    assert main(["test", "lesson.ipynb", "--live"]) == 1
    assert "is of version 1" in capsys.readouterr().err
    assert not Path("count.txt").exists()  # said before anything is asked
    assert main(["test", "lesson.ipynb", "--live", "--repeats", "3", "--update-baseline"]) == 3
    said = capsys.readouterr().out
    assert "undecided: 2 of 3, no baseline yet; pass^3 0.00" in said
    assert re.search(r"lesson.ipynb  live    1 undecided  3 runs, [\d.]+ s, 3 calls of unknown cost", said)
    assert Spent("n", 1, 2.0, 0.00312, 1).line == "1 run, 2.0 s, $0.00312, 1 call of unknown cost"
    assert Spent("n", 5, 12.04, 0.0).line == "5 runs, 12.0 s, $0"
    (name,) = read_baseline(notebook)
    assert name == CHECK
    assert str(name) == "%gathering check reply --contains 375: contains '375'"
    write_baseline(notebook, {name: Rate(200, 200)})
    Path("count.txt").write_text("2")
    assert main(["test", "lesson.ipynb", "--live", "--repeats", "1", "--margin", "0.01"]) == 1
    assert "worse: 0 of 1, before 200 of 200" in capsys.readouterr().out


@pytest.mark.kernel
def test_what_a_live_run_raises_is_no_lack_of_checks(
    notebook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cell is named with its error, the checks it kept from being tried have not held, and the baseline stays."""
    write_baseline(notebook, {CHECK: Rate(3, 3)})
    change(notebook, 0, "%gathering tape", "ada.ask('the first answer')\n%gathering tape")
    change(notebook, 0, "[answer,", "[answer, RuntimeError('no service'),")
    change(notebook, 0, "%gathering tape lesson.jsonl", "%gathering tape lesson.jsonl --mode replay")
    capsys.readouterr()
    assert main(["test", "lesson.ipynb", "--live", "--repeats", "1", "--update-baseline"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "Cell 2: What is 15% of {{ amount }}? raised in 1 of 1 runs: RuntimeError: no service" in said
    assert f"{CHECK} worse: 0 of 1, before 3 of 3" in said
    assert read_baseline(notebook) == {CHECK: Rate(3, 3)}


@pytest.mark.kernel
def test_a_cell_above_does_not_take_a_check_from_its_baseline(
    notebook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checks are found again by their cells, written in code or as tags, also after one was reworded."""
    book = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    book.cells[2].metadata["tags"] = ["check:lacks=pear"]
    nbformat.write(book, notebook)  # type: ignore[no-untyped-call]
    words = ["test", "lesson.ipynb", "--live", "--repeats", "1"]
    main([*words, "--update-baseline"])
    before = read_baseline(notebook)
    assert sorted(map(str, before)) == [str(CHECK), "What is 15% of {{ amount }}?: lacks 'pear'"]
    book.cells.insert(0, nbformat.v4.new_code_cell("1 + 1"))  # type: ignore[no-untyped-call]
    book.cells[3].source = book.cells[3].source.replace("What is", "Say what is")
    nbformat.write(book, notebook)  # type: ignore[no-untyped-call]
    capsys.readouterr()
    main(words)
    said = capsys.readouterr().out
    assert said.count("of 1, before ") == 2  # one of the two is a tag's
    assert "no baseline yet" not in said
    change(notebook, 3, "%%gathering ask ada -o reply", "%%gathering ask ada -o reply;")
    capsys.readouterr()
    assert main(words) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "Cell 3: Say what is 15% of {{ amount }}? raised in 1 of 1 runs: ConfigurationError: the cell has no value"
        in said
    )


@pytest.mark.kernel
def test_parameters_have_tapes_of_their_own(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another value needs its own recording, says so without one, and leaves notebook and tape alone."""
    before = notebook.read_bytes(), Path("lesson.jsonl").read_bytes()
    assert main(["test", "lesson.ipynb", "-p", "amount=500"]) == 1
    assert "no recording of 'What is 15% of 500?'" in capsys.readouterr().out
    assert main(["test", "lesson.ipynb", "-p", "amount=500", "--record"]) == 0
    assert main(["test", "lesson.ipynb", "-p", "amount=500"]) == 0
    assert "What is 15% of 500?" in Path("lesson.amount-500.jsonl").read_text()
    Path("count.txt").unlink()
    change(notebook, 2, "What is", "How much is")
    before = notebook.read_bytes(), before[1]
    capsys.readouterr()
    assert main(["tape", "rerecord", "lesson.jsonl", "-p", "amount=500"]) == 0
    said = capsys.readouterr().out
    assert said == "lesson.amount-500.jsonl: 1 entry recorded, 1 dropped, 0 kept as they were\n"
    assert main(["test", "lesson.ipynb", "-p", "amount=500"]) == 0
    assert main(["tape", "rerecord", "lesson.amount-500.jsonl"]) == 1
    assert "give them with -p NAME=VALUE" in capsys.readouterr().err
    assert (notebook.read_bytes(), Path("lesson.jsonl").read_bytes()) == before
    assert [p.name for p in Path().glob(".*.ipynb")] == []


@pytest.mark.kernel
def test_a_notebook_that_fails_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error while recording is one line, and notebook and tape stay as they were."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    tape = tmp_path / "tapes" / "lesson.2.jsonl"
    with gathering.tape(tape, "record") as made:
        made.wrap(ScriptedProvider(["x"])).complete([{"role": "user", "content": "Hi"}])
    name = "import os\nname = '../tapes' + os.sep + 'lesson.2'\n"
    asks = f"{name}{SETUP}\nada.ask('Recorded anew.')".replace("lesson.jsonl", "{name}.jsonl")
    other = "%gathering tape new.jsonl\nada.ask('Recorded too.')"
    path = write(tmp_path / "here" / "bad.ipynb", asks, other, "1 / 0")
    before = path.read_bytes(), tape.read_bytes()
    assert main(["test", "bad.ipynb", "--record"]) == 1
    assert "bad.ipynb cannot be recorded, a cell failed (ZeroDivisionError" in capsys.readouterr().err
    assert (path.read_bytes(), tape.read_bytes()) == before
    assert Path("count.txt").read_text() == "1"  # it was asked: the tapes were written
    assert not Path("new.jsonl").exists()


WAITS = """import os, threading
if os.path.exists("heard"):
    out = open("heard", "w")
    print(os.getpid(), file=out, flush=True)
    threading.Event().wait()"""


@pytest.mark.kernel
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the kernel is heard through a named pipe")
@pytest.mark.parametrize("words", [[], ["--record"], ["--live", "--update-baseline"]])
def test_stop_ends_the_run_and_its_kernel(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is one line and 130, in each lane; notebook, tape and baseline are as they were, and no kernel is left."""
    monkeypatch.chdir(tmp_path)
    waits = WAITS.replace('("heard")', '("heard") and os.environ.get("GATHERING_TAPE_COMMAND") == "live"')
    path = write(
        tmp_path / "l.ipynb",
        SETUP,
        ASKED.replace("{{ amount }}", "8"),
        CHECKED,
        waits if "--live" in words else WAITS,
    )
    assert main(["test", "l.ipynb", "--record"]) == 0
    write_baseline(path, {CHECK: Rate(3, 3)})
    kept = [path, tmp_path / "lesson.jsonl", baseline_of(path)]
    before = [file.read_bytes() for file in kept]
    os.mkfifo("heard")
    command = [sys.executable, "-m", "gathering", "test", "l.ipynb", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with Path("heard").open() as heard:  # opens when the cell runs
        heard.readline()
        process.send_signal(signal.SIGINT)
        assert heard.read() == ""  # ends with the kernel
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (
        130,
        "gathering: stopped; nothing is broken, run it again to go on",
    )
    assert [file.read_bytes() for file in kept] == before


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nowhere.ipynb"], "there is no notebook 'nowhere.ipynb'"),
        (["empty"], "there is no notebook in 'empty'"),
        (["broken.ipynb"], "is no notebook"),
        (["plain.ipynb", "-p", "amount=1"], "has no parameters"),
        (["plain.ipynb", "-p", "amount"], "write NAME=VALUE"),
        (["plain.ipynb", "--repeats", "3"], "belong to --live"),
        (["plain.ipynb", "--live", "--repeats", "0"], "give 1 or more"),
    ],
)
def test_a_wrong_word_is_one_line(
    words: list[str],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot be done says why, and what would be right."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.ipynb").write_text("{")
    write(tmp_path / "plain.ipynb", "1 + 1")
    assert main(["test", *words]) in (1, 2)
    said = capsys.readouterr().err.strip()
    assert why in said
    assert "\n" not in said


def test_an_unknown_parameter_names_the_nearest(tmp_path: Path) -> None:
    """A name that is no parameter of the notebook is refused with the right one."""
    book = nbformat.read(write(tmp_path / "n.ipynb", PARAMETERS), as_version=4)  # type: ignore[no-untyped-call]
    assert parameters_of(book) == {"amount": 2500}
    with pytest.raises(ConfigurationError, match="did you mean 'amount'"):
        with_values(book, {"amuont": 1}, "n.ipynb")
    changed = with_values(book, {"amount": "a 'text'"}, "n.ipynb")
    assert changed.cells[1].source == "amount = \"a 'text'\""
    assert len(book.cells) == 1


def test_values_and_their_names() -> None:
    """A literal is what it is, anything else a text; a set has one name in any order, which a file can have."""
    assert read_values(["a=1", "b=[1, 2]", "c=two words", "d=None"]) == {
        "a": 1,
        "b": [1, 2],
        "c": "two words",
        "d": None,
    }
    assert set_name({"b": "x/y", "a": 1}) == set_name({"a": 1, "b": "x/y"}) == "a-1_b-x_y"


@pytest.mark.parametrize(
    ("source", "label"),
    [
        ("%%gathering ask ada\nWhat is\n  it?", "What is"),
        ("%%gathering agent ada\nhistory: x", "%%gathering agent ada"),
        ("# only\n\nx = 1", "x = 1"),
        ("", ""),
        ("a::b[0]", "a:b(0)"),
        ("x" * 80, "x" * 57 + "..."),
    ],
)
def test_a_cells_name(source: str, label: str) -> None:
    """A cell is named by what it asks or does."""
    assert cell_label(source) == label


def test_checks_of_tags_and_metadata() -> None:
    """Tags and metadata say the same; what is no check is refused."""
    assert check_lines({"tags": ["check:contains=it's 375", "check:no-tool", "answer"]}) == [
        "--contains 'it'\"'\"'s 375'",
        "--no-tool",
    ]
    assert check_lines({"gathering": {"check": {"max_cost": 0.01, "contains": ["a", "b"]}}}) == [
        "--max-cost 0.01",
        "--contains a",
        "--contains b",
    ]
    assert check_lines({}) == []
    with pytest.raises(ConfigurationError, match="no name"):
        check_lines({"tags": ["check:; rm=1"]})
    with pytest.raises(ConfigurationError, match=r"gathering\.check"):
        check_lines({"gathering": {"check": "contains"}})


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"version": 1, "checks": {}}',
        '{"version": 2, "checks": [{"cell": "a", "prompt": "", "check": "no_tool", "passed": 3, "runs": 1}]}',
        '{"version": 2, "checks": [{"cell": "a"}]}',
    ],
)
def test_a_file_that_is_no_baseline(tmp_path: Path, text: str) -> None:
    """A broken baseline is one line that says how to write it anew."""
    path = tmp_path / "n.ipynb"
    baseline_of(path).write_text(text)
    with pytest.raises(ConfigurationError):
        read_baseline(path)


def test_a_baseline_is_the_same_bytes_for_the_same_figures(tmp_path: Path) -> None:
    """Written in any order it is sorted, and it comes back as it was."""
    a, b = Checked("c1", "What is it?", "contains 'a'"), Checked("c2", "Why?", "no_tool")
    rates = {b: Rate(1, 2), a: Rate(3, 3)}
    path = write_baseline(tmp_path / "n.ipynb", rates)
    before = path.read_bytes()
    write_baseline(tmp_path / "n.ipynb", dict(reversed(rates.items())))
    assert path.read_bytes() == before
    lines = before.decode().splitlines()[1:-1]
    assert [json.loads(line.rstrip(","))["prompt"] for line in lines] == ["What is it?", "Why?"]
    assert read_baseline(tmp_path / "n.ipynb") == rates
    write_baseline(tmp_path / "n.ipynb", {a: Rate(0, 3)}, "amount-5")
    assert read_baseline(tmp_path / "n.ipynb") == rates
    assert list(read_baseline(tmp_path / "n.ipynb", "amount-5")) == [a]


def test_a_cell_is_found_again_by_its_id_or_its_prompt() -> None:
    """An older notebook has no ids: there the prompt is what stays, numbered where it comes again."""
    cells = [{"id": "x1", "source": ["Hi"]}, {"source": "Hi"}, {"source": "Hi"}, {"source": "%%bash\nls"}]
    assert cell_names(json.dumps({"cells": cells})) == [
        ("x1", "Hi"),
        ("Hi (2)", "Hi"),
        ("Hi (3)", "Hi"),
        ("ls", "ls"),
    ]
