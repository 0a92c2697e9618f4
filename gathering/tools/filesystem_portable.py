"""The filesystem tool's root where folders cannot be opened relative to each other (Windows): reading only.

A path is resolved, must come out below the root, and no name along it may be a link, junction or device. Between that check
and the opening there is a moment in which another program could exchange a folder for a link, so nothing is
written or deleted here; ``gathering.tools.filesystem_root`` is the form without that moment.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from gathering.core.errors import ToolFailed
from gathering.tools.filesystem_root import Root, reading, told
from gathering.tools.filesystem_rules import Entry, check_file, why_refused

__all__ = ["ReadOnlyRoot"]

_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\..*)?", re.IGNORECASE
)
_REPARSE_POINT = 0x400  # a junction or link; 0 everywhere but on Windows


class ReadOnlyRoot(Root):
    """A folder to read from, where the system does not offer more."""

    def read(self, names: Sequence[str]) -> bytes:
        """The file's bytes."""
        with told(names) as path:
            place = self._place(names)
            seen = place.lstat()
            check_file(seen, path, self.rules)
            flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
            fd = os.open(place, flags)
            opened = os.fstat(fd)
            if (opened.st_dev, opened.st_ino) != (seen.st_dev, seen.st_ino):
                os.close(fd)
                raise ToolFailed(f"{path!r} was exchanged while it was opened")
            return reading(fd, path, self.rules)

    def write(self, names: Sequence[str], content: bytes) -> bool:
        """Refused on this system."""
        _read_only("written", names)

    def delete(self, names: Sequence[str]) -> None:
        """Refused on this system."""
        _read_only("deleted", names)

    def info(self, names: Sequence[str]) -> Entry:
        """What is there under this path."""
        with told(names) as path:
            status = self._place(names).lstat()
            if not stat.S_ISDIR(status.st_mode):
                check_file(status, path, self.rules)
            return Entry.of(names[-1] if names else "", status)

    @contextmanager
    def _folder(self, names: Sequence[str], make: bool = False) -> Iterator[Path]:  # type: ignore[override]
        yield self._place(names)  # ``os.scandir`` takes a path as well as a descriptor

    def _place(self, names: Sequence[str]) -> Path:
        """The place of these names, none of which is a link. Raises ``OSError`` or ``ToolFailed``."""
        place = self.base
        for name in names:
            if _DEVICE.fullmatch(name.rstrip(". ")) or name != name.rstrip(". "):
                raise ToolFailed(f"{name!r} is no name of a file on this system")
            place = place / name
            if stat.S_ISLNK((status := place.lstat()).st_mode) or _is_junction(status):
                raise OSError(errno.ELOOP, "link")
        # A short name (GIT~1) resolves to the long one, which has to pass as well.
        resolved = place.resolve(strict=True)
        if not resolved.is_relative_to(self.base):
            raise ToolFailed(f"{'/'.join(names)!r} leads out of the root")
        for name in resolved.relative_to(self.base).parts:
            if (why := why_refused(name, self.rules.hidden)) is not None:
                raise ToolFailed(why)
        return place


def _is_junction(status: os.stat_result) -> bool:
    return bool(getattr(status, "st_file_attributes", 0) & _REPARSE_POINT)


def _read_only(done: str, names: Sequence[str]) -> NoReturn:
    raise ToolFailed(f"{'/'.join(names)!r} cannot be {done}: on this system the tool only reads")
