"""Code in answers: coloured where the language is known, and the same text whatever it is."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.notebook.code import code_html
from gathering.notebook.markdown import to_html

TAGS = re.compile(r"</?(?:em|span|code|pre)[^<>]*>")


def text_in(shown: str) -> str:
    return html.unescape(TAGS.sub("", shown))


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])),
    st.sampled_from(["python", "html", "diff", "?"]),
)
def test_the_code_is_what_it_was(code: str, language: str) -> None:
    """Whatever is coloured, the text between the tags is the code, and nothing of it is a tag of its own."""
    assert text_in(code_html(code, language)) == code


@pytest.mark.parametrize(
    ("language", "code", "coloured"),
    [
        ("python", "def f(): return 'a'", ["k", "nf", "s"]),
        ("PY", "class A: pass", ["k", "nc"]),
        ("js", "const x = 'a'", ["k", "s"]),
        ("sql", "select 'a' from t", ["k", "s"]),
        ("cobol", "MOVE A TO B", []),
        ("", "def f(): pass", []),
    ],
)
def test_known_languages_have_colours(language: str, code: str, coloured: list[str]) -> None:
    """Keywords, names and texts carry the classes that themes colour; another language stays plain."""
    shown = code_html(code, language)
    assert [name for name in ("k", "nf", "nc", "s") if f'<span class="{name}">' in shown] == coloured


def test_comments_are_slanted() -> None:
    """A theme's own colour for comments can hardly be read."""
    assert "<em># why</em>" in code_html("x = 1  # why", "python")


def test_long_code_is_plain_and_quick() -> None:
    """A megabyte of code is escaped and no more."""
    shown = code_html("if x < 1:\n" * 100_000, "python")
    assert "<span" not in shown
    assert shown.count("&lt;") == 100_000


@pytest.mark.parametrize("language", ["c", "java", "python", "ts"])
@pytest.mark.parametrize("piece", ["\n", " \n", "//", "a.", "a b\n"])
def test_code_that_takes_its_lexer_for_ever_is_plain(language: str, piece: str) -> None:
    """Twenty thousand characters without a sign took Pygments half a minute, and the kernel with it."""
    assert "<span" not in code_html(piece * (20_000 // len(piece)), language)
    assert 'class="k"' in code_html("for (int i = 0; i < n; i++) { return; }\n" * 100, "java")


def test_a_fence_and_an_indented_block_are_code() -> None:
    """Long lines are scrolled, not broken inside words; the name of a language is no way into the page."""
    shown = to_html('```python\nif x: pass\n```\n\n    indented <b>\n\n```a"><script>\n<i>\n```\n')
    assert shown.count('<pre class="highlight"') == shown.count('style="white-space: pre"') == 3
    assert '<span class="k">if</span>' in shown
    assert "<script" not in shown
    assert "<b>" not in shown
    assert "<i>" not in shown
