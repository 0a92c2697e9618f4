"""What is said: messages, tool calls, completions and replies. Plain frozen values, no behaviour beyond reading.

Owns the neutral form in which everything travels between an agent, a provider, a tape and the trace.
Wire formats of services are not here (``gathering.llm``), nor is the order in which things happen
(``gathering.core.flow``).

The neutral message is a dict, as the first interfaces of the project had it, so that a user's own provider
can read it without importing anything::

    {"role": "user", "content": "What is 15 * 25?"}
    {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "name": "calculator", "arguments": {...}}]}
    {"role": "tool", "content": "375", "tool_call_id": "c1", "name": "calculator"}

an image beside the text is ``"images": [{"media_type": "image/png", "data": base64} or {"url": ...}]``,
a tool's message about a failure has ``"is_error": True``,
and a tool offered to a provider is ``{"name", "description", "parameters"}`` with ``parameters`` a JSON schema
(and ``examples`` where the tool has some).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gathering.core import display
from gathering.core.images import Image

__all__ = [
    "Completion",
    "FinishReason",
    "Message",
    "MessageDict",
    "OutputMode",
    "Reply",
    "Role",
    "Timing",
    "ToolCall",
    "ToolSpec",
    "Usage",
    "as_completion",
]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "other"]
#: ``native``: the service keeps to the schema; ``constrained``: a grammar does; ``prompted``: it was asked to.
OutputMode: TypeAlias = Literal["", "native", "constrained", "prompted"]
MessageDict: TypeAlias = dict[str, Any]
ToolSpec: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model wants run. ``malformed`` holds the raw text when the arguments were not a JSON object."""

    id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    malformed: str | None = None

    @classmethod
    def from_json(cls, id: str, name: str, text: str) -> ToolCall:  # noqa: A002 - the field's name
        """The call with arguments parsed from JSON text; what is no JSON object is kept as ``malformed``."""
        if not text.strip():
            return cls(id, name)
        try:
            arguments = json.loads(text)
        except (ValueError, RecursionError):
            return cls(id, name, malformed=text)
        if not isinstance(arguments, dict):
            return cls(id, name, malformed=text)
        return cls(id, name, arguments)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ToolCall:
        """The call from its neutral dict; a chat-completions ``{"function": {...}}`` is read as well."""
        inner = data.get("function")
        inner = inner if isinstance(inner, Mapping) else data
        arguments = inner.get("arguments") or {}
        identity, name = str(data.get("id") or ""), str(inner.get("name") or "")
        if isinstance(arguments, str):
            return cls.from_json(identity, name, arguments)
        if not isinstance(arguments, Mapping):
            return cls(identity, name, malformed=json.dumps(arguments, default=str))
        return cls(identity, name, dict(arguments), data.get("malformed"))

    def to_dict(self) -> dict[str, Any]:
        """The neutral dict of the call."""
        data: dict[str, Any] = {"id": self.id, "name": self.name, "arguments": self.arguments}
        if self.malformed is not None:
            data["malformed"] = self.malformed
        return data


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, None where the provider did not say.

    ``input_tokens`` counts everything the model read, cached tokens included; ``output_tokens`` everything it
    wrote, reasoning included.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        """The sum over calls; a figure unknown on one side is taken from the other."""
        return Usage(
            _add(self.input_tokens, other.input_tokens),
            _add(self.output_tokens, other.output_tokens),
            _add(self.cached_tokens, other.cached_tokens),
            _add(self.reasoning_tokens, other.reasoning_tokens),
        )

    def to_dict(self) -> dict[str, int | None]:
        """The four figures by name."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
        }


def _add(left: int | None, right: int | None) -> int | None:
    return right if left is None else left if right is None else left + right


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. ``parts`` is what the provider that wrote it must get back next turn."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    parts: tuple[Mapping[str, Any], ...] = ()
    images: tuple[Image, ...] = ()
    is_error: bool = False  # of a tool's message: the tool failed, or was not allowed to run

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Message:
        """The message from its neutral dict."""
        return cls(
            role=data.get("role", "user"),
            content=text_of(data.get("content")),
            tool_calls=tuple(ToolCall.from_dict(c) for c in data.get("tool_calls") or ()),
            tool_call_id=data.get("tool_call_id"),
            name=data.get("name"),
            parts=tuple(data.get("parts") or ()),
            images=tuple(Image.read(image) for image in data.get("images") or ()),
            is_error=bool(data.get("is_error")),
        )

    def to_dict(self) -> MessageDict:
        """The neutral dict: only what is set."""
        data: MessageDict = {"role": self.role, "content": self.content}
        if self.tool_calls:
            data["tool_calls"] = [call.to_dict() for call in self.tool_calls]
        if self.tool_call_id is not None:
            data["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            data["name"] = self.name
        if self.parts:
            data["parts"] = list(self.parts)
        if self.images:
            data["images"] = [image.to_dict() for image in self.images]
        if self.is_error:
            data["is_error"] = True
        return data


def text_of(content: Any) -> str:
    """The text of a message's content, which may be None, a string or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        texts = (p.get("text") if isinstance(p, Mapping) else p for p in content)
        return "".join(text for text in texts if isinstance(text, str))
    return str(content)


