"""The parent's side of the embedded model's server: one child process for each model, started when first needed.

Owns starting, watching, restarting and ending the child (``gathering.llm._local_server``). What is said to it by
HTTP is ``gathering.llm.local``'s business, where its weights are ``gathering.llm.weights``'s. A forked child of
this process never uses or ends its parent's servers; it starts its own.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gathering.core.errors import LocalModelError

__all__ = ["Server", "ServerPlan", "runtime_problem", "server_for", "stop_servers"]

#: Seconds a model may take to load.
START_TIMEOUT = 120.0
_SCRIPT = Path(__file__).with_name("_local_server.py")


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """What makes two servers the same one: the model's file, its name, context (tokens) and threads."""

    path: str
    model: str
    context: int
    threads: int


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. The token is the only key to it."""

    url: str
    token: str = field(repr=False)
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def alive(self) -> bool:
        """Whether the child is still running."""
        return self.process.poll() is None


class _Slot:
    """The place of one plan's server, and the lock under which it is started."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.server: Server | None = None


class _Servers:
    """The servers of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.slots: dict[ServerPlan, _Slot] = {}

    def slot(self, plan: ServerPlan) -> _Slot:
        with self.lock:
            return self.slots.setdefault(plan, _Slot())


_servers = _Servers()


def runtime_problem() -> str | None:
    """Why llama.cpp cannot run here, with what to do about it; None if it can."""
    if importlib.util.find_spec("xllamacpp") is not None:
        return None
    where = f"{platform.system()} on {platform.machine()}"
    if _has_wheel():
        return "the embedded model needs the package xllamacpp: run pip install 'gathering[local]'"
    return (
        f"the embedded model does not run on {where}, for which no build of xllamacpp exists: "
        "use another provider, for example openai:gpt-5-mini, or openai-compatible with the base_url of a server"
    )


def _has_wheel() -> bool:
    system, machine = platform.system(), platform.machine().lower()
    if system == "Linux":
        return machine in ("x86_64", "aarch64") and platform.libc_ver()[0] == "glibc"
    if system == "Darwin":
        return machine in ("x86_64", "arm64")
    return system == "Windows" and machine in ("amd64", "x86_64")


def server_for(plan: ServerPlan) -> Server:
    """The running server of this plan, started now if there is none. Raises ``LocalModelError``."""
    slot = _mine().slot(plan)
    with slot.lock:
        if slot.server is None or not slot.server.alive:
            slot.server = _start(plan)
        return slot.server


def stop_servers() -> None:
    """End every server this process started; the next call starts them again."""
    servers = _mine()
    with servers.lock:
        slots, servers.slots = list(servers.slots.values()), {}
    for slot in slots:
        if slot.server is not None:
            _end(slot.server.process)


def _mine() -> _Servers:
    global _servers
    if _servers.pid != os.getpid():
        _servers = (
            _Servers()
        )  # forked: what was copied belongs to the parent, its locks perhaps held for ever
    return _servers


def _start(plan: ServerPlan) -> Server:
    problem = runtime_problem()
    if problem is not None:
        raise LocalModelError(problem, provider="local", model=plan.model)
    _check_file(plan)
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryFile() as log:
        process = _spawn(plan, log)
        try:
            said = _first_line(process, {**_figures(plan), "token": token})
            if "url" not in said:
                raise LocalModelError(_why(plan, said, log), provider="local", model=plan.model)
        except BaseException:  # Stop included: a child that nobody knows of must not stay
            _end(process)
            raise
    return Server(said["url"], token, process)


def _check_file(plan: ServerPlan) -> None:
    try:
        with Path(plan.path).open("rb") as file:
            magic = file.read(4)
    except OSError as err:
        raise LocalModelError(
            f"the model file {plan.path!r} cannot be read ({err.strerror}): correct GATHERING_LOCAL_MODEL, "
            "or run: gathering models pull",
            provider="local",
            model=plan.model,
        ) from err
    if magic != b"GGUF":
        raise LocalModelError(
            f"{plan.path!r} is not a GGUF file (it starts with {magic!r}): give the path of a model in GGUF form",
            provider="local",
            model=plan.model,
        )


def _spawn(plan: ServerPlan, log: IO[bytes]) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise LocalModelError(
            "the embedded model runs in a process of its own, and this Python does not know its own executable: "
            "start Python as a program of its own",
            provider="local",
            model=plan.model,
        )
    # By its path and with -P: neither the working folder nor how gathering was imported can get in its way.
    # A session of its own keeps the terminal's and the kernel's interrupts away from it.
    return subprocess.Popen(  # noqa: S603 - our own script, no text of a user in the arguments
        [sys.executable, "-P", str(_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
    )


def _figures(plan: ServerPlan) -> dict[str, Any]:
    return {"path": plan.path, "model": plan.model, "context": plan.context, "threads": plan.threads}


def _first_line(process: subprocess.Popen[bytes], wanted: dict[str, Any]) -> dict[str, Any]:
    # The token travels by the pipe: a command line or an environment can be read by others.
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died at once: its last words say more
        process.stdin.write(json.dumps(wanted).encode() + b"\n")
        process.stdin.flush()
    lines: list[bytes] = []
    assert process.stdout is not None
    reader = threading.Thread(
        target=lambda out: lines.append(out.readline()), args=[process.stdout], daemon=True
    )
    reader.start()
    reader.join(START_TIMEOUT)
    if reader.is_alive():
        return {"error": f"it was not ready after {START_TIMEOUT:g} s"}
    try:
        said = json.loads(lines[0])
    except (ValueError, IndexError):
        said = None
    return said if isinstance(said, dict) else {"error": f"it ended with code {process.wait(5)}"}


def _why(plan: ServerPlan, said: dict[str, Any], log: IO[bytes]) -> str:
    log.seek(0)
    logged = [line for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in logged if "error loading model" in line] or logged[-1:]
    reason = (
        told[-1].split("error loading model:")[-1].strip() if told else said.get("error", "it said nothing")
    )
    return (
        f"the embedded model {plan.model!r} did not start ({reason}): check the file {plan.path!r}, "
        "or run: gathering models pull"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


@atexit.register
def _end_at_exit() -> None:
    if _servers.pid == os.getpid():  # a forked child must leave its parent's servers alone
        stop_servers()
