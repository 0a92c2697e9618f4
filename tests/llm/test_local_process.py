"""The child process of the embedded model: it starts, is silent, asks for its token, and never outlives anybody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gathering.core.errors import LocalModelError
from gathering.llm import local_process, weights
from gathering.llm.local_process import ServerPlan, runtime_problem, server_for, stop_servers

START = """
import sys
from gathering.llm import weights
from gathering.llm.local_process import ServerPlan, server_for
server = server_for(ServerPlan(str(weights.find()), "smollm2", 512, 1))
print(server.process.pid, flush=True)
"""


@pytest.fixture(scope="session")
def local_weights() -> Path:
    """The real weights, fetched once if they are missing."""
    if problem := runtime_problem():
        pytest.skip(problem)
    return weights.find() or weights.pull()


@pytest.fixture(scope="module")
def plan(local_weights: Path) -> Iterator[ServerPlan]:
    """A small server of the real weights, ended after the module."""
    yield ServerPlan(str(local_weights), "smollm2", 512, 1)
    stop_servers()


def status(server: local_process.Server, token: str) -> int:
    """The HTTP status of a request with this token."""
    request = urllib.request.Request(f"{server.url}/props", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as err:
        return err.code


def gone(pid: int) -> bool:
    """Whether the process ends within some seconds."""
    try:
        psutil.Process(pid).wait(timeout=10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.mark.local_model
def test_one_server_for_one_plan(plan: ServerPlan) -> None:
    """Threads that ask at the same time get the same server."""
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(server_for(plan).process.pid)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


@pytest.mark.local_model
def test_the_token_is_needed_and_not_shown(plan: ServerPlan) -> None:
    """Another user of the machine gets 401, and cannot read the token off the process list."""
    server = server_for(plan)
    assert status(server, server.token) == 200
    assert status(server, "guessed") == 401
    child = psutil.Process(server.process.pid)
    assert server.token not in " ".join(child.cmdline())
    assert server.token not in " ".join(child.environ().values())
    assert server.token not in repr(server)
    assert server.url.startswith("http://127.0.0.1:")


@pytest.mark.local_model
def test_a_killed_server_is_started_again(plan: ServerPlan) -> None:
    """The next call does not meet the corpse."""
    first = server_for(plan)
    first.process.kill()
    first.process.wait(10)
    assert server_for(plan).process.pid != first.process.pid


@pytest.mark.local_model
def test_an_interrupt_of_the_group_leaves_the_server(plan: ServerPlan) -> None:
    """Stop in a notebook signals the kernel's group: the server is not in it, and ignores the signal itself."""
    server = server_for(plan)
    assert os.getpgid(server.process.pid) != os.getpgid(0)
    os.kill(server.process.pid, signal.SIGINT)
    assert status(server, server.token) == 200
    assert server.alive


@pytest.mark.local_model
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_dies_with_its_parent(local_weights: Path, how: signal.Signals) -> None:
    """A kernel that is killed leaves no orphan behind, whatever killed it."""
    parent = subprocess.Popen(
        [sys.executable, "-c", START + "sys.stdin.read()"], stdin=-1, stdout=-1, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    parent.send_signal(how)
    parent.communicate(timeout=10)
    assert gone(child)


@pytest.mark.local_model
def test_a_forked_holder_of_the_pipe_does_not_keep_the_child(local_weights: Path) -> None:
    """The end of the parent counts even while a process forked from it holds the pipe open."""
    code = (
        START
        + "import os\nif os.fork() == 0:\n    sys.stdin.read()\n    os._exit(0)\nos.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.wait(10)
    try:
        assert gone(child)
    finally:
        parent.communicate(timeout=10)


@pytest.mark.local_model
def test_a_forked_child_starts_its_own_and_leaves_the_parents(local_weights: Path) -> None:
    """A worker process made by fork uses neither the socket nor the process of its parent."""
    code = START + textwrap.dedent("""
        import os
        from gathering.llm import local_process
        worker = os.fork()
        if worker == 0:
            own = server_for(ServerPlan(str(weights.find()), "smollm2", 512, 1))
            fine = own.process.pid != server.process.pid
            local_process._end_at_exit()
            os._exit(0 if fine and not own.alive else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), server.alive)
    """)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.splitlines()[1:] == ["0 True"], ran.stderr


@pytest.mark.local_model
def test_the_child_is_silent_and_ends_with_a_normal_exit(local_weights: Path) -> None:
    """Nothing of llama.cpp reaches the screen, and nothing runs on."""
    ran = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0
    assert ran.stderr == ""
    assert gone(int(ran.stdout))


@pytest.mark.local_model
def test_an_interrupted_start_leaves_no_orphan(plan: ServerPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop while the model loads ends the half-started child, and the next start works."""
    started: list[subprocess.Popen[bytes]] = []
    spawn = local_process._spawn

    def spawn_and_note(*args: object) -> subprocess.Popen[bytes]:
        started.append(spawn(*args))  # type: ignore[arg-type]
        return started[-1]

    def interrupted(*args: object) -> dict[str, object]:
        raise KeyboardInterrupt

    other = ServerPlan(plan.path, "smollm2", 640, 1)
    with monkeypatch.context() as patch:
        patch.setattr(local_process, "_spawn", spawn_and_note)
        patch.setattr(local_process, "_first_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            server_for(other)
    assert started[0].poll() is not None
    assert server_for(other).alive


@pytest.mark.local_model
def test_a_cut_off_model_file_is_said_in_one_line(local_weights: Path, tmp_path: Path) -> None:
    """llama.cpp's own last words are in the error, its log is not on the screen."""
    cut = tmp_path / "cut.gguf"
    with local_weights.open("rb") as file:
        cut.write_bytes(file.read(3_000_000))
    with pytest.raises(LocalModelError, match="corrupted or incomplete") as caught:
        server_for(ServerPlan(str(cut), "cut", 512, 1))
    assert "\n" not in str(caught.value)


@pytest.mark.local_model
def test_a_start_that_takes_too_long_is_given_up(plan: ServerPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that does not load in time is an error, and its process is ended."""
    monkeypatch.setattr(local_process, "START_TIMEOUT", 0.0)
    with pytest.raises(LocalModelError, match="not ready after 0 s"):
        server_for(ServerPlan(plan.path, "smollm2", 768, 1))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """A wrong file is named before a process is started for it."""
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(LocalModelError, match=r"notes\.txt' is not a GGUF file"):
        server_for(ServerPlan(str(path), "notes", 512, 1))
    with pytest.raises(LocalModelError, match="cannot be read"):
        server_for(ServerPlan(str(tmp_path / "none.gguf"), "none", 512, 1))


def test_a_platform_without_a_build_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without llama.cpp there is an error and what to do, never a pretended model."""
    monkeypatch.setattr(local_process.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(local_process.platform, "system", lambda: "Windows")
    monkeypatch.setattr(local_process.platform, "machine", lambda: "ARM64")
    assert "Windows on ARM64" in str(local_process.runtime_problem())
    monkeypatch.setattr(local_process.platform, "machine", lambda: "AMD64")
    assert "pip install 'gathering[local]'" in str(local_process.runtime_problem())
