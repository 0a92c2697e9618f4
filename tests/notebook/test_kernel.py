"""``%gathering`` in a real kernel: Stop, a killed kernel, two kernels on one trace, and what a test runner sees."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

sys.path.insert(0, str(Path(__file__).parent))

from kernels import HALF, PATIENCE, REST, RunningKernel, SlowServer, running_kernel, serve

from gathering.storage import SQLiteStore, Trace

pytestmark = pytest.mark.kernel


@pytest.fixture
def server() -> Iterator[SlowServer]:
    """A slow chat-completions server on the loopback."""
    made = SlowServer()
    stop = serve(made)
    yield made
    stop()


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    """Where the kernel's trace goes."""
    return tmp_path / "trace.sqlite"


@pytest.fixture
def environment(trace_file: Path, tmp_path: Path, server: SlowServer) -> dict[str, str]:
    """The environment of a kernel that a person watches, whose default model is the slow server."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "GATHERING"))}
    return {
        **inherited,
        "GATHERING_STORE": str(trace_file),
        "GATHERING_MODEL": "openai-compatible:slow",
        "OPENAI_COMPATIBLE_BASE_URL": server.url,
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


@pytest.fixture
def kernel(environment: dict[str, str]) -> Iterator[RunningKernel]:
    """A kernel with the extension and the agent ``ada``."""
    with running_kernel(environment) as made:
        made.must("%load_ext gathering")
        made.must('import gathering\nada = gathering.Agent("ada")')
        yield made


@pytest.mark.parametrize(
    "cell",
    [
        "%%gathering ask ada\ntell me slowly",
        "await ada.ask_async('tell me slowly')",
        "async for event in ada.stream('tell me slowly'):\n    pass",
        "%%gathering compare openai-compatible:slow @ada -o result\ntell me slowly",
    ],
    ids=["magic", "awaited", "async-for", "compare"],
)
def test_stop_hangs_up_and_the_next_cell_works(kernel: RunningKernel, server: SlowServer, cell: str) -> None:
    """Interrupting a cell closes the connection, ends the cell with an error, and leaves a kernel that goes on."""
    asked = kernel.start(cell, allow_stdin=True)
    assert server.waiting.wait(PATIENCE)
    kernel.manager.interrupt_kernel()
    assert server.hung_up.wait(PATIENCE)
    outcome = kernel.finish(asked)
    assert outcome.status == "error"
    assert outcome.reply["ename"] in ("KeyboardInterrupt", "CancelledError")
    assert kernel.must("reply = ada.ask('be quick'); print(reply)").text.strip() == HALF + REST
    assert "interrupted" in kernel.must("print(list(gathering.trace.calls()['status']))").text


def test_stop_shows_the_partial_answer_and_keeps_it(kernel: RunningKernel, server: SlowServer) -> None:
    """The cell shows what had arrived and says so; the row of the call has it too."""
    asked = kernel.start("%gathering @ada tell me slowly", allow_stdin=True)
    assert server.waiting.wait(PATIENCE)
    _until_shown(kernel, HALF)
    kernel.manager.interrupt_kernel()
    outcome = kernel.finish(asked)
    assert f"[stopped after {len(HALF)} characters; the partial answer is kept]" in outcome.text
    said = kernel.must("print(ada.memory.df()['content'].tolist())").text
    assert HALF in said


def _until_shown(kernel: RunningKernel, text: str) -> None:
    """Wait until the text was displayed."""
    while True:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if text in str(message["content"].get("data", "")):
            return


def test_a_watched_answer_is_saved_as_one_display(kernel: RunningKernel) -> None:
    """In a notebook somebody watches, what is left of a streamed answer is the same as under a test runner."""
    watched = kernel.finish(kernel.start("%gathering @ada be quick", allow_stdin=True))
    kernel.must('ada = gathering.Agent("ada")')
    alone = kernel.finish(kernel.start("%gathering @ada be quick", allow_stdin=False))
    saved: dict[str, dict[str, str]] = {}
    for number, message in enumerate(watched.published):
        identity = message["content"].get("transient", {}).get("display_id", str(number))
        saved[identity] = message["content"]["data"]
    assert [m["msg_type"] for m in alone.published] == ["display_data"]
    assert len(watched.published) > 1
    assert [data for data in saved.values() if data] == [alone.published[0]["content"]["data"]]


def test_a_killed_kernel_leaves_the_call_with_what_had_arrived(
    environment: dict[str, str], server: SlowServer, trace_file: Path
) -> None:
    """After kill -9 in the middle of an answer the trace opens; the call is interrupted, its partial text is there."""
    with running_kernel(environment) as kernel:
        kernel.must("%load_ext gathering")
        kernel.must('import gathering\nada = gathering.Agent("ada")')
        kernel.start("%gathering @ada tell me slowly")
        assert server.waiting.wait(PATIENCE)
        _until_written(trace_file, HALF)
        kernel.manager.signal_kernel(9)
        assert server.hung_up.wait(PATIENCE)
        kernel.manager.provisioner.process.wait()
    with SQLiteStore(trace_file) as store:
        trace = Trace(store)
        assert list(trace.calls()["status"]) == ["interrupted"]
        assert list(trace.messages()["content"]) == ["tell me slowly", HALF]


def _until_written(path: Path, text: str) -> None:
    """Wait, a bounded time, until another process sees the text in the trace."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            if connection.execute("select 1 from messages where content = ?", (text,)).fetchone():
                return
        except sqlite3.OperationalError:
            pass  # the tables are not there yet
        finally:
            connection.close()
        time.sleep(0.02)
    raise AssertionError(f"{text!r} did not reach the trace")


