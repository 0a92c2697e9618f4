"""The conformance suites: what ships passes them, and each of them finds the fault it is there for."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

import pytest

import gathering
from gathering.core.interfaces import ILLMProvider, ITool, ToolPermission, ToolResult
from gathering.core.messages import Usage
from gathering.testing import ScriptedProvider
from gathering.testing.conformance import ProviderConformance, ToolConformance
from gathering.tools.calculator import CalculatorTool
from gathering.tools.database import DatabaseTool
from gathering.tools.filesystem import FileSystemTool
from gathering.tools.namespace import NotebookTool
from gathering.tools.python import PythonTool

# -- what ships --------------------------------------------------------------------------------------------------


class TestScripted(ProviderConformance):
    """The scripted provider."""

    repeats_itself = True
    takes_tools = True

    def make(self) -> ILLMProvider:
        def answer(messages: list[dict[str, Any]]) -> Any:
            if messages[-1]["role"] == "user" and "tool" in messages[-1]["content"]:
                return {"tool_calls": [{"name": "population", "arguments": {"city": "Oslo"}}]}
            return "Hello there!"

        return ScriptedProvider([answer] * 20)


class TestCached(TestScripted):
    """A provider behind the response cache."""

    @pytest.fixture(autouse=True)
    def _own_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GATHERING_STORE", str(tmp_path / "trace.sqlite"))

    def make(self) -> ILLMProvider:
        from gathering.storage.cache import cached

        return cached(super().make(), True)


@pytest.mark.local_model
class TestLocal(ProviderConformance):
    """The embedded model, for real."""

    repeats_itself = True
    takes_tools = True

    def make(self) -> ILLMProvider:
        return gathering.provider("local", max_tokens=12)


class TestCalculator(ToolConformance):
    """The calculator."""

    good_inputs = ("15 * 25 + 10", {"expression": "15% of 2500"})
    bad_inputs = ("", {"expression": "__import__('os')"}, {"expression": []}, {}, "1/0")

    def make(self) -> ITool:
        return CalculatorTool()


class TestFileSystem(ToolConformance):
    """The filesystem tool below a folder of its own."""

    good_inputs = ({"action": "list", "path": "."}, {"action": "write", "path": "a.txt", "content": "ä"})
    bad_inputs = (
        {"action": "read", "path": "../etc/passwd"},
        {"action": "fly"},
        {"action": "read"},
        {"action": "read", "path": "missing.txt"},
        {},
        "",
    )
    repeats_itself = False

    def make(self) -> ITool:
        return FileSystemTool.from_config({"base_path": tempfile.mkdtemp(), "permissions": ["read", "write"]})


class TestDatabase(ToolConformance):
    """The database tool on a SQLite file."""

    good_inputs = ({"action": "query", "sql": "SELECT 1 AS one"},)
    bad_inputs = (
        {"action": "query", "sql": "DROP TABLE a"},
        {"action": "query", "sql": ""},
        {"action": "query"},
        {"action": "insert", "table": "a", "data": {"x": 1}},
        {},
        "SELECT",
    )

    def make(self) -> ITool:
        folder = Path(tempfile.mkdtemp())
        (folder / "a.sqlite").touch()
        return DatabaseTool.from_config({"connection_string": f"sqlite:///{folder / 'a.sqlite'}"})


class TestPython(ToolConformance):
    """The sandboxed Python."""

    good_inputs = ({"code": "1 + 1"}, "sum([1, 2])")
    bad_inputs = ({"code": "open('/etc/passwd')"}, {"code": "1 +"}, {"code": 7}, {})

    def make(self) -> ITool:
        return PythonTool.from_config({})


class TestNotebook(ToolConformance):
    """The view of a notebook's variables."""

    good_inputs = ({}, {"variable": "amount"})
    bad_inputs = ({"variable": "secret"}, {"variable": "no_such"}, {"variable": 7}, {"name": "amount"})

    def make(self) -> ITool:
        return NotebookTool(namespace={"amount": 2500, "secret": 1}, names=["amount"])


class TestFunction(ToolConformance):
    """A function tool."""

    good_inputs = ({"city": "Oslo"}, {"city": "Oslo", "days": 2})
    bad_inputs = ({}, {"city": 7, "days": "many"}, "Oslo days")

    def make(self) -> ITool:
        @gathering.tool(permissions=["read"])
        def weather(city: str, days: int = 1) -> str:
            """The weather of a city."""
            return f"{city}: rain, {days}"

        return weather


# -- what it finds -----------------------------------------------------------------------------------------------


class Good(ILLMProvider):
    """Nothing is wrong with it; each fault is a subclass."""

    def complete(self, messages: list[Any], tools: Any = None, **params: Any) -> dict[str, Any]:
        return {"role": "assistant", "content": "Hello there!"}


class Nothing(Good):
    def complete(self, messages: list[Any], tools: Any = None, **params: Any) -> dict[str, Any]:
        return {"role": "assistant", "content": ""}


class NoDict(Good):
    def complete(self, messages: list[Any], tools: Any = None, **params: Any) -> Any:
        return 42


class Changes(Good):
    def complete(self, messages: list[Any], tools: Any = None, **params: Any) -> dict[str, Any]:
        messages.clear()
        return {"role": "assistant", "content": "Hello there!"}


class OtherStream(Good):
    async def stream(
        self, messages: list[Any], tools: Any = None, **params: Any
    ) -> AsyncGenerator[str, None]:
        yield "something else"


class NoStream(Good):
    async def stream(
        self, messages: list[Any], tools: Any = None, **params: Any
    ) -> AsyncGenerator[Any, None]:
        yield b"bytes"


class Maybe(Good):
    def is_available(self) -> Any:
        return "perhaps"


