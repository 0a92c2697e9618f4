"""The grid, the view of a conversation, the memory editor and the trace explorer in JupyterLab, as a person uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from panels import PATIENCE, SHOTS, write_notebook
from playwright.sync_api import Locator, expect

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
THEMES = ["JupyterLab Dark", "JupyterLab Dark High Contrast", "JupyterLab Light"]
GRID = """
from gathering.compare import compare
from gathering.testing import ScriptedProvider

short = ["Water boils at **100 °C**.", "Because of Rayleigh scattering.", "Paris."]
long = ["At sea level water boils at 100 °C.", "Blue light is scattered more than red.", "Paris, since 987."]
prompts = ["When does water boil?", "Why is the sky blue?", "The capital of France?"]
result = compare(prompts, [ScriptedProvider(short, "short"), ScriptedProvider(long, "long")], concurrency=1, panel=True)
"""
TALK = """
import gathering
from gathering.testing import ScriptedProvider

ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["I would plant trees.", "And then wait.", "1, trees."]))
bob = gathering.Agent("bob", llm_provider=ScriptedProvider(["I would build a bridge.", "1. Trees it is."]))
talk = gathering.Conversation([ada, bob], max_turns=6)
talk.panel()
"""
MEMORY = """
import gathering
from gathering.agents import LongTermMemory
from gathering.core.messages import Usage
from gathering.core.offers import Embeddings
from gathering.testing import ScriptedProvider

class Words(ScriptedProvider):
    def embed(self, texts, model=None):
        return Embeddings(tuple((float("tea" in t), float("train" in t), 0.1) for t in texts), "words", Usage())

memory = LongTermMemory(embedder=Words([]))
ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["Noted."]), memory=memory)
memory.remember("Eve likes tea.", 0.8)
memory.remember("The train leaves at nine.")
ada.ask("Remember both.")
memory.panel()
"""
TRACE = """
import gathering
from gathering.testing import ScriptedProvider

@gathering.tool
def double(number: int) -> int:
    "Double a number."
    return 2 * number

wants = {"thinking": "I should double it.", "tool_calls": [{"name": "double", "arguments": {"number": 21}}]}
ada = gathering.Agent("ada", llm_provider=ScriptedProvider([wants, "It is 42.", "You are welcome."]), tools=[double], system_prompt="Be brief.")
ada.ask("What is twice 21?")
ada.ask("Thanks.")
ada.trace.panel()
"""


@pytest.fixture
def board(lab: Any, open_notebook: Callable[[str], Any]) -> Callable[[str, str], tuple[Any, Locator]]:
    """A function that runs a cell and gives the page and the panel of this name."""

    def opened(source: str, title: str) -> tuple[Any, Locator]:
        notebook = open_notebook(write_notebook(lab.root, "boards.ipynb", source))
        notebook.run_all()
        root = notebook.page.get_by_role("region", name=title, exact=True)
        expect(root).to_be_visible(timeout=PATIENCE)
        return notebook, root

    return opened


def shot(root: Locator, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    root.screenshot(path=SHOTS / f"{name}.png")


def keeps_nobody_out(notebook: Any, root: Locator) -> None:
    """No violation in any theme of JupyterLab; the last one is light again, for the tests that follow."""
    for theme in THEMES:
        notebook.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
        )
        notebook.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        results = Axe().run(notebook.page, context=".g-panel", options={"runOnly": WCAG})
        assert results.violations_count == 0, results.generate_report()
        if "Dark High" in theme:
            shot(root, f"board_{root.get_attribute('aria-label').split()[0].lower()}_contrast")  # type: ignore[union-attr]


def test_a_comparison_is_read_side_by_side(board: Callable[..., Any]) -> None:
    """Answers stand in their cells; differences are marked against a column; a filter leaves what has the text."""
    notebook, root = board(GRID, "Comparison")
    expect(root.locator(".g-cell[data-done=done]")).to_have_count(6, timeout=PATIENCE)
    expect(root.get_by_role("columnheader")).to_have_text(["Case", "short:script", "long:script"])
    expect(root.locator("strong").first).to_have_text("100 °C")
    root.get_by_role("combobox", name="Mark what differs from").select_option("short:script")
    expect(root.locator("ins").first).to_be_visible()
    shot(root, "board_grid")
    root.get_by_role("textbox", name="Only cases with this text").fill("scattered")
    expect(root.locator(".g-cell")).to_have_count(2, timeout=PATIENCE)
    expect(root.get_by_role("rowheader")).to_contain_text("sky")
    keeps_nobody_out(notebook, root)


def test_a_conversation_is_led_by_a_person(board: Callable[..., Any]) -> None:
    """The next turn, a word of one's own, a vote with its reasons."""
    notebook, root = board(TALK, "Conversation of ada, bob")
    root.get_by_role("button", name="Next turn").click()
    expect(root.locator("[data-role=assistant][data-done=done]")).to_have_count(1, timeout=PATIENCE)
    root.get_by_role("textbox", name="Message", exact=True).fill("Agree on one.")
    root.get_by_role("button", name="Send", exact=True).click()
    expect(root.get_by_text("I would build a bridge.")).to_be_visible(timeout=PATIENCE)
    expect(root.get_by_role("button", name="Edit", exact=True)).to_have_count(0)
    root.get_by_role("button", name="Next turn").click()
    expect(root.get_by_text("And then wait.")).to_be_visible(timeout=PATIENCE)
    root.get_by_role("button", name="Vote…").click()
    root.get_by_role("textbox", name="Question to vote on").fill("What first?")
    root.get_by_role("textbox", name="Options, one on each line").fill("trees\nbridge")
    root.get_by_role("button", name="Let them vote").click()
    expect(root.get_by_text("Vote: What first?")).to_be_visible(timeout=PATIENCE)
    expect(root.locator("[data-role=note]").last).to_contain_text("trees")
    shot(root, "board_conversation")
    keeps_nobody_out(notebook, root)


