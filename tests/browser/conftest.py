"""A JupyterLab of its own on loopback, and a page in a real Chromium that fails on any console error."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from find_chromium import HOW_TO_GET_ONE, find_chromium, required
from playwright.sync_api import ConsoleMessage, Locator, Page, sync_playwright

PROJECT = Path(__file__).parent.parent.parent
SHOTS = PROJECT / "build" / "browser"
START_SECONDS = 90
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Without these a pop-up covers the page, and cells outside the window have no outputs to look at.
SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "notebook-extension/tracker": '{"windowingMode": "none"}',
}
KERNEL_IS_IDLE = """() => {
    const session = window.jupyterapp?.shell?.currentWidget?.context?.sessionContext;
    return !!session?.isReady && session?.session?.kernel?.status === 'idle';
}"""

HEIGHT_OF_ALL_CELLS = """() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')]
    .reduce((height, cell) => height + cell.offsetHeight + 10, 0)"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a browser, and time to start one."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(240))


@dataclass(frozen=True, slots=True)
class Lab:
    """A running JupyterLab: its address, its token and the folder it shows."""

    url: str
    token: str
    root: Path


@dataclass(frozen=True, slots=True)
class NotebookPage:
    """A notebook open in JupyterLab."""

    page: Page

    def run_all(self) -> None:
        """Run every cell; returns when the last one is done."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def start_all(self) -> None:
        """Run every cell without waiting for any."""
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")

    def run_cell(self, index: int) -> None:
        """Select one cell and run it."""
        self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-InputPrompt").click()
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")

    def interrupt(self) -> None:
        """Press Stop."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")

    def wait_idle(self) -> None:
        """Wait until the kernel runs nothing."""
        self.page.wait_for_function(KERNEL_IS_IDLE)

    def output(self, index: int) -> Locator:
        """What a cell shows below its code."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputWrapper")

    def shot(self, name: str) -> Path:
        """A picture of the whole notebook."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
        height = self.page.evaluate(HEIGHT_OF_ALL_CELLS)
        self.page.set_viewport_size({"width": 1100, "height": min(12_000, int(height) + 200)})
        self.page.locator(".jp-Notebook .jp-Cell").first.scroll_into_view_if_needed()
        self.page.screenshot(path=SHOTS / f"{name}.png")
        return SHOTS / f"{name}.png"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path; without one the test is skipped, or fails where a browser is required."""
    found = find_chromium()
    if found is None and required():
        pytest.fail(HOW_TO_GET_ONE)
    if found is None:
        pytest.skip(HOW_TO_GET_ONE)
    return found


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Lab]:
    """JupyterLab over a copy of the project's notebooks, with nothing of the user's own configuration."""
    root = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(PROJECT / "notebooks", root, ignore=shutil.ignore_patterns(".*"))
    with served(command, root, tmp_path_factory.mktemp("home")) as lab:
        yield lab


@contextmanager
def served(command: Callable[[Lab], list[str]], root: Path, home: Path) -> Iterator[Lab]:
    """A server started by this command on a free port, over this folder; stopped with its kernels at the end."""
    lab = Lab(f"http://127.0.0.1:{free_port()}", secrets.token_hex(16), root)
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command(lab), cwd=root, env=own_environment(home), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lab, server, home / "server.log")
        yield lab
    finally:
        server.send_signal(signal.SIGTERM)  # the server stops its kernels too
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(lab: Lab) -> list[str]:
    port = lab.url.rpartition(":")[2]
    return [
        *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.root_dir={lab.root}", f"--IdentityProvider.token={lab.token}"),
        *("--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]


def own_environment(home: Path) -> dict[str, str]:
    """The environment of a person at a fresh machine: no test runner, no settings, no key, nothing live."""
    ours = ("GATHERING_", "PYTEST_", "JUPYTER")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours) and not k.endswith("_API_KEY")}
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "run",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "HOME": "home",
    }
    for variable, name in folders.items():
        (home / name).mkdir(exist_ok=True)
        env[variable] = str(home / name)
    for name, text in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {**env, "GATHERING_TAPE_MODE": "replay"}


def wait_for(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers. Raises with its last words if it ends or takes too long."""
    headers = {"Authorization": f"token {lab.token}"}
    request = urllib.request.Request(f"{lab.url}/api/status", headers=headers)
    end = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(request, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return  # it answers, if not that
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)  # between two looks at another process; nothing in the tests waits by time
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


@contextmanager
def browser_page(chromium: str, profile: Path) -> Iterator[tuple[Page, list[str]]]:
    """A page in a browser of its own, and what were errors on its console.

    Playwright's loop would forbid every asyncio test that runs after it in this process, so it ends with the test.
    """
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            args=BROWSER_FLAGS,
            viewport={"width": 1280, "height": 900},
        )
        page = browser.pages[0] if browser.pages else browser.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.extend(error_in(message)))
        yield page, errors
        browser.close()


@pytest.fixture
def page(chromium: str, tmp_path: Path) -> Iterator[Page]:
    """A page; the test fails if anything was an error on its console."""
    with browser_page(chromium, tmp_path / "profile") as (page, errors):
        yield page
    assert not errors


def error_in(message: ConsoleMessage) -> list[str]:
    return [message.text] if message.type == "error" else []


@pytest.fixture
def open_notebook(lab: Lab, page: Page) -> Any:
    """A function that opens a notebook of the lab's folder and waits for its kernel."""

    def opened(name: str) -> NotebookPage:
        page.goto(f"{lab.url}/lab/tree/{name}?token={lab.token}&reset")
        page.wait_for_function("() => !!window.jupyterapp")
        page.locator(".jp-Notebook").first.wait_for()
        page.wait_for_function(KERNEL_IS_IDLE)
        return NotebookPage(page)

    return opened
