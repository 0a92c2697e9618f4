"""A piece of code as HTML, coloured by the theme of the page it is shown in.

Owns which kinds of token have a colour. The classes are Pygments' own, which JupyterLab, Notebook, Voila and nbconvert
have colours for; elsewhere the code is plain. Comments are slanted instead, and numbers left alone: the colours the
themes have for those can hardly be read.
"""

from __future__ import annotations

import html
import re
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pygments.lexer import Lexer

__all__ = ["code_html", "on_paper"]

#: The languages of the panels' page (``js/src/highlight.ts``) by their usual names, but for those whose pieces have no colour here.
_LANGUAGES = frozenset(
    [
        "bash",
        "c",
        "c++",
        "cpp",
        "css",
        "go",
        "html",
        "java",
        "javascript",
        "js",
        "json",
        "julia",
        "py",
        "python",
        "python3",
        "r",
        "rust",
        "sh",
        "shell",
        "sql",
        "ts",
        "typescript",
        "xml",
        "yaml",
        "yml",
    ]
)
#: Lexers look ahead: what they take grows with the square of a text, and of what goes on without a sign. Longer ones stay plain.
_LONGEST, _LONGEST_RUN = 5_000, 400
_SIGN = re.compile(r"""[(){};=,"'+]""")

#: Neither broken inside a word nor cut: long lines are scrolled, with the keyboard too.
_PRE, _CODE = "margin: 0.5em 0; word-break: normal; overflow-x: auto", "white-space: pre"


#: Paper is not scrolled, and what a tool was told and said is not unfolded there.
_PAPER = (
    "<style>@media print{pre.highlight>code{white-space:pre-wrap!important;overflow-wrap:anywhere}"
    ".gathering-call::details-content{content-visibility:visible;block-size:auto}"
    ".gathering-call pre{white-space:pre-wrap;overflow-wrap:anywhere}}</style>"
)


def on_paper(page: str) -> str:
    """The style that shows the code and the tool calls of this HTML whole when it is printed; empty where it has none."""
    return _PAPER if '<pre class="highlight"' in page or 'class="gathering-call"' in page else ""


def code_html(code: str, language: str = "") -> str:
    """The code in a ``<pre>``, escaped, with a class on each piece that has a colour.

    >>> code_html("x = 'a'", "python").count("<span")
    1
    """
    inside = _coloured(code, language.lower())
    kind = f' class="language-{html.escape(language)}"' if language else ""
    return f'<pre class="highlight" style="{_PRE}" tabindex="0"><code{kind} style="{_CODE}">{inside}</code></pre>'


def _coloured(code: str, language: str) -> str:
    if language not in _LANGUAGES or not _is_quick(code):
        return html.escape(code)
    pieces = ((_class_of(kind), text) for kind, text in _lexer(language).get_tokens(code))
    return "".join(
        _span(name, "".join(text for _, text in group)) for name, group in groupby(pieces, itemgetter(0))
    )


def _is_quick(code: str) -> bool:
    """Whether it is coloured in an instant, whatever a model has written."""
    return len(code) <= _LONGEST and max(map(len, _SIGN.split(code))) <= _LONGEST_RUN


@cache
def _lexer(language: str) -> Lexer:
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


def _class_of(kind: Any) -> str:
    from pygments.token import Comment, Keyword, Name, String

    classes = ((Comment, "c"), (Keyword, "k"), (String, "s"), (Name.Function, "nf"), (Name.Class, "nc"))
    return next((name for family, name in classes if kind in family), "")


def _span(name: str, text: str) -> str:
    escaped = html.escape(text, quote=False)
    if name == "c":
        return f"<em>{escaped}</em>"
    return f'<span class="{name}">{escaped}</span>' if name else escaped
