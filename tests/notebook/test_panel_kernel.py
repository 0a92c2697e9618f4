"""A chat panel in a real kernel, with the test as the page at the other end of its comm: Stop, and what a cell leaves."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kernels import PATIENCE, RunningKernel, SlowServer, running_kernel, serve

pytestmark = pytest.mark.kernel


@pytest.fixture
def server() -> Iterator[SlowServer]:
    """A slow chat-completions server on the loopback."""
    made = SlowServer()
    stop = serve(made)
    yield made
    stop()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[RunningKernel]:
    """A kernel with a trace of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "GATHERING"))}
    with running_kernel({**environment, "GATHERING_STORE": str(tmp_path / "trace.sqlite")}) as kernel:
        yield kernel


class Wire:
    """The page's end of the comm of the one panel in the kernel."""

    def __init__(self, kernel: RunningKernel, server: SlowServer) -> None:
        self.kernel, self.count = kernel, 0
        kernel.must(
            "import gathering\n"
            f"slow = gathering.provider('openai-compatible:slow', base_url={server.url!r})\n"
            "ada = gathering.Agent('ada', llm_provider=slow)\n"
            "panel = ada.chat()"
        )
        self.comm = kernel.must("print(panel.widget.comm.comm_id)").text.strip()

    def request(self, t: str, **fields: Any) -> None:
        """Send a request of a view."""
        self.count += 1
        content = {"t": t, "view": "v", "n": self.count, **fields}
        data = {"method": "custom", "content": content}
        client = self.kernel.client
        client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": self.comm, "data": data}))

    def wait_for_text(self) -> None:
        """Return when a piece of an answer has been sent to the page."""
        while True:
            message = self.kernel.client.get_iopub_msg(timeout=PATIENCE)
            sent = message["content"].get("data", {}).get("content", {})
            if isinstance(sent, dict) and sent.get("t") == "delta":
                return


#: It looks around often: a loop that sleeps notices no interrupt.
AWAITED = "import asyncio\nfor _ in range(600): await asyncio.sleep(0.05)"


@pytest.mark.parametrize("cell", ["", AWAITED], ids=["idle", "awaited cell"])
def test_stop_closes_the_connection_at_once(kernel: RunningKernel, server: SlowServer, cell: str) -> None:
    """Stop in the panel hangs up on the provider, whether the kernel is idle or awaits something in a cell."""
    wire = Wire(kernel, server)
    wire.request("send", text="tell me slowly")
    wire.wait_for_text()
    running = kernel.start(cell) if cell else ""
    wire.request("stop")
    assert server.hung_up.wait(PATIENCE)
    if running:
        kernel.manager.interrupt_kernel()
        kernel.finish(running)
    shown = kernel.must(
        "while panel.room.busy: pass\nprint(panel.room.items[-1].status, panel.room.items[-1].text)"
    )
    assert shown.text.strip() == "stopped The first half"


def test_interrupting_the_idle_kernel_stops_the_panel(kernel: RunningKernel, server: SlowServer) -> None:
    """The notebook's Stop button works too, and an interrupt of a cell still ends the cell alone."""
    wire = Wire(kernel, server)
    wire.request("send", text="tell me slowly")
    wire.wait_for_text()
    kernel.must("1")  # the request itself is done with, and an interrupt is no longer its own
    kernel.manager.interrupt_kernel()
    assert server.hung_up.wait(PATIENCE)
    shown = kernel.must("while panel.room.busy: pass\nprint(panel.room.items[-1].status)")
    assert shown.text.strip() == "stopped"
    running = kernel.start("import time\nprint('begun', flush=True)\nfor _ in range(6000): time.sleep(0.05)")
    # What it printed, not its source, which is told before it runs: an interrupt in between is the kernel's own to take.
    while "begun" not in kernel.client.get_iopub_msg(timeout=PATIENCE)["content"].get("text", ""):
        pass
    kernel.manager.interrupt_kernel()
    assert kernel.finish(running).reply["ename"] == "KeyboardInterrupt"


def test_interrupt_ends_what_a_cell_asks_of_the_panel(kernel: RunningKernel, server: SlowServer) -> None:
    """``panel.ask`` in a cell is ended by the kernel's Stop; the panel has what had come."""
    wire = Wire(kernel, server)
    running = kernel.start("panel.ask('tell me slowly')")
    wire.wait_for_text()
    kernel.manager.interrupt_kernel()
    assert server.hung_up.wait(PATIENCE)
    assert kernel.finish(running).reply["ename"] == "KeyboardInterrupt"
    shown = kernel.must("print(panel.room.items[-1].status, panel.room.items[-1].text)")
    assert shown.text.strip() == "stopped The first half"


def test_a_panel_in_a_cell_nobody_watches_is_its_transcript(
    kernel: RunningKernel, server: SlowServer
) -> None:
    """Where nobody can type, a panel shows itself as one display, its transcript, which has what later cells ask too."""
    Wire(kernel, server)
    quiet = kernel.must("panel")
    assert "Chat with ada" in quiet.text
    assert "widget-view" not in str(quiet.published)
    place = quiet.published[0]["content"]["transient"]["display_id"]
    later = kernel.must("_ = panel.ask('be quick')")
    updates = [m["content"] for m in later.published if m["msg_type"] == "update_display_data"]
    assert updates[-1]["transient"]["display_id"] == place
    assert "be quick" in updates[-1]["data"]["text/plain"]
