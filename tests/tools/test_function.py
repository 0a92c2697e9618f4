"""``@tool``: a typed function as a tool, its schema, its checked arguments and what becomes of its outcome."""

from __future__ import annotations

import asyncio
import enum
import threading
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from gathering.core.errors import ConfigurationError, ToolFailed, UnknownNameError
from gathering.core.messages import ToolCall
from gathering.core.permissions import PermissionRequest
from gathering.core.registry import TOOLS, create_tool
from gathering.core.tooling import run_tool, run_tool_async
from gathering.tools import FunctionTool, ToolPermission, ToolResult, tool
from gathering.tools.permissions import Policy


class Unit(enum.Enum):
    """How warm it is said to be."""

    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(BaseModel):
    """Where."""

    city: str
    country: str = "IT"


@dataclass
class Span:
    """How long."""

    days: int
    hours: int = 0


@tool(permissions=["read"], examples=[("Weather in Rome?", {"city": "Rome"})])
def weather(city: str, days: int = 3, unit: Literal["c", "f"] = "c") -> str:
    """Tell the weather.

    Knows only the sunny side.

    Args:
        city: The city to
            look at.
        days (int): How many days.
    """
    return f"{city}: {days} sunny days in {unit}"


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def test_the_decorated_function_is_still_the_function() -> None:
    """Calling it is calling the function; name and docstring stay."""
    assert weather("Rome", days=1) == "Rome: 1 sunny days in c"
    assert weather.__name__ == "weather"
    assert (weather.__doc__ or "").startswith("Tell the weather.")
    assert repr(weather) == "FunctionTool(weather: city, days, unit)"


def test_the_schema_comes_from_annotations_and_docstring() -> None:
    """Types, defaults, closed sets and descriptions; no titles; nothing allowed that is not named."""
    assert weather.get_parameters_schema() == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city to look at."},
            "days": {"type": "integer", "description": "How many days.", "default": 3},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert weather.get_parameters_schema() is weather.get_parameters_schema()
    assert weather.get_description() == "Tell the weather.\n\nKnows only the sunny side."
    assert list(weather.get_examples()) == [("Weather in Rome?", {"city": "Rome"})]
    assert weather.permissions == {ToolPermission.READ}


def test_a_parameter_called_title_keeps_its_place_in_the_schema() -> None:
    """Only pydantic's titles go; names with a meaning in pydantic are names like others."""

    @tool
    def publish(title: str, schema: dict[str, int], copy: bool, _hidden: int = 1) -> list[Any]:
        return [title, schema, copy, _hidden]

    assert list(publish.get_parameters_schema()["properties"]) == ["title", "schema", "copy", "_hidden"]
    result = publish.execute({"title": "x", "schema": {"a": 1}, "copy": False, "_hidden": 2})
    assert result.output == ["x", {"a": 1}, False, 2]


def test_rich_types_arrive_as_what_they_are_annotated() -> None:
    """Models, dataclasses, enums, lists and optional values are built from the JSON the model wrote."""

    @tool
    def plan(
        place: Place, span: Span, unit: Unit, tags: list[str], note: str | None = None
    ) -> tuple[Any, ...]:
        return place, span, unit, tags, note

    given_input = {"place": {"city": "Rome"}, "span": {"days": 2}, "unit": "kelvin", "tags": ["a"]}
    assert plan.execute(given_input).output == (Place(city="Rome"), Span(2), Unit.KELVIN, ["a"], None)
    assert plan.get_parameters_schema()["required"] == ["place", "span", "unit", "tags"]


def test_constraints_in_annotated_reach_the_model_and_are_enforced() -> None:
    """``Annotated[int, Field(ge=1)]`` is a minimum in the schema and an error below it."""

    @tool
    def repeat(times: Annotated[int, Field(ge=1, description="how often")]) -> int:
        return times

    assert repeat.get_parameters_schema()["properties"]["times"] == {
        "type": "integer",
        "minimum": 1,
        "description": "how often",
    }
    assert "greater than or equal to 1" in str(repeat.execute({"times": 0}).error)


def test_missing_annotations_are_read_from_default_and_docstring() -> None:
    """Without either, anything goes."""

    @tool
    def loose(anything, count=3, size=None, ratio=None):  # type: ignore[no-untyped-def]
        """Take all.

        Parameters
        ----------
        size : int
            How big.
        """
        return anything, count, size, ratio

    properties = loose.get_parameters_schema()["properties"]
    assert properties["anything"] == {}
    assert properties["count"]["type"] == "integer"
    assert properties["size"]["type"] == "integer"
    assert "type" not in properties["ratio"]
    assert loose.execute({"anything": [1], "size": "4"}).output == ([1], 3, 4, None)


