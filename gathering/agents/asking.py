"""What a caller asks of an agent, the guard that keeps it to one turn at a time, and the reply at a turn's end.

Owns no turn: what a question becomes is the agent's (``gathering.agents.agent``), what happens in it the flow's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gathering.core.errors import GatheringError
from gathering.core.messages import Reply
from gathering.core.stream import Batch

if TYPE_CHECKING:
    from gathering.agents.agent import Agent
    from gathering.agents.resuming import CutTurn

__all__ = ["OneTurn", "Question", "drained", "reply_in", "there"]


@dataclass(slots=True)
class Question:
    """What a caller asks: the message, and what counts for this turn only."""

    message: str
    output: Any
    images: Iterable[Any]
    params: Mapping[str, Any]
    streaming: bool = False
    cut: CutTurn | None = None


class OneTurn:
    """The guard of an agent: one turn at a time, whichever thread or task it comes from."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def __enter__(self) -> None:
        """Take the turn. Raises ``GatheringError`` when another one is on."""
        if not self.agent._turn.acquire(blocking=False):
            raise GatheringError(
                f"{self.agent.name!r} is in the middle of another turn: "
                "wait until it is over, close its stream, or ask a fork()"
            )

    def __exit__(self, *exc: object) -> None:
        """Give it back."""
        self.agent._turn.release()


def drained(batches: Iterable[Batch]) -> Reply:
    """The reply at the end of a turn's batches."""
    reply = None
    for batch in batches:
        reply = reply_in(batch)
    return there(reply)


def reply_in(batch: Batch) -> Reply | None:
    """The reply, if this batch is the last."""
    return getattr(batch[-1], "reply", None) if batch else None


def there(reply: Reply | None) -> Reply:
    """The reply, which a turn that was not cut has."""
    assert reply is not None, "a flow ends with Done(completion, reply)"
    return reply