def test_a_memory_is_kept_in_order(board: Callable[..., Any]) -> None:
    """Search, pin, edit, add, and forget with a second press; the keyboard stays where it was."""
    notebook, root = board(MEMORY, "Memory of ada")
    tea = root.get_by_role("article", name="Eve likes tea.")
    tea.get_by_role("button", name="Pin").press("Enter")
    expect(tea.get_by_role("button", name="Unpin")).to_be_focused(timeout=PATIENCE)
    root.get_by_role("textbox", name="Search by meaning").fill("train")
    root.get_by_role("button", name="Search").click()
    expect(root.get_by_role("region", name="Found for “train”")).to_contain_text(
        "leaves at nine", timeout=PATIENCE
    )
    tea.get_by_role("button", name="Edit").click()
    root.get_by_role("textbox", name="Text", exact=True).fill("Eve likes green tea.")
    root.get_by_role("button", name="Save").click()
    expect(root.get_by_role("article", name="Eve likes green tea.")).to_be_visible(timeout=PATIENCE)
    root.get_by_role("textbox", name="What is to be remembered").fill("Bob is left-handed.")
    root.get_by_role("button", name="Remember").click()
    expect(root.get_by_role("article", name="Bob is left-handed.")).to_be_visible(timeout=PATIENCE)
    train = root.get_by_role("article", name="The train leaves at nine.")
    train.get_by_role("button", name="Forget").click()
    train.get_by_role("button", name="Really forget?").click()
    expect(train).to_have_count(0, timeout=PATIENCE)
    shot(root, "board_memory")
    keeps_nobody_out(notebook, root)


def test_a_turn_is_walked_through(board: Callable[..., Any]) -> None:
    """The timeline of a turn; what was sent, with the system prompt, and what came back."""
    notebook, root = board(TRACE, "Trace")
    root.get_by_role("button", name="What is twice 21?").click()
    steps = root.locator(".g-step")
    expect(steps).to_have_count(3, timeout=PATIENCE)
    steps.nth(0).locator("summary").first.click()
    expect(steps.nth(0)).to_contain_text("Be brief.")
    expect(steps.nth(0)).to_contain_text("Came back")
    steps.nth(1).locator("summary").first.click()
    expect(steps.nth(1)).to_contain_text("42")
    shot(root, "board_trace")
    keeps_nobody_out(notebook, root)
