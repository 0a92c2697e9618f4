"""Agents and conversations of a kernel that is gone, brought into one that runs.

Owns which they are and why one could not come back. How one agent is described and made again is
``gathering.agents.versions``; a turn that was cut is taken up by ``Agent.resume``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gathering.agents.agent import Agent
from gathering.agents.versions import load, recall_conversation
from gathering.core.errors import ConfigurationError, GatheringError
from gathering.core.interfaces import IAgent, IRecorder, ITool
from gathering.core.session import session_id

__all__ = ["Restored", "restore"]


@dataclass(frozen=True, slots=True)
class Restored:
    """One agent: what came back, or why it did not."""

    name: str
    agent: Agent | None
    why_not: str = ""


def restore(
    store: IRecorder,
    names: Sequence[str] = (),
    here: Mapping[str, IAgent] | None = None,
    tools: Iterable[ITool] = (),
) -> list[Restored]:
    """The agents of these names, or all that the last kernel kept which is gone now, with what they had said.

    An agent that is ``here`` and has taken no turn is given its conversation; one that has is left alone. ``tools`` are those
    only code can make. Raises ``ConfigurationError`` where nothing was kept.
    """
    rows = _newest(store, names)
    offered = {tool.name: tool for tool in tools}
    return [_restored(name, row, store, (here or {}).get(name), offered) for name, row in rows.items()]


def _newest(store: IRecorder, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The newest row of each agent that is meant."""
    rows = sorted(store.rows("agents"), key=lambda row: row["saved_at"])
    if names:
        found: dict[str, Mapping[str, Any]] = {row["agent"]: row for row in rows if row["agent"] in names}
        missing = [name for name in names if name not in found]
        if missing:
            raise ConfigurationError(
                f"no agent {missing[0]!r} was kept: a chat panel keeps its agent, agent.save() any other"
            )
        return found
    running = store.living() | {session_id()}
    gone = [row for row in rows if row["session"] not in running]
    if not gone:
        raise ConfigurationError("no kernel that is gone kept an agent: there is nothing to restore")
    return {row["agent"]: row for row in gone if row["session"] == gone[-1]["session"]}


def _restored(
    name: str, row: Mapping[str, Any], store: IRecorder, there: IAgent | None, tools: Mapping[str, ITool]
) -> Restored:
    try:
        if there is None:
            wanted = (row["description"].get("own") or {}).get("tools", [])
            own = [tools[one] for one in wanted if one in tools]
            return Restored(name, load(name, int(row["version"]), store=store, tools=own))
        if not isinstance(there, Agent):
            return Restored(name, None, f"{name} is a {type(there).__name__} here: del {name} first")
        if len(there.turns):
            return Restored(name, None, "it has taken turns in this kernel: make it anew first")
        recall_conversation(there, store, str(row["conversation"]))
    except GatheringError as error:
        return Restored(name, None, str(error))
    return Restored(name, there)
