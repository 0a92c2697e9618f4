"""What a panel shows: items, each what one side said in one go, made of parts.

Owns the values and how a turn becomes them, whether it comes as events or was taken before. What travels, and when,
is the channel's (``gathering.notebook.channel``); ``docs/guides/panel-protocol.md`` says what each field means.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gathering.core.masking import mask
from gathering.core.messages import Message, ToolCall, Usage
from gathering.core.results import ToolResult

__all__ = [
    "Call",
    "CallState",
    "Item",
    "Kind",
    "Part",
    "Status",
    "question_item",
    "sendable",
    "turn_items",
    "usage_dict",
]

Kind: TypeAlias = Literal["text", "thinking", "tool"]
Role: TypeAlias = Literal["user", "assistant", "note"]
Status: TypeAlias = Literal["open", "done", "stopped", "error"]
CallState: TypeAlias = Literal["asked", "running", "done", "failed", "denied", "interrupted"]

#: Characters of a tool's result that a panel shows; the trace has all of it.
LONGEST_OUTPUT = 20_000


@dataclass(slots=True)
class Call:
    """One tool call in a panel, as far as it has come."""

    id: str
    name: str
    arguments: Any
    state: CallState = "running"
    output: str | None = None
    error: str | None = None
    ms: float | None = None
    permission: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, call: ToolCall, state: CallState = "running") -> Call:
        """The card of a call that begins."""
        arguments = call.arguments if call.malformed is None else {"not JSON": call.malformed}
        return cls(call.id, call.name, _plain(arguments), state)

    def finish(self, result: ToolResult) -> None:
        """Take the result; a refusal stays what it is."""
        self.ms = result.execution_time_ms
        text = _cut(result.text())
        if result.success:
            self.state, self.output, self.error = "done", text, None
        else:
            self.error = text.removeprefix("Error: ")
            if self.state != "denied":
                self.state = "failed"

    def to_dict(self) -> dict[str, Any]:
        """The call as it travels."""
        return {
            "id": self.id,
            "name": self.name,
            "arguments": self.arguments,
            "state": self.state,
            "output": self.output,
            "error": self.error,
            "ms": self.ms,
            "permission": self.permission,
            "reason": self.reason,
        }


@dataclass(slots=True)
class Part:
    """Text, thoughts or a tool call of an item. ``pieces`` are what was sent of the text, ``size`` its UTF-16 length."""

    kind: Kind
    pieces: list[str] = field(default_factory=list)
    call: Call | None = None
    size: int = 0

    @classmethod
    def of_text(cls, kind: Kind, text: str) -> Part:
        """A part that is whole."""
        part = cls(kind)
        part.grow(sendable(text))
        return part

    def grow(self, text: str) -> None:
        """Put text, made sendable before, at its end."""
        self.pieces.append(text)
        self.size += len(text.encode("utf-16-le")) // 2

    @property
    def text(self) -> str:
        """The pieces together."""
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def to_dict(self) -> dict[str, Any]:
        """The part as it travels."""
        if self.call is not None:
            return {"k": "tool", "call": self.call.to_dict()}
        return {"k": self.kind, "text": self.text}


@dataclass(slots=True)
class Item:
    """What one side said."""

    id: str
    role: Role
    speaker: str = ""
    parts: list[Part] = field(default_factory=list)
    status: Status = "done"
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    ms: float | None = None
    ttft: float | None = None
    error: dict[str, str] | None = None
    turn: str = ""
    branch: dict[str, int] | None = None
    cell: dict[str, Any] | None = None
    images: list[dict[str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What was said, without thoughts and tool calls."""
        return "\n\n".join(part.text for part in self.parts if part.kind == "text" and part.text)

    def open_part(self, kind: Kind) -> int:
        """The number of the part that more text of this kind goes to: the last one, or a new one."""
        if not self.parts or self.parts[-1].kind != kind:
            self.parts.append(Part(kind))
        return len(self.parts) - 1

    def place_of(self, call: ToolCall) -> int | None:
        """The number of the part with this call; None if there is none yet."""
        for place in range(len(self.parts) - 1, -1, -1):
            shown = self.parts[place].call
            if shown is not None and shown.id == call.id:
                return place
        return None

    def end_dict(self) -> dict[str, Any]:
        """What is known at its end, without its parts."""
        return {
            "status": self.status,
            "model": self.model,
            "usage": usage_dict(self.usage),
            "cost": self.cost,
            "ms": self.ms,
            "ttft": self.ttft,
            "error": self.error,
            "turn": self.turn,
            "branch": self.branch,
        }

    def to_dict(self) -> dict[str, Any]:
        """The item as it travels, whole."""
        data = {
            "id": self.id,
            "role": self.role,
            "speaker": self.speaker,
            "parts": [part.to_dict() for part in self.parts],
            **self.end_dict(),
            "images": self.images,
        }
        return data if self.cell is None else {**data, "cell": self.cell}


def usage_dict(usage: Usage) -> dict[str, int | None]:
    """Tokens by the names that travel."""
    return {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cached": usage.cached_tokens,
        "reasoning": usage.reasoning_tokens,
    }


def sendable(text: str) -> str:
    """The text without keys, and without lone surrogates, which no message can carry."""
    return mask(text).encode("utf-8", "replace").decode()


def question_item(identity: str, message: Message) -> Item:
    """What the person said."""
    item = Item(identity, "user", parts=[Part.of_text("text", message.content)])
    item.images = [
        {"name": "", "media_type": image.media_type, "data": image.data}
        for image in message.images
        if image.data
    ]
    return item


def turn_items(
    identities: tuple[str, str], speaker: str, model: str, turn_id: str, messages: Iterable[Message]
) -> tuple[Item, Item]:
    """The question and the answer of a turn that is over, as two items with these ids."""
    question, *rest = messages
    asked = question_item(identities[0], question)
    answer = Item(identities[1], "assistant", speaker, model=model)
    asked.turn = answer.turn = turn_id
    for message in rest:
        _add_message(answer, message)
    for part in answer.parts:
        if part.call is not None and part.call.state == "running":
            part.call.state = "interrupted"
    return asked, answer


def _add_message(answer: Item, message: Message) -> None:
    if message.role == "assistant":
        if message.content:
            answer.parts.append(Part.of_text("text", message.content))
        answer.parts += [Part("tool", call=Call.of(call)) for call in message.tool_calls]
        return
    if message.role != "tool":
        return
    for part in answer.parts:
        if part.call is not None and part.call.id == message.tool_call_id and part.call.state == "running":
            part.call.finish(_result(message))


def _result(message: Message) -> ToolResult:
    if message.is_error:
        return ToolResult(success=False, error=message.content.removeprefix("Error: "))
    return ToolResult(success=True, output=message.content)


def _plain(value: Any) -> Any:
    """The arguments as JSON can carry them, without keys."""
    return json.loads(sendable(json.dumps(_named(value), ensure_ascii=False, default=str)))


def _named(value: Any) -> Any:
    """NaN and infinities are no JSON of a browser: they travel by their names."""
    if isinstance(value, float) and value - value != 0:
        return repr(value)
    if isinstance(value, Mapping):
        return {str(name): _named(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_named(inner) for inner in value]
    return value


def _cut(text: str) -> str:
    text = sendable(text)
    if len(text) <= LONGEST_OUTPUT:
        return text
    return f"{text[:LONGEST_OUTPUT]}\n... ({len(text):,} characters; the trace has all of them)"
