"""A real kernel, and a chat-completions server that stops in the middle of an answer."""

from __future__ import annotations

import json
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from jupyter_client.manager import KernelManager

__all__ = ["PATIENCE", "Outcome", "RunningKernel", "SlowServer", "running_kernel"]

#: Seconds a step of a kernel may take on a loaded machine before the test gives up.
PATIENCE = 30
HALF, REST = "The first half", " and the rest."


class SlowServer(ThreadingHTTPServer):
    """Says ``HALF``, then waits until it is let go on or the caller hangs up; a prompt with ``quick`` is answered."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.waiting, self.hung_up, self.go_on = threading.Event(), threading.Event(), threading.Event()
        self.requests: list[dict[str, Any]] = []
        self.hung_up_at = 0.0

    @property
    def url(self) -> str:
        """The base URL for an ``openai-compatible`` provider."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Answer(BaseHTTPRequestHandler):
    server: SlowServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(body)
        quick = "quick" in str(body["messages"][-1]["content"])[:100]
        if body.get("stream"):
            self._stream(quick)
        elif quick or self._may_go_on():
            self._whole()

    def _stream(self, quick: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self._chunk({"delta": {"role": "assistant", "content": HALF}})
        if quick or self._may_go_on():
            self._chunk({"delta": {"content": REST}})
            self._chunk({"delta": {}, "finish_reason": "stop"})
            self.wfile.write(b"data: [DONE]\n\n")

    def _whole(self) -> None:
        message = {"role": "assistant", "content": HALF + REST}
        body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunk(self, choice: dict[str, Any]) -> None:
        data = {"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}
        self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def _may_go_on(self) -> bool:
        """Wait in the middle; False if the caller hung up meanwhile, which is told at once."""
        self.server.waiting.set()
        watched = select.poll()  # select takes no descriptor above 1,023
        watched.register(self.connection, select.POLLIN)
        for _ in range(PATIENCE * 100):
            if watched.poll(10) and not self._still_there():
                self.server.hung_up_at = time.time()
                self.server.hung_up.set()
                return False
            if self.server.go_on.is_set():
                return True
        return False

    def _still_there(self) -> bool:
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except ConnectionError:
            return False

    def log_message(self, *args: Any) -> None:
        """Stay silent."""


@dataclass
class Outcome:
    """What a cell gave: the reply's content and the messages it published."""

    reply: dict[str, Any]
    published: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        """``ok`` or ``error``."""
        return str(self.reply["status"])

    @property
    def text(self) -> str:
        """Everything that was printed or shown, as plain text."""
        parts = []
        for message in self.published:
            content = message["content"]
            parts.append(content.get("text") or content.get("data", {}).get("text/plain") or "")
        return "\n".join(parts)


class RunningKernel:
    """A kernel and its client."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager, self.client = manager, manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def start(self, code: str, *, allow_stdin: bool = False) -> str:
        """Begin a cell; its id."""
        return str(self.client.execute(code, allow_stdin=allow_stdin))

    def finish(self, identity: str) -> Outcome:
        """Wait for a cell's end. Raises ``queue.Empty`` if it does not come in time."""
        while (reply := self.client.get_shell_msg(timeout=PATIENCE))["parent_header"].get(
            "msg_id"
        ) != identity:
            pass
        published = list(self._published(identity))
        return Outcome(reply["content"], published)

    def _published(self, identity: str) -> Iterator[dict[str, Any]]:
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=PATIENCE)
            except queue.Empty:
                return
            if message["parent_header"].get("msg_id") != identity:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return
            if message["msg_type"] not in ("status", "execute_input"):
                yield message

    def run(self, code: str) -> Outcome:
        """A cell, from beginning to end."""
        return self.finish(self.start(code))

    def must(self, code: str) -> Outcome:
        """A cell that has to succeed."""
        outcome = self.run(code)
        assert outcome.status == "ok", outcome.reply
        return outcome

    def complete(self, code: str) -> list[str]:
        """What the kernel offers at the end of the code."""
        identity = self.client.complete(code, len(code))
        while (reply := self.client.get_shell_msg(timeout=PATIENCE))["parent_header"].get(
            "msg_id"
        ) != identity:
            pass
        return list(reply["content"]["matches"])


@contextmanager
def running_kernel(environment: dict[str, str]) -> Iterator[RunningKernel]:
    """A kernel in this environment; gone at the end of the block, whatever became of it."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=environment)
    kernel = None
    try:
        kernel = RunningKernel(manager)
        yield kernel
    finally:
        if kernel is not None:
            kernel.client.stop_channels()
        manager.shutdown_kernel(now=True)


def serve(server: SlowServer) -> Callable[[], None]:
    """Start the server on a thread; how to stop it."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def stop() -> None:
        server.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
