"""Calls that end in time: a function on a thread of its own, an awaitable that is given up. Owns no tool.

Threads here are daemons and in no pool: a pool is waited for when the interpreter ends, so a call that hangs would
hold up the end of the kernel. Nothing can stop a thread; a call whose time is up is left behind.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

from gathering.core.errors import ToolFailed
from gathering.core.portal import wait_for

__all__ = ["await_in_time", "call_in_time", "on_thread"]

_UNWINDING = 1.0  # seconds a call that was cancelled has to close what it holds


def on_thread(call: Callable[[], Any], name: str) -> Future[Any]:
    """The call's outcome, to be waited for; the call runs on a thread of its own, in the caller's context."""
    future: Future[Any] = Future()
    run = functools.partial(contextvars.copy_context().run, _settle, future, call)
    threading.Thread(target=run, name=f"tool-{name}", daemon=True).start()
    return future


def call_in_time(call: Callable[[], Any], seconds: float | None, name: str) -> Any:
    """What the call gives. Raises ``ToolFailed`` when it takes longer; without a limit it runs on this thread."""
    if seconds is None:
        return call()
    future = on_thread(call, name)
    try:
        return wait_for(future, seconds)
    except TimeoutError:
        if future.done():
            raise
        raise _too_long(name, seconds) from None


async def await_in_time(work: Awaitable[Any], seconds: float | None, name: str) -> Any:
    """What the awaitable gives. Raises ``ToolFailed`` when it takes longer, also if it ignores being cancelled."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise _too_long(name, seconds or 0)
    except BaseException:
        await _given_up(task)
        raise
    if task.cancelled():
        raise ToolFailed(f"{name} was cancelled from within")
    return task.result()


async def _given_up(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=_UNWINDING)
    if task.done() and not task.cancelled():
        task.exception()  # looked at, so that the loop does not complain of it


def _too_long(name: str, seconds: float) -> ToolFailed:
    return ToolFailed(f"{name} took longer than {seconds:g} s and was given up")


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        outcome = call()
    except StopIteration as err:  # which no asyncio future carries
        _tell(future.set_exception, RuntimeError(f"StopIteration: {err}".rstrip(": ")))
    except BaseException as err:  # noqa: BLE001 - it is raised again where the outcome is waited for
        _tell(future.set_exception, err)
    else:
        _tell(future.set_result, outcome)


def _tell(say: Callable[[Any], None], what: Any) -> None:
    try:
        say(what)
    except Exception:  # noqa: BLE001 - nobody waits any more: the call was given up, or its loop is closed
        return
