"""Keys that stand in notebooks and tapes, found before they are committed. Never shows one; owns no rule of what a key is.

What looks like a key is ``gathering.core.masking``'s to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError
from gathering.core.masking import MASK, mask

__all__ = ["Finding", "findings", "scan"]

_KINDS = (".ipynb", ".jsonl")
_HIDDEN = (".ipynb_checkpoints", ".venv", "node_modules", ".git")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """A key that stands in a file: where, and how it begins."""

    file: str
    place: str
    begins: str

    def __str__(self) -> str:
        """One line that says what to do."""
        return f"{self.file}, {self.place}: a key stands here ({self.begins}…): take it out, and revoke it"


def scan(paths: Iterable[str | Path]) -> list[Finding]:
    """The keys in these notebooks and tapes, and in those of these folders. Raises ``ConfigurationError``."""
    return [finding for path in paths for file in _files(Path(path)) for finding in findings(file)]


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        found = (p for p in sorted(path.rglob("*")) if p.suffix in _KINDS and p.is_file())
        yield from (p for p in found if not set(p.relative_to(path).parts) & set(_HIDDEN))
    elif path.is_file():
        yield path
    else:
        raise ConfigurationError(
            f"there is no file or folder {str(path)!r}: name notebooks, tapes or folders"
        )


def findings(path: Path) -> list[Finding]:
    """The keys in one file; of a text that is no notebook, by its lines."""
    content = path.read_text("utf-8", "replace")
    places = _cells(content) if path.suffix == ".ipynb" else _lines(content)
    found = ((place, begins) for place, text in places if (begins := _key_in(text)) is not None)
    return [Finding(path.name, place, begins) for place, begins in dict.fromkeys(found)]


def _key_in(text: str) -> str | None:
    """How the first key in the text begins, None if there is none."""
    clean = mask(text)
    if clean == text:
        return None
    start = next((i for i, (a, b) in enumerate(zip(text, clean, strict=False)) if a != b), len(clean))
    return text[start : start + _SHOWN] if text[start:].strip(MASK[0]) else None


def _lines(content: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(content.split("\n"), 1):
        yield f"line {number}", line


def _cells(content: str) -> Iterator[tuple[str, str]]:
    """The texts of a notebook, each with the cell it is in; of one that cannot be read, its lines."""
    try:
        notebook = json.loads(content)
        cells = list(notebook["cells"])
    except (ValueError, KeyError, TypeError):
        yield from _lines(content)
        return
    for number, cell in enumerate(cells, 1):
        for part, value in cell.items():
            yield from ((f"cell {number}, {part}", text) for text in _texts(value))
    yield from (("metadata", text) for text in _texts(notebook.get("metadata")))


def _texts(value: Any) -> Iterator[str]:
    """All texts in the value: lines that belong together are one, and a name stays with its value. No images."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if value and all(isinstance(one, str) for one in value):
            yield "".join(value)
        else:
            yield from (text for one in value for text in _texts(one))
    elif isinstance(value, dict):
        for name, one in value.items():
            if isinstance(one, str) and not str(name).startswith("image/"):
                yield one
                yield json.dumps({name: one})
            elif not str(name).startswith("image/"):
                yield from _texts(one)
