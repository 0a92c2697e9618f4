"""The three forms in which an object shows itself: text/plain, text/markdown and text/html.

What a model or a tool wrote is untrusted and always escaped. The notebook hands in what turns untrusted Markdown into safe
HTML, and into Markdown whose tags are text; without them, text keeps its line breaks and nothing else.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable

from gathering.core.masking import mask

__all__ = ["bundle", "card", "literal_markdown", "markdown_to_html", "set_markdown_renderer"]

_renderer: Callable[[str], str] | None = None
_literal: Callable[[str], str] | None = None


def set_markdown_renderer(
    renderer: Callable[[str], str] | None, literal: Callable[[str], str] | None = None
) -> None:
    """Hand in what turns untrusted Markdown into safe HTML, and what makes its tags text."""
    global _renderer, _literal
    _renderer, _literal = renderer, literal


def markdown_to_html(text: str) -> str:
    """Safe HTML of untrusted Markdown."""
    if _renderer is not None:
        return _renderer(text)
    return f'<div style="white-space: pre-wrap">{html.escape(text)}</div>'


def literal_markdown(text: str) -> str:
    """Untrusted Markdown with each tag outside code as text, and each image as a link, whoever renders it."""
    return text if _literal is None else _literal(text)


def bundle(
    plain: str, *, markdown: str | None = None, html_form: str | None = None, escaped: bool = False
) -> dict[str, str]:
    """The mime bundle; HTML is made from the Markdown where it is not given. No key is in any of the forms.

    Tags in the Markdown become text; ``escaped`` says that this was done, and that those that are left are wanted.
    """
    markdown = mask(plain if markdown is None else markdown)
    return {
        "text/plain": mask(plain),
        "text/markdown": markdown if escaped else literal_markdown(markdown),
        "text/html": markdown_to_html(markdown) if html_form is None else mask(html_form),
    }


def card(title: str, rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The mime bundle of a titled list of properties; empty values are left out."""
    kept = [(name, value) for name, value in rows if value]
    plain = "\n".join([title, *(f"  {name}: {value}" for name, value in kept)])
    markdown = "\n".join([f"**{title}**", "", *(f"- {name}: {value}" for name, value in kept)])
    cells = "".join(
        f'<tr><th scope="row" style="text-align: left; vertical-align: top">{html.escape(name)}</th>'
        f'<td style="text-align: left">{html.escape(value)}</td></tr>'
        for name, value in kept
    )
    table = f"<table><caption style='text-align: left'><b>{html.escape(title)}</b></caption>{cells}</table>"
    return bundle(plain, markdown=markdown, html_form=table)
