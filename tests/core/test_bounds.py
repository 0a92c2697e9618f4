"""How much of a tool's result goes into a turn, and that whatever a tool gives can be written down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.bounds import bounded
from gathering.core.results import ToolResult


class Unshowable:
    """Raises when it is shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def circle() -> list[Any]:
    """A list that holds itself."""
    made: list[Any] = []
    made.append(made)
    return made


def deep() -> list[Any]:
    """Lists in lists, deeper than any recursion goes."""
    made: list[Any] = []
    for _ in range(100_000):
        made = [made]
    return made


def test_a_hundred_megabytes_are_cut_with_a_note() -> None:
    """The beginning, how long it was, and what to do."""
    cut = bounded(ToolResult(success=True, output="x" * 100_000_000), 1000)
    assert cut.success
    assert cut.output.startswith("x" * 1000)
    assert "100,000,000 characters" in cut.output
    assert len(cut.output) < 1200
    assert cut.metadata["cut"] is True


def test_a_long_structure_is_cut_as_its_json() -> None:
    """A list of rows loses its end, not its beginning."""
    cut = bounded(ToolResult(success=True, output=[{"row": n} for n in range(100_000)]), 500)
    assert cut.output.startswith('[{"row": 0}, {"row": 1}')
    assert "cut after 500 characters" in cut.output


def test_a_long_error_is_cut_too() -> None:
    """It goes back to the model as well."""
    cut = bounded(ToolResult(success=False, error="e" * 5000), 100)
    assert not cut.success
    assert len(str(cut.error)) < 300
    assert "5,000 characters" in str(cut.error)


@pytest.mark.parametrize("output", [None, True, 1, 2.5, "text", [1, {"a": None}], {"a": "\u00e9"}])
def test_what_is_short_enough_is_the_very_same_result(output: Any) -> None:
    """Nothing is copied or changed."""
    result = ToolResult(success=True, output=output)
    assert bounded(result, 100) is result


@pytest.mark.parametrize(
    "make", [circle, deep, lambda: {(1, 2): 3}, lambda: {Unshowable(): 1}, lambda: 10**5000]
)
def test_what_json_has_no_form_for_becomes_text(make: Any) -> None:
    """The model is told something, and the row can be written."""
    result = bounded(ToolResult(success=True, output=make()), 200)
    assert isinstance(result.output, str)
    assert json.dumps(result.text())


def test_an_object_is_shown_without_its_address() -> None:
    """What raises when it is shown is named by its type; where an object lies says nothing to anybody."""
    assert bounded(ToolResult(success=True, output=[Unshowable()]), 99).output == '["<Unshowable>"]'
    shown = bounded(ToolResult(success=True, output={"key": {1: object()}, (1, 2): object()}), 200).output
    assert " at 0x" not in shown


def test_half_a_character_is_replaced() -> None:
    """A lone surrogate could not be sent to any service."""
    result = bounded(ToolResult(success=True, output={"a": "bad \ud800"}), 200)
    result.text().encode()


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_anything, st.integers(1, 200))
def test_whatever_a_tool_gives_is_bounded_and_can_be_sent(output: Any, most: int) -> None:
    """Never an exception, never much longer than asked."""
    text = bounded(ToolResult(success=True, output=output), most).text()
    text.encode()
    assert len(text) <= most + 150 + 2
