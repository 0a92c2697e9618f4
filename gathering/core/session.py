"""The state of this process that rooms share: its session id, the cell that runs, and what stands before the network.

A higher room hands something in here (the notebook its cell, the tape its wrapper); lower rooms only read it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias

from gathering.core.errors import LiveCallError
from gathering.core.interfaces import ILLMProvider, ITool
from gathering.core.messages import ToolCall

__all__ = [
    "Clock",
    "ToolWrapper",
    "Wrapper",
    "add_tool_wrapper",
    "add_wrapper",
    "clock",
    "current_cell",
    "forbid_live_calls",
    "fresh_id",
    "id_of",
    "live_calls_forbidden",
    "new_id",
    "no_live_calls",
    "now",
    "refuse_live_call",
    "remove_tool_wrapper",
    "remove_wrapper",
    "session_id",
    "set_cell_source",
    "set_clock",
    "timer",
    "under_test",
    "wrapped",
    "wrapped_tool",
]

Wrapper: TypeAlias = Callable[[ILLMProvider], ILLMProvider]
#: Given a tool, the call it is about to run and the agent's name; the tool that runs it.
ToolWrapper: TypeAlias = Callable[[ITool, ToolCall, str], ITool]


class Clock(Protocol):
    """What stands in for the clock and for chance, so that a run comes out as the one before. Safe from any thread."""

    def new_id(self) -> str:
        """The next id."""
        ...

    def now(self) -> float:
        """Seconds since 1970, later than the last time."""
        ...

    def timer(self) -> float:
        """Seconds from which durations are made."""
        ...


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, as in a ULID
_PAIRS = [
    a + b for a in _ALPHABET for b in _ALPHABET
]  # two digits at a time: an id is made several times a call
_HIGH_SHIFTS, _ALL_SHIFTS = range(80, -1, -10), range(120, -1, -10)
_lock = threading.Lock()
_last_id = 0
#: What tells this process's ids from those of others that are made in the same millisecond.
_entropy = int.from_bytes(os.urandom(10), "big") >> 1
_head: tuple[int, str] = (-1, "")
_session: tuple[int, str] = (0, "")
_wrappers: list[Wrapper] = []
_tool_wrappers: list[ToolWrapper] = []
_clock: Clock | None = None
_forbidden: str | None = None
_cell_source: Callable[[], int | None] | None = None


def set_clock(stand_in: Clock | None) -> None:
    """Let ids and times come from ``stand_in`` from now on; None is the world's own again."""
    global _clock
    _clock = stand_in


def clock() -> Clock | None:
    """What stands in for the clock now, None if nothing does."""
    return _clock


def now() -> float:
    """Seconds since 1970."""
    return time.time() if _clock is None else _clock.now()


def timer() -> float:
    """Seconds from any start, to measure with."""
    return time.perf_counter() if _clock is None else _clock.timer()


def new_id() -> str:
    """A new 26-character id; ids made later in this process sort later."""
    return fresh_id() if _clock is None else _clock.new_id()


def fresh_id() -> str:
    """An id that no other process has, whatever stands in for the clock: for what is not to be shown."""
    global _last_id, _head
    with _lock:
        earliest = (time.time_ns() // 1_000_000) << 80
        if _last_id < earliest:
            _last_id = earliest | _entropy
        _last_id += 1
        value = _last_id
    high, head = value >> 40, _head
    if high != head[0]:  # most ids begin as the one before them
        head = _head = high, _digits(high, _HIGH_SHIFTS)
    pairs = _PAIRS
    return f"{head[1]}{pairs[value >> 30 & 1023]}{pairs[value >> 20 & 1023]}{pairs[value >> 10 & 1023]}{pairs[value & 1023]}"


def _after_fork() -> None:
    global _lock, _last_id, _entropy
    _lock, _last_id = threading.Lock(), 0
    _entropy = int.from_bytes(os.urandom(10), "big") >> 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def id_of(value: int) -> str:
    """The id of a number below 2**128."""
    return _digits(value, _ALL_SHIFTS)


def _digits(value: int, shifts: range) -> str:
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in shifts])


def session_id() -> str:
    """The id of this process's session; a forked child has its own."""
    global _session
    pid, identity = _session
    if pid != os.getpid():
        _session = (os.getpid(), identity := fresh_id())
    return identity


def set_cell_source(source: Callable[[], int | None] | None) -> None:
    """Say how to find the number of the notebook cell that runs."""
    global _cell_source
    _cell_source = source


def current_cell() -> int | None:
    """The number of the notebook cell that runs, None outside one."""
    return _cell_source() if _cell_source else None


def under_test() -> bool:
    """Whether a test runner started this process (or the kernel it runs in)."""
    return "PYTEST_VERSION" in os.environ


def add_wrapper(wrapper: Wrapper) -> None:
    """Let every provider an agent uses pass through ``wrapper`` (a tape, a cache); the last one added is outermost."""
    _wrappers.append(wrapper)


def remove_wrapper(wrapper: Wrapper) -> None:
    """Take a wrapper out again; one that is not there is ignored."""
    with contextlib.suppress(ValueError):
        _wrappers.remove(wrapper)


def wrapped(provider: ILLMProvider) -> ILLMProvider:
    """The provider as agents see it now."""
    for wrapper in _wrappers:
        provider = wrapper(provider)
    return provider


def add_tool_wrapper(wrapper: ToolWrapper) -> None:
    """Let every tool call that is about to run pass through ``wrapper`` (a tape)."""
    _tool_wrappers.append(wrapper)


def remove_tool_wrapper(wrapper: ToolWrapper) -> None:
    """Take a wrapper out again; one that is not there is ignored."""
    with contextlib.suppress(ValueError):
        _tool_wrappers.remove(wrapper)


def wrapped_tool(tool: ITool, call: ToolCall, agent: str) -> ITool:
    """The tool that runs this call of the agent now. Raises what forbids that."""
    for wrapper in _tool_wrappers:
        tool = wrapper(tool, call, agent)
    return tool


def live_calls_forbidden() -> str | None:
    """Why live calls are impossible now, None if they are possible."""
    if _forbidden is not None:
        return _forbidden
    return "GATHERING_LIVE=never is set" if os.environ.get("GATHERING_LIVE") == "never" else None


def forbid_live_calls(reason: str | None) -> None:
    """Make live calls impossible in this process for ``reason``; None makes them possible again."""
    global _forbidden
    _forbidden = reason


@contextlib.contextmanager
def no_live_calls(reason: str = "live calls are switched off here") -> Iterator[None]:
    """A block in which a live call to any service or model raises ``LiveCallError`` instead of being sent."""
    before = _forbidden
    forbid_live_calls(reason)
    try:
        yield
    finally:
        forbid_live_calls(before)


def refuse_live_call(provider: str, model: str, messages: list[dict[str, Any]] | None = None) -> None:
    """Raise ``LiveCallError`` if live calls are impossible; a provider calls this before it connects."""
    reason = live_calls_forbidden()
    if reason is None:
        return
    said = next((str(m.get("content", "")) for m in reversed(messages or []) if m.get("role") == "user"), "")
    about = f" for {said[:80]!r}" if said else ""
    raise LiveCallError(
        f"a live call to {provider}:{model}{about} was stopped because {reason}: "
        "use a recorded tape or ScriptedProvider, or allow live calls"
    )
