"""Markdown that a model wrote, as HTML that is safe to show. Owns what may pass and what may not.

Raw HTML is escaped, images become links (an image's address can carry data away), links go to http, https and
mailto only, formulas reach the page as they were written. Nothing here depends on IPython.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from gathering.notebook.code import code_html

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

__all__ = ["to_html"]

_ALLOWED_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
# The bounds keep text with many openings and no end from being searched to its end for each of them.
_FORMULA = re.compile(
    r"\$\$.{1,4000}?\$\$|\$(?=[^\s$])[^$\n]{0,1000}?[^\s$\\]\$(?!\d)|\\\(.{1,1000}?\\\)|\\\[.{1,4000}?\\\]",
    re.DOTALL,
)


def to_html(text: str) -> str:
    """Safe HTML of untrusted Markdown."""
    # What cannot be written as UTF-8 cannot be sent to a browser either.
    html: str = _renderer().render(text.encode("utf-8", "replace").decode())
    return html


@cache
def _renderer() -> MarkdownIt:
    from markdown_it import MarkdownIt

    options = {"html": False, "highlight": lambda code, language, more: code_html(code, language)}
    renderer = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    renderer.validateLink = _may_be_linked  # type: ignore[method-assign]
    renderer.inline.ruler.before("escape", "formula", _formula)
    renderer.add_render_rule("link_open", _link_open)
    renderer.add_render_rule("image", _image)
    renderer.add_render_rule("code_block", _code_block)
    return renderer


def _may_be_linked(url: str) -> bool:
    return _ALLOWED_LINK.match(url.strip()) is not None


def _formula(state: StateInline, silent: bool) -> bool:
    """A formula is text: its underscores and backslashes are not Markdown's."""
    if state.src[state.pos] not in "$\\":
        return False
    match = _FORMULA.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    if not silent:
        state.push("text", "", 0).content = match[0]
    state.pos = match.end()
    return True


def _link_open(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    tokens[index].attrSet("target", "_blank")
    return str(renderer.renderToken(tokens, index, options, env))


def _code_block(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f"{code_html(tokens[index].content)}\n"


def _image(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    from markdown_it.common.utils import escapeHtml

    token = tokens[index]
    label = escapeHtml(renderer.renderInlineAsText(token.children or [], options, env) or "image")
    address = escapeHtml(str(token.attrs.get("src", "")))
    return f'<a href="{address}" rel="noopener noreferrer nofollow" target="_blank">{label}</a>'
