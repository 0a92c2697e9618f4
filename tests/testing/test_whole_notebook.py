"""A notebook with everything in it, recorded once against a service that is gone afterwards, and replayed as a test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from echo_service import echo_service
from nbclient import NotebookClient

from gathering.__main__ import main

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

SETUP = """%load_ext gathering
import os, gathering
%gathering tape lesson.jsonl
def model(name):
    return gathering.provider(f"openai-compatible:{name}", base_url=os.environ.get("ECHO", "http://127.0.0.1:9/v1"), max_retries=0)"""
AGENTS = """from gathering import PersonalityBlock

@gathering.tool(permissions=["write"])
def note(text: str) -> str:
    "Write a note."
    return f"noted {text}"

ada = gathering.Agent("ada", llm_provider=model("small"), tools=[note], permissions=["allow note"],
                      personality_blocks=[PersonalityBlock("patient", 0.8)])
bob = gathering.Agent("bob", llm_provider=model("large"), params={"temperature": 0.5})"""
STREAMED = "%%gathering ask ada -o reply\nTell me something."
TOOL = "%%gathering ask ada\nPlease use the tool now."
TABLE = "ada.trace.tool_calls()[['tool', 'arguments', 'success', 'output', 'permission', 'decision']]"
OTHER = 'bob.ask("And you?")'
TALK = "%%gathering converse ada bob --turns 4\nWhat is a good test?"
COMPARED = """result = gathering.compare(["one", "two", "three"], models=[model(n) for n in ("a", "b", "c", "d")], repeats=3)
result.df()[["prompt", "model", "repeat", "output"]]"""
ERROR = ('bob.ask("Please fail.")', {"tags": ["raises-exception"]})
STOPPED = (
    """import _thread, threading
for event in bob.stream("A long story, please."):
    if type(event).__name__ == "TextDelta":
        raise KeyboardInterrupt""",
    {"tags": ["raises-exception"]},
)
CALLS = "gathering.trace.calls()[['agent', 'model', 'status', 'input_tokens', 'output_tokens', 'cell', 'latency_ms']].tail(8)"
CELLS = [SETUP, AGENTS, STREAMED, TOOL, TABLE, OTHER, TALK, COMPARED, ERROR, STOPPED, CALLS]
#: Cells that ask nothing, and cells in which an error was recorded.
TABLES, ERRORS = {4, 10}, {8, 9}
#: Replays in the suite; by hand there were more.
REPLAYS = 2


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the notebook and its tape."""
    folder = tmp_path_factory.mktemp("whole")
    book: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    for number, cell in enumerate(CELLS):
        source, metadata = (cell, {}) if isinstance(cell, str) else cell
        made = nbformat.v4.new_code_cell(source, metadata=metadata)  # type: ignore[no-untyped-call]
        made["id"] = f"c{number}"
        book.cells.append(made)
    nbformat.write(book, folder / "lesson.ipynb")  # type: ignore[no-untyped-call]
    with echo_service() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECHO", url)
        patch.setenv("GATHERING_STORE", ":memory:")
        assert main(["test", str(folder / "lesson.ipynb"), "--record"]) == 0
    return folder


