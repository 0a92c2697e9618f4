"""Figures as services say them: whole numbers of tokens out of whatever stands where one should. Pure; no I/O."""

from __future__ import annotations

from typing import Any

__all__ = ["count_of"]

#: No service counts further; a larger figure is a mistake that would end in a bill.
_MOST = 1 << 53


def count_of(value: Any) -> int | None:
    """The number of tokens; None for what is no such number.

    >>> count_of(12), count_of(12.0), count_of(-3), count_of("12"), count_of(10**400)
    (12, 12, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST:
        return None
    return int(value)
