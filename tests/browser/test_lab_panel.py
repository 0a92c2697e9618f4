"""A chat panel's life in JupyterLab, as a person lives it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from panels import PATIENCE, ChatView, write_notebook
from playwright.sync_api import expect

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCRIPT = '''
import gathering
from gathering.testing import ScriptedProvider

class Slow(ScriptedProvider):
    """Says a word, then waits to be stopped."""
    async def stream(self, messages, tools=None, **params):
        import asyncio
        if "slowly" not in messages[-1]["content"]:
            yield "**Bold** answer to: " + messages[-1]["content"]
            return
        yield "It begins "
        await asyncio.sleep(600)

ada = gathering.Agent("ada", llm_provider=Slow(["said in a cell"]))
'''
TOOLS = """
from gathering import tool
import gathering
from gathering.testing import ScriptedProvider

@tool(permissions=["write"])
def send_mail(to: str) -> str:
    \"\"\"Send a mail.\"\"\"
    return f"sent to {to}"

def told(messages):
    return "The mail: " + messages[-1]["content"]

ask = {"tool_calls": [{"name": "send_mail", "arguments": {"to": "bob"}}]}
ada = gathering.Agent("ada", llm_provider=ScriptedProvider([ask, told] * 4), tools=[send_mail], permissions=["ask * write"])
"""


@pytest.fixture
def chat(lab: Any, open_notebook: Callable[[str], Any]) -> Callable[..., tuple[Any, ChatView]]:
    """A function that writes a notebook, runs it, and gives the page and the panel."""

    def opened(*sources: str, name: str = "panel.ipynb") -> tuple[Any, ChatView]:
        notebook = open_notebook(write_notebook(lab.root, name, *sources))
        notebook.run_all()
        return notebook, ChatView.on(notebook.page)

    return opened


def test_ask_stop_edit_and_go_back(chat: Callable[..., Any]) -> None:
    """A message is answered, an answer is stopped and kept, an edited message forks, and both branches can be read."""
    notebook, panel = chat(SCRIPT, "panel = ada.chat(starters=['Hello?'])\npanel")
    panel.button("Hello?").click()
    expect(panel.answer().locator("strong")).to_have_text("Bold")
    panel.say("Say it slowly")
    expect(panel.items("assistant").last).to_contain_text("It begins")
    panel.button("Stop").click()
    expect(panel.answer("stopped")).to_contain_text("Stopped. What had come is kept.")
    first = panel.items("user").first
    first.hover()
    first.get_by_role("button", name="Edit", exact=True).click()
    panel.root.get_by_role("textbox", name="Edit message").fill("Hello again?")
    panel.button("Send again").click()
    expect(panel.answer()).to_contain_text("Hello again?")
    expect(panel.items("user")).to_have_count(1)
    notebook.shot("panel_branches")
    panel.button("Version before").click()
    expect(panel.items("user")).to_have_count(2, timeout=PATIENCE)
    expect(panel.items("user").first).to_contain_text("Hello?")


def test_a_tool_is_allowed_or_denied_in_place(chat: Callable[..., Any]) -> None:
    """The call waits for the person at the panel; what they say is what happens, with their arguments."""
    _, panel = chat(TOOLS, "ada.chat()")
    panel.say("Mail bob")
    card = panel.root.get_by_role("group", name="May ada use send_mail (write)?")
    expect(card).to_be_visible(timeout=PATIENCE)
    panel.shot("panel_approval")
    card.get_by_role("button", name="Edit arguments").click()
    card.get_by_role("textbox", name="Arguments as JSON").fill('{"to": "carol"}')
    card.get_by_role("button", name="Allow").click()
    expect(panel.answer()).to_contain_text("sent to carol")
    panel.say("And again")
    expect(card).to_be_visible(timeout=PATIENCE)
    card.get_by_role("button", name="Deny").click()
    expect(panel.answer()).to_contain_text("not allowed")


def test_several_panels_and_cells_stay_in_step(chat: Callable[..., Any]) -> None:
    """Two panels on one agent show the same, and what a cell asks appears in both."""
    notebook, one = chat(SCRIPT, "ada.chat()", "panel = ada.chat(readonly=True)\npanel", "1")
    two = ChatView.on(notebook.page, place=1)
    one.say("Hello?")
    expect(two.answer()).to_contain_text("Hello?")
    expect(two.box).not_to_be_visible()
    notebook.page.evaluate(
        "() => { const cell = jupyterapp.shell.currentWidget.content.widgets[3];"
        ' cell.model.sharedModel.setSource(\'panel.ask("from a cell"); ada.ask("beside it").text\'); }'
    )
    notebook.run_cell(3)
    notebook.wait_idle()
    for panel in (one, two):
        expect(panel.items("assistant")).to_have_count(3, timeout=PATIENCE)
        expect(panel.items("assistant").last).to_contain_text("said in a cell")


def test_keys_stay_in_the_panel(chat: Callable[..., Any]) -> None:
    """Letters that are commands of the notebook are letters in the panel; Enter sends."""
    notebook, panel = chat(SCRIPT, "ada.chat()")
    cells = notebook.page.locator(".jp-Notebook .jp-Cell").count()
    panel.box.click()
    notebook.page.keyboard.type("ddaabb")
    notebook.page.keyboard.press("Enter")
    expect(panel.answer()).to_contain_text("ddaabb")
    assert notebook.page.locator(".jp-Notebook .jp-Cell").count() == cells


def test_without_its_kernel_the_transcript_is_left(
    lab: Any, chat: Callable[..., Any], open_notebook: Any
) -> None:
    """The saved notebook, opened without the kernel that made it, shows what was said, and is small."""
    notebook, panel = chat(SCRIPT, "ada.chat()", name="saved.ipynb")
    panel.say("Will this stay?")
    panel.answer()
    expect(notebook.page.locator(".g-saved")).to_be_hidden()
    expect(notebook.page.locator(".g-saved")).to_contain_text("Will this stay?", timeout=PATIENCE)
    notebook.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    book = nbformat.read(lab.root / "saved.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    kept = [o for o in book.cells[1].outputs if "text/html" in o.get("data", {})]
    assert "Will this stay?" in kept[-1]["data"]["text/plain"]
    assert Path(lab.root / "saved.ipynb").stat().st_size < 20_000
    notebook.page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    again = open_notebook("saved.ipynb")
    expect(again.page.locator(".g-saved")).to_contain_text("Will this stay?", timeout=PATIENCE)
    again.shot("panel_reopened")


MANY = """
import gathering
from gathering.testing import ScriptedProvider
texts = ["word " * 4_000, "a | b\\n" * 4_000, '"<b>" ' * 4_000, "字" * 15_000]
agents = [gathering.Agent(f"a{n}", llm_provider=ScriptedProvider([texts[n % 4]])) for n in range(20)]
"""
SAVE_STATE = """async on => {
    await jupyterapp.serviceManager.settings.save('@jupyter-widgets/jupyterlab-manager:plugin', JSON.stringify(on ? {saveState: true} : {}));
}"""


def test_twenty_panels_are_saved_below_a_megabyte(lab: Any, open_notebook: Callable[[str], Any]) -> None:
    """A notebook with twenty live panels, each with a long answer, its widgets' state saved too."""
    shown = [f"panel{n} = agents[{n}].chat(height=150)\npanel{n}" for n in range(20)]
    asked = [f"_ = panel{n}.ask('Say much')" for n in range(20)]
    name = write_notebook(lab.root, "twenty.ipynb", MANY, *shown, "\n".join(asked))
    notebook = open_notebook(name)
    notebook.page.evaluate(SAVE_STATE, True)
    try:
        notebook = open_notebook(name)
        notebook.run_all()
        expect(notebook.page.locator("[data-role=assistant][data-done=done]")).to_have_count(
            20, timeout=PATIENCE
        )
        kept = notebook.page.locator(".g-saved").filter(has_text="export() writes them")
        expect(kept).to_have_count(20, timeout=PATIENCE)
        notebook.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    finally:
        notebook.page.evaluate(SAVE_STATE, False)
    book = nbformat.read(lab.root / name, as_version=4)  # type: ignore[no-untyped-call]
    widgets = book.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert sum("_esm" in widget["state"] for widget in widgets.values()) == 20
    assert Path(lab.root / name).stat().st_size < 1_000_000


