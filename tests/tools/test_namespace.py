"""The notebook tool: variables as they are, those that are listed, and no code of the user's run on the way."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import ConfigurationError
from gathering.core.registry import create_tool
from gathering.core.results import ToolPermission
from gathering.tools.namespace import NotebookTool, set_namespace
from gathering.tools.namespace_view import Bounds, view


class Touched(Exception):
    """Code of the user's was run."""


class MineType(type):
    """A class whose very name does something."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise Touched


class Mine(metaclass=MineType):
    """An object that may not be asked anything."""

    def _touched(self, *args: Any, **kwargs: Any) -> Any:
        raise Touched

    __repr__ = __str__ = __len__ = __iter__ = __eq__ = __format__ = __getattr__ = __getitem__ = _touched  # type: ignore[assignment]
    __hash__ = object.__hash__

    @property
    def shape(self) -> Any:
        raise Touched


class Disguised(Mine):
    """An object that, asked for its class, does something."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise Touched


class MyList(list[int]):
    """A list with ideas of its own."""

    def __len__(self) -> int:
        raise Touched

    def __iter__(self) -> Iterator[int]:
        raise Touched


class MyFrame(pd.DataFrame):
    """A frame with ideas of its own."""

    @property
    def shape(self) -> Any:
        raise Touched


def shown(value: Any, **bounds: int) -> dict[str, Any]:
    """The view, which must have a JSON form."""
    told = view(value, Bounds(**bounds))
    assert json.loads(json.dumps(told))
    return told


@pytest.fixture
def namespace() -> dict[str, Any]:
    return {
        "df": pd.DataFrame({"item": ["tea", "jam"], "price": [3.5, 5.0]}),
        "result_1": 42,
        "result_2": [1, 2, 3],
        "other": "not listed",
        "api_key": "k-123",
        "_": 5,
        "__name__": "__main__",
        "In": [""],
    }


@pytest.fixture
def notebook(namespace: dict[str, Any]) -> NotebookTool:
    return NotebookTool(namespace, ["df", "result_*"])


def test_a_frame_is_told_by_its_columns_and_first_rows(notebook: NotebookTool) -> None:
    """Names and types of the columns, the shape, the index, the head."""
    assert notebook.execute({"variable": "df"}).output == {
        "variable": "df",
        "type": "DataFrame",
        "shape": [2, 2],
        "columns": [
            {"name": "item", "dtype": str(pd.Series(["tea"]).dtype)},
            {"name": "price", "dtype": "float64"},
        ],
        "index": [0, 1],
        "head": [["tea", 3.5], ["jam", 5.0]],
    }


def test_without_a_variable_it_lists_what_there_is(notebook: NotebookTool) -> None:
    """Only what is listed, with type and size."""
    listed = [
        {"variable": "df", "type": "DataFrame", "shape": [2, 2]},
        {"variable": "result_1", "type": "int"},
        {"variable": "result_2", "type": "list", "length": 3},
    ]
    for nothing in (None, {}, {"variable": None}, {"variable": " "}, ""):
        assert notebook.execute(nothing).output == listed


def test_variables_are_seen_as_they_are_now(notebook: NotebookTool, namespace: dict[str, Any]) -> None:
    """A later cell's value is the one that is shown."""
    namespace["result_1"] = "changed"
    assert notebook.execute("result_1").output["value"] == "changed"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (5, {"type": "int", "value": 5}),
        (None, {"type": "NoneType", "value": None}),
        pytest.param(2**20000, {"type": "int", "value": "<int of 20,001 bits>"}, id="huge"),
        ("x" * 20, {"type": "str", "length": 20, "value": "xxxxxxxxxx... (20 in all)"}),
        (b"ab", {"type": "bytes", "length": 2, "value": "b'ab'"}),
        (datetime.date(2024, 5, 1), {"type": "date", "value": "2024-05-01"}),
        (float("nan"), {"type": "float", "value": "nan"}),
        (decimal.Decimal("1.50"), {"type": "Decimal", "value": "1.50"}),
        (np.float64(1.5), {"type": "float64", "value": 1.5}),
        (pd.Timestamp("2024-05-01"), {"type": "Timestamp", "value": "2024-05-01... (19 in all)"}),
        ([1, 2, 3, 4], {"type": "list", "length": 4, "head": [1, 2, 3]}),
        ({"a": [1, (2,)]}, {"type": "dict", "length": 1, "head": {"a": [1, [2]]}}),
        (
            dict.fromkeys(range(5), 0),
            {"type": "dict", "length": 5, "head": {"0": 0, "1": 0, "2": 0, "...": "2 more"}},
        ),
        ([[1] * 9], {"type": "list", "length": 1, "head": [[1, 1, 1, "... 6 more"]]}),
        ([[[[[[1]]]]]], {"type": "list", "length": 1, "head": [[[["<list of 1>"]]]]}),
        (
            np.arange(6).reshape(2, 3),
            {"type": "ndarray", "shape": [2, 3], "dtype": "int64", "head": [0, 1, 2]},
        ),
        (
            np.arange(6).reshape(2, 3).T,
            {"type": "ndarray", "shape": [3, 2], "dtype": "int64", "head": [0, 3, 1]},
        ),
        (np.array(7), {"type": "ndarray", "shape": [], "dtype": "int64", "head": [7]}),
        (pd.Series([1, 2]), {"type": "Series", "shape": [2], "dtype": "int64", "head": [1, 2]}),
        (pd.RangeIndex(9), {"type": "RangeIndex", "shape": [9], "dtype": "int64", "head": [0, 1, 2]}),
        (len, {"type": "builtin_function_or_method"}),
        (json, {"type": "module"}),
        (shown, {"type": "function"}),
    ],
)
def test_values_are_told_bounded(value: Any, told: dict[str, Any]) -> None:
    """Type, size and beginning; never more than the bounds."""
    assert shown(value, rows=3, text=10) == told


