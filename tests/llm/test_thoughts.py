"""Thinking between marks in a text: whole, and over any cut of the pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.llm.thoughts import ThoughtSplitter, split_thoughts

WORDS = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think>", "\n", " ", "a", "b c", "é😀", "</thin"]),
    max_size=12,
)


def read_plainly(text: str) -> tuple[str, str]:
    """The same by two patterns over the whole text."""
    if (opened := re.match(r"\s*<think>(.*?)(?:</think>(.*))?\Z", text, re.DOTALL)) is not None:
        return opened[1].lstrip(), (opened[2] or "").lstrip()
    if (closed := re.match(r"(.*?(?:\A|\n))</think>(.*)\Z", text, re.DOTALL)) is not None:
        return closed[1], closed[2].lstrip()
    return "", text


def in_pieces(pieces: list[str]) -> tuple[str, str]:
    splitter = ThoughtSplitter()
    text = thinking = ""
    for piece in pieces:
        for kind, found in splitter.take(piece, line_start=not text or text.endswith("\n")):
            if kind == "recall":
                text, thinking = "", text
            elif kind == "text":
                text += found
            else:
                thinking += found
    for kind, found in splitter.finish():
        text, thinking = (text + found, thinking) if kind == "text" else (text, thinking + found)
    return thinking, text


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("<think>\n12 * 12\n</think>\n\n144", "12 * 12\n", "144"),
        ("\n <think></think>144", "", "144"),
        ("12 * 12\n</think>\n\n144", "12 * 12\n", "144"),
        ("</think>144", "", "144"),
        ("<think>cut off by the limit", "cut off by the limit", ""),
        (
            "The mark </think> ends it, and <think> begins it.",
            "",
            "The mark </think> ends it, and <think> begins it.",
        ),
        ("1 < 2", "", "1 < 2"),
        ("<thinking>", "", "<thinking>"),
        ("<think>a</think>b\n</think>c", "a", "b\n</think>c"),
        ("", "", ""),
    ],
)
def test_a_text_is_told_apart(text: str, thinking: str, answer: str) -> None:
    """Also without the first mark, and not where a model only writes about the marks."""
    assert split_thoughts(text) == (thinking, answer)


@given(WORDS, st.data())
def test_any_cut_gives_the_same(words: list[str], data: st.DataObject) -> None:
    """Whole or in pieces of any size, it is what two patterns over the whole text find."""
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert in_pieces(pieces) == in_pieces(list(text)) == split_thoughts(text) == read_plainly(text)
