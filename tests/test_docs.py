"""The documentation is true: every Python block in README and ``docs/`` runs, and prints what it says.

A page is one notebook: its ``python`` and ``ipython`` blocks run in order in one shell. A comment above a block says
what is special: ``<!-- not run: why -->``, ``<!-- raises: ErrorName -->``, ``<!-- output -->`` above a text block
that holds what the block before it printed or showed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from gathering import storage
from gathering.core import config, errors
from gathering.storage import COLUMNS

PROJECT = Path(__file__).parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n+)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
RUN = ("python", "ipython")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the comment above it, its text and where it stands."""

    kind: str
    note: str
    text: str
    where: str


def blocks(page: Path) -> list[Block]:
    source = page.read_text("utf-8")
    return [
        Block(m["kind"], m["note"] or "", m["text"], f"{page.name}:{source[: m.start()].count(chr(10)) + 1}")
        for m in BLOCK.finditer(source)
    ]


def needs_the_model(page: Path) -> bool:
    return any(b.note == "asks the embedded model" for b in blocks(page))


def page_parameter(page: Path) -> object:
    marks = [pytest.mark.local_model] if needs_the_model(page) else []
    return pytest.param(page, id=str(page.relative_to(PROJECT)), marks=marks)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A fresh IPython in an empty folder, with a trace and saved agents of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(storage, "_stores", {})
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    yield shell
    shell.run_line_magic("unload_ext", "gathering")
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, block: Block) -> str:
    """What the block showed; its error is raised, or compared with the one its comment names."""
    with capture_output() as captured:
        outcome = shell.run_cell(block.text, store_history=False)
    error = outcome.error_before_exec or outcome.error_in_exec
    expected = block.note.removeprefix("raises: ") if block.note.startswith("raises: ") else None
    if expected:
        assert type(error).__name__ == expected, block.where
        return f"{expected}: {error}"
    assert error is None, f"{block.where}: {type(error).__name__}: {error}"
    shown = [str(output.data.get("text/plain", "")) for output in captured.outputs]
    return "\n".join([captured.stdout.strip(), *shown]).strip()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", [page_parameter(page) for page in PAGES])
def test_the_blocks_of_a_page_run(page: Path, shell: InteractiveShell) -> None:
    """From top to bottom, as a reader would type them."""
    shown = ""
    for block in blocks(page):
        if block.note == "output":
            assert lines(shown) == lines(block.text), block.where
        elif block.kind in RUN and not block.note.startswith("not run: "):
            shown = run(shell, block)


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def test_every_comment_above_a_block_is_understood() -> None:
    """A misspelt comment would silently test less."""
    known = re.compile(r"output|asks the embedded model|not run: .+|raises: \w+")
    assert not [b.where for page in PAGES for b in blocks(page) if b.note and not known.fullmatch(b.note)]


def test_links_between_pages_lead_somewhere() -> None:
    """Each relative link names a file that is there."""
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text("utf-8"))
        if not (page.parent / target).exists() and not target.startswith("notebooks/")
    ]
    assert not broken


def test_every_error_is_explained() -> None:
    """The errors page has each error of the package, and none that is not there."""
    page = (PROJECT / "docs" / "guides" / "errors.md").read_text("utf-8")
    named = set(re.findall(r"`(\w*(?:Error|Signal|ToolFailed))`", page))
    assert named == {name for name in errors.__all__ if name != "nearest"}


def test_every_setting_and_column_is_explained() -> None:
    """The configuration page has each setting, the trace's page each column."""
    configuration = (PROJECT / "docs" / "guides" / "configuration.md").read_text("utf-8")
    trace = (PROJECT / "docs" / "guides" / "trace.md").read_text("utf-8")
    words = set(re.findall(r"\w+", trace))
    assert not [name for name in config.names() if f"| `{name}` |" not in configuration]
    assert not {c for columns in COLUMNS.values() for c in columns} - words


def test_every_block_of_the_library_is_explained() -> None:
    """The personality page has each of them."""
    from gathering.agents.library import LIBRARY

    page = (PROJECT / "docs" / "guides" / "personality.md").read_text("utf-8")
    assert [name for name in LIBRARY if f"| `{name}` |" not in page] == []