def test_a_kernel_that_restarts_gives_back_its_agents(chat: Callable[..., Any]) -> None:
    """After a restart the panel says so and the transcript shows; restore brings the conversation into a new panel."""
    notebook, first = chat(
        SCRIPT, "ada.chat()", "%load_ext gathering", "%gathering restore ada", "ada.chat()"
    )
    first.say("Remember me?")
    first.answer()
    expect(notebook.page.locator(".g-saved").first).to_contain_text("Remember me?", timeout=PATIENCE)
    notebook.page.evaluate(
        "() => jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart()"
    )
    expect(notebook.page.get_by_role("status").filter(has_text="%gathering restore").first).to_be_visible(
        timeout=PATIENCE
    )
    expect(notebook.page.locator(".g-saved").first).to_be_visible()
    notebook.page.wait_for_function(
        "() => jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.status === 'idle'"
    )
    for index in (0, 2, 3, 4):
        notebook.run_cell(index)
        notebook.wait_idle()
    again = ChatView.on(notebook.page, place=1)
    expect(again.items("user")).to_contain_text("Remember me?", timeout=PATIENCE)


RICH = r'''
import gathering
from gathering import tool
from gathering.testing import ScriptedProvider

@tool
def mean(values: list[float]) -> float:
    """The mean of some numbers."""
    return sum(values) / len(values)

ANSWER = """The mean is **2.5**. In general it is

$$\\bar{x} = \\frac{1}{n}\\sum_{i=1}^{n} x_i$$

| value | distance from the mean |
|------:|-----------------------:|
| 1 | 1.5 |
| 4 | 1.5 |

```python
# the same in one line
mean = sum(values) / len(values)
```
"""
wants = {"thinking": "I should use the tool.", "tool_calls": [{"name": "mean", "arguments": {"values": [1, 2, 3, 4]}}]}
ada = gathering.Agent("ada", llm_provider=ScriptedProvider([wants, ANSWER]), tools=[mean])
'''


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"])
def test_it_follows_the_theme_and_keeps_nobody_out(chat: Callable[..., Any], theme: str) -> None:
    """In each theme of JupyterLab a panel with tools, a table, code and a formula breaks no rule of axe."""
    notebook, panel = chat(RICH, "ada.chat(height=620)")
    notebook.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    notebook.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    panel.say("What is the mean of 1, 2, 3 and 4?")
    panel.answer()
    expect(panel.root.locator("math")).to_be_visible(timeout=PATIENCE)
    panel.shot(f"panel_{theme.split()[-1].lower()}")
    panel.root.locator("summary").first.click()
    results = Axe().run(notebook.page, context=".g-panel", options={"runOnly": WCAG})
    assert results.violations_count == 0, results.generate_report()
