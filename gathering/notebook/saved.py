"""What a panel leaves in the notebook: the conversation as an output of its own, below the live view.

The live view is gone with its kernel; this is readable without one, in a page, on paper and in a diff. Owns its three forms
and when they are refreshed. The forms of a single answer are ``gathering.notebook.transcript``'s.
"""

from __future__ import annotations

import html
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gathering.core.display import bundle, markdown_to_html
from gathering.core.session import under_test
from gathering.notebook.code import on_paper
from gathering.notebook.items import Call, Item, Part
from gathering.notebook.literal import closed
from gathering.notebook.screen import Screen, way_of

__all__ = ["Saved", "conversation_bundle", "conversation_markdown", "kept_bundle"]

#: Characters of a conversation that are kept in the notebook; export() writes all of it.
KEPT = 12_000
#: Bytes that all forms take in the notebook's file, beyond which less is kept: twenty panels stay below a megabyte.
LARGEST = 45_000
#: Characters of a tool's arguments or result; the trace has all of them.
LONGEST_VALUE = 2_000
_CARD = "border: 1px solid #8888; border-radius: 4px; padding: 0.2em 0.6em; margin: 0.3em 0; font-size: 90%"
_SAID = "margin: 0.6em 0; padding-left: 0.8em; border-left: 3px solid"


class Saved:
    """What a panel leaves in its cell; ``made`` gives it in the forms of an output."""

    def __init__(self, made: Callable[[], dict[str, str]]) -> None:
        self.bundle = made
        self._handles: list[Any] = []

    def show(self, panel: Any) -> None:
        """Display the panel and its transcript; only the transcript where nobody can use a panel."""
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        shell = get_ipython()
        way = "text" if shell is None else way_of(shell)
        if way == "text":
            print(self.bundle()["text/plain"])  # noqa: T201 - a terminal's output
            return
        if way == "live" or _is_voila():
            display(panel.view_bundle(), raw=True)
        if way == "live" or not (_is_voila() or under_test()):
            # nbconvert takes updates too: later cells may ask the panel.
            self._handles.append(display(self._beside(), raw=True, display_id=True))
        elif not _is_voila():
            Screen(shell).show(self.bundle())

    def refresh(self) -> None:
        """Bring what is in the notebook up to date. From any thread."""
        for handle in self._handles:
            handle.update(self._beside(), raw=True)

    def _beside(self) -> dict[str, str]:
        """What stands below the live view: folded where nothing can hide it while the view lives."""
        shown = self.bundle()
        if "text/html" in shown and _shows_both():
            shown = {
                **shown,
                "text/html": f"<details><summary>transcript</summary>{shown['text/html']}</details>",
            }
        return shown


def _shows_both() -> bool:
    """VS Code and Colab draw each output in a place of its own, which no style of ours reaches."""
    return "VSCODE_PID" in os.environ or "google.colab" in sys.modules


def _is_voila() -> bool:
    return "VOILA_APP_PORT" in os.environ or "VOILA_REQUEST_URL" in os.environ


def kept_bundle(name: str, items: Sequence[Item], what: str = "Chat with") -> dict[str, str]:
    """What stays in the notebook of a conversation: its newest part, in forms that are not larger than ``LARGEST`` together."""
    most = KEPT
    while True:
        made = conversation_bundle(name, items, most, what)
        if most < 100 or _in_file(made) <= LARGEST:
            return made
        most //= 2


def _in_file(forms: dict[str, str]) -> int:
    """Bytes in a saved notebook: each line is a string of its own there, indented, with its quotes escaped."""
    lines = {kind: form.splitlines(keepends=True) for kind, form in forms.items()}
    return len(json.dumps(lines, ensure_ascii=False, indent=4).encode("utf-8", "replace"))


def conversation_bundle(
    name: str, items: Sequence[Item], most: int | None = None, what: str = "Chat with"
) -> dict[str, str]:
    """Items as text, Markdown and HTML; of more than ``most`` characters only the newest, which is said."""
    shown = items if most is None else _newest(items, most)
    left = len(items) - len(shown)
    title = f"{what} {name}"
    head = (
        [title]
        if left == 0
        else [title, f"({left:,} earlier messages are not kept here: export() writes them)"]
    )
    if not items:
        head.append("(nothing was said yet)")
    plain = "\n".join([*head, *(_plain(item) for item in shown)])
    inside = "".join(_html(item) for item in shown)
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in head[1:])
    label = html.escape(f"Transcript of the {what[0].lower()}{what[1:]} {name}", quote=True)
    page = f'<section class="g-saved" aria-label="{label}"><h4>{html.escape(title)}</h4>{lines}{inside}{on_paper(inside)}</section>'
    return bundle(
        plain,
        markdown="\n\n".join([f"#### {_one_line(head[0])}", *head[1:], conversation_markdown(shown)]),
        html_form=page,
    )


