"""``%gathering chat``, ``panel`` and ``restore``: panels by name, and what a kernel that is gone left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gathering
from gathering.agents.restoring import Restored, restore
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import IAgent, ITool
from gathering.notebook.space import Space

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["open_chat", "open_view", "restore_agents"]

_TYPES = {
    "variable": "string",
    "model": "string",
    "turns": "Int64",
    "restored": "boolean",
    "why_not": "string",
}


def open_chat(space: Space, name: str, options: Mapping[str, Any]) -> Any:
    """A chat panel on the agent of this name."""
    agent = space.agent(name)
    if not isinstance(agent, gathering.Agent):
        raise ConfigurationError(f"{name!r} has no chat panel: only a gathering.Agent does")
    wanted = {key: options[key] for key in ("height", "readonly") if key in options}
    return agent.chat(**wanted)


def open_view(space: Space, name: str, options: Mapping[str, Any]) -> Any:
    """A panel on what the variable holds: an agent's trace or memory, a conversation, a comparison, a trace."""
    wanted = {key: options[key] for key in ("height", "readonly") if key in options}
    value = space.names[name] if name in space.names else space.agent(name)
    if isinstance(value, IAgent):
        value = getattr(value, "memory" if options.get("memory") else "trace", None)
    elif options.get("memory"):
        raise ConfigurationError(f"--memory takes an agent, and {name!r} holds none: leave it out")
    panel = getattr(value, "panel", None)
    if not callable(panel):
        raise ConfigurationError(
            f"{name!r} has no panel: give an agent, a conversation, a comparison, a memory or a trace"
        )
    return panel(**wanted)


def restore_agents(space: Space, names: tuple[str, ...]) -> pd.DataFrame:
    """One row for each agent that was kept: ``variable, model, turns, restored, why_not``; those restored are variables now."""
    import pandas as pd

    from gathering.storage import default_store

    tools = [value for value in list(space.names.values()) if isinstance(value, ITool)]
    found = restore(default_store(), names, space.agents(), tools)
    for one in found:
        if one.agent is not None and one.name.isidentifier():
            space.put_agent(one.name, one.agent)
    return pd.DataFrame(map(_row, found), columns=list(_TYPES)).astype(_TYPES)


def _row(one: Restored) -> tuple[Any, ...]:
    if one.agent is None:
        return one.name, None, None, False, one.why_not
    return one.name, one.agent.model, len(one.agent.turns), True, None
