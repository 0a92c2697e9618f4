"""The tape's file: looked through once, read where something is asked for, and added to at its end.

Owns offsets, damage and what a killed process left; the form of a line is ``gathering.testing.tape_lines``. A file
that is not understood is left as it is. A line is written whole or, if the process is killed meanwhile, dropped when
the tape is next added to.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gathering.core.errors import TapeError
from gathering.testing.tape_keeping import keep_copy
from gathering.testing.tape_lines import HEADER, VERSION, Entry, Scanned, decoded, encoded, scanned

__all__ = ["Entry", "Place", "TapeFile"]

#: A first line that goes on for more bytes than this is no tape's.
_LONGEST_HEADER = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands in the file: bytes, and the number of its line."""

    key: str
    ordinal: int
    start: int
    size: int
    line: int


class TapeFile:
    """The file at ``path``. Raises ``TapeError``; a file it cannot read is left alone."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.shown = Path(path).as_posix()
        self.path = Path(path).expanduser().absolute()
        self._sound = 0  # bytes up to the end of the last whole line
        self._mended = False
        self._long: dict[str, tuple[int, int]] = {}
        self._lines = 0

    def index(self) -> list[Place]:
        """Where all entries are, in the file's order; none when there is no file yet. Warns of a cut last line."""
        self._long.clear()
        try:
            with self.path.open("rb") as file:
                return list(self._walk(file))
        except FileNotFoundError:
            return []
        except OSError as err:
            raise TapeError(
                f"the tape {self.shown!r} cannot be read ({err.strerror}): name another file"
            ) from err

    def check_replaceable(self) -> None:
        """Raise ``TapeError`` for a file that a recording must not take the place of: one that is no tape, or a newer one."""
        try:
            with self.path.open("rb") as file:
                first = file.readline(_LONGEST_HEADER)
        except FileNotFoundError:
            return
        except OSError as err:
            raise self._unwritable(err) from err
        if first.strip() and not first.endswith(b"\n"):
            raise self.wrong(1, "not a tape")
        if first.strip():
            self._check_header(first)

    def _walk(self, file: BinaryIO) -> Iterator[Place]:
        end = 0
        for number, line in enumerate(file, 1):
            start, end = end, end + len(line)
            if not line.endswith(b"\n"):
                self._half(number, line)
                return
            self._sound, self._lines = end, number
            if number == 1:
                self._check_header(line)
            elif line.strip():
                found = self._scanned(number, line)
                if found.ordinal is None:
                    self._long[found.key] = (start, len(line))
                else:
                    yield Place(found.key, found.ordinal, start, len(line), number)

    def _half(self, number: int, line: bytes) -> None:
        if number == 1 and line.strip():
            raise self.wrong(1, "not a tape")
        if line.strip():
            warnings.warn(
                f"the tape {self.shown!r} ends in half a line (line {number}), as a killed process leaves it: "
                "that entry is dropped, and recorded again when it is asked for",
                stacklevel=2,
            )

    def _check_header(self, line: bytes) -> None:
        try:
            header = json.loads(line)
        except (ValueError, RecursionError) as err:
            raise self.wrong(1, "not JSON") from err
        if not isinstance(header, dict):
            raise self.wrong(1, "not a JSON object")
        version = header.get("gathering_tape")
        if type(version) is not int or version < 1:
            raise self.wrong(1, "not a tape")
        if version > VERSION:
            raise TapeError(
                f"the tape {self.shown!r} has format {version} (line 1), this GatheRing reads up to {VERSION}: "
                "upgrade with pip install -U gathering"
            )

    def _scanned(self, number: int, line: bytes) -> Scanned:
        try:
            return scanned(line)
        except ValueError as err:
            raise self.wrong(number, str(err)) from err

    def load(self, place: Place) -> Entry:
        """The entry at this place, whole."""
        entry = self.decoded(place)
        if entry.key != place.key:
            why = "its request was changed by hand: 'gathering tape prune FILE' takes it as it is now"
            raise self.wrong(place.line, why)
        return entry

    def decoded(self, place: Place) -> Entry:
        """The entry at this place, also if its request is another one than it is found by."""
        line = self._bytes(place.start, place.size)
        try:
            found = scanned(line)
            entry = decoded(line, self._long_line)
        except (ValueError, KeyError, TypeError) as err:
            why = str(err) if type(err) is ValueError else "a long text of it is missing"
            raise self.wrong(place.line, why) from err
        if (found.key, found.ordinal) != (place.key, place.ordinal):
            raise TapeError(f"the tape {self.shown!r} was changed since it was put in: put it in again")
        return entry

    def entries(self) -> Iterator[Entry]:
        """All entries, one after the other: only one of them is held at a time."""
        for place in self.index():
            yield self.load(place)

    def _long_line(self, digest: str) -> bytes:
        return self._bytes(*self._long[digest])

    def _bytes(self, start: int, size: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                return file.read(size)
        except OSError as err:
            raise TapeError(
                f"the tape {self.shown!r} cannot be read any more ({err.strerror}): put it back, or record anew"
            ) from err

    def wrong(self, number: int, what: str) -> TapeError:
        """The error that a line is damaged, with what is to be done."""
        if "'gathering tape" in what:
            advice = ""
        elif number == 1:
            advice = ": restore it, or name another file; this one is left as it is"
        else:
            advice = ": restore the file, or record again with mode='record'"
        return TapeError(f"the tape {self.shown!r} is damaged in line {number} ({what}){advice}")

    def start_anew(self) -> None:
        """Put an empty tape in the file's place, at one stroke."""
        self.rewrite(())

    def rewrite(self, lines: Iterable[bytes]) -> None:
        """Put these lines, after the header, in the place of all there are, at one stroke."""
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        sound, count = len(HEADER), 1
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            keep_copy(self.path)
            with beside.open("wb") as file:
                file.write(HEADER.encode())
                for line in lines:
                    file.write(line)
                    sound, count = sound + len(line), count + 1
            beside.replace(self.path)
        except OSError as err:
            raise self._unwritable(err) from err
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
        self._long.clear()
        self._sound, self._lines, self._mended = sound, count, True

    def append(self, entry: Entry) -> Place:
        """Add one entry, and say where; it is in the file when this returns."""
        if not self._sound or not self.path.exists():
            self.start_anew()
        lines = encoded(entry, self._long.__contains__)
        try:
            keep_copy(self.path)
            self._mend()
            with self.path.open("ab") as file:  # one write at the end: another process may record here too
                start = file.tell()
                file.write(b"".join(line for _, line in lines))
        except OSError as err:
            raise self._unwritable(err) from err
        return self._noted(lines, start)

    def _noted(self, lines: list[tuple[Scanned, bytes]], start: int) -> Place:
        for found, line in lines:
            self._lines += 1
            if found.ordinal is None:
                self._long[found.key] = (start, len(line))
            else:
                place = Place(found.key, found.ordinal, start, len(line), self._lines)
            start += len(line)
        self._sound = start
        return place

    def _mend(self) -> None:
        """Drop half a line that a killed process left, before the first line is added."""
        if self._mended:
            return
        with self.path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            if file.read(1) != b"\n":
                file.truncate(self._sound)
        self._mended = True

    def lines(self, places: Iterable[Place]) -> Iterator[bytes]:
        """The lines of these entries as they stand, each after the long values that it is the first to use."""
        written: set[str] = set()
        for place in places:
            line = self._bytes(place.start, place.size)
            for digest in _references(json.loads(line)):
                if digest not in written:
                    written.add(digest)
                    yield self._long_line(digest)
            yield line

    def _unwritable(self, err: OSError) -> TapeError:
        return TapeError(
            f"the tape {self.shown!r} cannot be written ({err.strerror}): name a file in a folder you may write to"
        )


def _references(value: Any) -> Iterator[str]:
    """The hashes of the long values that are used in it, in order."""
    if isinstance(value, dict):
        if set(value) == {"$long"}:
            yield value["$long"]
            return
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)
