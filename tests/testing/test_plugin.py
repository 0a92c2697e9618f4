"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from gathering.testing.plugin import sanitize_patterns

pytest_plugins = ["pytester"]

OWN = """
import pytest
from gathering.core.errors import LiveCallError
from gathering.core.session import refuse_live_call

def test_it(no_live_calls):
    refuse_live_call("p", "m", [{"role": "user", "content": "Hi"}])
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    loaded = () if installed() else ("-p", "gathering.testing.plugin")
    return pytester.runpytest_subprocess(*loaded, "-p", "no:cacheprovider", *options)


def installed() -> bool:
    """Whether the plugin is loaded by its entry point."""
    from importlib.metadata import entry_points

    return bool([e for e in entry_points(group="pytest11") if e.value == "gathering.testing.plugin"])


def test_the_fixture_makes_live_calls_impossible(pytester: pytest.Pytester) -> None:
    """A live call is an error that names the test and the prompt; the option lets it through."""
    pytester.makepyfile(OWN)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*LiveCallError: a live call to p:m for 'Hi' was stopped*'test_it'*"])
    run(pytester, "--gathering-live").assert_outcomes(passed=1)


def test_cells_of_a_notebook_stay_on_one_worker(pytester: pytest.Pytester) -> None:
    """With -n, files and not cells are handed out."""
    pytester.makeconftest("def pytest_sessionstart(session): print('dist:', session.config.option.dist)")
    run(pytester, "-n", "1", "--nbval", "-s").stdout.fnmatch_lines(["dist: loadfile"])
    run(pytester, "-n", "1", "-s").stdout.fnmatch_lines(["dist: load"])


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("took 1.25 s, 12 ms, 0.5 ms", "took SECONDS, MILLISECONDS, MILLISECONDS"),
        ("at 2026-11-23 10:11:12.5+00:00", "at DATE"),
        ("<object at 0x7f00aa11bb22>", "<object at ADDRESS>"),
        ("01kb0p6v9w2x3y4z5a6b7c8d9e", "ID"),
        ("375 tokens, version 1.2, 3 s", "375 tokens, version 1.2, 3 s"),
    ],
)
def test_the_shipped_patterns_take_out_what_differs(text: str, then: str) -> None:
    """Dates, durations, addresses and ids go; figures that mean something stay."""
    for pattern, replacement in sanitize_patterns():
        text = re.sub(pattern, replacement, text)
    assert text == then


SETUP = """%load_ext gathering
import gathering
from gathering.testing import ScriptedProvider
ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["It is 375.", "Blue."]))
%gathering tape lesson.jsonl"""


def notebook(pytester: pytest.Pytester, *cells: Any, record: bool = True) -> Path:
    """A notebook of code cells (a text, or a text and metadata), executed once with its tape recorded."""
    book: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    for cell in cells:
        source, metadata = (cell, {}) if isinstance(cell, str) else cell
        book.cells.append(nbformat.v4.new_code_cell(source, metadata=metadata))  # type: ignore[no-untyped-call]
    path = pytester.path / "lesson.ipynb"
    if record:
        client = NotebookClient(
            book, resources={"metadata": {"path": str(pytester.path)}}, record_timing=False
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GATHERING_TAPE_MODE", "record")
            patch.setenv("PYTEST_VERSION", "recording")
            client.execute()
    nbformat.write(book, path)  # type: ignore[no-untyped-call]
    return path


ASKED = "%%gathering ask ada\nWhat is 15% of 2500?"


@pytest.mark.kernel
def test_a_cell_is_named_by_its_prompt(pytester: pytest.Pytester) -> None:
    """Each item says what its cell asks, and a notebook that is as it was passes."""
    notebook(pytester, SETUP, ASKED)
    result = run(pytester, "--nbval", "--nbval-current-env", "-v", "-p", "no:xdist")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*Cell 1: What is 15% of 2500?*PASSED*"])


@pytest.mark.kernel
def test_the_checks_of_a_cells_tags(pytester: pytest.Pytester) -> None:
    """A tag checks the answer without code; one that does not hold fails the cell and says what was expected."""
    good = (ASKED, {"tags": ["check:contains=375", "check:no-tool"]})
    bad = ("%%gathering ask ada\nWhich colour?", {"gathering": {"check": {"contains": ["Blue", "Green"]}}})
    notebook(pytester, SETUP, good, bad)
    result = run(pytester, "--nbval", "--nbval-current-env", "-p", "no:xdist")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*contains 'Green' does not hold*"])


@pytest.mark.kernel
def test_an_entry_that_no_cell_plays_is_an_error(pytester: pytest.Pytester) -> None:
    """When a question was taken out, the run says which entry of the tape is left over."""
    path = notebook(pytester, SETUP, ASKED, "%%gathering ask ada\nWhich colour?")
    book = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    del book.cells[2]
    nbformat.write(book, path)  # type: ignore[no-untyped-call]
    result = run(pytester, "--nbval", "--nbval-current-env", "-p", "no:xdist")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*1 of 2 entries of the tape*'Which colour?'*"])


@pytest.mark.kernel
def test_a_changed_prompt_says_what_changed(pytester: pytest.Pytester) -> None:
    """The cell that asks something else fails with the nearest recording, field by field; the others pass."""
    path = notebook(pytester, SETUP, ASKED)
    book = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    book.cells[1].source = ASKED.replace("15%", "20%")
    nbformat.write(book, path)  # type: ignore[no-untyped-call]
    result = run(pytester, "--nbval", "--nbval-current-env", "-p", "no:xdist")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Cell 1: What is 20% of 2500?*", "*15%*20%*"])


@pytest.mark.kernel
def test_cells_are_counted(pytester: pytest.Pytester) -> None:
    """A table with the cell in which something happened is the same under nbval, which alone counts no cells."""
    notebook(pytester, SETUP, ASKED, "ada.trace.calls()[['model', 'cell']]")
    result = run(pytester, "--nbval", "--nbval-current-env", "-p", "no:xdist")
    result.assert_outcomes(passed=3)


@pytest.mark.kernel
def test_the_mode_of_tapes_is_an_option(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--gathering-tape record`` writes the tape anew; the environment is stronger."""
    notebook(pytester, SETUP, ASKED)
    tape = pytester.path / "lesson.jsonl"
    tape.unlink()
    monkeypatch.setenv("GATHERING_TAPE_MODE", "replay")
    options = ("--nbval-lax", "--nbval-current-env", "-p", "no:xdist", "--gathering-tape", "record")
    run(pytester, *options).assert_outcomes(passed=1, failed=1)
    assert not tape.exists()
    monkeypatch.delenv("GATHERING_TAPE_MODE")
    run(pytester, *options).assert_outcomes(passed=2)
    assert "What is 15% of 2500?" in tape.read_text()