@pytest.fixture
def notebook(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, where no service answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATHERING_STORE", ":memory:")
    for name in ("lesson.ipynb", "lesson.jsonl"):
        shutil.copy(recorded / name, tmp_path / name)
    return tmp_path / "lesson.ipynb"


def failed_cells(notebook: Path) -> dict[int, str]:
    """The cells that fail as tests, with what is said of each."""
    main(["test", str(notebook), "--junit", "r.xml"])
    found = {}
    for case in ElementTree.parse("r.xml").getroot().iter("testcase"):
        failure = case.find("failure")
        if failure is not None:
            found[int(re.findall(r"\d+", str(case.get("name")))[0])] = failure.text or ""
    return found


def test_it_passes_each_time(notebook: Path) -> None:
    """Strictly compared, with no service and no key, and the tape is left as it is."""
    before = Path("lesson.jsonl").read_bytes()
    for _ in range(REPLAYS):
        assert main(["test", "lesson.ipynb"]) == 0
    assert Path("lesson.jsonl").read_bytes() == before


def test_it_passes_where_there_is_no_network(notebook: Path) -> None:
    """The same with an empty network namespace, in which not even the loopback of others can be reached."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("an empty network namespace takes unshare and root")
    inside = f"ip link set lo up 2>/dev/null; exec {sys.executable} -m gathering test lesson.ipynb"
    loopback = "import fcntl,socket,struct; s=socket.socket(); fcntl.ioctl(s, 0x8914, struct.pack('16sh14s', b'lo', 1, b''))"
    command = f'{sys.executable} -c "{loopback}"; {inside}'  # kernels talk over the namespace's own loopback
    ran = subprocess.run(["unshare", "-n", "sh", "-c", command], capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "11 passed" in ran.stdout


def test_executed_notebooks_are_byte_identical(notebook: Path) -> None:
    """Two clean runs from the tape write the same bytes, times, ids and order included."""
    results = []
    for _ in range(2):
        book = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
        client = NotebookClient(
            book,
            resources={"metadata": {"path": str(notebook.parent)}},
            record_timing=False,
            store_widget_state=False,
        )
        client.execute(env={**os.environ, "GATHERING_TAPE_MODE": "replay", "PYTEST_VERSION": "x"})
        results.append(nbformat.writes(book))  # type: ignore[no-untyped-call]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("cell", "before", "after", "fails", "field"),
    [
        (5, "And you?", "And they?", {5, 6, 8, 9, 10}, "prompt"),
        (1, "Write a note.", "Write a memo.", {2, 3, 4, 6, 8, 9, 10}, "tool"),
        (1, '"temperature": 0.5', '"temperature": 0.6', {5, 6, 8, 9, 10}, "temperature"),
        (7, '"d")', '"e")', {7, 10}, "model"),
        (1, '"patient", 0.8', '"patient", 0.3', {2, 3, 4, 6, 8, 9, 10}, "prompt"),
    ],
    ids=["prompt", "tool schema", "parameter", "model", "intensity"],
)
def test_a_change_fails_the_cells_that_depend_on_it(
    notebook: Path, cell: int, before: str, after: str, fails: set[int], field: str
) -> None:
    """Exactly the cells that ask something else now fail, each with the field, and the tables that show what they gave."""
    book = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    assert before in book.cells[cell].source
    book.cells[cell].source = book.cells[cell].source.replace(before, after)
    nbformat.write(book, notebook)  # type: ignore[no-untyped-call]
    failed = failed_cells(notebook)
    assert set(failed) == fails
    asking = fails - TABLES - ERRORS
    assert all("no recording of" in failed[number] and field in failed[number] for number in asking)
    assert all("MissingRecordingError" in failed[number] for number in fails & ERRORS)
    assert all("differs in " in " ".join(failed[number].split()) for number in fails & ERRORS)


def test_rerecording_touches_what_depends_on_the_change(
    notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of one prompt one command records what depends on it; the rest of the tape stays byte for byte."""
    tape = Path("lesson.jsonl")
    before = set(tape.read_bytes().splitlines())
    book = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    book.cells[5].source = book.cells[5].source.replace("And you?", "And they?")
    nbformat.write(book, notebook)  # type: ignore[no-untyped-call]
    with echo_service() as url:
        monkeypatch.setenv("ECHO", url)
        assert main(["tape", "rerecord", str(tape)]) == 0
    monkeypatch.delenv("ECHO")
    after = set(tape.read_bytes().splitlines())
    assert len(before & after) > 40  # all of ada's, and of the comparison
    assert all(b'"large"' in line for line in after - before)
    assert main(["test", "lesson.ipynb"]) == 0
