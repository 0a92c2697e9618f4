"""Markdown that a model wrote, as Markdown in which it is nobody's HTML. Owns what of it may stay live for any reader.

Markdown carries HTML and remote images along. A file or an output in Markdown is rendered by others, so what would be a tag
there is escaped, and an image becomes a link. Code stays as it was. Nothing here depends on IPython.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

__all__ = ["closed", "to_markdown"]

_LIVE = re.compile(r"<(?=[A-Za-z/!?])|!(?=\[)")
_AUTOLINK = re.compile(r"<(?:https?://|mailto:)[^\s<>`\"']*>", re.IGNORECASE)
_FORMULA = re.compile(r"\$\$.{1,4000}?\$\$|\$(?=[^\s$])[^$\n]{0,1000}?[^\s$\\]\$(?!\d)", re.DOTALL)
_BEGUN = re.compile(r"(\n\s*)<")
_BACKSLASHES = re.compile(r"\\+\Z")
#: Escaping one tag may make another live, where it was a definition or code that depended on it; text that does so
#: more often is no honest one.
_ROUNDS = 8


def to_markdown(text: str) -> str:
    r"""The same Markdown with each tag outside code as text, and each image as a link.

    >>> to_markdown("An <b>answer</b> in `<b>`, ![alt](https://example.org/x.png)")
    'An &lt;b>answer&lt;/b> in `<b>`, \\![alt](https://example.org/x.png)'
    """
    if _LIVE.search(text) is None:
        return text
    text = re.sub(r"\r\n?", "\n", text.encode("utf-8", "replace").decode())
    for _ in range(_ROUNDS):
        escaped = _escaped(text)
        if escaped == text:
            return text
        text = escaped
    return _literal(text)


def closed(text: str) -> str:
    """The text with its last code block ended, so that what is put after it is not code."""
    if "```" not in text and "~~~" not in text:
        return text
    last = next((token for token in reversed(_blocks(text)) if token.level == 0), None)
    if last is None or last.type != "fence" or last.map is None:
        return text
    lines = text.rstrip().split("\n")
    ended = lines[-1].strip()
    is_end = len(ended) >= len(last.markup) and not ended.strip(last.markup[0])
    return text if is_end and len(lines) - last.map[0] > 1 else f"{text.rstrip()}\n{last.markup}"


def _blocks(text: str) -> list[Token]:
    found: list[Token] = _blocks_of().parse(text)
    return found


@cache
def _blocks_of() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _escaped(text: str) -> str:
    """One round: code as this text has it is left alone, everything else is escaped."""
    lines = text.split("\n")
    done = [0] * len(lines)  # characters of each line that are dealt with
    env = dict[str, object]()
    for token in _blocks_of().parse(text, env):
        if token.map is None:
            continue
        if token.type in ("fence", "code_block"):
            for place in range(token.map[0], min(token.map[1], len(lines))):
                done[place] = len(lines[place])
        elif token.type == "inline":
            _replace(lines, done, token, env)
    return "\n".join(line[:end] + _literal(line[end:]) for line, end in zip(lines, done, strict=True))


def _replace(lines: list[str], done: list[int], token: Token, env: dict[str, object]) -> None:
    """Put the escaped words of a paragraph, heading or table's cell in their places in the source.

    Where they are not found, all of it is left to be escaped.
    """
    assert token.map is not None
    before, after = token.content, _outside(token.content, _kept(token.content, env))
    pairs = zip(before.split("\n"), after.split("\n"), strict=True)
    found = list[tuple[int, int, str, str]]()
    for place, (old, new) in enumerate(pairs, token.map[0]):
        for was, now in ((old.strip(), new.strip()), (_piped(old), _piped(new))):
            start = lines[place].find(was, done[place]) if place < len(lines) else -1
            if start >= 0:
                found.append((place, start, was, now))
                break
        else:
            return
    for place, start, was, now in found:
        line = lines[place]
        head = line[: done[place]] + _literal(line[done[place] : start]) + now
        lines[place], done[place] = head + line[start + len(was) :], len(head)


def _piped(cell: str) -> str:
    return cell.strip().replace("|", "\\|")


def _kept(content: str, env: dict[str, object]) -> list[tuple[int, int]]:
    """Where code and links in angle brackets are, as the parser sees them."""
    found = list[tuple[int, int]]()
    _inline().inline.parse(content, _inline(), {**env, "kept": (content, found)}, [])
    return sorted(set(found))


@cache
def _inline() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import autolink, backtick

    def code(state: StateInline, silent: bool) -> bool:
        start, count = state.pos, len(state.tokens)
        taken = backtick(state, silent)
        if len(state.tokens) > count and state.tokens[-1].type == "code_inline":
            _note(state, start)
        return taken

    def link(state: StateInline, silent: bool) -> bool:
        start = state.pos
        taken = autolink(state, silent)
        if taken and not silent and _AUTOLINK.fullmatch(state.src, start, state.pos):
            _note(state, start)
        return taken

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.inline.ruler.at("backticks", code)
    parser.inline.ruler.at("autolink", link)
    return parser


def _note(state: StateInline, start: int) -> None:
    """Words of an image are parsed as a text of their own: what is code in them is not looked for."""
    content, found = state.env["kept"]
    if state.src is content:
        found.append((start, state.pos))


def _outside(text: str, kept: Iterable[tuple[int, int]]) -> str:
    """The text escaped, but for these places. Code that goes on in another line must not begin HTML there."""
    pieces, last = list[str](), 0
    for start, end in kept:
        pieces += [_literal(text[last:start]), _BEGUN.sub(r"\1&lt;", text[start:end])]
        last = end
    return "".join([*pieces, _literal(text[last:])])


def _literal(text: str) -> str:
    """Nothing in it is a tag or an image. A formula means the same with a space; ``&lt;`` it would not understand."""
    pieces, last = list[str](), 0
    for formula in _FORMULA.finditer(text):
        pieces += [_entities(text[last : formula.start()]), _LIVE.sub(lambda sign: f"{sign[0]} ", formula[0])]
        last = formula.end()
    return "".join([*pieces, _entities(text[last:])])


def _entities(text: str) -> str:
    pieces, last = list[str](), 0
    for sign in _LIVE.finditer(text):
        before = text[last : sign.start()]
        slashes = _BACKSLASHES.search(before)
        is_escaped = slashes is not None and len(slashes[0]) % 2 == 1
        if sign[0] == "<":
            pieces += [before[:-1] if is_escaped else before, "&lt;"]
        else:
            pieces += [before, "!" if is_escaped else "\\!"]
        last = sign.end()
    return "".join([*pieces, text[last:]])
