"""A chat-completions service on the loopback that answers from the request alone, streamed or whole, with tool calls."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["echo_service"]

#: Seconds between two pieces of a streamed answer.
PACE = 0.02


class _Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = body["messages"][-1]
        question = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
        wants = body.get("tools") and said["role"] == "user" and "use the tool" in question
        if "fail" in question:
            self._send(400, {"error": {"message": "no such thing", "type": "invalid_request_error"}})
        elif body.get("stream"):
            self._stream(body, question, wants)
        else:
            self._send(200, self._answer(body, question, wants))

    def _text(self, body: dict[str, Any], question: str) -> str:
        last = body["messages"][-1]
        told = f" The tool said {last['content']}." if last["role"] == "tool" else ""
        system = body["messages"][0]["content"] if body["messages"][0]["role"] == "system" else ""
        figure = sum(map(ord, json.dumps([body["model"], system, body.get("temperature"), question]))) % 1000
        return f"{body['model']} answers {figure}.{told}"

    def _call(self, body: dict[str, Any], question: str) -> dict[str, Any]:
        name = body["tools"][0]["function"]["name"]
        return {
            "id": "c1",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps({"text": question[:20]})},
        }

    def _answer(self, body: dict[str, Any], question: str, wants: Any) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self._text(body, question)}
        if wants:
            message = {"role": "assistant", "content": None, "tool_calls": [self._call(body, question)]}
        return {
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if wants else "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }

    def _stream(self, body: dict[str, Any], question: str, wants: Any) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        pieces: list[dict[str, Any]] = [
            {"content": word + " "} for word in self._text(body, question).split()
        ]
        if wants:
            pieces = [{"tool_calls": [{"index": 0, **self._call(body, question)}]}]
        for piece in pieces:
            self._chunk({"choices": [{"index": 0, "delta": piece}]})
            time.sleep(PACE)
        self._chunk(
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if wants else "stop"}]}
        )
        self._chunk(
            {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}
        )
        with suppress(ConnectionError):
            self.wfile.write(b"data: [DONE]\n\n")

    def _chunk(self, data: dict[str, Any]) -> None:
        line = json.dumps({"object": "chat.completion.chunk", "model": "m", **data})
        with suppress(ConnectionError):  # the caller was interrupted
            self.wfile.write(f"data: {line}\n\n".encode())
            self.wfile.flush()

    def _send(self, status: int, data: dict[str, Any]) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Stay silent."""


@contextmanager
def echo_service() -> Iterator[str]:
    """Its base URL; it is gone at the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
