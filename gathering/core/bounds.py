"""How much of a tool's result goes into a turn: all of it if it is short enough and can be written down, else a text
that says what was cut. Owns no tool and runs none; a person who calls ``execute`` gets everything.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from gathering.core.results import ToolResult

__all__ = ["MAX_OUTPUT", "bounded"]

#: Characters of a result that a model is told, unless its tool says otherwise.
MAX_OUTPUT = 50_000

#: What is one short word of JSON and needs no look at its pieces.
_PLAIN = frozenset({int, float, bool})

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # where an object lies in memory tells nobody anything


def bounded(result: ToolResult, most: int) -> ToolResult:
    """The result, or one whose output (or error) is text of about ``most`` characters with a note.

    An output that JSON has no form for, that raises when it is shown, or that holds half a character becomes text;
    ``metadata["cut"]`` is True where something is missing.
    """
    if not result.success:
        error = str(result.error or "")
        return result if len(error) <= most else _cut(replace(result, error=error[:most]), most, len(error))
    text, faithful = _text_up_to(result.output, most + 1)
    if not faithful:
        return _short(replace(result, output=text), text, most)
    if _has_half_character(text):
        clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return _short(replace(result, output=clean), clean, most)
    return _short(result, text, most)


def _short(result: ToolResult, text: str, most: int) -> ToolResult:
    if len(text) <= most:
        return result
    whole = len(text) if isinstance(result.output, str) else None
    return _cut(replace(result, output=text[:most]), most, whole)


def _cut(result: ToolResult, most: int, whole: int | None) -> ToolResult:
    size = f"it has {whole:,} characters" if whole is not None else "it is longer"
    note = f"\n[the result was cut after {most:,} characters: {size}. Ask for less of it.]"
    metadata = {**result.metadata, "cut": True}
    if result.success:
        return replace(result, output=result.output + note, metadata=metadata)
    return replace(result, error=f"{result.error}{note}", metadata=metadata)


def _text_up_to(output: Any, enough: int) -> tuple[str, bool]:
    """The output as text or JSON, or its beginning once that is ``enough``; and whether that is all there is to it."""
    if isinstance(output, str):
        return output, True
    if output is None or type(output) in _PLAIN:
        try:
            return json.dumps(output), True
        except ValueError:  # Python refuses to write down a number of thousands of digits
            return _shown(output), False
    odd: list[str] = []
    pieces: list[str] = []
    length = 0

    def as_text(value: Any) -> str:
        shown = _shown(value)
        if "<" in shown:  # perhaps an address that was left out, or a __str__ that raised
            odd.append(shown)
        return shown

    try:
        for piece in json.JSONEncoder(ensure_ascii=False, default=as_text).iterencode(output):
            pieces.append(piece)
            length += len(piece)
            if length >= enough:
                break
    except Exception:  # noqa: BLE001 - odd keys, cycles, depth, a dict that changes, a user's __str__
        return _shown(output), False
    return "".join(pieces), not odd


def _shown(value: Any) -> str:
    try:
        return _ADDRESS.sub("", str(value))
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything, and the model must be told something
        return f"<{type(value).__name__}>"


def _has_half_character(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
