"""What a variable looks like, told without running any of the user's code: the view the notebook tool gives.

Only values of types this module knows exactly are opened: Python's own, and the frames and arrays of pandas and
numpy. Of everything else the class is named and nothing more, for a ``__repr__``, a property or ``__class__`` may
do anything. Every view is bounded. Which variables may be seen is ``gathering.tools.namespace``.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
import sys
import types
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

__all__ = ["Bounds", "summary", "view"]

_class_name = type.__dict__["__name__"].__get__  # a metaclass may have a ``__name__`` of its own
_class_module = type.__getattribute__
_PLAIN = (bool, int, float, type(None))
_SHOWN = (
    complex,
    datetime.date,
    datetime.datetime,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    range,
)
_CONTAINERS = (list, tuple, set, frozenset)
_LONGEST_NUMBER = 14_000  # bits; Python itself does not write longer ones down
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a value is told: rows or items, columns, and characters of one text."""

    rows: int = 10
    columns: int = 50
    text: int = 500


def view(value: Any, bounds: Bounds) -> dict[str, Any]:
    """What the value is and how it begins, in what JSON has."""
    about = summary(value)
    kind = type(value)
    if (library := _library(kind)) == "DataFrame":
        return {**about, **_frame(value, bounds)}
    if library in ("Series", "Index"):
        return {**about, "dtype": str(value.dtype), "head": _column(value, bounds)}
    if library == "ndarray":
        head = value.reshape(-1)[: bounds.rows] if value.flags.c_contiguous else value.flat[: bounds.rows]
        return {**about, "head": [_told(v, bounds) for v in head.tolist()]}
    if kind is dict:
        return {**about, "head": _told(value, bounds)}
    if kind in _CONTAINERS:
        return {**about, "head": [_told(v, bounds, 1) for v in islice(value, bounds.rows)]}
    if kind in (*_PLAIN, *_SHOWN, str, bytes, bytearray) or library == "scalar":
        return {**about, "value": _told(value, bounds)}
    return about


def summary(value: Any) -> dict[str, Any]:
    """The type, and the shape or length where there is one."""
    kind = type(value)
    about: dict[str, Any] = {"type": _name(kind)}
    library = _library(kind)
    if library in ("DataFrame", "Series", "Index", "ndarray"):
        about["shape"] = list(value.shape)
    if library == "ndarray":
        about["dtype"] = str(value.dtype)
    if kind in (*_CONTAINERS, dict, str, bytes, bytearray, range):
        about["length"] = len(value)
    return about


def _frame(frame: Any, bounds: Bounds) -> dict[str, Any]:
    width = min(frame.shape[1], bounds.columns)
    columns = [frame.iloc[:, i] for i in range(width)]  # by position: names may stand twice
    heads = [_column(c, bounds) for c in columns]
    told: dict[str, Any] = {
        "columns": [
            {"name": _told(label, bounds), "dtype": str(column.dtype)}
            for label, column in zip(frame.columns[:width], columns, strict=True)
        ],
        "index": _column(frame.index, bounds),
        "head": [list(row) for row in zip(*heads, strict=True)],
    }
    if frame.shape[1] > width:
        told["columns_not_shown"] = frame.shape[1] - width
    return told


def _column(column: Any, bounds: Bounds) -> list[Any]:
    """The first values, if their storage is pandas' or numpy's own."""
    head = column[: bounds.rows] if _library(type(column)) == "Index" else column.iloc[: bounds.rows]
    if _module(type(head.array)) not in ("pandas", "numpy"):
        return ["..."] * len(head)
    return [_told(v, bounds) for v in head.tolist()]


def _told(value: Any, bounds: Bounds, depth: int = 0) -> Any:
    kind = type(value)
    if kind is int and value.bit_length() > _LONGEST_NUMBER:
        return f"<int of {value.bit_length():,} bits>"
    if kind is float and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if kind in _PLAIN:
        return value
    if kind is str:
        return _short(value, len(value), bounds)
    if kind in (bytes, bytearray):
        return _short(repr(bytes(value[: bounds.text])), len(value), bounds)
    if kind in _SHOWN or _library(kind) == "scalar":
        plain = value.item() if _module(kind) == "numpy" else value
        return _told(plain, bounds) if type(plain) in (*_PLAIN, str) else _short(str(plain), 0, bounds)
    if kind is dict or kind in _CONTAINERS:
        return _items(value, bounds, depth) if depth < _DEEPEST else f"<{_name(kind)} of {len(value):,}>"
    return f"<{_name(kind)}>"


def _items(value: Any, bounds: Bounds, depth: int) -> Any:
    rest = len(value) - bounds.rows
    if type(value) is dict:
        told = {
            str(_told(k, bounds, _DEEPEST)): _told(v, bounds, depth + 1)
            for k, v in _first(value.items(), bounds)
        }
        return told | ({"...": f"{rest:,} more"} if rest > 0 else {})
    items = [_told(v, bounds, depth + 1) for v in _first(value, bounds)]
    return [*items, f"... {rest:,} more"] if rest > 0 else items


def _first(items: Iterable[Any], bounds: Bounds) -> list[Any]:
    return list(islice(items, bounds.rows))


def _short(text: str, length: int, bounds: Bounds) -> str:
    if len(text) <= bounds.text and length <= bounds.text:
        return text
    return f"{text[: bounds.text]}... ({max(length, len(text)):,} in all)"


def _library(kind: type) -> str | None:
    """What pandas or numpy call a value of exactly this class; neither is imported for the question."""
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    if numpy is not None and kind is numpy.ndarray:
        return "ndarray"
    if _module(kind) == "numpy" and numpy is not None and issubclass(kind, numpy.generic):
        return "scalar"
    if pandas is None or _module(kind) != "pandas":
        return None
    if kind in (
        pandas.Timestamp,
        pandas.Timedelta,
        pandas.Period,
        pandas.Interval,
        type(pandas.NaT),
        type(pandas.NA),
    ):
        return "scalar"
    if issubclass(kind, pandas.Index):
        return "Index"
    return {pandas.DataFrame: "DataFrame", pandas.Series: "Series"}.get(kind)


def _module(kind: type) -> str:
    """The top package of a class, as it says itself; a user's subclass says another one."""
    module = _class_module(kind, "__module__")
    return module.partition(".")[0] if type(module) is str else ""


def _name(kind: type) -> str:
    return "function" if kind is types.FunctionType else str(_class_name(kind))