class Fewer(Good):
    def get_token_count(self, text: str) -> int:
        return 10_000 - len(text)


class Pays(Good):
    def get_cost(self, usage: Usage) -> float | None:
        return -1.0


class Shows(Good):
    def __repr__(self) -> str:
        return f"Shows(key={self.config['key']})"


class NoTools(Good):
    """Says it takes tools, and calls none."""


PROVIDER_FAULTS: list[tuple[type[ILLMProvider], str]] = [
    (Nothing, "test_a_whole_answer"),
    (Nothing, "test_an_awaited_answer"),
    (NoDict, "test_a_whole_answer"),
    (Changes, "test_several_turns"),
    (OtherStream, "test_a_streamed_answer"),
    (OtherStream, "test_an_awaited_stream"),
    (NoStream, "test_a_streamed_answer"),
    (Nothing, "test_in_an_agent"),
    (Nothing, "test_questions_at_once"),
    (Maybe, "test_whether_it_is_there"),
    (Fewer, "test_tokens_and_bounds"),
    (Pays, "test_what_it_costs"),
    (Shows, "test_the_key_is_never_shown"),
    (NoTools, "test_tools_are_called"),
]


def suite_of(kind: type[ILLMProvider]) -> ProviderConformance:
    """The suite of a provider that is claimed to be able to do everything."""

    class Suite(ProviderConformance):
        repeats_itself: ClassVar[bool] = True
        takes_tools: ClassVar[bool] = kind is not Good
        secret: ClassVar[str] = "hunter-22-hunter"

        def make(self) -> ILLMProvider:
            return kind("mine", {"key": self.secret} if kind is Shows else {})

    return Suite()


def all_of(suite: object) -> list[Callable[[], None]]:
    return [getattr(suite, name) for name in dir(suite) if name.startswith("test_")]


def test_a_provider_of_a_few_lines_passes() -> None:
    """All that is asked for comes from the interface; nothing but an answer has to be written."""
    tests = {test.__name__: test for test in all_of(suite_of(Good))}
    assert len(tests) == 16
    with pytest.raises(SkipTest, match="takes_tools"):
        tests.pop("test_tools_are_called")()
    for test in tests.values():
        test()


@pytest.mark.parametrize(("kind", "test"), PROVIDER_FAULTS)
def test_a_fault_of_a_provider_is_found(kind: type[ILLMProvider], test: str) -> None:
    """By the test that is there for it; what was expected is said."""
    with pytest.raises((AssertionError, TypeError)) as caught:
        getattr(suite_of(kind), test)()
    assert str(caught.value)


class Fine(ITool):
    """A tool as it should be."""

    def __init__(self, name: str = "fine", tool_type: str = "fine", config: Any = None) -> None:
        super().__init__(name, tool_type, config or {})

    def execute(self, input_data: Any) -> ToolResult:
        if not self.validate_input(input_data):
            return ToolResult(False, error="give a number as n")
        return ToolResult(True, input_data["n"] + 1)

    def validate_input(self, input_data: Any) -> bool:
        return isinstance(input_data, dict) and isinstance(input_data.get("n"), int)

    def get_description(self) -> str:
        return "One more."

    def get_parameters_schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class Mute(Fine):
    def get_description(self) -> str:
        return " "


class OddSchema(Fine):
    def get_parameters_schema(self) -> dict[str, Any]:
        return {"type": "objekt"}


class Unsure(Fine):
    def has_permission(self, permission: ToolPermission | str) -> Any:
        return None


class Raises(Fine):
    def execute(self, input_data: Any) -> ToolResult:
        return ToolResult(True, input_data["n"] + 1)


class Speechless(Fine):
    def execute(self, input_data: Any) -> ToolResult:
        return ToolResult(True, 1) if self.validate_input(input_data) else ToolResult(False)


class Eats(Fine):
    def execute(self, input_data: Any) -> ToolResult:
        return ToolResult(True, input_data.pop("n"))


class Differs(Fine):
    async def execute_async(self, input_data: Any) -> ToolResult:
        return ToolResult(True, 0) if self.validate_input(input_data) else self.execute(input_data)


class Fails(Fine):
    def execute(self, input_data: Any) -> ToolResult:
        return ToolResult(False, error="no")


TOOL_FAULTS: list[tuple[type[ITool], str]] = [
    (Mute, "test_what_it_is"),
    (OddSchema, "test_its_schema"),
    (Unsure, "test_its_permissions"),
    (Raises, "test_bad_input"),
    (Speechless, "test_bad_input"),
    (Eats, "test_good_input"),
    (Fails, "test_good_input"),
    (Differs, "test_awaited"),
    (Fails, "test_in_an_agent"),
]


def tool_suite_of(kind: type[Any]) -> ToolConformance:
    class Suite(ToolConformance):
        good_inputs = ({"n": 1},)
        bad_inputs = ({"n": "one"},)

        def make(self) -> ITool:
            tool: ITool = kind()
            return tool

    return Suite()


def test_a_tool_of_a_few_lines_passes() -> None:
    """What the interface has needs not be written again."""
    for test in all_of(tool_suite_of(Fine)):
        test()


@pytest.mark.parametrize(("kind", "test"), TOOL_FAULTS)
def test_a_fault_of_a_tool_is_found(kind: type[ITool], test: str) -> None:
    """By the test that is there for it."""
    with pytest.raises((AssertionError, KeyError, TypeError)):
        getattr(tool_suite_of(kind), test)()


def test_no_input_to_try_is_a_fault() -> None:
    """A suite that tries nothing would pass anything."""

    class Suite(ToolConformance):
        def make(self) -> ITool:
            return Fine()

    with pytest.raises(AssertionError, match="good_inputs"):
        Suite().test_good_input()
