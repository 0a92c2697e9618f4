"""The table of tools: what is registered, what an agent has, and that looking starts nothing."""

from __future__ import annotations

import pytest

import gathering
from gathering.core.interfaces import ITool
from gathering.core.registry import TOOLS
from gathering.core.results import ToolResult
from gathering.notebook.tools import tools_frame
from gathering.testing import ScriptedProvider


class Rocket(ITool):
    """Flies to the moon.

    And back.
    """

    def __init__(self, *args: object) -> None:
        raise AssertionError("a table makes no tool that somebody else wrote")

    def execute(self, input_data: object) -> ToolResult:
        return ToolResult(success=True)


@gathering.tool(permissions=["read"])
def weather(city: str, days: int = 3) -> str:
    """Tell the weather."""
    return city


def test_every_registered_tool_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built in, a class, a function; a type that needs options says which, and a broken one why."""
    monkeypatch.setitem(TOOLS, "rocket", Rocket)
    monkeypatch.setitem(TOOLS, "sunny", weather)  # type: ignore[misc]
    monkeypatch.setitem(TOOLS, "gone", "no.such.module:Tool")
    frame = tools_frame().set_index("tool")
    assert set(TOOLS) == set(frame.index)
    assert frame.loc["calculator", "permissions"] == "read"
    assert frame.loc["calculator", "parameters"] == "expression"
    assert frame.loc["calculator", "schema"]["required"] == ["expression"]
    assert frame.loc["rocket", "description"] == "Flies to the moon."
    assert frame.loc["sunny", "parameters"] == "city, days?"
    assert "needs connection_string" in frame.loc["database", "why_not"]
    assert "needs command=" in frame.loc["mcp", "why_not"]
    assert "cannot be imported" in frame.loc["gone", "why_not"]


def test_an_agents_tools_are_its_own() -> None:
    """By the names it has them under; none is a table without rows."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider([]), tools=[weather, "calculator"])
    frame = tools_frame(ada.tools)
    assert list(frame["tool"]) == ["weather", "calculator"]
    assert list(frame["type"]) == ["function", "calculator"]
    assert frame["why_not"].isna().all()
    assert list(tools_frame({}).columns) == list(frame.columns)
