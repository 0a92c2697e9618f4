"""The agents of a notebook and those that were saved, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gathering.core.interfaces import IAgent

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["agents_frame"]

_COLUMNS = {
    "variable": "string",
    "agent": "string",
    "model": "string",
    "tools": "string",
    "messages": "Int64",
    "version": "Int64",
}


def agents_frame(agents: Mapping[str, IAgent]) -> pd.DataFrame:
    """One row for each agent here, then one for each saved version that is not: ``variable, agent, model, tools, messages,
    version, saved_at``. ``gathering.load(NAME, VERSION)`` brings a saved one back.
    """
    import pandas as pd

    from gathering.storage import Trace, default_store

    saved = Trace(default_store()).agents()
    rows = [_here(variable, agent) for variable, agent in agents.items()]
    there = {(row["agent"], row["version"]) for row in rows}
    rows += [
        {k: one[k] for k in ("agent", "model", "tools", "version", "saved_at")}
        for one in saved.to_dict("records")
        if (one["agent"], one["version"]) not in there
    ]
    times = {(r["agent"], r["version"]): r["saved_at"] for r in saved.to_dict("records")}
    for row in rows:
        row.setdefault("saved_at", times.get((row["agent"], row["version"]), pd.NaT))
    frame = pd.DataFrame(rows, columns=[*_COLUMNS, "saved_at"]).astype(_COLUMNS)
    frame["saved_at"] = pd.to_datetime(frame["saved_at"], utc=True)
    return frame


def _here(variable: str, agent: IAgent) -> dict[str, Any]:
    memory = getattr(agent, "memory", None)
    return {
        "variable": variable,
        "agent": getattr(agent, "name", variable),
        "model": getattr(agent, "model", ""),
        "tools": ", ".join(getattr(agent, "tools", ())),
        "messages": len(memory.get_conversation_history()) if memory is not None else 0,
        "version": getattr(agent, "version", None),
    }
