"""A chat panel in a page, by what a person sees of it: names and roles, not classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page, expect

__all__ = ["ChatView", "write_notebook"]

PATIENCE = 30_000
SHOTS = Path(__file__).parent.parent.parent / "build" / "browser"


@dataclass(frozen=True, slots=True)
class ChatView:
    """The panel on a page."""

    page: Page
    root: Locator

    @classmethod
    def on(cls, page: Page, name: str = "ada", place: int = 0) -> ChatView:
        """The panel of this agent, once it is drawn."""
        root = page.get_by_role("region", name=f"Chat with {name}", exact=True).nth(place)
        expect(root).to_be_visible(timeout=PATIENCE)
        return cls(page, root)

    @property
    def box(self) -> Locator:
        return self.root.get_by_role("textbox", name="Message", exact=True)

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def say(self, text: str) -> None:
        """Write and send."""
        self.box.fill(text)
        self.button("Send").click()

    def shot(self, name: str) -> None:
        """A picture of the panel."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.root.screenshot(path=SHOTS / f"{name}.png")

    def items(self, role: str) -> Locator:
        return self.root.locator(f"[data-role={role}]")

    def answer(self, status: str = "done") -> Locator:
        """The last answer, once it has ended like this."""
        last = self.items("assistant").last
        expect(last).to_have_attribute("data-done", status, timeout=PATIENCE)
        return last


def write_notebook(folder: Path, name: str, *sources: str) -> str:
    """A notebook with these cells in the folder; its name."""
    book: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    book.cells = [nbformat.v4.new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, folder / name)  # type: ignore[no-untyped-call]
    return name
