"""What a tool gives back, and what it may do. Owns the two values every tool and the trace agree on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gathering.core.images import Image

__all__ = ["ToolPermission", "ToolResult", "result_of"]


class ToolPermission(str, Enum):
    """What an act of a tool does to the world. Equal to its own lower-case name."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    DELETE = "delete"


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
