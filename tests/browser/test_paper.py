"""A conversation on paper: nothing is cut that could be scrolled or unfolded on a screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import gathering
from gathering.testing import ScriptedProvider

LONG = f"```python\nvalue = some_function({', '.join(f'argument_{n}={n}' for n in range(30))})\n```"


@gathering.tool
def mean(values: list[float]) -> str:
    """The mean of some numbers."""
    return f"the mean is {sum(values) / len(values)}"


@pytest.fixture
def written(tmp_path: Path) -> str:
    """The address of an exported conversation with code and a tool call."""
    wants = {"tool_calls": [{"name": "mean", "arguments": {"values": [1, 2]}}]}
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider([wants, LONG]), tools=[mean], store=None)
    ada.ask("The mean?")
    ada.chat().export(tmp_path / "talk.html")
    return (tmp_path / "talk.html").as_uri()


def test_code_is_wrapped_and_calls_are_unfolded_on_paper(page: Page, written: str) -> None:
    """On a screen long code scrolls and a call is folded; in print both are whole."""
    page.set_viewport_size({"width": 700, "height": 900})
    page.goto(written)
    code, result = page.locator("pre.highlight"), page.get_by_text("the mean is 1.5").last
    is_cut = "pre => pre.scrollWidth > pre.clientWidth"
    assert code.evaluate(is_cut)
    expect(result).not_to_be_visible()
    page.emulate_media(media="print")
    assert not code.evaluate(is_cut)
    expect(result).to_be_visible()
