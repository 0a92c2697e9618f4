"""The I/O thread: it runs beside the caller, is cancelled with the caller, and never waits for itself."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import signal
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest

from gathering.core import portal as portal_module
from gathering.core.portal import WAKING, beat, portal, portal_of, wait_for


async def where() -> str:
    return threading.current_thread().name


def test_work_runs_on_the_one_thread_also_from_a_running_loop() -> None:
    """From a script and from a cell alike."""
    assert portal().run(where()) == "gathering-io"

    async def cell() -> str:
        return portal().run(where())

    assert asyncio.run(cell()) == "gathering-io"
    assert portal() is portal()


def test_an_error_passes_through() -> None:
    """The caller gets the exception itself."""

    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        portal().run(fail())


def test_waiting_for_itself_is_refused() -> None:
    """It would wait for ever."""

    async def inner() -> None:
        portal().run(where())

    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        portal().run(inner())


def test_stop_cancels_the_work_before_the_caller_goes_on() -> None:
    """Ctrl-C during the wait: the work has been cancelled and has cleaned up when the error arrives."""
    events: list[str] = []

    async def work() -> None:
        threading.Timer(0, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            await asyncio.sleep(60)
        finally:
            events.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        portal().run(work())
    assert events == ["cleaned up"]


class Late(concurrent.futures.Future[str]):
    """Notes how long it is waited for at a time; done at the third look."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[float | None] = []

    def result(self, timeout: float | None = None) -> str:
        self.looks.append(timeout)
        if len(self.looks) == 3:
            self.set_result("there")
        return super().result(0)


def test_no_wait_is_longer_than_a_look() -> None:
    """A signal that a system call swallowed is noticed when the call returns: each returns soon."""
    late = Late()
    assert wait_for(late) == "there"
    assert late.looks == [WAKING] * 3


def test_a_wait_ends_with_the_work_s_own_error_or_in_time() -> None:
    """A ``TimeoutError`` of the work is the work's; one of the wait comes when it is over."""
    failed: concurrent.futures.Future[None] = concurrent.futures.Future()
    failed.set_exception(TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        wait_for(failed)
    with pytest.raises(TimeoutError):
        wait_for(concurrent.futures.Future(), 0.01)


def test_an_async_iterator_can_be_walked_and_left() -> None:
    """Leaving early closes it."""
    closed = threading.Event()

    async def numbers() -> Any:
        try:
            for i in range(10):
                yield i
        finally:
            closed.set()

    walk = portal().iterate(numbers())
    assert [next(walk), next(walk)] == [0, 1]
    walk.close()
    assert closed.wait(5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_has_a_portal_of_its_own() -> None:
    """The parent's thread does not exist in the child."""
    portal()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if portal().run(where()) == "gathering-io" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


async def test_a_heartbeat_lasts_as_long_as_the_turn() -> None:
    """The loop has a timer during the block, one for all turns, and none after it."""
    from gathering.core import portal as module

    loop = asyncio.get_running_loop()
    with beat(), beat():
        assert module._pulses[loop].turns == 2
    assert loop not in module._pulses


def test_what_is_beside_has_a_thread_of_its_own_and_ends_with_its_owner() -> None:
    """One for each owner, the same one each time; neither is the I/O thread."""

    @dataclass
    class Owner:
        """Equal to any other, and without a hash."""

    one, other = Owner(), Owner()
    assert portal_of(one) is portal_of(one) is not portal_of(other)
    assert portal_of(one).run(where()) == "gathering-beside"
    thread = portal_of(one).thread
    del one
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
    assert portal_of(other).run(where()) == "gathering-beside"


def test_a_walk_that_is_left_does_not_wait_for_a_loop_that_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop must end a turn also where somebody else's code stands still."""
    monkeypatch.setattr(portal_module, "CLOSING", 0.01)

    class Owner:
        pass

    async def numbers() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    async def block() -> None:
        reached.set()
        assert go_on.wait(10)

    owner, reached, go_on = Owner(), threading.Event(), threading.Event()
    walk = portal_of(owner).iterate(numbers())
    assert next(walk) == 1
    blocked = portal_of(owner).submit(block())
    assert reached.wait(10)
    walk.close()  # type: ignore[attr-defined]
    assert not blocked.done()
    go_on.set()
    blocked.result(10)
