"""Tools by name, as an object: the seed's registry interface over the one registry of ``gathering.core.registry``.

Owns the tools it has made, nothing else: types are registered in ``TOOLS``, for every registry alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gathering.core.errors import UnknownNameError
from gathering.core.interfaces import ITool, IToolRegistry
from gathering.core.registry import TOOLS, create_tool

__all__ = ["ToolRegistry"]


class ToolRegistry(IToolRegistry):
    """Makes tools from plain data and keeps them by name.

    >>> ToolRegistry().get_tool("calculator").execute("2 + 3").output
    5
    """

    def __init__(self) -> None:
        self._made: dict[str, ITool] = {}

    def register_tool_type(self, tool_type: str, factory: type[ITool] | str) -> None:
        """Make a type known by its class, a tool made by ``@tool``, or ``"module:Class"``."""
        TOOLS[tool_type] = factory

    def create_tool(self, config: Mapping[str, Any] | str) -> ITool:
        """A new tool from its name or plain data, kept under its name; one of that name before it is replaced."""
        made = create_tool(config)
        self._made[made.name] = made
        return made

    def get_tool(self, name: str) -> ITool:
        """The tool kept under this name, or a new one of this type. Raises ``UnknownNameError``."""
        if name in self._made:
            return self._made[name]
        if name not in TOOLS:
            raise UnknownNameError("tool", name, {*self._made, *TOOLS})
        return self.create_tool(name)
