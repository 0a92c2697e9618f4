"""What happens: the typed events of a provider's stream and of an agent's turn.

One event for one thing. A provider's stream gives ``ThinkingDelta, TextDelta, ToolCallDelta, UsageUpdate`` and
ends with ``Done``; an agent's turn gives the same and ``PermissionAsked, ToolStarted, ToolFinished`` between its calls, and ends
with the one ``Done`` that carries the reply. Match on them and close the match with ``assert_never``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gathering.core.messages import Completion, Reply, ToolCall, Usage
from gathering.core.permissions import PermissionRequest
from gathering.core.results import ToolResult

__all__ = [
    "Done",
    "Event",
    "PermissionAsked",
    "TextDelta",
    "ThinkingDelta",
    "ToolCallDelta",
    "ToolFinished",
    "ToolStarted",
    "UsageUpdate",
]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """The next piece of what the model thinks before it answers; never part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """The next piece of a tool call's JSON arguments; ``index`` tells parallel calls apart."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class PermissionAsked:
    """A person is asked whether a tool may run; the turn waits for the answer."""

    request: PermissionRequest


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool is about to run."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool has run, or was refused: see ``result.success``."""

    call: ToolCall
    result: ToolResult


@dataclass(frozen=True, slots=True)
class UsageUpdate:
    """The tokens of the current call so far (not a difference)."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Done:
    """The end. ``completion`` is the last call's; ``reply`` is set at the end of an agent's turn."""

    completion: Completion
    reply: Reply | None = None


Event: TypeAlias = (
    TextDelta
    | ThinkingDelta
    | ToolCallDelta
    | PermissionAsked
    | ToolStarted
    | ToolFinished
    | UsageUpdate
    | Done
)