@dataclass(frozen=True, slots=True)
class Timing:
    """When a call ran: start in seconds since 1970 (UTC), then milliseconds. From a tape: as recorded."""

    started_at: float
    ttft_ms: float | None
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Completion(Mapping[str, Any]):
    """What one call to a provider gave. Reads like ``{"role": ..., "content": ...}`` and has attributes.

    >>> answer = Completion("Hello!")
    >>> answer["content"], answer.finish_reason
    ('Hello!', 'stop')
    """

    content: str = ""
    thinking: str = ""
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    model: str = ""
    parts: tuple[Mapping[str, Any], ...] = ()
    raw: Any = None
    constrained: bool = False  # tool calls forced by a grammar, not chosen freely by the model
    timing: Timing | None = None  # as recorded, when it comes from a tape or cache
    source: Literal["live", "cache", "tape"] = "live"
    attempts: int = 1
    provider: str = ""  # who answered, where that is another one than was asked (a fallback)
    output_mode: OutputMode = ""  # how the form of a structured answer was brought about
    cost: float | None = None  # US dollars as recorded, when it comes from a tape
    logprobs: tuple[Mapping[str, Any], ...] = ()  # {"token", "logprob", "top": [{"token", "logprob"}, ...]}

    def message(self) -> Message:
        """The assistant message to keep in the conversation."""
        return Message("assistant", self.content, tool_calls=self.tool_calls, parts=self.parts)

    def __getitem__(self, key: str) -> Any:
        """``completion["content"]``, ``["role"]``, ``["tool_calls"]`` (as dicts)."""
        return self._dict()[key]

    def __iter__(self) -> Iterator[str]:
        """The keys of the dict form."""
        return iter(self._dict())

    def __len__(self) -> int:
        """The number of keys of the dict form."""
        return len(self._dict())

    def _dict(self) -> MessageDict:
        data = self.message().to_dict()
        data.setdefault("tool_calls", [])
        return data


def as_completion(answer: Any) -> Completion:
    """The completion in whatever a provider's ``complete`` returned: a Completion, a dict or a string."""
    if isinstance(answer, Completion):
        return answer
    if isinstance(answer, str):
        return Completion(answer)
    if not isinstance(answer, Mapping):
        raise TypeError(f"complete() returned {type(answer).__name__}: return a dict with 'content'")
    calls = tuple(ToolCall.from_dict(c) for c in answer.get("tool_calls") or ())
    usage = answer.get("usage")
    return Completion(
        content=text_of(answer.get("content")),
        thinking=answer.get("thinking") or "",
        refusal=answer.get("refusal"),
        tool_calls=calls,
        finish_reason=answer.get("finish_reason") or ("tool_calls" if calls else "stop"),
        usage=usage
        if isinstance(usage, Usage)
        else Usage(**usage)
        if isinstance(usage, Mapping)
        else Usage(),
        model=answer.get("model") or "",
        parts=tuple(answer.get("parts") or ()),
        raw=answer,
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """What an agent's turn gave. ``str(reply)`` is the text; latencies are seconds, cost is US dollars.

    ``usage`` and ``cost`` are of all calls of the turn together; an unknown price is None, not 0. ``output`` is the value
    of a structured answer, ``output_mode`` how its form came about, ``repaired`` whether it took a second try.
    """

    text: str
    agent: str = ""
    thinking: str = ""
    output: Any = None
    output_mode: OutputMode = ""
    repaired: bool = False
    tool_calls: tuple[ToolCall, ...] = ()
    messages: tuple[Message, ...] = ()
    usage: Usage = Usage()
    cost: float | None = None
    latency: float | None = None
    ttft: float | None = None
    model: str = ""
    finish_reason: FinishReason = "stop"
    turn_id: str = ""

    def __str__(self) -> str:
        """The text of the answer."""
        return self.text

    def __repr__(self) -> str:
        """One line without ids or times."""
        who = f"{self.agent}, " if self.agent else ""
        return f"Reply({who}{self.model}): {self.text}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return display.bundle(self.text or repr(self), markdown=self.text)
