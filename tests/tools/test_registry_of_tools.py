"""``ToolRegistry``: tools by name, made when asked for; and the room's doors stay light."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gathering.core.errors import UnknownNameError
from gathering.core.interfaces import ITool
from gathering.tools import TOOLS, CalculatorTool, ToolRegistry, ToolResult


class Echo(ITool):
    """Says what it was told."""

    def execute(self, input_data: object) -> ToolResult:
        return ToolResult(success=True, output=input_data)


def test_a_registered_type_is_made_kept_and_found() -> None:
    """Registered once, known everywhere; a made tool is the same tool the next time."""
    registry = ToolRegistry()
    registry.register_tool_type("echo", Echo)
    try:
        made = registry.create_tool({"name": "parrot", "type": "echo"})
        assert registry.get_tool("parrot") is made
        assert isinstance(registry.get_tool("echo"), Echo)
        assert registry.get_tool("echo") is registry.get_tool("echo")
    finally:
        del TOOLS["echo"]


def test_a_built_in_tool_is_made_by_its_name() -> None:
    """Nothing has to be created first."""
    assert isinstance(ToolRegistry().get_tool("calculator"), CalculatorTool)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """Made tools count as known names too."""
    registry = ToolRegistry()
    registry.create_tool({"name": "sums", "type": "calculator"})
    with pytest.raises(UnknownNameError, match="did you mean 'sums'"):
        registry.get_tool("sum")
    with pytest.raises(UnknownNameError, match="did you mean 'calculator'"):
        registry.create_tool("calculater")


def test_the_doors_load_nothing_heavy() -> None:
    """Importing the room and making a tool loads neither pydantic nor the docstring parser."""
    code = (
        "import sys; from gathering.tools import tool; tool(name='f')(lambda x: x);"
        "print([m for m in ('pydantic', 'docstring_parser', 'pandas', 'IPython') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
