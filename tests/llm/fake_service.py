"""A service on the loopback that answers as it is told, in pieces, with stalls and drops, and notes who hangs up."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Seconds a test waits for something another thread does; far more than it takes.
PATIENCE = 20.0


@dataclass
class Answer:
    """What the service does with one request.

    ``pieces`` are sent one by one, each as a chunk of its own; then the answer ends, or stalls until the client hangs
    up, or is dropped. ``head_only`` stalls before the first byte.
    """

    pieces: Sequence[bytes] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    stall: bool = False
    drop: bool = False
    silent: bool = False
    delay: float = 0.0


@dataclass
class Received:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """The scripted service. ``answers`` are used up one by one; the last one stays. ``replies`` goes before them."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.replies: Callable[[Received], Answer] | None = None
        self.received: list[Received] = []
        self.connections = 0
        self.in_flight = self.most_in_flight = 0
        self.hung_up = threading.Event()
        self.got_request = threading.Event()
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will(self, *answers: Answer) -> None:
        """Answer the next requests like this."""
        self.answers = list(answers)

    def will_say(self, body: Any, status: int = 200, **headers: str) -> None:
        """Answer everything with this JSON."""
        self.will(
            Answer([json.dumps(body).encode()], status, {"content-type": "application/json", **headers})
        )

    def will_stream(self, *data: Any, cut: int | None = None, **options: Any) -> None:
        """Answer everything with these server-sent events."""
        self.will(sse(*data, cut=cut, **options))

    def close(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(PATIENCE)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(
            asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=512)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self.loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.hung_up.set()
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ", 2)
        self.received.append(Received(method, path, headers, body))
        self.got_request.set()
        answer = self._next(self.received[-1])
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(answer, reader, writer)
        finally:
            self.in_flight -= 1

    def _next(self, received: Received) -> Answer:
        if self.replies is not None:
            return self.replies(received)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def _answer(
        self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if answer.delay:
            await asyncio.sleep(answer.delay)
        if answer.silent:
            return await self._until_hang_up(reader)
        lines = [f"HTTP/1.1 {answer.status} Status", "transfer-encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        for piece in filter(None, answer.pieces):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()
        if answer.stall:
            return await self._until_hang_up(reader)
        if answer.drop:
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _until_hang_up(self, reader: asyncio.StreamReader) -> bool:
        while await reader.read(1024):
            pass
        self.hung_up.set()
        return False


def cut_in(data: bytes, size: int | None) -> list[bytes]:
    """The bytes in pieces of this size, or in one."""
    return [data] if size is None else [data[i : i + size] for i in range(0, len(data), size)]


def sse(*data: Any, cut: int | None = None, **options: Any) -> Answer:
    """An answer of server-sent events: strings as they are, anything else as JSON."""
    text = "".join(
        f"data: {d if isinstance(d, str) else json.dumps(d, ensure_ascii=False)}\n\n" for d in data
    )
    headers = {"content-type": "text/event-stream", **options.pop("headers", {})}
    return Answer(cut_in(text.encode(), cut), headers=headers, **options)


def chunk(content: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One chunk of a chat-completions stream."""
    if content is not None:
        delta["content"] = content
    return {"model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def answer(content: str = "Hello!", **message: Any) -> dict[str, Any]:
    """A whole chat-completions answer."""
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": content, **message},
    }
    return {"model": "m-1", "choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}


def recordings() -> list[Path]:
    """All recorded exchanges, none where the folder is absent."""
    root = Path(__file__).parents[2]
    folder = Path(
        os.environ.get("GATHERING_WIRE_RECORDINGS") or root.parent / "shared" / "wire" / "recordings"
    )
    return sorted(folder.glob("*/*.json"))
