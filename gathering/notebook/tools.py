"""The tools there are, or those of an agent, as a table: what each takes and what it may do. Starts and opens nothing.

A tool type somebody else wrote is only described by its class, since making one might do anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gathering.core.errors import GatheringError
from gathering.core.interfaces import ITool
from gathering.core.registry import TOOLS, create_tool

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["tools_frame"]

_COLUMNS = ("tool", "type", "description", "permissions", "parameters", "schema", "why_not")


def tools_frame(tools: Mapping[str, ITool] | None = None) -> pd.DataFrame:
    """One row for each tool: ``tool, type, description, permissions, parameters, schema, why_not``.

    ``tools`` are an agent's; without them the registry's, where ``why_not`` says what a type needs to be used.
    """
    import pandas as pd

    from gathering.notebook.whole import whole

    rows = [_registered(name) for name in TOOLS] if tools is None else [_row(n, t) for n, t in tools.items()]
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    return whole(frame.astype({column: "string" for column in _COLUMNS if column != "schema"}))


def _registered(name: str) -> tuple[Any, ...]:
    try:
        target: Any = TOOLS.resolve(name)
        if isinstance(target, ITool):  # a function tool stands where a class would
            return _row(name, target)
        if not str(target.__module__).startswith("gathering."):
            return _described(name, target, None)
    except GatheringError as err:
        return name, name, None, None, None, None, str(err)
    try:
        return _row(name, create_tool(name))
    except GatheringError as err:
        return _described(name, target, str(err))


def _described(name: str, target: Any, why_not: str | None) -> tuple[Any, ...]:
    summary = (inspect.getdoc(target) or "").split("\n\n")[0]
    return name, name, " ".join(summary.split()) or None, None, None, None, why_not


def _row(name: str, tool: ITool) -> tuple[Any, ...]:
    schema = tool.get_parameters_schema()
    permissions = ", ".join(sorted(p.value for p in tool.permissions))
    return (
        name,
        tool.tool_type,
        tool.get_description(),
        permissions,
        ", ".join(_parameters(schema)),
        schema,
        None,
    )


def _parameters(schema: Mapping[str, Any]) -> list[str]:
    """The parameters' names, those that may be left out with a question mark."""
    required = schema.get("required") or ()
    return [name if name in required else f"{name}?" for name in schema.get("properties") or {}]