def conversation_markdown(items: Sequence[Item]) -> str:
    """Items as Markdown, with thoughts left out."""
    return "\n\n".join(_markdown(item) for item in items)


def _newest(items: Sequence[Item], most: int) -> Sequence[Item]:
    """The last items with so many characters; of the very last at least its end."""
    room, first = most, len(items)
    while first > 0:
        size = sum(_size(part) for part in items[first - 1].parts)
        if size > room:
            break
        room, first = room - size, first - 1
    if items and first == len(items):
        return [_shortened(items[-1], most)]
    return items[first:]


def _shortened(item: Item, most: int) -> Item:
    """The item with its last parts, as far as they fit; of a text that does not fit, its beginning."""
    room, parts = most, list[Part]()
    for part in reversed(item.parts):
        size = _size(part)
        if size > room:
            if part.call is None and room > 0:
                parts.insert(0, Part.of_text(part.kind, part.text[:room]))
            break
        parts.insert(0, part)
        room -= size
    note = Part.of_text(
        "text", f"({_whole(item):,} characters, not all of them kept here: export() writes them)"
    )
    return replace(item, parts=[*parts, note])


def _whole(item: Item) -> int:
    return sum(_size(part) for part in item.parts)


def _size(part: Part) -> int:
    """Characters that are shown of it."""
    if part.call is None:
        return part.size
    return min(LONGEST_VALUE, len(str(part.call.arguments))) + min(LONGEST_VALUE, len(_result(part.call)))


def _who(item: Item) -> str:
    return item.speaker or {"user": "you", "note": "note"}.get(item.role, "assistant")


def _end(item: Item) -> str:
    """What is to be said of an answer that did not come to its end."""
    if item.status == "error" and item.error:
        return " ".join(text for text in (item.error["message"], item.error["next"]) if text)
    return "stopped; the partial answer is kept" if item.status == "stopped" else ""


def _plain(item: Item) -> str:
    lines = [f"[{_who(item)}]"]
    lines += [f"({len(item.images)} image{'s' if len(item.images) > 1 else ''})"] if item.images else []
    lines += [
        _call_line(part.call) if part.call else part.text for part in item.parts if part.kind != "thinking"
    ]
    lines += [f"[{end}]"] if (end := _end(item)) else []
    return "\n".join(lines)


def _markdown(item: Item) -> str:
    blocks = [f"**{_one_line(_who(item))}**"]
    for part in item.parts:
        if part.call is not None:
            line = _call_line(part.call).replace("`", "'")
            blocks.append(f"`{line}`")
        elif part.kind == "text":
            blocks.append(closed(part.text))
    if end := _end(item):
        blocks.append(f"*{end}*")
    return "\n\n".join(blocks)


def _html(item: Item) -> str:
    label = html.escape(_who(item), quote=True)
    inside = "".join(_part_html(part) for part in item.parts)
    if item.images:
        inside = f"<p><em>{len(item.images)} image(s)</em></p>{inside}"
    if end := _end(item):
        inside += f"<p><em>{html.escape(end)}</em></p>"
    footer = _footer(item)
    inside += f"<p><small>{html.escape(footer)}</small></p>" if footer else ""
    return f'<article aria-label="{label}" style="{_SAID}"><header><strong>{label}</strong></header>{inside}</article>'


def _part_html(part: Part) -> str:
    if part.call is not None:
        return _call_html(part.call)
    inside = markdown_to_html(part.text)
    return f"<details><summary>thinking</summary>{inside}</details>" if part.kind == "thinking" else inside


def _call_html(call: Call) -> str:
    arguments = html.escape(_cut(json.dumps(call.arguments, ensure_ascii=False, indent=2)))
    result = html.escape(_cut(_result(call)))
    head = html.escape(f"{call.name}: {call.state}")
    return f'<details class="gathering-call" style="{_CARD}"><summary>{head}</summary><pre>{arguments}</pre><pre>{result}</pre></details>'


def _call_line(call: Call) -> str:
    inside = ", ".join(f"{name}={_short(value, 80)}" for name, value in dict(call.arguments).items())
    return f"{_one_line(call.name)}({inside}) -> {_one_line(_result(call))[:200]}"


def _result(call: Call) -> str:
    return call.error if call.error is not None else call.output if call.output is not None else call.state


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}... ({len(text):,} characters)"


def _short(value: Any, most: int) -> str:
    text = _one_line(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= most else f"{text[:most]}..."


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _footer(item: Item) -> str:
    if item.role != "assistant":
        return ""
    read, wrote = item.usage.input_tokens, item.usage.output_tokens
    parts = [
        item.model,
        f"{read:,} tokens read, {wrote:,} written" if read is not None and wrote is not None else "",
    ]
    parts.append(f"${item.cost:.6f}".rstrip("0").rstrip(".") if item.cost else "")
    return " · ".join(part for part in parts if part)