def test_a_function_of_nothing_takes_nothing() -> None:
    """No parameters: an empty object, and a call without input works."""
    now = FunctionTool(lambda: "noon", name="now")
    assert now.get_parameters_schema() == {"type": "object", "properties": {}, "additionalProperties": False}
    assert now.execute(None).output == "noon"
    assert now.get_description() == "now"
    assert "call it without arguments" in str(now.execute({"x": 1}).error)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"citty": "Rome"}, "unknown argument 'citty': did you mean 'city'?"),
        ({"citty": "Rome"}, "the argument 'city' is missing"),
        ({"city": "Rome", "days": "many"}, "the argument 'days' is wrong: 'many' given"),
        ({"city": "Rome", "unit": "k"}, "should be 'c' or 'f'"),
        ({"city": "Rome", "zzz": 1}, "known: city, days, unit"),
        ({"city": ["x" * 500]}, "..."),
        ("Rome", "must be an object with city, days, unit"),
    ],
)
def test_wrong_arguments_are_a_failed_result_that_says_which(arguments: Any, said: str) -> None:
    """One line for the model; the function is not run, and a right call works after it."""
    result = weather.execute(arguments)
    assert not result.success
    assert said in str(result.error)
    assert "\n" not in str(result.error)
    assert not weather.validate_input(arguments)
    assert weather.execute({"city": "Rome"}).success


def test_what_models_get_slightly_wrong_is_put_right() -> None:
    """A number as text, a text as number, a single value for a single parameter."""
    assert weather.execute({"city": 5, "days": "2"}).output == "5: 2 sunny days in c"
    assert tool(name="shout")(lambda word: str(word).upper()).execute("hey").output == "HEY"


def test_a_turn_tells_the_model_which_argument_was_wrong() -> None:
    """The flow's own check of the input says it as precisely as the tool does."""
    result = run_tool(weather, ToolCall("1", "weather", {"citty": "Rome"}))
    assert "did you mean 'city'?" in str(result.error)


def test_a_result_and_a_signal_are_kept_as_they_are() -> None:
    """A returned ``ToolResult`` passes through; ``ToolFailed`` is told in exactly its words."""

    @tool
    def own(fail: bool) -> ToolResult:
        if fail:
            raise ToolFailed("ask for a city first")
        return ToolResult(success=True, output=1, metadata={"a": 1})

    assert own.execute({"fail": False}).metadata == {"a": 1}
    assert own.execute({"fail": True}).error == "ask for a city first"


@pytest.mark.parametrize("raised", [ValueError("no\nsuch city"), TimeoutError(), KeyError("x")])
async def test_an_exception_is_a_failed_result_in_one_line(raised: Exception) -> None:
    """Sync, async and timed functions alike."""

    def breaks() -> None:
        raise raised

    async def breaks_async() -> None:
        raise raised

    for made in (tool(breaks), tool(timeout=5)(breaks), tool(timeout=5)(breaks_async)):
        result = await made.execute_async({})
        assert not result.success
        assert f"raised {type(raised).__name__}" in str(result.error)
        assert "\n" not in str(result.error)


def test_stop_passes_through_a_tool() -> None:
    """An interrupt is not a failed result."""

    @tool
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.execute({})


