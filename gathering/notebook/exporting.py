"""A conversation as a file: a page, Markdown, data, or a notebook that asks the same again.

Owns the four forms; what is in them is what a panel shows (``gathering.notebook.items``).
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError
from gathering.core.masking import mask
from gathering.notebook.items import Item
from gathering.notebook.saved import conversation_bundle, conversation_markdown

__all__ = ["export"]

_PAGE_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1f1f1f;background:#fff}"
    "pre{overflow-x:auto;background:#f4f4f4;padding:.5rem}table{border-collapse:collapse}td,th{border:1px solid #888;padding:.2rem .5rem}"
    "@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}pre{background:#242424}a{color:#8ab4f8}}"
)


def export(path: str | Path, name: str, items: Sequence[Item]) -> None:
    """Write the conversation in the form the path's end says. Raises ``ConfigurationError``."""
    target = Path(path).expanduser()
    form = _FORMS.get(target.suffix.lower())
    if form is None:
        raise ConfigurationError(f"cannot export to {target.name!r}: let it end in {', '.join(_FORMS)}")
    text = form(name, items)
    try:
        target.write_text(text, "utf-8")
    except OSError as err:
        raise ConfigurationError(
            f"cannot write {str(path)!r} ({err.strerror}): choose another place"
        ) from err


def _page(name: str, items: Sequence[Item]) -> str:
    title = html.escape(f"Chat with {name}")
    inside = conversation_bundle(name, items)["text/html"]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_PAGE_STYLE}</style></head>'
        f"<body><main>{inside}</main></body></html>\n"
    )


def _markdown(name: str, items: Sequence[Item]) -> str:
    return mask(f"# Chat with {' '.join(name.split())}\n\n{conversation_markdown(items)}\n")


def _data(name: str, items: Sequence[Item]) -> str:
    kept = [item.to_dict() for item in items]
    return mask(json.dumps({"agent": name, "items": kept}, ensure_ascii=False, indent=1)) + "\n"


def _notebook(name: str, items: Sequence[Item]) -> str:
    """A notebook with a cell for each message, its answer below it as the output."""
    variable = name if name.isidentifier() else "agent"
    cells = [_code("%load_ext gathering"), _code(f'%%gathering agent {variable}\nhistory: ""')]
    for place, item in enumerate(items):
        if item.role == "note":
            cells.append({"cell_type": "markdown", "metadata": {}, "source": mask(item.text)})
        elif item.role == "user":
            answer = (
                items[place + 1] if place + 1 < len(items) and items[place + 1].role == "assistant" else None
            )
            cells.append(
                _code(f"%%gathering ask {variable}\n{mask(item.text)}", answer.text if answer else None)
            )
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}
    return json.dumps(book, ensure_ascii=False, indent=1) + "\n"


def _code(source: str, answer: str | None = None) -> dict[str, Any]:
    outputs = []
    if answer:
        data = {"text/plain": mask(answer), "text/markdown": mask(answer)}
        outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
    return {
        "cell_type": "code",
        "metadata": {},
        "execution_count": None,
        "source": source,
        "outputs": outputs,
    }


_FORMS: dict[str, Callable[[str, Sequence[Item]], str]] = {
    ".html": _page,
    ".md": _markdown,
    ".json": _data,
    ".ipynb": _notebook,
}
