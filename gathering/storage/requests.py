"""A request as one line of JSON, and the digest it is found again by. Owns no file and no table."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gathering.core.masking import mask
from gathering.core.stored import Request
from gathering.storage.values import clean_text

__all__ = ["key_of", "line_of"]


def key_of(request: Request) -> str:
    """A digest that is equal for equal requests, also when one of them was masked."""
    return hashlib.sha256(line_of(request, sort=True).encode()).hexdigest()


def line_of(value: Any, *, sort: bool = False) -> str:
    """The value as one line of JSON in which what looks like a key is masked."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=sort, default=_plain)
    return mask(clean_text(text) or "")


def _plain(value: Any) -> Any:
    # The name of its type: a repr may hold an address, which differs from run to run.
    return list(value) if isinstance(value, (set, frozenset, tuple)) else f"<{type(value).__name__}>"