def test_two_kernels_share_one_trace(
    kernel: RunningKernel, environment: dict[str, str], trace_file: Path
) -> None:
    """Each kernel sees its own session; the file has both."""
    kernel.must("%gathering @ada be quick")
    with running_kernel(environment) as second:
        second.must("%load_ext gathering")
        second.must('import gathering\nada = gathering.Agent("ada")')
        second.must("%gathering @ada be quick, too")
        kernel.must("%gathering @ada be quick again")
        assert second.must("print(len(gathering.trace.calls()))").text.strip() == "1"
        assert kernel.must("print(len(gathering.trace.calls()))").text.strip() == "2"
    with SQLiteStore(trace_file) as store:
        assert list(Trace(store).calls()["status"]) == ["ok"] * 3


def test_a_megabyte_and_every_script_are_sent_as_they_are(kernel: RunningKernel, server: SlowServer) -> None:
    """A prompt of 1 MB is sent whole where the model's context holds it; no character is lost on the way."""
    kernel.must(
        'big = gathering.Agent("big", llm_provider=gathering.provider("openai-compatible:slow", context=10**6))'
    )
    kernel.must("text = 'quick ' + 'ä' * 500_000 + ' 你好 👋🏽'")
    kernel.must("%gathering @big {{ text }}")
    assert server.requests[-1]["messages"][-1]["content"] == "quick " + "ä" * 500_000 + " 你好 👋🏽"


def test_completion_works_in_the_cell_body(kernel: RunningKernel) -> None:
    """The kernel completes variables and agents below ``%%gathering``."""
    kernel.must("amount = 5")
    assert "amount" in kernel.complete("%%gathering @ada\nWhat is {{ amou")
    assert "@ada" in kernel.complete("%%gathering compare local @a")
    assert "calculator" in kernel.complete("%%gathering agent eve\ntools: [calc")


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("%gathering ask eda hi", "UnknownNameError"),
        ("%%gathering compare local", "ConfigurationError"),
        ("%%gathering agent ada\n- a list", "ConfigurationError"),
        ("%gathering aks ada hi", "UnknownNameError"),
    ],
)
def test_a_test_runner_sees_the_error(
    cell: str, name: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """A mistake fails the notebook under nbclient, with its own name and one line."""
    sources = ["%load_ext gathering", cell]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    client = NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(tmp_path)}})
    with pytest.raises(CellExecutionError) as caught:
        client.execute(env=environment)
    assert caught.value.ename == name
    (output,) = notebook.cells[1].outputs
    assert output.output_type == "error"
    assert len(output.traceback) == 1
    assert "\n" not in output.traceback[0]
