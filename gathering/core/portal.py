"""The I/O thread: one daemon thread with an event loop, for what must run beside the caller.

Used for a comparison started from a sync cell, an async tool or async-only provider in a sync call, and panels.
An ordinary turn does not pass through here. Owns no work of its own. What may block, since somebody else wrote it,
has a thread and a loop to itself: ``portal_of``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

__all__ = ["WAKING", "Job", "Portal", "beat", "beside", "portal", "portal_of", "wait_for"]

T = TypeVar("T")
_lock = threading.Lock()
_portal: Portal | None = None
#: Loops that belong to one object each, by its id, and end with it.
_own: dict[int, Portal] = {}

#: A cell that awaits notices Stop only when its loop wakes; this often it does (seconds).
HEARTBEAT = 0.05
#: Seconds a walk that is left gets to end.
CLOSING = 1.0
#: A thread that waits looks up this often (seconds): a signal between Python's last look at its signals and the system's call
#: is noticed only when the call returns.
WAKING = 0.1


class Portal:
    """An event loop on a thread of its own. ``run`` blocks the caller and cancels when the caller is interrupted."""

    def __init__(self, name: str = "gathering-io") -> None:
        self.loop = asyncio.new_event_loop()
        self.pid = os.getpid()
        self.thread = threading.Thread(target=_run, args=(self.loop,), name=name, daemon=True)
        self.thread.start()

    @property
    def alive(self) -> bool:
        """Whether it runs, and in this process."""
        return self.pid == os.getpid() and self.thread.is_alive()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start the coroutine on the I/O thread; the caller goes on."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. Whatever interrupts the wait, Stop included, cancels the work first."""
        if threading.current_thread() is self.thread:
            coroutine.close()
            raise RuntimeError("the I/O thread cannot wait for itself: await the async form instead")
        job = Job(coroutine)
        try:
            return wait_for(self.submit(job.run()))
        except BaseException:
            job.stop(self.loop)
            raise

    def iterate(self, source: AsyncIterator[T]) -> Iterator[T]:
        """A sync walk over an async iterator, one hop to the I/O thread for each item."""
        end = object()

        async def step() -> Any:
            return await anext(source, end)

        try:
            while (item := self.run(step())) is not end:
                yield item
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:  # one that blocks is not waited for
                with contextlib.suppress(TimeoutError):
                    wait_for(self.submit(_finish(close)), CLOSING)

    async def iterate_async(self, source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """The same walk for a caller who awaits; whatever the walk does, the caller's loop runs on."""
        end = object()

        async def step() -> Any:
            return await anext(source, end)

        try:
            while (item := await asyncio.wrap_future(self.submit(step()))) is not end:
                yield item
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.wrap_future(self.submit(_finish(close))), CLOSING)


class Job(Generic[T]):
    """Work that can be stopped at any moment: before it began, while it runs, and while it was being handed over."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.work = work
        self.task: asyncio.Task[Any] | None = None
        self.stopped = False
        self.ended = threading.Event()

    async def run(self) -> T:
        """The work's result; what is submitted to the I/O thread."""
        self.task = asyncio.current_task()
        try:
            if self.stopped:
                self.work.close()
                raise asyncio.CancelledError
            return await self.work
        finally:
            self.ended.set()

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel the work and give it a moment to close its connection, before its caller goes on."""
        self.stopped = True
        if self.task is not None and not self.ended.is_set():
            loop.call_soon_threadsafe(self.task.cancel)
            self.ended.wait(timeout=2)


async def beside(call: Callable[..., T], *arguments: Any) -> T:
    """What the call gives, made on a worker thread while the loop runs on.

    Raises what it raises; a ``StopIteration``, which no future carries (it would be waited for for ever), as ``RuntimeError``.
    """

    def work() -> T:
        try:
            return call(*arguments)
        except StopIteration as stop:
            raise RuntimeError(f"StopIteration: {stop}".rstrip(": ")) from stop

    return await asyncio.to_thread(work)


def wait_for(future: concurrent.futures.Future[T], seconds: float | None = None) -> T:
    """What the future gives, waited for so that Stop is never lost. Raises ``TimeoutError`` after so many seconds, and what it raises."""
    end = math.inf if seconds is None else time.monotonic() + seconds
    while True:
        try:
            return future.result(min(WAKING, max(0.0, end - time.monotonic())))
        except TimeoutError:
            if future.done():
                return future.result()  # it may be the work's own error
            if time.monotonic() >= end:
                raise


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _finish(close: Any) -> None:
    with contextlib.suppress(RuntimeError):  # a generator cut while running closes itself
        await close()


def portal() -> Portal:
    """The process's one portal, started when first asked for; a forked child gets its own."""
    global _portal
    with _lock:
        if _portal is None or not _portal.alive:
            _portal = Portal()
        return _portal


def portal_of(owner: object) -> Portal:
    """The loop of an object's own, started when first asked for: what blocks it blocks nothing else."""
    with _lock:
        found = _own.get(id(owner))
        if found is None or not found.alive:
            found = _own[id(owner)] = Portal("gathering-beside")
            weakref.finalize(owner, _end, id(owner), found)
        return found


def _end(owner: int, ended: Portal) -> None:
    if _own.get(owner) is ended:
        del _own[owner]
    if ended.alive:
        ended.loop.call_soon_threadsafe(ended.loop.stop)


class _Pulse:
    """One timer for each running loop, however many turns it carries."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.turns = loop, 0
        self.handle = loop.call_later(HEARTBEAT, self.tick)

    def tick(self) -> None:
        self.handle = self.loop.call_later(HEARTBEAT, self.tick)


_pulses: dict[asyncio.AbstractEventLoop, _Pulse] = {}


@contextlib.contextmanager
def beat() -> Iterator[None]:
    """Keep the running loop waking up, so that Stop reaches a cell that awaits silence."""
    loop = asyncio.get_running_loop()
    pulse = _pulses.get(loop) or _pulses.setdefault(loop, _Pulse(loop))
    pulse.turns += 1
    try:
        yield
    finally:
        pulse.turns -= 1
        if not pulse.turns:
            pulse.handle.cancel()
            _pulses.pop(loop, None)
