"""How long a service says to wait, in all the forms in which services say it: headers, bodies and plain words. No I/O.

Owns the reading of durations, dates and rate-limit headers. Whether and how a wait is honoured is decided by
``gathering.llm.exchange`` and ``gathering.llm.limits``.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

__all__ = ["duration", "exhausted_for", "wait_in_headers", "wait_in_text"]

_UNITS: Mapping[str, float] = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: "ms", "msec", "milliseconds", "s", "seconds", "m", "min", "minutes", "h", "days".
_UNIT = r"(?:ms(?:ec)?|milli(?:second)?s?|s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|d(?:ays?)?)(?![a-z])"
_PIECES = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milli|[smhd])", re.IGNORECASE)
_ALL_PIECES = rf"(?:\d+(?:\.\d+)?\s*{_UNIT}[\s,]*)+"
_WHOLE = re.compile(_ALL_PIECES, re.IGNORECASE)
#: "Please try again in 20s", "retry after 26 seconds", "Please retry in 6m0.5s", "try again after 1 minute".
_WORDS = re.compile(rf"\b(?:try again|retry|retrying|wait)\b[^.;\d]{{0,40}}?({_ALL_PIECES})", re.IGNORECASE)
#: Gemini's RetryInfo among the details of an error, and the figure some gateways put into the body.
_FIGURES = re.compile(r'"(?:retryDelay|retry_after|retryAfter)": ?"?(\d+(?:\.\d+)?)s?"?[,}\]\s]')

#: Header names of what is left and when it is filled up again, for the services that tell.
_LEFT_AND_RESET = (
    *((f"x-ratelimit-remaining-{of}", f"x-ratelimit-reset-{of}") for of in ("requests", "tokens")),
    *(
        (f"anthropic-ratelimit-{of}-remaining", f"anthropic-ratelimit-{of}-reset")
        for of in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
    ("ratelimitbysize-remaining", "ratelimitbysize-reset"),
)
_LEFT = frozenset(left for left, _ in _LEFT_AND_RESET)
#: A figure above this is a point in time (seconds since 1970), above the next one in milliseconds.
_EPOCH, _EPOCH_MS = 1e9, 1e12


def duration(text: str) -> float | None:
    """Seconds of ``"20"``, ``"1.5s"``, ``"12ms"``, ``"6m0s"`` or ``"1 minute"``; None for anything else.

    >>> duration("6m0.5s"), duration("12ms"), duration("7"), duration("soon")
    (360.5, 0.012, 7.0, None)
    """
    text = text.strip()
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    if not _WHOLE.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in _PIECES.findall(text))


def wait_in_headers(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds a refused request is to wait, None if the headers do not say. Names are lower case.

    ``retry-after-ms`` counts before ``retry-after`` (seconds, a duration or an HTTP date), and both before the time
    at which an exhausted limit is filled up again.
    """
    said = [
        _after(headers.get("retry-after-ms", ""), 0.001, now),
        _after(headers.get("retry-after", ""), 1.0, now),
    ]
    named = [seconds for seconds in said if seconds is not None]
    if named:
        return next(filter(None, named), 0.0)  # a nought beside a figure is a figure that was cut off
    return exhausted_for(headers, now)


def _after(text: str, unit: float, now: Callable[[], float]) -> float | None:
    seconds = duration(text)
    if seconds is not None:
        return seconds * unit
    date = email.utils.parsedate_tz(text) if text.strip() else None
    return None if date is None else max(0.0, email.utils.mktime_tz(date) - now())


def exhausted_for(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds until what the headers call used up is there again, the longest of them; None if nothing is used up."""
    # Of most services nothing is said, and every answer is asked.
    return None if _LEFT.isdisjoint(headers) else max(_resets(headers, now), default=None)


def _resets(headers: Mapping[str, str], now: Callable[[], float]) -> Iterator[float]:
    for left, reset in _LEFT_AND_RESET:
        if headers.get(left, "").strip() in ("0", "0.0"):
            seconds = _until(headers.get(reset, ""), now)
            if seconds is not None:
                yield seconds


def _until(text: str, now: Callable[[], float]) -> float | None:
    """Seconds to a reset, written as a duration, a point in time since 1970, or an RFC 3339 time."""
    seconds = duration(text)
    if seconds is not None:
        if seconds < _EPOCH:
            return seconds
        return max(0.0, (seconds / 1000 if seconds >= _EPOCH_MS else seconds) - now())
    try:
        return max(0.0, datetime.fromisoformat(text.strip()).timestamp() - now())
    except ValueError:
        return None


def wait_in_text(text: str) -> float | None:
    """Seconds a message or JSON body says to wait: ``RetryInfo`` of Gemini, or words like "try again in 20s".

    >>> wait_in_text("Rate limit reached. Please try again in 1m2.5s. Visit the page."), wait_in_text("No.")
    (62.5, None)
    """
    found = _FIGURES.search(text)
    if found:
        return float(found[1])
    said = _WORDS.search(text)
    return duration(said[1].strip(" ,")) if said else None