async def test_an_async_function_works_from_both_sides() -> None:
    """Awaited on the caller's loop, or run beside a sync caller; calling it gives its coroutine."""

    @tool
    async def later(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    assert await later(1) == 2
    assert (await later.execute_async({"number": 1})).output == 2
    assert (await asyncio.to_thread(later.execute, {"number": 2})).output == 3
    assert (await run_tool_async(later, ToolCall("1", "later", {"number": "3"}))).output == 4


def test_a_function_that_hands_back_an_awaitable_is_waited_for() -> None:
    """As a lambda around a coroutine function does."""

    async def later() -> int:
        return 7

    assert FunctionTool(lambda: later(), name="hidden").execute({}).output == 7


def test_a_sync_tool_runs_on_the_callers_thread_unless_it_is_timed() -> None:
    """So that it sees the notebook's own objects."""

    def where() -> str:
        return threading.current_thread().name

    assert tool(where).execute({}).output == threading.current_thread().name
    assert tool(timeout=5)(where).execute({}).output == "tool-where"


def test_a_tool_that_takes_too_long_is_given_up() -> None:
    """Sync and async: a failed result that says so, in well under the tool's own time."""
    release = threading.Event()

    @tool(timeout=0.01)
    def slow() -> None:
        release.wait(30)

    @tool(timeout=0.01)
    async def slow_async() -> None:
        await asyncio.Event().wait()

    for made in (slow, slow_async):
        assert made.execute({}).error == f"{made.name} took longer than 0.01 s and was given up"
    release.set()


def test_methods_and_partials_are_tools_too() -> None:
    """A bound method, a decorated method and a partial with a name."""

    class Shop:
        def __init__(self, price: int) -> None:
            self.price = price

        def total(self, count: int) -> int:
            return count * self.price

        @tool(permissions=["read"])
        def cheapest(self, count: int) -> int:
            """The lowest total."""
            return count * self.price // 2

    shop = Shop(4)
    assert tool(shop.total).execute({"count": 2}).output == 8
    assert shop.cheapest.execute({"count": 2}).output == 4
    assert shop.cheapest(3) == 6
    assert shop.cheapest.has_permission(ToolPermission.READ)
    assert list(shop.cheapest.get_parameters_schema()["properties"]) == ["count"]
    assert FunctionTool(partial(add, 1), name="add_one").execute({"b": 2}).output == 3


def test_positional_only_parameters_are_passed_by_position() -> None:
    """A model names every argument; the function need not."""

    @tool
    def power(base: int, exponent: int = 2, /) -> int:
        return base**exponent

    assert power.execute({"base": 3}).output == 9
    assert power.execute({"base": 2, "exponent": 3}).output == 8


@pytest.mark.parametrize(
    "make",
    [
        lambda: tool(name="not a name")(add),
        lambda: tool(name="x" * 65)(add),
        lambda: tool(name="")(add),
        lambda: tool(name="caf\u00e9")(add),
        lambda: tool(lambda x: x),
        lambda: tool(partial(add, 1)),
        lambda: tool(permissions=["fly"])(add),
        lambda: tool(timeout=0)(add),
        lambda: tool(timeout="1")(add),  # type: ignore[call-overload]
        lambda: tool(examples=[("q", {"c": 1})])(add),
        lambda: tool(examples=["q"])(add),  # type: ignore[list-item]
        lambda: tool("weather"),  # type: ignore[call-overload]
        lambda: tool(lambda *args: args),
        lambda: FunctionTool(lambda *args: args, name="f"),
        lambda: FunctionTool(lambda **kwargs: kwargs, name="f"),
        lambda: FunctionTool.from_config({"name": "x"}),
        lambda: FunctionTool.from_config({"function": "no.such.module:f"}),
        lambda: FunctionTool.from_config({"function": "weather"}),
    ],
)
def test_what_no_model_could_call_is_refused_when_it_is_made(make: Any) -> None:
    """A configuration error in one line."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_wrong_option_is_answered_with_the_right_one() -> None:
    """The nearest right name, for ``@tool`` and for plain data."""
    with pytest.raises(UnknownNameError, match="did you mean 'timeout'"):
        tool(time_out=3)  # type: ignore[call-overload]
    with pytest.raises(UnknownNameError, match="did you mean 'permissions'"):
        weather.from_config({"permisions": []})


def test_a_type_that_is_no_json_is_named_with_its_parameter() -> None:
    """Said when the schema is first needed, because annotations may name what comes later in the module."""

    @tool
    def odd(where: str, lock: threading.Event) -> None:
        return None

    with pytest.raises(ConfigurationError, match="'lock' of the tool 'odd' has the type Event"):
        odd.get_parameters_schema()


def test_an_annotation_that_cannot_be_read_is_said() -> None:
    """A name that is nowhere defined."""

    @tool
    def lost(where: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        return None

    with pytest.raises(ConfigurationError, match="Nowhere"):
        lost.get_parameters_schema()


def test_a_default_that_is_no_json_is_left_out_of_the_schema() -> None:
    """The function still gets it."""
    mark = object()

    @tool
    def keep(value: Any = mark) -> bool:
        return value is mark

    assert keep.get_parameters_schema()["properties"]["value"] == {}
    assert keep.execute({}).output is True


def test_a_function_tool_can_be_registered_and_configured_by_name() -> None:
    """As an object, as ``"module:function"``, or by ``from_config``."""
    TOOLS["sunny"] = weather  # type: ignore[assignment]
    TOOLS["cloudy"] = f"{__name__}:weather"
    try:
        assert create_tool("sunny").execute({"city": "Rome"}).success
        assert create_tool({"name": "cloudy", "timeout": 5}).name == "cloudy"
    finally:
        del TOOLS["sunny"], TOOLS["cloudy"]
    made = FunctionTool.from_config({"function": f"{__name__}:weather", "name": "forecast"})
    assert (made.name, made.permissions) == ("forecast", {ToolPermission.READ})
    assert FunctionTool.from_config({"function": add}).execute({"a": 1, "b": 2}).output == 3


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(_json | st.dictionaries(st.sampled_from(["city", "days", "unit", "x"]), _json))
def test_no_input_raises(given_input: Any) -> None:
    """Whatever JSON a model writes gives a result: the function's, or one line of error."""
    result = weather.execute(given_input)
    assert result.success or "\n" not in str(result.error)


@pytest.mark.parametrize("written", ["kelvin", "Unit.KELVIN"])
def test_rules_say_an_argument_as_it_is_written_or_as_it_is_meant(written: str) -> None:
    """A rule that forbids either forbids the call."""

    @tool
    def heat(units: list[Unit], degrees: float) -> str:
        """Heat it."""
        return "done"

    arguments = {"units": ["kelvin"], "degrees": 5}
    for where in (f"units={written}", "degrees=5", "degrees=5.0"):
        asked = PermissionRequest(
            "ada", ToolCall("c1", "heat", arguments), "execute", heat.targets(arguments)
        )
        assert Policy([f"deny heat {where}", "allow *"]).decide(asked).effect == "deny"
