"""What a chat panel costs in a kernel, and what a reader sees of it in JupyterLab, beside a peer.

    python benchmarks/panels.py [--check]

2,000 tokens of six characters come at 1,000 a second, in a real kernel; a real Chromium looks at a real JupyterLab.

- **cpu**: the kernel's milliseconds for a token, without what making the tokens takes. Bound: 0.06.
- **wire**: kB from server to page for the whole answer, as WebSocket frames. Bound: 60. The transcript that is left in the
  notebook comes after it, once a turn, at most 12,000 characters in three forms: a row of its own.
- **lag**: milliseconds from a token's arrival in the kernel to its being in the page, 95th percentile. Bound: 80.
- **late**: frames drawn more than 50 ms after the one before, while the answer came. Bound: 0.
- **six**: characters that six panels at 400 tokens a second did not show in the end. Bound: 0.

The peer is ``ipywidgets.HTML`` whose value is set every 50 ms, in the same run. ``--check`` ends with code 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))

from conftest import BROWSER_FLAGS, KERNEL_IS_IDLE, Lab, command, free_port, own_environment, wait_for
from find_chromium import find_chromium
from measure import Row, show
from panels import write_notebook

TOKENS, RATE, SIX = 2000, 1000, 400

SETUP = f"""
import asyncio, ipywidgets, json, time, gathering
from gathering.core.portal import portal
from gathering.testing import ScriptedProvider

class Steady(ScriptedProvider):
    tokens, rate, begun = {TOKENS}, {RATE}, 0.0
    async def stream(self, messages, tools=None, **params):
        self.begun, begun = time.time(), time.perf_counter()
        for n in range(self.tokens):
            wait = begun + n / self.rate - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            yield f"{{n:05d}} "

async def make():
    async for _ in Steady([]).stream([]):
        pass

async def paint(box):
    text, last, source = "", 0.0, Steady([])
    async for piece in source.stream([]):
        text += piece
        if time.perf_counter() - last > 0.05:
            box.value, last = text, time.perf_counter()
    box.value = text
    return source.begun

def chat(rooms):
    async def send():
        for room in rooms:
            room.send("go")
    portal().run(send())
    while any(room.busy for room in rooms):
        time.sleep(0.02)
    return rooms[0].agent.llm_provider.begun

def spent(work):
    before = time.process_time()
    result = work()
    return time.process_time() - before, result

alone, _ = spent(lambda: portal().run(make()))
"""
PEER = "box = ipywidgets.HTML('-'); box"
PEER_RUN = "cpu, begun = spent(lambda: portal().run(paint(box))); print(json.dumps([cpu - alone, begun]))"
OURS = "panel = gathering.Agent('ada', llm_provider=Steady([])).chat(height=300); panel"
OURS_RUN = "cpu, begun = spent(lambda: chat([panel.room])); print(json.dumps([cpu - alone, begun]))"
SIX_PANELS = f"""
rooms = []
for n in range(6):
    source = Steady([])
    source.rate = {SIX}
    shown = gathering.Agent(f"a{{n}}", llm_provider=source).chat(height=200)
    rooms.append(shown.room)
    display(shown)