def test_a_wide_frame_is_cut_and_says_so() -> None:
    """Columns with the same name, dates and gaps are no trouble."""
    frame = pd.DataFrame([[1, None, pd.Timestamp("2024-05-01")]], columns=["a", "a", "b"])
    told = shown(frame, columns=2)
    assert (told["head"], told["columns_not_shown"]) == ([[1, None]], 1)
    assert shown(frame)["head"] == [[1, None, "2024-05-01 00:00:00"]]
    assert shown(pd.DataFrame())["head"] == []


def test_nothing_of_the_users_is_run() -> None:
    """Alone, in containers, frames and arrays: the class is named, and no method, property or name is touched."""
    mine = Mine()
    assert shown(mine) == {"type": "Mine"}
    assert shown([Disguised()])["head"] == ["<Disguised>"]
    assert shown([mine, {"a": mine}])["head"] == ["<Mine>", {"a": "<Mine>"}]
    assert shown({mine: mine})["head"] == {"<Mine>": "<Mine>"}
    array = np.empty(1, dtype=object)
    array[0] = mine
    assert shown(array)["head"] == ["<Mine>"]
    assert shown(pd.DataFrame({"a": array}))["head"] == [["<Mine>"]]
    assert shown(pd.Series(array))["head"] == ["<Mine>"]
    assert shown(MyList([1])) == {"type": "MyList"}
    assert shown(MyFrame({"a": [1]})) == {"type": "MyFrame"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
        max_leaves=40,
    )
)
def test_any_value_has_a_short_view_in_json(value: Any) -> None:
    """Whatever is in a variable, the model gets something it can read, of bounded length."""
    assert len(json.dumps(view(value, Bounds(rows=2, text=5)))) < 3000


def test_an_endless_container_ends() -> None:
    """A list that holds itself is cut like a deep one."""
    loop: list[Any] = []
    loop.append(loop)
    assert shown(loop)["head"] == [[[["<list of 1>"]]]]


@pytest.mark.parametrize(
    "hidden", ["other", "api_key", "_", "__name__", "In", "nowhere", "df.columns", "df; x", "*"]
)
def test_what_is_not_listed_is_not_shown(notebook: NotebookTool, hidden: str) -> None:
    """A failed result in the same words whether there is such a variable or not; the next look works."""
    result = notebook.execute({"variable": hidden})
    assert not result.success
    assert f"shows no variable {hidden!r}: " in str(result.error)
    assert "k-123" not in str(result.error)
    assert notebook.execute("result_1").output["value"] == 42


def test_a_near_miss_is_helped(notebook: NotebookTool) -> None:
    """The nearest of what may be seen, never of what may not."""
    assert "did you mean 'result_2'?" in str(notebook.execute("rslt_2").error)
    assert "there are df, result_1, result_2" in str(notebook.execute("othr").error)


def test_a_pattern_for_everything_leaves_keys_and_the_shells_own_names(namespace: dict[str, Any]) -> None:
    """They are shown only where they are listed by name."""
    every = NotebookTool(namespace, "*")
    assert [row["variable"] for row in every.execute({}).output] == ["df", "other", "result_1", "result_2"]
    assert NotebookTool(namespace, ["*", "api_key"]).execute("api_key").output["value"] == "k-123"


def test_a_long_list_of_variables_is_cut() -> None:
    """With the number of those left out."""
    many = {f"v{i:03}": i for i in range(250)}
    rows = NotebookTool(many, "v*").execute({}).output
    assert (len(rows), rows[-1]) == (201, {"more": 50})


@pytest.mark.parametrize(
    "wrong", [5, ["df"], {"variable": 5}, {"varable": "df"}, {"variable": "df", "rows": 10**9}]
)
def test_input_it_cannot_use_is_explained(notebook: NotebookTool, wrong: Any) -> None:
    """Bad input is a failed result with the same line as the check beforehand, never an exception."""
    result = notebook.execute(wrong)
    assert not result.success
    assert result.error == notebook.why_invalid(wrong)
    assert not notebook.validate_input(wrong)


def test_the_running_notebook_is_found_when_it_is_asked_for(namespace: dict[str, Any]) -> None:
    """A tool from plain data sees whatever namespace is registered at that moment."""
    tool = create_tool({"name": "notebook", "names": ["result_*"]})
    assert not tool.is_available()
    assert "no notebook to look into" in str(tool.execute("result_1").error)
    set_namespace(lambda: namespace)
    try:
        assert tool.is_available()
        assert tool.execute("result_1").output["value"] == 42
    finally:
        set_namespace(None)


@pytest.mark.parametrize("names", [(), [], None, "", [5], ["a", " "]])
def test_a_tool_that_shows_nothing_is_the_callers_mistake(names: Any) -> None:
    """What may be seen is always said."""
    with pytest.raises(ConfigurationError, match="list the variables"):
        NotebookTool({}, names)


def test_it_only_reads(namespace: dict[str, Any], notebook: NotebookTool) -> None:
    """For rules: the variable, and reading."""
    assert notebook.permission_for({}) is ToolPermission.READ
    assert notebook.targets({"variable": "df"}) == {"variable": "df"}
    assert notebook.targets({}) == {"variable": "*"}
    assert "no permission" in str(NotebookTool(namespace, "df", permissions="write").execute("df").error)
    assert [a for _, a in notebook.get_examples()] == [{}, {"variable": "df"}]
    assert "df, result_*" in notebook.get_description()


async def test_awaited_it_does_the_same(notebook: NotebookTool) -> None:
    """One behaviour for both worlds."""
    assert (await notebook.execute_async("result_1")).output == notebook.execute("result_1").output
