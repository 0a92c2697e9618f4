"""What a path may be written like and what a file may be: the rules of the filesystem tool, without opening anything.

A path is text from a model. It is refused here unless it is plainly a name below the root on every system, so that
no spelling (``..``, a drive, a stream, an invisible or look-alike character) means something else further down.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gathering.core.errors import ToolFailed

__all__ = ["Entry", "Rules", "check_file", "names_in", "why_refused"]

_LONGEST_NAME = 255  # bytes; what the usual file systems take
_LONGEST_PATH = 4096
_DEEPEST = 64
# Controls, invisible and formatting characters, halves of characters, line and paragraph ends.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What is let through. Sizes in bytes."""

    hidden: bool = False
    hard_links: bool = False
    max_bytes: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder as it is listed."""

    name: str
    folder: bool
    size: int
    modified: float

    @classmethod
    def of(cls, name: str, status: os.stat_result) -> Entry:
        """The entry of this name and status."""
        return cls(
            unicodedata.normalize("NFC", name), stat.S_ISDIR(status.st_mode), status.st_size, status.st_mtime
        )

    def to_dict(self, path: str) -> dict[str, Any]:
        """Path, type, size in bytes and the time of the last change, for the model."""
        about: dict[str, Any] = {"path": path or ".", "type": "folder" if self.folder else "file"}
        if not self.folder:
            about["size"] = self.size
        about["modified"] = datetime.fromtimestamp(self.modified, UTC).isoformat(timespec="seconds")
        return about


def names_in(path: str, hidden: bool = False) -> tuple[str, ...]:
    """The names along a path below the root, in composed Unicode (NFC). Raises ``ToolFailed``.

    >>> names_in("notes/./a.txt")
    ('notes', 'a.txt')
    """
    if path.startswith("/"):
        raise ToolFailed(
            f"the path {path!r:.120} is absolute: give one relative to the root, as 'notes/a.txt'"
        )
    if len(path.encode("utf-8", "surrogatepass")) > _LONGEST_PATH or path.count("/") > _DEEPEST:
        raise ToolFailed(f"the path {path!r:.40}... is too long: give a shorter one")
    names = tuple(unicodedata.normalize("NFC", n) for n in path.split("/") if n not in ("", "."))
    for name in names:
        why = why_refused(name, hidden)
        if why is not None:
            raise ToolFailed(f"the path {path!r:.120} is refused: {why}")
    return names


def why_refused(name: str, hidden: bool = False) -> str | None:
    """Why no file of this name is touched; None for a name that is fine."""
    alike = unicodedata.normalize("NFKC", name)
    if name == ".." or alike in ("..", "."):
        return "it may not lead upwards"
    if any(unicodedata.category(c) in _UNSEEN for c in name):
        return f"{name!r:.60} has characters that cannot be seen"
    if any(c in "\\/:" for c in alike):
        return f"{name!r:.60} has a backslash or colon; folders are separated by '/'"
    if name.startswith("~"):
        return "'~' is no folder of this root"
    if alike.startswith(".") and not hidden:
        return f"{name!r:.60} is a hidden file (the tool's option allow_hidden opens those)"
    if len(name.encode()) > _LONGEST_NAME:
        return f"the name {name!r:.40}... is too long"
    return None


def check_file(status: os.stat_result, path: str, rules: Rules) -> None:
    """Raise ``ToolFailed`` unless this is an ordinary file with one name."""
    for is_kind, kind in _KINDS:
        if is_kind(status.st_mode):
            raise ToolFailed(f"{path!r} is {kind}, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise ToolFailed(f"{path!r} is not a file")
    if status.st_nlink > 1 and not rules.hard_links:
        raise ToolFailed(
            f"{path!r} has a second hard link, which may lie outside the root: "
            "it is refused (the tool's option allow_hard_links opens those)"
        )
