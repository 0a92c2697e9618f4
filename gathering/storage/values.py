"""Values on their way into the database and back, and the mask over what looks like a key. No database here.

Encoding never fails: a row that could not be written would hold up every row behind it.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from gathering.storage.columns import Kind

__all__ = ["DECODERS", "ENCODERS", "MASK", "clean_text", "encode_json", "mask"]

MASK = "***"

_PREFIXES = ("sk", "pk", "rk", "gsk", "xai", "hf", "nvapi", "ghp", "gho", "pplx", "r8", "fw", "csk")
_KEY_VALUES = re.compile(
    # A digit somewhere: words joined by hyphens are no key.
    rf"\b(?:{'|'.join(_PREFIXES)})[-_](?=[A-Za-z_\-]*\d)[A-Za-z0-9_\-]{{12,}}|\bAIza[A-Za-z0-9_\-]{{20,}}"
)
_BEARER = re.compile(r"(?<=\bBearer\s)[A-Za-z0-9._~+/=\-]{6,}", re.IGNORECASE)
_KEY_NAMES = re.compile(
    r'("(?:[a-z]+[-_])*(?:api[-_]?key|authorization|access[-_]?token|secret|password)"\s*:\s*)"(?:[^"\\]|\\.)*"',
    re.IGNORECASE,
)
# Looking for a word first is many times faster than a pattern on text that has none of it.
_VALUE_MARKS = ("AIza", *(f"{prefix}{joint}" for prefix in _PREFIXES for joint in "-_"))
_NAME_MARKS = ("key", "authorization", "access", "secret", "password")
_INT64 = 2**63


def mask(text: str) -> str:
    """The text, or JSON text, with everything that looks like an API key replaced by ``***``.

    >>> mask("401 for Bearer abcdef0123456789")
    '401 for Bearer ***'
    """
    if any(mark in text for mark in _VALUE_MARKS):
        text = _KEY_VALUES.sub(MASK, text)
    lower = text.lower()
    if "bearer" in lower:
        text = _BEARER.sub(MASK, text)
    if any(mark in lower for mark in _NAME_MARKS):
        text = _KEY_NAMES.sub(rf'\1"{MASK}"', text)
    return text


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

ENCODERS: Mapping[Kind, Callable[[Any], Any]] = {
    "text": clean_text,
    "integer": _integer,
    "real": _real,
    "flag": _flag,
    "time": _time,
    "json": encode_json,
}

#: Kinds that come back from the database in another form than they have in Python.
DECODERS: Mapping[Kind, Callable[[Any], Any]] = {"flag": bool, "json": json.loads}
