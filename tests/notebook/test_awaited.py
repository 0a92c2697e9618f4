"""What is sent to a panel while a cell awaits, with a kernel that keeps its messages in a queue as ipykernel 6 does."""

from __future__ import annotations

import asyncio
from typing import Any

import zmq
from IPython.core.events import EventManager
from jupyter_client.session import Session
from tornado.queues import Queue

from gathering.notebook.awaited import answer_while_awaiting


class OldKernel:
    """The queue, and how a message is put into it."""

    def __init__(self) -> None:
        self.session, self.msg_queue = Session(key=b"secret"), Queue[Any]()

    def dispatch_shell(self, frames: list[zmq.Frame]) -> None:
        """Never called here: the cell still runs."""

    def put(self, kind: str, content: dict[str, Any], *buffers: bytes) -> None:
        message = self.session.msg(kind, content)
        frames = [b"who", *self.session.serialize(message), *buffers]
        self.msg_queue.put_nowait((0, self.dispatch_shell, ([zmq.Frame(part) for part in frames],)))


class Shell:
    """What runs cells."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.events = EventManager(self, {"pre_run_cell": lambda info: None, "post_run_cell": lambda r: None})


def test_a_panel_is_heard_while_a_cell_awaits() -> None:
    """Messages for a panel are taken with their buffers, all others stay in their order, and nothing is taken after the cell."""

    async def cell() -> tuple[list[Any], int]:
        kernel, taken = OldKernel(), list[Any]()
        shell = Shell(kernel)
        heard = asyncio.Event()

        def take(message: dict[str, Any]) -> None:
            taken.append((message["content"]["data"], [bytes(b) for b in message["buffers"]]))
            heard.set()

        answer_while_awaiting(shell, {"panel": take}.get)
        shell.events.trigger("pre_run_cell", None)
        kernel.put("execute_request", {"code": "1"})
        kernel.put("comm_msg", {"comm_id": "a slider", "data": 1})
        kernel.put("comm_msg", {"comm_id": "panel", "data": "stop"}, b"a file")
        await asyncio.wait_for(heard.wait(), 20)
        shell.events.trigger("post_run_cell", None)
        kernel.put("comm_msg", {"comm_id": "panel", "data": "too late for this cell"})
        for _ in range(3):
            await asyncio.sleep(0)
        return taken, kernel.msg_queue.qsize()

    assert asyncio.run(cell()) == ([("stop", [b"a file"])], 3)


def test_a_kernel_without_such_a_queue_is_left_alone() -> None:
    """Newer kernels take messages on threads of their own."""
    shell = Shell(object())
    answer_while_awaiting(shell, {}.get)
    assert not shell.events.callbacks["pre_run_cell"]
