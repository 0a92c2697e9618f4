"""A chat panel in Notebook 7 and in Voila: it opens, answers, and can be stopped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import KERNEL_IS_IDLE, Lab, browser_page, command, served
from panels import ChatView, write_notebook
from playwright.sync_api import Page, expect
from test_lab_panel import SCRIPT

PATIENCE = 25_000


def notebook_command(lab: Lab) -> list[str]:
    """Jupyter Notebook in the place of JupyterLab."""
    kept = [word for word in command(lab) if not word.startswith("--LabApp.")]
    return [*("notebook" if word == "lab" else word for word in kept), "--expose-app-in-browser"]


def voila_command(lab: Lab) -> list[str]:
    """Voila over one notebook, for everybody who has the token."""
    port = lab.url.rpartition(":")[2]
    return [
        *(
            sys.executable,
            "-m",
            "voila",
            "talk.ipynb",
            "--no-browser",
            f"--port={port}",
            "--Voila.ip=127.0.0.1",
        ),
        *(f"--token={lab.token}", "--VoilaConfiguration.show_tracebacks=True"),
    ]


def talk(panel: ChatView) -> None:
    """Ask, be answered, stop an answer."""
    panel.say("Hello?")
    expect(panel.answer().locator("strong")).to_have_text("Bold")
    panel.say("Say it slowly")
    expect(panel.items("assistant").last).to_contain_text("It begins")
    panel.button("Stop").click()
    panel.answer("stopped")


@pytest.fixture
def page(chromium: str, tmp_path: Path) -> Iterator[Page]:
    """A page whose application may say what it likes on its console, as these two do; the panel says nothing there."""
    (tmp_path / "root").mkdir()
    (tmp_path / "home").mkdir()
    with browser_page(chromium, tmp_path / "profile") as (page, errors):
        yield page
    assert not [error for error in errors if "blob:" in error or "gathering" in error]


def test_in_notebook_7(page: Page, tmp_path: Path) -> None:
    """The same panel in Jupyter Notebook."""
    name = write_notebook(tmp_path / "root", "talk.ipynb", SCRIPT, "ada.chat()")
    with served(notebook_command, tmp_path / "root", tmp_path / "home") as lab:
        page.goto(f"{lab.url}/notebooks/{name}?token={lab.token}")
        page.wait_for_function("() => !!window.jupyterapp", timeout=PATIENCE)
        page.wait_for_function(KERNEL_IS_IDLE, timeout=PATIENCE)
        page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
        panel = ChatView.on(page)
        talk(panel)
        panel.shot("panel_notebook7")


def test_in_voila(page: Page, tmp_path: Path) -> None:
    """The same panel as an application, without code and without a transcript below it."""
    write_notebook(tmp_path / "root", "talk.ipynb", SCRIPT, "ada.chat()")
    with served(voila_command, tmp_path / "root", tmp_path / "home") as lab:
        page.goto(f"{lab.url}/?token={lab.token}", timeout=PATIENCE)
        panel = ChatView.on(page)
        talk(panel)
        panel.shot("panel_voila")
        expect(page.locator(".g-saved")).to_have_count(0)
