"""A tape's lines: one entry, or one long value, as a line of JSON and back. Owns the form of a line; opens no file.

    {"gathering_tape": 1}                                        the first line
    {"long": "<hash>", "value": "..."}                           a long text or an image, once, before its first use
    {"key": "<hash>", "ordinal": 0, "request": {...}, ...}       an entry; {"$long": "<hash>"} stands for a long value

The key and the ordinal come first, so that a line is found without reading it whole. What looks like an API key is
masked before anything else is done with an entry.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gathering.core.stored import Request
from gathering.storage.requests import key_of, line_of

__all__ = [
    "HEADER",
    "MARKS",
    "OUTCOMES",
    "VERSION",
    "Entry",
    "Scanned",
    "decoded",
    "encoded",
    "scanned",
    "tape_key",
]

VERSION = 1
HEADER = line_of({"gathering_tape": VERSION}) + "\n"

#: What an entry ends with, one of these: what a model said, a failure, a Stop, a tool's result, a person's decision,
#: an embedder's vectors.
OUTCOMES = ("answer", "error", "cut", "result", "decision", "vectors")

#: Texts of this many characters are written once; shorter ones stay where they are, to be read there.
_LONG = 500
_HASH = 32
_ENTRY = re.compile(rb'\{"key": "([0-9a-f]{32})", "ordinal": (\d+), "request": \{')
_VALUE = re.compile(rb'\{"long": "([0-9a-f]{32})", "value": ')
#: How the lines begin that a git merge leaves in a file.
MARKS = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: what was asked, and everything else that is kept of it."""

    request: Request
    body: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What it is found by."""
        return tape_key(self.request)

    @property
    def ordinal(self) -> int:
        """Its number among those with an equal request, from 0."""
        return int(self.body.get("ordinal", 0))

    @property
    def outcome(self) -> str:
        """Which of ``OUTCOMES`` it has."""
        return next(name for name in OUTCOMES if name in self.body)


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a line is, seen from its beginning: an entry's key and number, or the hash of a long value."""

    key: str
    ordinal: int | None = None  # None for a long value


def tape_key(request: Request) -> str:
    """A digest that is equal for equal requests, also when one of them was masked."""
    return key_of(request)[:_HASH]


def encoded(entry: Entry, known: Callable[[str], bool]) -> list[tuple[Scanned, bytes]]:
    """The lines of an entry, its own last; long values that are ``known`` by their hash need none."""
    masked = json.loads(line_of({"request": entry.request, **entry.body}))
    long: dict[str, str] = {}
    body = {name: _shortened(value, long) for name, value in masked.items()}
    head = Scanned(tape_key(masked["request"]), int(body.pop("ordinal", 0)))
    line = {"key": head.key, "ordinal": head.ordinal, **body}
    values = [
        (Scanned(digest), f'{{"long": "{digest}", "value": {text}}}\n'.encode())
        for digest, text in long.items()
        if not known(digest)
    ]
    return [*values, (head, (json.dumps(line, ensure_ascii=False) + "\n").encode())]


def _shortened(value: Any, long: dict[str, str]) -> Any:
    """The value with what is long replaced by its hash."""
    if isinstance(value, dict):
        # A dict that only looks like a reference is kept apart itself, or it would be taken for one.
        return (
            _apart(value, long)
            if set(value) == {"$long"}
            else {k: _shortened(v, long) for k, v in value.items()}
        )
    if isinstance(value, list):
        return [_shortened(v, long) for v in value]
    return _apart(value, long) if isinstance(value, str) and len(value) >= _LONG else value


def _apart(value: Any, long: dict[str, str]) -> dict[str, str]:
    text = json.dumps(value, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH]
    long[digest] = text
    return {"$long": digest}


def scanned(line: bytes) -> Scanned:
    """What the line is, in most cases by its beginning and end alone. Raises ``ValueError`` with what is wrong."""
    if line.rstrip().endswith(b"}"):
        if found := _ENTRY.match(line):
            return Scanned(found[1].decode(), int(found[2]))
        if found := _VALUE.match(line):
            return Scanned(found[1].decode())
    if line.startswith(MARKS):
        raise ValueError("the mark of a git merge: 'gathering tape merge FILE' keeps both sides")
    found_whole = _json(line)
    if "long" in found_whole and "value" in found_whole:
        return Scanned(str(found_whole["long"]))
    key = found_whole.get("key")
    entry = _entry(found_whole)
    return Scanned(entry.key if key is None else str(key), entry.ordinal)


def decoded(line: bytes, long: Callable[[str], bytes]) -> Entry:
    """The entry of this line; ``long`` gives the line of a long value by its hash.

    Raises ``ValueError`` with what is wrong with it.
    """
    return _entry({name: _lengthened(value, long) for name, value in _json(line).items()})


def _entry(found: dict[str, Any]) -> Entry:
    request = found.pop("request", None)
    found.pop("key", None)
    if not isinstance(request, dict) or not any(name in found for name in OUTCOMES):
        raise ValueError("no request, or no answer")
    if not isinstance(found.get("ordinal", 0), int):
        raise ValueError("its ordinal is no number")
    return Entry(request, found)


def _lengthened(value: Any, long: Callable[[str], bytes]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$long"}:
            return _json(long(value["$long"]))["value"]
        return {k: _lengthened(v, long) for k, v in value.items()}
    return [_lengthened(v, long) for v in value] if isinstance(value, list) else value


def _json(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as err:
        raise ValueError("not JSON") from err
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found
