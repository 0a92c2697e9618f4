"""Requests of panels while a cell awaits something, on ipykernel 6, which keeps every message back until the cell is done.

Owns looking into that kernel's queue: it documents no other way. Newer ones have threads for it, and no such queue; there nothing
is done. While a cell blocks the kernel there is no way in but its interrupt.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeAlias
from weakref import WeakSet

__all__ = ["Taker", "answer_while_awaiting"]

#: Takes a message that came for one comm.
Taker: TypeAlias = Callable[[dict[str, Any]], Any]

#: Seconds between two looks into the queue.
BEAT = 0.02
_watched: WeakSet[Any] = WeakSet()


def answer_while_awaiting(shell: Any, taker_of: Callable[[str], Taker | None]) -> None:
    """From now on what is sent to a comm that ``taker_of`` knows is taken while a cell awaits, also by the one that runs."""
    kernel = getattr(shell, "kernel", None)
    if shell in _watched or not hasattr(getattr(kernel, "msg_queue", None), "_queue"):
        return
    _watched.add(shell)
    watch = _Watch(kernel, taker_of)
    shell.events.register("pre_run_cell", watch.begin)
    shell.events.register("post_run_cell", watch.end)
    watch.begin()


class _Watch:
    def __init__(self, kernel: Any, taker_of: Callable[[str], Taker | None]) -> None:
        self.kernel, self.taker_of = kernel, taker_of
        self._task: asyncio.Task[None] | None = None

    def begin(self, info: object = None) -> None:
        with contextlib.suppress(RuntimeError):  # without a loop nothing can be awaited
            self._task = self._task or asyncio.get_running_loop().create_task(self._look())

    def end(self, result: object = None) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _look(self) -> None:
        while True:
            waiting = self.kernel.msg_queue._queue
            for entry in list(waiting):
                if self._taken(*entry[1:]):
                    waiting.remove(entry)
            await asyncio.sleep(BEAT)

    def _taken(self, dispatch: Any, frames: tuple[Any, ...]) -> bool:
        """Whether this was a message for one of the comms, which has it now."""
        if dispatch != self.kernel.dispatch_shell:
            return False
        session = self.kernel.session
        _, parts = session.feed_identities(frames[0], copy=False)
        if session.unpack(parts[1].bytes).get("msg_type") != "comm_msg":
            return False
        taker = self.taker_of(session.unpack(parts[4].bytes).get("comm_id", ""))
        if taker is None:
            return False
        taker(session.deserialize(parts, copy=False))
        return True
