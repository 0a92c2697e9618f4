"""Values on their way into the database and back. No database here.

Encoding never fails: a row that could not be written would hold up every row behind it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any

from gathering.storage.columns import Kind

__all__ = ["DECODERS", "ENCODERS", "clean_text", "encode_json"]

_INT64 = 2**63


def clean_text(value: Any) -> str | None:
    """The value as text any database takes: surrogates without their other half become U+FFFD."""
    if value is None or (type(value) is str and value.isascii()):
        return value
    text = value if isinstance(value, str) else _as_text(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def encode_json(value: Any) -> str | None:
    """The value as JSON text; what JSON has no form for is stored as its text."""
    if value is None:
        return None
    if type(value) in (list, dict) and not value:  # most parts and params are empty
        return "[]" if type(value) is list else "{}"
    try:
        text = _ENCODER.encode(value)
    except (
        TypeError,
        ValueError,
        RecursionError,
        RuntimeError,
    ):  # odd keys, cycles, depth, a dict that changes
        text = json.dumps(_as_text(value), ensure_ascii=False)
    return clean_text(text)


def _as_text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything, and the row must be written
        return f"<{type(value).__name__}>"


def _integer(value: Any) -> int | float | None:
    if value is None or (type(value) is int and -_INT64 <= value < _INT64):
        return value
    number = _number(value)
    if number is None or number != number or abs(number) == float("inf"):
        return None
    return int(number) if -_INT64 <= number < _INT64 else float(number)


def _real(value: Any) -> float | None:
    if value is None or type(value) is float:
        return value
    number = _number(value)
    try:
        return None if number is None else float(number)
    except OverflowError:
        return None


def _number(value: Any) -> int | float | None:
    if value is None or isinstance(value, (int, float)):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _flag(value: Any) -> int | None:
    return None if value is None else int(bool(value))


def _time(value: Any) -> float | None:
    return value.timestamp() if isinstance(value, dt.datetime) else _real(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=_as_text)


def _bytes(value: Any) -> bytes | None:
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else None


ENCODERS: Mapping[Kind, Callable[[Any], Any]] = {
    "text": clean_text,
    "integer": _integer,
    "real": _real,
    "flag": _flag,
    "time": _time,
    "json": encode_json,
    "bytes": _bytes,
}

#: Kinds that come back from the database in another form than they have in Python.
DECODERS: Mapping[Kind, Callable[[Any], Any]] = {"flag": bool, "json": json.loads}
