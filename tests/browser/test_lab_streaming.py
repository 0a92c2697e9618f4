"""A streaming cell in JupyterLab: the text arrives while the model speaks, and Stop stops it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect

PATIENCE = 30
FIRST, SECOND = "The first words.", "And the last words."


class SlowModel(ThreadingHTTPServer):
    """A chat-completions server that says the first half and waits to be let on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.go_on, self.hung_up = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Answer(BaseHTTPRequestHandler):
    """One streamed answer in two halves; between them the connection is watched."""

    server: SlowModel
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.say(FIRST)
        if self.gone():
            self.server.hung_up.set()
            return
        self.say(" " + SECOND)
        self.send({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def say(self, text: str) -> None:
        self.send({"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]})

    def send(self, chunk: dict[str, Any]) -> None:
        event = {"id": "c", "object": "chat.completion.chunk", "model": "slow", **chunk}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def gone(self) -> bool:
        """Whether the client left before it was time to go on."""
        self.connection.settimeout(0.02)
        while not self.server.go_on.is_set():
            try:
                if self.connection.recv(1) == b"":
                    return True
            except TimeoutError:
                continue
            except OSError:
                return True
        return False

    def log_message(self, *args: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def model() -> Iterator[SlowModel]:
    server = SlowModel()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()


def notebook_for(model: SlowModel, folder: Path, name: str) -> str:
    """A notebook that asks the slow model, then computes something."""
    cells = [
        "%load_ext gathering\nimport gathering\n"
        f"slow = gathering.provider('openai-compatible:slow', base_url={model.url!r}, api_key='none')\n"
        "ada = gathering.Agent('ada', llm_provider=slow)",
        "%%gathering ask ada -o reply\nSay two sentences.",
        "print('sum', 1 + 1)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / name)
    return name


def test_text_is_seen_while_the_model_speaks(
    lab: Any, model: SlowModel, open_notebook: Callable[[str], Any]
) -> None:
    """The first half stands on the page while the cell still runs; at the end the whole answer does, once."""
    notebook = open_notebook(notebook_for(model, lab.root, "streaming.ipynb"))
    notebook.start_all()
    expect(notebook.output(1)).to_contain_text(FIRST, timeout=PATIENCE * 1000)
    expect(notebook.output(1)).not_to_contain_text(SECOND)
    model.go_on.set()
    expect(notebook.output(1)).to_contain_text(SECOND, timeout=PATIENCE * 1000)
    expect(notebook.output(2)).to_contain_text("sum 2", timeout=PATIENCE * 1000)
    assert notebook.output(1).inner_text().count(FIRST) == 1
    notebook.shot("streaming")


def test_stop_closes_the_connection_and_keeps_what_had_arrived(
    lab: Any, model: SlowModel, open_notebook: Callable[[str], Any]
) -> None:
    """Stop in the middle: the server sees the hang-up, the partial answer stays, and the next cell works."""
    notebook = open_notebook(notebook_for(model, lab.root, "stopped.ipynb"))
    notebook.start_all()
    expect(notebook.output(1)).to_contain_text(FIRST, timeout=PATIENCE * 1000)
    notebook.interrupt()
    assert model.hung_up.wait(PATIENCE)
    expect(notebook.output(1)).to_contain_text("KeyboardInterrupt: stopped", timeout=PATIENCE * 1000)
    expect(notebook.output(1)).not_to_contain_text("Traceback")
    expect(notebook.output(1)).to_contain_text(FIRST)
    notebook.wait_idle()
    notebook.run_cell(2)
    expect(notebook.output(2)).to_contain_text("sum 2", timeout=PATIENCE * 1000)
    notebook.shot("stopped")