"""
SIX_RUN = "print(json.dumps([0, chat(rooms)]))"
# Notes when each token is first in the page, and how long frames take meanwhile.
WATCH = """
() => {
  const seen = window.seen = { tokens: [], frames: [], from: 0 };
  let last = performance.now();
  const look = (now) => {
    seen.frames.push(now - last);
    last = now;
    const text = [...document.querySelectorAll("[data-role=assistant] .g-text, .widget-html-content")].map((e) => e.textContent).join(" ");
    const found = text.match(/[0-9]{5}/g);
    if (found) seen.tokens.push([Date.now(), Number(found[found.length - 1])]);
    seen.handle = requestAnimationFrame(look);
  };
  seen.handle = requestAnimationFrame(look);
}
"""


def measured() -> list[Row]:
    """A table of the figures, from one run."""
    chromium = find_chromium()
    if chromium is None:
        sys.exit("no Chromium was found: install one (apt install chromium)")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_lab(Path(folder)) as lab,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch_persistent_context(
            Path(folder) / "profile",
            executable_path=chromium,
            args=BROWSER_FLAGS,
            viewport={"width": 1280, "height": 900},
        )
        page = browser.pages[0]
        wire = Wire(page)
        peer = one_run(lab, page, wire, "peer", PEER, PEER_RUN)
        ours = one_run(lab, page, wire, "ours", OURS, OURS_RUN)
        page.locator(".g-saved").filter(has_text=f"{TOKENS - 1:05d}").wait_for(state="attached")
        kept = wire.kept / 1000
        one_run(lab, page, wire, "six", SIX_PANELS, SIX_RUN)
        page.wait_for_function(
            "() => document.querySelectorAll('[data-role=assistant][data-done=done]').length === 6"
        )
        texts = page.locator("[data-role=assistant] .g-text").all_text_contents()
        browser.close()
    whole = "".join(f"{n:05d} " for n in range(TOKENS)).split()
    missing = sum(len(set(whole) - set(text.split())) * 6 for text in texts) + (6 - len(texts)) * 6 * TOKENS
    names = {
        "cpu, a token": ("us", 60.0),
        "wire": ("kB", 60.0),
        "lag, p95": ("ms", 80.0),
        "late frames": ("  ", 0.0),
    }
    rows = [
        Row(name, peer[name], ours[name], unit, ours[name], bound) for name, (unit, bound) in names.items()
    ]
    rows.insert(2, Row("  the transcript, after it", 0, kept, "kB", kept, None))
    return [*rows, Row("six panels, characters missing", 0, missing, "  ", missing, 0.0)]


@dataclass
class Wire:
    """Bytes that came over the page's WebSockets: of transcripts, and of everything else."""

    page: Page
    count: int = 0
    kept: int = 0

    def __post_init__(self) -> None:
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._add))

    def _add(self, frame: str | bytes) -> None:
        data = frame.encode() if isinstance(frame, str) else frame
        if b'"update_display_data"' in data[:2000]:
            self.kept += len(data)
        else:
            self.count += len(data)


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """A JupyterLab with a configuration of its own."""
    lab = Lab(f"http://127.0.0.1:{free_port()}", secrets.token_hex(16), folder / "root")
    lab.root.mkdir()
    (folder / "home").mkdir()
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command(lab), cwd=lab.root, env=own_environment(folder / "home"), stdout=log, stderr=log
        )
    try:
        wait_for(lab, server, folder / "server.log")
        yield lab
    finally:
        server.terminate()
        server.wait(20)


def one_run(lab: Lab, page: Page, wire: Wire, name: str, shown: str, run: str) -> dict[str, float]:
    """Open a notebook, show, let the answer come while the page is watched; the figures."""
    book = write_notebook(lab.root, f"{name}.ipynb", SETUP, shown, run)
    page.goto(f"{lab.url}/lab/tree/{book}?token={lab.token}&reset")
    page.wait_for_function("() => !!window.jupyterapp", timeout=60_000)
    page.locator(".jp-Notebook").first.wait_for()
    page.wait_for_function(KERNEL_IS_IDLE, timeout=60_000)
    for index in range(2):
        run_cell(page, index)
    page.locator(".g-panel, .widget-html").first.wait_for()
    page.evaluate(WATCH)
    before = wire.count
    run_cell(page, 2)
    page.evaluate("() => cancelAnimationFrame(window.seen.handle)")
    text = page.locator(".jp-Notebook .jp-Cell").nth(2).locator(".jp-OutputArea-output").first.inner_text()
    cpu, begun = json.loads(text)
    seen = page.evaluate("() => window.seen")
    return {
        "cpu, a token": cpu / TOKENS * 1e6,
        "wire": (wire.count - before) / 1000,
        "lag, p95": lag(seen["tokens"], begun * 1000),
        "late frames": float(sum(frame > 50 for frame in seen["frames"][1:])),
    }


def run_cell(page: Page, index: int) -> None:
    """Run one cell to its end."""
    page.evaluate(
        "async (n) => { const book = jupyterapp.shell.currentWidget.content; book.activeCellIndex = n;"
        " await jupyterapp.commands.execute('notebook:run-cell'); }",
        index,
    )


def lag(seen: list[list[float]], begun: float) -> float:
    """The 95th percentile of milliseconds between when a token was due and the first frame that has it."""
    lags, place = [], 0
    for n in range(TOKENS):
        while place < len(seen) and seen[place][1] < n:
            place += 1
        if place == len(seen):
            return float("inf")
        lags.append(seen[place][0] - (begun + n * 1000 / RATE))
    return statistics.quantiles(lags, n=20)[-1]


def main() -> None:
    """Measure, show, and judge by the bounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    rows = measured()
    show(rows)
    if check and not all(row.holds for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
