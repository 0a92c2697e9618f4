"""Whole bodies: a request as JSON, an answer out of it, and how large an answer may become. Pure; no I/O.

Pydantic's JSON does it where it can, in a third of the time; what it refuses (half a surrogate pair, a depth of hundreds,
a body in UTF-16) is Python's own to take or to refuse.
"""

from __future__ import annotations

import json
from typing import Any

from gathering.core.errors import ConfigurationError, MalformedResponseError

__all__ = ["check_size", "encoded", "parsed"]

#: Bytes of one answer, or of a stream between two events: the largest real ones, pictures, are a tenth of it.
_MOST = 256 << 20


def check_size(size: int) -> int:
    """The size itself. Raises ``MalformedResponseError`` when no answer is so large."""
    if size > _MOST:
        raise MalformedResponseError(
            f"has sent {size >> 20} MiB and no end of it. Next: check base_url, this is no language model's answer"
        )
    return size


def parsed(text: bytes) -> Any:
    """The JSON value of a body. Raises ``MalformedResponseError`` with what it is instead."""
    import pydantic_core  # a third of a first call's imports: not before there is one

    try:
        return pydantic_core.from_json(text)
    except ValueError:
        return _parsed_slowly(text)


def _parsed_slowly(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as err:
        shown = " ".join(text.decode("utf-8", "replace").split())[:120]
        what = (
            f"an HTML page ({shown!r})"
            if shown.startswith("<")
            else repr(shown)
            if shown
            else "an empty body"
        )
        raise MalformedResponseError(
            f"answered with {what} in place of JSON. Next: check base_url, and whether a proxy answers in its place"
        ) from err


def encoded(body: dict[str, Any]) -> bytes:
    """The body of a request as JSON. Raises ``ConfigurationError`` for what has no such form."""
    import pydantic_core

    try:
        return pydantic_core.to_json(body, bytes_mode="base64", inf_nan_mode="constants")
    except (pydantic_core.PydanticSerializationError, ValueError):
        return _encoded_slowly(body)


def _encoded_slowly(body: dict[str, Any]) -> bytes:
    try:
        # Half a surrogate pair has no UTF-8 form, but an escape in JSON.
        return json.dumps(body, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as err:
        raise ConfigurationError(
            f"the request cannot be written as JSON ({err}): give texts, numbers, lists and dicts only"
        ) from err
