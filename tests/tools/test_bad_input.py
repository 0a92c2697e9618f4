"""Whatever a model puts in the place of arguments: a failed result of one line, no exception, and the tool works on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gathering.core.interfaces import ITool
from gathering.tools import (
    CalculatorTool,
    DatabaseTool,
    FileSystemTool,
    HTTPTool,
    NotebookTool,
    PythonTool,
    tool,
)


class Mute:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


def _nested(depth: int) -> list[Any]:
    inside: list[Any] = []
    for _ in range(depth):
        inside = [inside]
    return inside


CYCLE: dict[str, Any] = {}
CYCLE["path"] = CYCLE
BAD: dict[str, Any] = {
    "none": None,
    "list": [1],
    "int": -1,
    "huge int": 10**5000,
    "list of a huge int": [10**5000],
    "float": float("nan"),
    "true": True,
    "bytes": b"x",
    "bytearray": bytearray(b"x"),
    "empty": "",
    "nul": "\0",
    "half a character": "\ud800",
    "a million letters": "x" * 10**6,
    "set": {1},
    "object": object(),
    "mute": Mute(),
    "mute in a dict": {"a": Mute()},
    "mapping of numbers": {1: 2},
    "cycle": CYCLE,
    "deep": _nested(50_000),
    "function": print,
}


@tool
def twice(number: int) -> int:
    """Twice the number."""
    return 2 * number


@pytest.fixture
def works(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[ITool, dict[str, Any]]:
    """A tool, and arguments it can do something with."""
    (tmp_path / "a.txt").write_text("alpha")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("create table sales(id int)")
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    made: dict[str, tuple[ITool, dict[str, Any]]] = {
        "calculator": (CalculatorTool(), {"expression": "6 * 7"}),
        "filesystem": (
            FileSystemTool(tmp_path, ["read", "write", "delete"]),
            {"action": "write", "path": "b.txt", "content": "beta"},
        ),
        "database": (
            DatabaseTool(connection_string=url, permissions=["read", "write", "delete"]),
            {"action": "insert", "table": "sales", "data": {"id": 1}},
        ),
        "query": (
            DatabaseTool(connection_string=url),
            {"action": "query", "sql": "select count(*) from sales"},
        ),
        "notebook": (NotebookTool(lambda: {"x": 1}, ["x"]), {"variable": "x"}),
        "function": (twice, {"number": 3}),
    }
    if request.param == "http":
        return HTTPTool(["example.org"]), {}
    if request.param == "python":
        pytest.importorskip("pydantic_monty")
        return PythonTool(), {"code": "6 * 7"}
    return made[request.param]


@pytest.mark.parametrize(
    "works",
    ["calculator", "filesystem", "database", "query", "http", "python", "notebook", "function"],
    indirect=True,
)
def test_bad_input_of_any_type_is_a_failed_result(works: tuple[ITool, dict[str, Any]]) -> None:
    """In the place of all arguments and of each one; what it would touch can be asked all the same."""
    made, good = works
    for name, bad in BAD.items():
        for given in (bad, {**good, "more": bad}, *({**good, argument: bad} for argument in good)):
            result = made.execute(given)
            if not result.success:
                assert result.error, name
                assert "\n" not in result.error, name
                assert len(result.error) < 2000, name
            made.validate_input(given)
            if isinstance(given, dict):
                made.targets(given)
                made.permission_for(given)
    if good:
        assert made.execute(good).success