TAPED = """
import gathering
from gathering.testing import ScriptedProvider

def test_it():
    with gathering.tape("lesson.jsonl") as tape:
        tape.wrap(ScriptedProvider(["x"])).complete([{"role": "user", "content": "Hi"}])
"""


def test_the_mode_is_that_of_tapes_in_tests_too(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test in Python records its tape when it is told to, and replays it otherwise."""
    monkeypatch.delenv("GATHERING_TAPE_MODE", raising=False)
    pytester.makepyfile(TAPED)
    run(pytester).assert_outcomes(failed=1)
    run(pytester, "--gathering-tape", "record").assert_outcomes(passed=1)
    run(pytester).assert_outcomes(passed=1)
    (pytester.path / "lesson.jsonl").unlink()
    run(pytester, "--gathering-live").assert_outcomes(passed=1)
    assert not (pytester.path / "lesson.jsonl").exists()


@pytest.mark.kernel
def test_nbmake_replays_too(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one item, without any setting: what is recorded passes, another prompt says what changed, no call is live."""
    monkeypatch.delenv("GATHERING_TAPE_MODE", raising=False)
    path = notebook(pytester, SETUP, ASKED, "import os; print(os.environ.get('GATHERING_LIVE', 'not said'))")
    run(pytester, "--nbmake", "--overwrite", str(path)).assert_outcomes(passed=1)
    assert '"never\\n"' in path.read_text()
    path.write_text(path.read_text().replace("15% of 2500?", "20% of 2500?"))
    failed = run(pytester, "--nbmake", str(path))
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["*MissingRecordingError*differs in prompt*15%*20%*"])


