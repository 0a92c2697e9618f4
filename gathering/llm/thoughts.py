"""Thinking that a model left in its text, between ``<think>`` and ``</think>``: told apart from the answer. Pure.

Owns the two marks, whole and over any cut of a stream. Only an answer that begins with the first mark has thoughts in
it, or one with the second mark at the beginning of a line, where the server's template had swallowed the first: a
model that writes about such marks is left alone.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["ThoughtSplitter", "split_thoughts"]

_OPEN, _CLOSE = "<think>", "</think>"
#: What a piece is. ``recall``: all of the text before was thinking, which only its end has shown.
Kind = Literal["text", "thinking", "recall"]


def split_thoughts(text: str) -> tuple[str, str]:
    r"""Thinking and answer of a whole text.

    >>> split_thoughts("<think>\n12 * 12\n</think>\n\n144")
    ('12 * 12\n', '144')
    """
    splitter = ThoughtSplitter()
    found: dict[str, str] = {"text": "", "thinking": ""}
    for kind, piece in (*splitter.take(text, line_start=True), *splitter.finish()):
        if kind == "recall":
            found = {"text": "", "thinking": found["text"]}
        else:
            found[kind] += piece
    return found["thinking"], found["text"]


class ThoughtSplitter:
    """Tells the pieces of a streamed text apart."""

    __slots__ = ("_held", "_skip", "_state", "idle")

    def __init__(self) -> None:
        self._state: Literal["start", "thinking", "text", "settled"] = "start"
        self._held = ""  # what may be the beginning of a mark
        self._skip = False  # blanks behind a mark belong to nothing
        self.idle = False  #: a piece without "<" is text as it is

    @property
    def settled(self) -> bool:
        """Whether all that follows is text as it is."""
        return self._state == "settled" and not self._skip

    def take(self, piece: str, *, line_start: bool) -> list[tuple[Kind, str]]:
        """What a piece adds. ``line_start`` says whether the text given out so far ends with a line, or is empty."""
        text, self._held = self._held + piece, ""
        found: list[tuple[Kind, str]] = []
        if self._state == "start":
            text = self._begin(text)
        if self._state == "thinking":
            text = self._think(text, found)
        elif self._state == "text":
            text = self._look_for_end(text, line_start, found)
        if self._state == "settled":
            self._add("text", text, found)
        self.idle = self._state == "text" and not self._held
        return found

    def finish(self) -> list[tuple[Kind, str]]:
        """What had been held back."""
        held, self._held = self._held, ""
        return [("thinking" if self._state == "thinking" else "text", held)] if held else []

    def _begin(self, text: str) -> str:
        stripped = text.lstrip()
        if stripped.startswith(_OPEN):
            self._state, self._skip = "thinking", True
            return stripped[len(_OPEN) :]
        if _OPEN.startswith(stripped):
            self._held = text
            return ""
        self._state = "text"
        return text

    def _think(self, text: str, found: list[tuple[Kind, str]]) -> str:
        """Give out the thinking in the text; what is behind its end is returned."""
        before, mark, behind = text.partition(_CLOSE)
        if not mark:
            cut = _cut_before_mark(text)
            before, self._held = text[:cut], text[cut:]
        self._add("thinking", before, found)
        if mark:
            self._state, self._skip = "settled", True
        return behind

    def _look_for_end(self, text: str, line_start: bool, found: list[tuple[Kind, str]]) -> str:
        """Give out text; where an end without a beginning shows that it was thinking, say so and return the rest."""
        at = -1
        while (at := text.find(_CLOSE, at + 1)) >= 0:
            if text[at - 1] == "\n" if at else line_start:
                self._add("text", text[:at], found)
                found.append(("recall", ""))
                self._state, self._skip = "settled", True
                return text[at + len(_CLOSE) :]
        cut = _cut_before_mark(text)
        if cut < len(text) and (text[cut - 1] == "\n" if cut else line_start):
            self._held, text = text[cut:], text[:cut]
        self._add("text", text, found)
        return ""

    def _add(self, kind: Kind, text: str, found: list[tuple[Kind, str]]) -> None:
        if self._skip:
            text = text.lstrip()
            self._skip = not text
        if text:
            found.append((kind, text))


def _cut_before_mark(text: str) -> int:
    """Where the beginning of an end mark begins at the end of the text; its length if there is none."""
    at = text.rfind("<", -len(_CLOSE) + 1)
    return at if at >= 0 and _CLOSE.startswith(text[at:]) else len(text)
