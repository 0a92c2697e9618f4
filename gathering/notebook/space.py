"""The user's namespace, as far as ``%gathering`` reads and writes it.

Agents live there and nowhere else: ``%%gathering agent ada`` makes the variable ``ada``, and an agent made in
Python is found by its variable or by its own name. So there is no second list that could disagree.
"""

from __future__ import annotations

import builtins
import keyword
from typing import Any

from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.interfaces import IAgent

__all__ = ["Space"]


class Space:
    """The names of a shell's notebook."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def agents(self) -> dict[str, IAgent]:
        """The agents by variable, in the order in which they were first made."""
        return {
            name: value
            for name, value in list(self.names.items())
            if isinstance(value, IAgent) and not name.startswith("_")
        }

    def agent(self, name: str) -> IAgent:
        """The agent of this variable or name. Raises ``UnknownNameError``."""
        agents = self.agents()
        if name in agents:
            return agents[name]
        for agent in agents.values():
            if getattr(agent, "name", None) == name:
                return agent
        known = {*agents, *(str(getattr(a, "name", "")) for a in agents.values())} - {""}
        raise UnknownNameError("agent", name, known, f"(%%gathering agent {name} makes one)")

    def value(self, name: str) -> Any:
        """What the variable holds. Raises ``UnknownNameError``."""
        if name not in self.names:
            raise UnknownNameError("variable", name, [n for n in self.names if not n.startswith("_")])
        return self.names[name]

    def put_agent(self, name: str, agent: IAgent) -> None:
        """Keep an agent under its name."""
        self.names[name] = agent

    def check_agent_name(self, name: str) -> None:
        """Raise ``ConfigurationError`` if an agent of this name could not be a variable, or would replace one."""
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise ConfigurationError(
                f"the agent name {name!r} cannot be a variable: use letters, digits and _, not first"
            )
        there = self.names.get(name, getattr(builtins, name, None))
        if there is not None and not isinstance(there, IAgent):
            raise ConfigurationError(
                f"the name {name!r} holds {_kind(there)}, which an agent would replace: "
                f"choose another name, or del {name} first"
            )


def _kind(value: Any) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