@pytest.mark.kernel
def test_a_cell_that_differs_shows_recorded_beside_actual(pytester: pytest.Pytester) -> None:
    """By the answer's text, not by its HTML, and which is which is said."""
    notebook(pytester, SETUP, ASKED)
    tape = pytester.path / "lesson.jsonl"
    tape.write_text(tape.read_text().replace("It is 375.", "It is 376."))
    result = run(pytester, "--nbval", "--nbval-current-env", "-p", "no:xdist")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*(- recorded, + now)*", "- It is 375.", "+ It is 376."])


EXPECTED = (
    "ada.ask('Which colour?', temperature=0.5)",
    {"tags": ["raises-exception", "nbval-ignore-output"]},
)
HANDLED = "try:\n    print(ada.ask('Which colour?', temperature=0.5).text)\nexcept gathering.GatheringError:\n    print('an error')"
FAILING = SETUP.replace('"Blue."', 'gathering.core.errors.RateLimitError("wait")')


@pytest.mark.kernel
@pytest.mark.parametrize("asked", [EXPECTED, HANDLED, (HANDLED, {"tags": ["nbval-ignore-output"]})])
@pytest.mark.parametrize("how", ["--nbval", "--nbval-lax"])
def test_a_cell_that_expects_an_error_names_what_changed(
    pytester: pytest.Pytester, asked: Any, how: str
) -> None:
    """A miss is not the error that was expected or handled: the cell fails with the field, also if outputs do not count."""
    path = notebook(pytester, FAILING, ASKED, asked)
    options = (how, "--nbval-current-env", "-p", "no:xdist")
    run(pytester, *options).assert_outcomes(passed=3)
    path.write_text(path.read_text().replace("temperature=0.5", "temperature=0.6"))
    result = run(pytester, *options)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*params.temperature: 0.5 -> 0.6*"])


@pytest.mark.kernel
def test_a_miss_that_is_shown_on_purpose_passes(pytester: pytest.Pytester) -> None:
    """A lesson about tapes has the error among its outputs."""
    shown = "try:\n    gathering.tape('none.jsonl', 'replay').wrap(ScriptedProvider([])).complete([{'role': 'user', 'content': 'Hi'}])\nexcept gathering.GatheringError as error:\n    print(type(error).__name__)"
    notebook(pytester, SETUP.replace("\n%gathering tape lesson.jsonl", ""), shown)
    run(pytester, "--nbval", "--nbval-current-env", "-p", "no:xdist").assert_outcomes(passed=2)


@pytest.mark.kernel
def test_nbmake_sees_what_leaves_no_error_among_outputs(pytester: pytest.Pytester) -> None:
    """A magic that IPython does not know, and a miss in a cell that expects another error."""
    path = notebook(pytester, FAILING, ASKED, EXPECTED)
    run(pytester, "--nbmake", str(path)).assert_outcomes(passed=1)
    path.write_text(path.read_text().replace("temperature=0.5", "temperature=0.6"))
    failed = run(pytester, "--nbmake", str(path))
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["*params.temperature: 0.5 -> 0.6*"])
    notebook(pytester, "%nosuchmagic", "1 + 1", record=False)
    failed = run(pytester, "--nbmake", str(path))
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["*UsageError*nosuchmagic*"])
