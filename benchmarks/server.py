"""A fake chat-completions service on the loopback, for the benchmarks: precomputed bytes, next to no work per request.

Runs in a process of its own (``python benchmarks/server.py``), prints its port and serves until its standard input
closes. The model's name says what comes back: ``text`` a short answer, ``slow`` the same after 200 ms, ``tool`` a
call of the tool ``add`` until a result was sent; and a request with ``"stream": true`` a stream of 2,000 chunks. Under
``/messages`` the same in Anthropic's format. Owns no measurement.
"""

from __future__ import annotations

import asyncio
import json
import sys

__all__ = ["CHUNKS", "LATENCY"]

CHUNKS = 2000
LATENCY = 0.2

_HEAD = {"id": "chatcmpl-1", "created": 1790000000, "model": "bench-1", "system_fingerprint": "fp_1"}
_USAGE = {
    "prompt_tokens": 24,
    "completion_tokens": CHUNKS,
    "total_tokens": CHUNKS + 24,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def _answer(finish: str = "stop", **message: object) -> bytes:
    message = {"role": "assistant", "refusal": None, **message}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    body = json.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_1\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


_CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 15, "b": 15}'}}


def _chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_HEAD, "object": "chat.completion.chunk", "choices": [choice], "usage": None}


def _http(events: list[bytes]) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    # One HTTP chunk for each event, as services send them.
    return head + b"".join(b"%x\r\n%s\r\n" % (len(e), e) for e in events) + b"0\r\n\r\n"


def _stream() -> bytes:
    chunks = [_chunk({"role": "assistant", "content": ""})]
    chunks += [_chunk({"content": f" word{n % 100}"}) for n in range(CHUNKS)]
    chunks += [_chunk({}, "stop"), {**_chunk({}), "choices": [], "usage": _USAGE}]
    events = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]
    return _http(events)


def _message(content: list[dict[str, object]], stop: str | None) -> dict[str, object]:
    usage = {"input_tokens": 24, "output_tokens": CHUNKS}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "bench-1",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _message_answer() -> bytes:
    text = "Fifteen percent of two hundred is thirty."
    body = json.dumps(_message([{"type": "text", "text": text}], "end_turn")).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


def _message_stream() -> bytes:
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": _message([], None)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    for n in range(CHUNKS):
        delta = {"type": "text_delta", "text": f" word{n % 100}"}
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    events.append({"type": "content_block_stop", "index": 0})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": CHUNKS}})
    events.append({"type": "message_stop"})
    return _http([f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events])


ANSWER = _answer(content="Fifteen percent of two hundred is thirty.")
TOOL_CALL = _answer("tool_calls", content=None, tool_calls=[_CALL])
STREAM = _stream()
MESSAGE, MESSAGE_STREAM = _message_answer(), _message_stream()


class Connection(asyncio.Protocol):
    """One keep-alive connection: cut requests out of the bytes, answer each."""

    def __init__(self) -> None:
        self.buffer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = _content_length(self.buffer[:end])
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            path = self.buffer.split(b" ", 2)[1]
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(path, body)

    def answer(self, path: bytes, body: bytes) -> None:
        compact = body.replace(b" ", b"")
        if b"/messages" in path:
            self.transport.write(MESSAGE_STREAM if b'"stream":true' in compact else MESSAGE)
        elif b'"stream":true' in compact:
            self.transport.write(STREAM)
        elif b'"model":"slow"' in compact:
            asyncio.get_running_loop().call_later(LATENCY, self.transport.write, ANSWER)
        elif b'"model":"tool"' in compact and b'"role":"tool"' not in compact:
            self.transport.write(TOOL_CALL)
        else:
            self.transport.write(ANSWER)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def main() -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
