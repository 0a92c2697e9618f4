"""Markdown of a model is nobody's HTML, whoever renders it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

import gathering
from gathering.notebook.literal import closed, to_markdown
from gathering.testing import ScriptedProvider

_PIECES = [
    *("`", "``", "```", "~~~", "\n", "\n\n", "    ", "\t", "> ", "- ", "1. ", "# ", "---\n", "|", "\\|", "|-|-|\n", "\\", "$", "a", " "),
    *("<b>", "<script>", "</b>", "<!-- ", "-->", "<?x?>", "<![CDATA[", "<a\nb>", "<a href='`'>", "<https://a.b/c>", "<javascript:x>"),
    *("<", "&lt;", "[x]: ", "[", "](", "](<", "]", "![", ")", "\u2028", "\x0b"),
]  # fmt: skip
_READERS = [
    MarkdownIt("commonmark", {"html": True}),
    MarkdownIt("gfm-like", {"html": True, "linkify": False}),
]


def flat(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from flat(token.children or [])


def live(text: str) -> list[str]:
    """What a reader that lets HTML pass would make of it, beside text, code and links."""
    kinds = ("html_inline", "html_block", "image")
    return [t.content for reader in _READERS for t in flat(reader.parse(text)) if t.type in kinds]


def code(text: str) -> list[str]:
    kinds = ("fence", "code_block", "code_inline")
    return [t.content for t in flat(_READERS[1].parse(text)) if t.type in kinds]


@given(st.lists(st.sampled_from(_PIECES), max_size=25).map("".join))
def test_no_tag_and_no_image_is_left(text: str) -> None:
    """Whatever was written, no reader finds a tag; made literal once more it is the same."""
    made = to_markdown(text)
    assert not live(made)
    assert to_markdown(made) == made


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("An <b>answer</b>, 1 < 2 & 3 > 2", "An &lt;b>answer&lt;/b>, 1 < 2 & 3 > 2"),
        ("`<b>` and ``<i>`<u>``", "`<b>` and ``<i>`<u>``"),
        ("```html\n<b>\n```\n<b>", "```html\n<b>\n```\n&lt;b>"),
        ("text\n\n    <b>\n", "text\n\n    <b>\n"),
        ("- one\n\n      <b>\n- ~~~\n  <i>\n  ~~~\n- <u>", "- one\n\n      <b>\n- ~~~\n  <i>\n  ~~~\n- &lt;u>"),
        ("> `a\n> <b>`", "> `a\n> &lt;b>`"),
        ("| `a\\|<b>` | <i> |\n|---|---|", "| `a\\|<b>` | &lt;i> |\n|---|---|"),
        ("[a](x`y) <script> `", "[a](x`y) &lt;script> `"),
        ("[x]: <a b>\n    <script>", "[x]: &lt;a b>\n    &lt;script>"),
        ("\\<b> \\\\<b>", "&lt;b> \\\\&lt;b>"),
        ("![a](https://evil.test/x.png) vec![1] \\![b]", "\\![a](https://evil.test/x.png) vec\\![1] \\![b]"),
        ("$a<b$ and $$x<y\n<z$$", "$a< b$ and $$x< y\n< z$$"),
        ("<https://example.org/a> <mailto:a@b.c> <javascript:x>", "<https://example.org/a> <mailto:a@b.c> &lt;javascript:x>"),
        ("plain\r\ntext", "plain\r\ntext"),
        ("", ""),
    ],
)  # fmt: skip
def test_code_links_and_formulas_stay(text: str, made: str) -> None:
    """Only what would be a tag or an image is another text than before."""
    assert to_markdown(text) == made


@given(st.lists(st.sampled_from(["<b>", "a", "![x](y)", "&", "\\", " "]), max_size=10).map("".join))
def test_code_is_what_it_was(inside: str) -> None:
    """A block, an indented block and a span of code say the same as before, beside a tag that does not."""
    text = f"<i>x</i>\n\n```\n{inside}\n```\n\n    {inside}|\n\n`{inside}|`"
    made = to_markdown(text)
    assert code(made) == code(text)
    assert made.startswith("&lt;i>")


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("a\n```py\nx", "a\n```py\nx\n```"),
        ("~~~~\nx\n~~~", "~~~~\nx\n~~~\n~~~~"),
        ("```\nx\n```", "```\nx\n```"),
        ("```", "```\n```"),
        ("- ```\n  x", "- ```\n  x"),
        ("no code", "no code"),
    ],
)
def test_an_open_code_block_is_ended(text: str, made: str) -> None:
    """An answer that broke off in code does not take what follows into it."""
    assert closed(text) == made


def test_every_form_in_markdown_is_literal() -> None:
    """A reply, a conversation and a panel's transcript carry nothing live; what follows open code is no code."""
    said = "<img src=x onerror=alert(1)>\n\n```html\n<b>"
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider([said] * 3), store=None)
    reply = ada.ask("<script>alert(1)</script>")
    talk = gathering.Conversation([ada], max_turns=1)
    talk.run("Go <b>on</b>")
    shown: list[Any] = [reply, talk, ada]
    forms = [thing._repr_mimebundle_()["text/markdown"] for thing in shown]
    forms.append(ada.chat().saved.bundle()["text/markdown"])
    for form in forms:
        assert not live(form)
    assert "```html\n<b>\n```" in forms[-1]
