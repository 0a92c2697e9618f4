"""What a tool gives back, what it may do and what it would touch. Owns the values every tool and the trace agree on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

from gathering.core.images import Image

__all__ = ["Reach", "ToolPermission", "ToolResult", "Touched", "result_of"]


class ToolPermission(str, Enum):
    """What an act of a tool does to the world. Equal to its own lower-case name."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    DELETE = "delete"


class Reach(str):
    """A pattern of all that a call may touch, as a search does: ``notes/**/*.md``. A rule may be about a part of it."""


class Touched(str):
    """What a call would touch, as it is written, where that says too little for a rule.

    ``things`` are all of them, each by every name it has: a query's tables, a folder and what is in it, a ``Reach``.
    """

    things: tuple[tuple[str, ...], ...]

    def __new__(cls, written: str, things: Iterable[Sequence[str]] = ()) -> Self:
        """The text as it is written, with the things it stands for (a copy sets them afterwards)."""
        touched = super().__new__(cls, written)
        touched.things = tuple(map(tuple, things))
        return touched


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool. A failed one has ``success=False`` and says why in ``error``.

    ``execution_time_ms`` is filled in by whoever ran the tool.
    """

    success: bool
    output: Any = None
    error: str | None = None
    execution_time_ms: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """What the model is told: the output as text or JSON, or the error."""
        if not self.success:
            return f"Error: {self.error or 'the tool failed and did not say why'}"
        if isinstance(self.output, str):
            return self.output
        try:
            return json.dumps(self.output, ensure_ascii=False, default=str)
        except (TypeError, ValueError):
            return str(self.output)


def result_of(output: Any) -> ToolResult:
    """What a tool returned as a result; an image is shown to a model that sees, and named to the others."""
    if isinstance(output, ToolResult):
        return output
    if isinstance(output, Image):
        return ToolResult(success=True, output=repr(output), metadata={"images": [output.to_dict()]})
    return ToolResult(success=True, output=output)
