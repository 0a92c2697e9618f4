"""Where a conversation goes on from another, or from an earlier turn of its own: kept as rows, read back as a path.

Owns what a fork or a rewind leaves in the trace, so that a later kernel brings back what the agent knew and nothing it
had taken back. The turns of a running agent are ``gathering.agents.turns``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gathering.core.interfaces import IRecorder
from gathering.core.session import new_id, now, session_id

__all__ = ["Branch", "Row", "path_of"]

Row: TypeAlias = dict[str, Any]
Step: TypeAlias = "tuple[str, list[Row] | Row]"


@dataclass(frozen=True, slots=True)
class Branch:
    """A place to go on from: after a turn of a conversation, before its first where ``turn_id`` is None."""

    origin: str
    turn_id: str | None
    branch_id: str = field(default_factory=new_id)

    def keep(self, recorder: IRecorder, agent: str, conversation: str) -> None:
        """Write down that the conversation goes on from here."""
        recorder.put(
            "branches",
            {
                "branch_id": self.branch_id,
                "conversation": conversation,
                "agent": agent,
                "kind": self.kind(conversation),
                "origin": self.origin,
                "turn_id": self.turn_id,
                "created_at": now(),
                "session": session_id(),
            },
        )

    def kind(self, conversation: str) -> Literal["rewind", "fork"]:
        """What led here: the conversation went back, or left another."""
        return "rewind" if conversation == self.origin else "fork"


def path_of(recorder: IRecorder, conversation: str) -> list[list[Row]]:
    """The rows of the messages of each turn that leads to where the conversation stands, those of its origins before."""
    path: list[list[Row]] = []
    for steps in reversed(_lineage(recorder, conversation)):
        for _, step in steps:
            if isinstance(step, list):
                path.append(step)
            else:
                path = _until(path, step["turn_id"])
    return path


def _lineage(recorder: IRecorder, conversation: str) -> list[list[Step]]:
    """What happened in the conversation, in its origin until it left there, and so on back to the first."""
    found: list[list[Step]] = []
    seen: set[str] = set()
    origin: str | None = conversation
    before = ""
    while origin is not None and origin not in seen:
        seen.add(origin)
        steps = [s for s in _steps(recorder, origin) if not before or s[0] < before]
        found.append(steps)
        fork = next((s for _, s in steps if isinstance(s, dict) and s["kind"] == "fork"), None)
        origin, before = (fork["origin"], fork["branch_id"]) if fork is not None else (None, "")
    return found


def _steps(recorder: IRecorder, conversation: str) -> list[Step]:
    """Turns and branches by their ids, which sort as they were made."""
    turns: dict[str, list[Row]] = {}
    for row in recorder.rows("messages", {"conversation": conversation}):
        turns.setdefault(row["turn_id"], []).append(dict(row))
    steps: list[Step] = [(rows[0]["message_id"], rows) for rows in turns.values()]
    branches: list[Mapping[str, Any]] = list(recorder.rows("branches", {"conversation": conversation}))
    steps += [(row["branch_id"], dict(row)) for row in branches]
    return sorted(steps, key=lambda step: step[0])


def _until(path: list[list[Row]], turn_id: str | None) -> list[list[Row]]:
    """The path up to and with a turn; whole where it has no such turn, for then nothing of it was taken back."""
    if turn_id is None:
        return []
    for place, rows in enumerate(path, 1):
        if rows[0]["turn_id"] == turn_id:
            return path[:place]
    return path
