"""The tape's file: JSON lines, a header and one line for each exchange. Owns the format; knows no provider.

    {"gathering_tape": 1}
    {"request": {"provider": ..., "model": ..., "messages": [...], "tools": [...], "params": {...}},
     "ordinal": 0, "started_at": ..., "ttft_ms": ..., "latency_ms": ...,
     "stream": [[12.5, {"text": "Hel"}], [14.0, {"text": "lo"}]], "answer": {...} or "error": {...}}

A line is written whole or, if the process is killed meanwhile, dropped when the tape is next opened. What looks
like a key is masked before anything is written.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gathering.core.errors import TapeError
from gathering.core.stored import Request
from gathering.storage.requests import line_of

__all__ = ["VERSION", "Entry", "TapeFile"]

VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One exchange as it stands in the file."""

    request: Request
    body: Mapping[str, Any]  # everything but the request


class TapeFile:
    """The file at ``path``: read whole, then added to. Raises ``TapeError``; a file it cannot read is left alone."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.shown = Path(path).as_posix()
        self.path = Path(path).expanduser().absolute()
        self._sound = 0  # bytes up to the end of the last whole line
        self._mended = False

    def read(self) -> list[Entry]:
        """All exchanges, in order; none when there is no file yet."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as err:
            raise TapeError(
                f"the tape {self.shown!r} cannot be read ({err.strerror}): name another file"
            ) from err
        self._sound = content.rfind(b"\n") + 1
        lines = content[: self._sound].split(b"\n")[:-1]
        if not lines:
            if content.strip():
                raise self._wrong(1, "not a tape")
            return []
        self._check_header(lines[0])
        return [self._entry(number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]

    def _check_header(self, line: bytes) -> None:
        header = self._json(1, line)
        version = header.get("gathering_tape")
        if not isinstance(version, int):
            raise self._wrong(1, "not a tape")
        if version > VERSION:
            raise TapeError(
                f"the tape {self.shown!r} has format {version}, this GatheRing reads up to {VERSION}: "
                "upgrade with pip install -U gathering"
            )

    def _entry(self, number: int, line: bytes) -> Entry:
        body = self._json(number, line)
        request = body.pop("request", None)
        if not isinstance(request, dict) or not ("answer" in body or "error" in body):
            raise self._wrong(number, "no request, or no answer")
        return Entry(request, body)

    def _json(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            found = json.loads(line)
        except ValueError as err:
            raise self._wrong(number, "not JSON") from err
        if not isinstance(found, dict):
            raise self._wrong(number, "not a JSON object")
        return found

    def _wrong(self, number: int, what: str) -> TapeError:
        return TapeError(
            f"the tape {self.shown!r} is damaged in line {number} ({what}): restore the file, or remove it and "
            "record again with mode='record'"
        )

    def start_anew(self) -> None:
        """Put an empty tape in the file's place, at one stroke."""
        header = line_of({"gathering_tape": VERSION}) + "\n"
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(header.encode())
            beside.replace(self.path)
        except OSError as err:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise self._unwritable(err) from err
        self._sound, self._mended = len(header.encode()), True

    def append(self, entry: Entry) -> None:
        """Add one exchange; it is in the file when this returns."""
        line = (line_of({"request": entry.request, **entry.body}) + "\n").encode()
        if not self._sound or not self.path.exists():
            self.start_anew()
        try:
            self._mend()
            with self.path.open("ab") as file:  # one write at the end: another process may record here too
                file.write(line)
        except OSError as err:
            raise self._unwritable(err) from err

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

    def _unwritable(self, err: OSError) -> TapeError:
        return TapeError(
            f"the tape {self.shown!r} cannot be written ({err.strerror}): name a file in a folder you may write to"
        )
