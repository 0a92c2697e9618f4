"""What an agent may do: function tools, the calculator, and tools by name. The doors of the room, and no code.

pydantic and the docstring parser are loaded when the first schema of a function is asked for.
"""

from __future__ import annotations

from gathering.core.registry import TOOLS
from gathering.core.results import ToolPermission, ToolResult
from gathering.tools.calculator import CalculatorTool
from gathering.tools.database import DatabaseTool
from gathering.tools.filesystem import FileSystemTool
from gathering.tools.function import FunctionTool, tool
from gathering.tools.http_get import HTTPTool
from gathering.tools.mcp import MCPServer
from gathering.tools.namespace import NotebookTool
from gathering.tools.python import PythonTool
from gathering.tools.registry import ToolRegistry

__all__ = [
    "TOOLS",
    "CalculatorTool",
    "DatabaseTool",
    "FileSystemTool",
    "FunctionTool",
    "HTTPTool",
    "MCPServer",
    "NotebookTool",
    "PythonTool",
    "ToolPermission",
    "ToolRegistry",
    "ToolResult",
    "tool",
]
