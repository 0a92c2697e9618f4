"""One folder that nothing leaves: reading, writing, listing and deleting below it, name by name.

Every act walks down from the root's descriptor, opens each folder relative to the one before and follows no link,
so there is no moment at which a name is checked and another one used. Where the system has no such calls
(Windows), ``gathering.tools.filesystem_portable`` reads only. What a path may look like is
``gathering.tools.filesystem_rules``.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from gathering.core.errors import ToolFailed
from gathering.tools.filesystem_rules import Entry, Rules, check_file, why_refused

__all__ = ["Root", "open_root", "reading", "told"]

_NEEDED = (os.open, os.stat, os.mkdir, os.unlink, os.rmdir, os.rename)
_WHY = {
    errno.ENOENT: "does not exist: list its folder to see what does",
    errno.ELOOP: "is a link, or leads through one; links are not followed",
    errno.ENOTDIR: "leads through something that is no folder",
    errno.EISDIR: "is a folder",
    errno.EACCES: "is not open to this user",
    errno.EPERM: "is not open to this user",
    errno.ENOTEMPTY: "is a folder that is not empty: delete what is in it first",
    errno.ENAMETOOLONG: "is too long a name",
    errno.ENOSPC: "could not be written: the disk is full",
    errno.EROFS: "could not be changed: the file system is read-only",
}


def open_root(base: Path, rules: Rules) -> Root:
    """The root at this folder, in the strongest form the system allows."""
    if hasattr(os, "O_NOFOLLOW") and os.supports_dir_fd.issuperset(_NEEDED) and os.scandir in os.supports_fd:
        return Root(base, rules)
    from gathering.tools.filesystem_portable import ReadOnlyRoot

    return ReadOnlyRoot(base, rules)


@contextlib.contextmanager
def told(names: Sequence[str]) -> Iterator[str]:
    """The path as it is shown; an error of the system inside the block becomes ``ToolFailed`` about it."""
    path = "/".join(names) or "."
    try:
        yield path
    except OSError as err:
        why = _WHY.get(err.errno or 0) or f"could not be used ({err.strerror or type(err).__name__})"
        raise ToolFailed(f"{path!r} {why}") from err


class Root:
    """A folder and what is in it. Every method takes checked names and raises ``ToolFailed``, nothing else."""

    def __init__(self, base: Path, rules: Rules) -> None:
        self.base, self.rules = base, rules

    def read(self, names: Sequence[str]) -> bytes:
        """The file's bytes."""
        with told(names) as path, self._parent(names) as folder:
            name, status = _found(folder, names[-1])
            check_file(status, path, self.rules)
            # Not blocking: should a pipe have taken the file's place, it is not waited for.
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            return reading(fd, path, self.rules)

    def write(self, names: Sequence[str], content: bytes) -> bool:
        """Put the content in the file's place at once, making its folders. Whether there was none before."""
        with told(names) as path, self._parent(names, make=True) as folder:
            before: os.stat_result | None = None
            name = names[-1]
            with contextlib.suppress(FileNotFoundError):
                name, before = _found(folder, name)
                check_file(before, path, self.rules)
            draft = f".gathering-{os.urandom(8).hex()}"
            try:
                _write_new(folder, draft, content, None if before is None else stat.S_IMODE(before.st_mode))
                os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(draft, dir_fd=folder)
                raise
            return before is None

    def delete(self, names: Sequence[str]) -> None:
        """Remove the file, or the folder if it is empty."""
        with told(names) as path, self._parent(names) as folder:
            name, status = _found(folder, names[-1])
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(name, dir_fd=folder)
            else:
                check_file(status, path, self.rules)
                os.unlink(name, dir_fd=folder)

    def info(self, names: Sequence[str]) -> Entry:
        """What is there under this path."""
        with told(names) as path:
            if not names:
                return Entry.of("", self.base.stat())
            with self._parent(names) as folder:
                name, status = _found(folder, names[-1])
                if not stat.S_ISDIR(status.st_mode):
                    check_file(status, path, self.rules)
                return Entry.of(name, status)

    def entries(self, names: Sequence[str], most: int) -> tuple[list[Entry], int]:
        """The first entries of a folder by name, and how many there are. What could not be read is not among them."""
        with told(names), self._folder(names) as folder, os.scandir(folder) as found:
            count = 0

            def counted() -> Iterator[Entry]:
                nonlocal count
                for item in found:
                    with contextlib.suppress(FileNotFoundError):  # gone since
                        if self._shown(item.name, status := item.stat(follow_symlinks=False)):
                            count += 1
                            yield Entry.of(item.name, status)

            return heapq.nsmallest(most, counted(), key=lambda e: e.name), count

    def _shown(self, name: str, status: os.stat_result) -> bool:
        if why_refused(name, self.rules.hidden) is not None:
            return False
        if stat.S_ISREG(status.st_mode):
            return status.st_nlink == 1 or self.rules.hard_links
        return stat.S_ISDIR(status.st_mode)

    def _parent(self, names: Sequence[str], make: bool = False) -> contextlib.AbstractContextManager[int]:
        if not names:
            raise ToolFailed("the root itself is a folder and stays as it is: name a file in it")
        return self._folder(names[:-1], make)

    @contextlib.contextmanager
    def _folder(self, names: Sequence[str], make: bool = False) -> Iterator[int]:
        """The descriptor of a folder, reached one name at a time."""
        fd = os.open(self.base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in names:
                inner = _stepped(fd, name, make)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)


def reading(fd: int, path: str, rules: Rules) -> bytes:
    """What the open descriptor holds, which is closed. Raises ``ToolFailed`` if it is no file or is too big."""
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        check_file(status, path, rules)
        # Some files say they are empty and some grow: what counts is what comes.
        content = file.read(rules.max_bytes + 1) if status.st_size <= rules.max_bytes else None
    if content is None or len(content) > rules.max_bytes:
        size = f"{max(status.st_size, rules.max_bytes + 1):,}"
        raise ToolFailed(
            f"{path!r} has {size} bytes or more; {rules.max_bytes:,} are read at most (max_bytes)"
        )
    return content


def _stepped(folder: int, name: str, make: bool) -> int:
    try:
        name, status = _found(folder, name)
    except FileNotFoundError:
        if not make:
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
    else:
        if stat.S_ISLNK(status.st_mode):
            raise OSError(errno.ELOOP, "link")
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


def _found(folder: int, name: str) -> tuple[str, os.stat_result]:
    """The name as it is spelled on the disk, composed or decomposed, and what is there."""
    try:
        return name, os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        apart = unicodedata.normalize("NFD", name)
        if apart == name:
            raise
        return apart, os.stat(apart, dir_fd=folder, follow_symlinks=False)


def _write_new(folder: int, name: str, content: bytes, mode: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o666, dir_fd=folder)
    with os.fdopen(fd, "wb") as file:
        if mode is not None:
            os.fchmod(fd, mode)
        file.write(content)
        file.flush()
        os.fsync(fd)
