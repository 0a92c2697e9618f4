"""A conversation as a file: a page, Markdown, data, or a notebook that asks the same again.

Owns the forms that are read; the notebook is ``gathering.notebook.notebook_file``'s, what is in them is what a panel shows (``gathering.notebook.items``).
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import IAgent
from gathering.core.masking import mask
from gathering.notebook.items import Item
from gathering.notebook.literal import to_markdown
from gathering.notebook.notebook_file import notebook
from gathering.notebook.saved import conversation_bundle, conversation_markdown

__all__ = ["export"]

_PAGE_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1f1f1f;background:#fff}"
    "pre{overflow-x:auto;background:#f4f4f4;padding:.5rem}table{border-collapse:collapse}td,th{border:1px solid #888;padding:.2rem .5rem}"
    "@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}pre{background:#242424}a{color:#8ab4f8}}"
)


def export(
    path: str | Path, name: str, items: Sequence[Item], agents: Mapping[str, IAgent], what: str = "Chat with"
) -> None:
    """Write the conversation of these agents in the form the path's end says. Raises ``ConfigurationError``."""
    target = Path(path).expanduser()
    form = target.suffix.lower()
    if form == ".ipynb":
        text = notebook(items, agents)
    elif form in _FORMS:
        text = _FORMS[form](name, items, what)
    else:
        known = ", ".join([*_FORMS, ".ipynb"])
        raise ConfigurationError(f"cannot export to {target.name!r}: let it end in {known}")
    try:
        target.write_text(text, "utf-8")
    except OSError as err:
        raise ConfigurationError(
            f"cannot write {str(path)!r} ({err.strerror}): choose another place"
        ) from err


def _page(name: str, items: Sequence[Item], what: str) -> str:
    title = html.escape(f"{what} {name}")
    inside = conversation_bundle(name, items, what=what)["text/html"]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_PAGE_STYLE}</style></head>'
        f"<body><main>{inside}</main></body></html>\n"
    )


def _markdown(name: str, items: Sequence[Item], what: str) -> str:
    return to_markdown(mask(f"# {what} {' '.join(name.split())}\n\n{conversation_markdown(items)}\n"))


def _data(name: str, items: Sequence[Item], what: str) -> str:
    kept = [item.to_dict() for item in items]
    return mask(json.dumps({"agent": name, "items": kept}, ensure_ascii=False, indent=1)) + "\n"


_FORMS: dict[str, Callable[[str, Sequence[Item], str], str]] = {
    ".html": _page,
    ".md": _markdown,
    ".json": _data,
}
