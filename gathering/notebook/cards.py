"""The forms of what is only read: the status of a notebook and plain texts. Owns their look."""

from __future__ import annotations

import html
import re

from gathering.core import config
from gathering.core.display import bundle, card
from gathering.core.registry import PROVIDERS
from gathering.notebook.screen import Note

__all__ = ["preformatted", "status_note"]


def preformatted(text: str) -> dict[str, str]:
    """The three forms of a text whose spaces and lines count."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return bundle(
        text,
        markdown=f"{fence}text\n{text}\n{fence}",
        html_form=f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>',
    )


def status_note() -> Note:
    """What is here: the default model, the providers, the tape, the money and where the trace is. Asks no network."""
    from gathering.notebook.budgeting import money_line
    from gathering.notebook.catalog import reachable
    from gathering.testing import current_tape

    model = f"{config.get('model')} (from {config.source('model')})"
    rows = [("default model", model)]
    rows += [(f"provider {name}", reachable(name)) for name in PROVIDERS]
    rows += [
        ("tape", repr(current_tape() or "none").strip("'")),
        ("budget", money_line()),
        ("trace", _trace_place()),
        ("help", "%gathering help"),
    ]
    return Note(card("GatheRing", rows))


def _trace_place() -> str:
    """The trace's file, from the project's folder: a saved notebook should not name a home folder."""
    path = config.get("store")
    if path is None:
        return ".gathering/trace.sqlite in the project's folder"
    return f"in memory, for this session (from {config.source('store')})" if path == ":memory:" else str(path)
