"""Whole bodies: a request as JSON, an answer out of it, and how large an answer may become. Pure; no I/O."""

from __future__ import annotations

import json
from typing import Any

from gathering.core.errors import MalformedResponseError

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
    try:
        return json.loads(text)
    except ValueError as err:
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
    """The body of a request as JSON."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair has no UTF-8 form, but an escape in JSON
        return json.dumps(body, separators=(",", ":")).encode()
