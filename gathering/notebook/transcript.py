"""A turn as it is read: what was thought, said and which tools were used, in the three forms of an output.

Owns the accumulation of events and their look. When and where it is shown is ``gathering.notebook.live``.
Everything a model or a tool wrote is escaped or rendered by the safe Markdown renderer.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gathering.core.display import bundle, markdown_to_html
from gathering.core.events import (
    Done,
    Event,
    PermissionAsked,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolFinished,
    ToolStarted,
    UsageUpdate,
)
from gathering.core.messages import Message, Reply, ToolCall, Usage
from gathering.core.results import ToolResult
from gathering.notebook.code import on_paper
from gathering.notebook.literal import closed

__all__ = ["Item", "Said", "Thought", "Transcript", "Used", "item_html", "tool_line"]

_MUTED = "color: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, #616161)); font-size: 90%"
_LONGEST_VALUE, _LONGEST_RESULT = 80, 200


@dataclass(slots=True)
class Said:
    """Text of the answer, in the pieces in which it came."""

    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The pieces together."""
        return "".join(self.pieces)


@dataclass(slots=True)
class Thought(Said):
    """What the model thought before it went on."""


@dataclass(slots=True)
class Used:
    """One tool call, with its result once there is one; ``answer`` is what the model was told of it."""

    call: ToolCall
    failed: bool = False
    answer: str | None = None

    def finish(self, result: ToolResult) -> None:
        """Take the result."""
        self.failed = not result.success
        self.answer = result.text()


Item: TypeAlias = Said | Thought | Used


@dataclass(slots=True)
class Transcript:
    """The items of a turn in the order in which they came."""

    agent: str = ""
    model: str = ""
    items: list[Item] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None

    @classmethod
    def of(cls, reply: Reply) -> Transcript:
        """The transcript of a finished turn, the same whether it was streamed or came whole."""
        transcript = cls(reply.agent, reply.model, [], reply.usage, reply.cost)
        if reply.thinking:
            transcript.items.append(Thought([reply.thinking]))
        for message in reply.messages:
            transcript._message(message)
        if reply.text and not any(type(i) is Said for i in transcript.items):
            transcript.items.append(Said([reply.text]))
        return transcript

    def _message(self, message: Message) -> None:
        if message.role == "tool":
            for used in self._open_calls(message.tool_call_id):
                used.answer = message.content
                used.failed = message.content.startswith("Error: ")
        elif message.role == "assistant":
            if message.content:
                self.items.append(Said([message.content]))
            self.items += [Used(call) for call in message.tool_calls]

    def add(self, events: Iterable[Event]) -> None:
        """Take a batch of events."""
        for event in events:
            match event:
                case TextDelta(text):
                    self._append(Said, text)
                case ThinkingDelta(text):
                    self._append(Thought, text)
                case ToolStarted(call):
                    self.items.append(Used(call))
                case ToolFinished(call, result):
                    for used in self._open_calls(call.id):
                        used.finish(result)
                case ToolCallDelta() | UsageUpdate() | Done() | PermissionAsked():
                    pass

    def _append(self, kind: type[Said], text: str) -> None:
        last = self.items[-1] if self.items else None
        if type(last) is not kind:
            last = kind()
            self.items.append(last)
        assert isinstance(last, Said)
        last.pieces.append(text)

    def _open_calls(self, identity: str | None) -> list[Used]:
        return [i for i in self.items if isinstance(i, Used) and i.answer is None and i.call.id == identity][
            :1
        ]

    @property
    def said(self) -> int:
        """How many characters of the answer there are."""
        return sum(len(piece) for i in self.items if type(i) is Said for piece in i.pieces)

    def bundle(self, notice: str = "") -> dict[str, str]:
        """The three forms; ``notice`` is a line at the end, such as that the answer was stopped."""
        items = [item for item in self.items if not isinstance(item, Said) or item.text.strip()]
        shown = [item for item in items if not isinstance(item, Thought)]
        plain = "\n".join(_plain(item) for item in shown)
        markdown = "\n\n".join(_markdown(item) for item in shown)
        if notice:
            plain, markdown = f"{plain}\n[{notice}]".strip(), f"{markdown}\n\n*{notice}*".strip()
        return bundle(plain, markdown=markdown, html_form=self._html(items, notice))

    def _html(self, items: list[Item], notice: str) -> str:
        label = html.escape(f"{self.agent} answers" if self.agent else "answer", quote=True)
        parts = [item_html(item) for item in items]
        if notice:
            parts.append(f'<div role="status" style="{_MUTED}">{html.escape(notice)}</div>')
        if footer := self._footer():
            parts.append(f'<div class="gathering-summary" style="{_MUTED}">{html.escape(footer)}</div>')
        inside = "".join(parts)
        return f'<div class="gathering-answer" role="log" aria-live="polite" aria-label="{label}">{inside}{on_paper(inside)}</div>'

    def _footer(self) -> str:
        parts = [p for p in (self.agent, self.model) if p]
        read, wrote = self.usage.input_tokens, self.usage.output_tokens
        if read is not None and wrote is not None:
            parts.append(f"{read:,} tokens read, {wrote:,} written")
        if self.cost is not None:
            parts.append(f"${self.cost:.6f}".rstrip("0").rstrip("."))
        return " · ".join(parts)


def item_html(item: Item) -> str:
    """One item as HTML."""
    if isinstance(item, Used):
        return f'<div class="gathering-tool"><code>{html.escape(tool_line(item))}</code></div>'
    if isinstance(item, Thought):
        inside = markdown_to_html(item.text)
        return f'<details class="gathering-thinking"><summary>thinking</summary>{inside}</details>'
    return markdown_to_html(item.text)


def tool_line(used: Used) -> str:
    """One line for a tool call: ``calculator(expression="15 * 25") -> 375``."""
    call = used.call
    if call.malformed is not None:
        inside = f"not JSON: {_short(call.malformed, _LONGEST_VALUE)}"
    else:
        inside = ", ".join(f"{_flat(name)}={_value(value)}" for name, value in call.arguments.items())
    line = f"{_flat(call.name)}({inside})"
    if used.answer is None:
        return f"{line} ..."
    return f"{line} -> {_short(used.answer, _LONGEST_RESULT)}"


def _value(value: Any) -> str:
    return _short(json.dumps(value, ensure_ascii=False, default=str), _LONGEST_VALUE)


def _short(text: str, most: int) -> str:
    flat = _flat(text[: most * 4])
    return (
        flat
        if len(flat) <= most and len(text) <= most * 4
        else f"{flat[:most]}... ({len(text):,} characters)"
    )


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _plain(item: Item) -> str:
    return tool_line(item) if isinstance(item, Used) else item.text.strip("\n")


def _markdown(item: Item) -> str:
    if not isinstance(item, Used):
        return closed(item.text.strip("\n"))
    line = tool_line(item)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if len(fence) > 1 else f"`{line}`"
