"""Rows on their way from a database to a model: how many are taken, and each value in a form JSON has.

Opens nothing. A value is exact or text: a decimal that a float would change stays as its digits.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from gathering.core.errors import ToolFailed

__all__ = ["Interrupter", "Rows", "plain", "taken"]

#: Characters and bytes of all values together that are fetched at most, whatever ``max_rows`` says.
MOST_DATA = 10_000_000
_SHOWN_BYTES = 64
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0  # seconds between two tries to stop a statement


class Rows(NamedTuple):
    """What a query gave. ``complete`` is False where there was more."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    complete: bool

    def records(self) -> list[dict[str, Any]]:
        """One dict for each row, of values that JSON has."""
        return [dict(zip(self.columns, map(plain, row), strict=True)) for row in self.rows]


class Interrupter:
    """Stops the statement that runs on another thread; armed by the engine once there is a connection.

    A statement can be stopped only while it runs: what comes a moment too early is lost, so it is repeated until the
    engine says that it is over.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._stop: Callable[[], Any] | None = None
        self._over = threading.Event()
        self._stopping = threading.Lock()

    def arm(self, stop: Callable[[], Any]) -> None:
        """Say how the statement is stopped. Raises ``ToolFailed`` if that was asked for before."""
        self._stop = stop
        self.check()

    def check(self) -> None:
        """Raise ``ToolFailed`` if it was stopped: between two statements an engine has nothing to stop."""
        if self.stopped:
            raise ToolFailed("the act was given up")

    def disarm(self) -> None:
        """Say that there is nothing left to stop; from here on the connection may be closed."""
        with self._stopping:
            self._stop = None
        self._over.set()

    def __call__(self) -> None:
        """Stop it, without waiting for that: an engine on another machine may take its time."""
        self.stopped = True
        if self._stop is not None:
            threading.Thread(target=self._until_over, name="tool-stopping", daemon=True).start()

    def _until_over(self) -> None:
        pause = _FIRST_PAUSE
        while self._stop_once():
            self._over.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _stop_once(self) -> bool:
        with self._stopping:
            if self._stop is None:
                return False
            with contextlib.suppress(Exception):  # it may have ended by itself just now
                self._stop()
            return True


def taken(names: Iterable[str], fetched: Iterable[Sequence[Any]], most: int) -> Rows:
    """The first ``most`` rows; fewer when their values are very large. Columns of one name are told apart."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    for row in fetched:
        if len(rows) >= most or size > MOST_DATA:
            return Rows(_distinct(names), rows, complete=False)
        size += sum(len(v) for v in row if isinstance(v, str | bytes | memoryview))
        rows.append(tuple(row))
    return Rows(_distinct(names), rows, complete=True)


def _distinct(names: Iterable[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        number, distinct = 1, name
        while distinct in found:
            number += 1
            distinct = f"{name}_{number}"
        found.append(distinct)
    return found


def plain(value: Any) -> Any:
    """The value in a form JSON has.

    >>> plain(Decimal("0.10")), plain(dt.date(2026, 1, 31))
    (0.1, '2026-01-31')
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return _number(value)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return _bytes(bytes(value))
        case dict():
            return {str(k): plain(v) for k, v in value.items()}
        case list() | tuple() | set():
            return [plain(v) for v in value]
    return str(value)


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite() or abs(value.adjusted()) > 300:
        return str(value)
    if value == value.to_integral_value():
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else str(value)


def _bytes(value: bytes) -> str:
    shown = value[:_SHOWN_BYTES].hex()
    return shown if len(value) <= _SHOWN_BYTES else f"{shown}... ({len(value):,} bytes)"
