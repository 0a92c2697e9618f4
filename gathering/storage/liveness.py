"""Which process a session was, and whether it still runs: a call left ``started`` by a dead one was interrupted."""

from __future__ import annotations

import functools
import os
import platform
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gathering.core.session import session_id

__all__ = ["SessionRow", "living", "this_session"]


class SessionRow(NamedTuple):
    """One process that wrote to the store."""

    session_id: str
    pid: int
    host: str
    started_at: float
    program: str


@functools.cache
def _host() -> str:
    return platform.node()


def this_session() -> SessionRow:
    """The row of the running process."""
    return SessionRow(
        session_id(), os.getpid(), _host(), time.time(), Path(sys.argv[0] if sys.argv else "").name
    )


def living(sessions: Iterable[SessionRow]) -> set[str]:
    """The ids of those that still run. What runs on another machine cannot be seen and counts as ended."""
    return {s.session_id for s in sessions if _lives(s)} | {session_id()}


def _lives(session: SessionRow) -> bool:
    # Our own number under another id: an earlier process had it before us.
    return session.host == _host() and session.pid != os.getpid() and _runs(session.pid)


def _runs(pid: int) -> bool:
    if os.name == "nt":
        return _runs_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, as another user
        return True
    return True


def _runs_on_windows(pid: int) -> bool:
    # os.kill(pid, 0) would send it Ctrl-C.
    import ctypes

    still_active, query = 259, 0x1000
    kernel: Any = getattr(ctypes, "windll").kernel32  # noqa: B009 - the name exists on Windows alone
    handle = kernel.OpenProcess(query, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == still_active
