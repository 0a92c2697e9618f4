"""What the last calls of this process sent to their providers, for who wants to look. In memory only, never stored.

The trace keeps each message once; a whole request holds all that were said before, and would make it grow with the
square of a conversation.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gathering.core.messages import MessageDict, ToolSpec

__all__ = ["KEPT", "Sent", "keep_sent", "sent"]

#: Calls whose requests are kept.
KEPT = 200


@dataclass(frozen=True, slots=True)
class Sent:
    """A request in the neutral form that every provider is given; not to be changed."""

    messages: Sequence[MessageDict]
    tools: Sequence[ToolSpec] | None
    params: Mapping[str, Any]


_kept: dict[str, Sent] = {}
_lock = threading.Lock()


def keep_sent(call_id: str, request: Sent) -> None:
    """Keep a request; the oldest goes."""
    with _lock:
        _kept[call_id] = request
        if len(_kept) > KEPT:
            del _kept[next(iter(_kept))]


def sent(call_id: str) -> Sent | None:
    """The request of this call, None for one of another process or long ago."""
    return _kept.get(call_id)
