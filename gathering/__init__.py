"""GatheRing: build, watch, compare and regression-test language-model agents inside notebooks.

The one door: everything a user needs is a name of this package, loaded when it is first used. So are the rooms:
``gathering.llm.PROVIDERS`` needs no import of its own.

    import gathering
    ada = gathering.Agent("ada", tools=["calculator"])
    ada.ask("What is 15% of 2500?")

In a notebook, ``%load_ext gathering`` adds the ``%gathering`` magic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gathering.core.display import set_markdown_renderer as _set_markdown_renderer

if TYPE_CHECKING:
    from gathering import agents as agents
    from gathering import core as core
    from gathering import llm as llm
    from gathering import notebook as notebook
    from gathering import storage as storage
    from gathering import testing as testing
    from gathering import tools as tools
    from gathering.agents import (
        Agent,
        AgentManager,
        Competency,
        Conversation,
        LongTermMemory,
        PersonalityBlock,
        SummaryMemory,
        WindowMemory,
    )
    from gathering.agents.versions import load
    from gathering.compare import Comparison, compare
    from gathering.core import config
    from gathering.core.budget import Budget, budget
    from gathering.core.errors import ConfigurationError, GatheringError, ProviderError
    from gathering.core.messages import Completion, Reply, ToolCall, Usage
    from gathering.core.registry import create_provider as provider
    from gathering.core.results import ToolPermission, ToolResult
    from gathering.core.session import no_live_calls
    from gathering.storage import Trace, cache
    from gathering.testing import check, tape
    from gathering.tools import tool

    trace: Trace

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AgentManager",
    "Budget",
    "Comparison",
    "Competency",
    "Completion",
    "ConfigurationError",
    "Conversation",
    "GatheringError",
    "LongTermMemory",
    "PersonalityBlock",
    "ProviderError",
    "Reply",
    "SummaryMemory",
    "ToolCall",
    "ToolPermission",
    "ToolResult",
    "Trace",
    "Usage",
    "WindowMemory",
    "__version__",
    "budget",
    "cache",
    "check",
    "compare",
    "config",
    "load",
    "no_live_calls",
    "provider",
    "tape",
    "tool",
    "trace",
]

#: Names that are modules of their own: the rooms, and what is used as one.
_MODULES = {
    **{
        room: f"gathering.{room}"
        for room in ("agents", "core", "llm", "notebook", "storage", "testing", "tools")
    },
    "cache": "gathering.storage.cache",
    "compare": "gathering.compare",
    "config": "gathering.core.config",
}
_WHERE = {
    "Agent": "gathering.agents:Agent",
    "AgentManager": "gathering.agents:AgentManager",
    "Budget": "gathering.core.budget:Budget",
    "Comparison": "gathering.compare:Comparison",
    "Competency": "gathering.agents:Competency",
    "Completion": "gathering.core.messages:Completion",
    "ConfigurationError": "gathering.core.errors:ConfigurationError",
    "Conversation": "gathering.agents:Conversation",
    "GatheringError": "gathering.core.errors:GatheringError",
    "LongTermMemory": "gathering.agents:LongTermMemory",
    "PersonalityBlock": "gathering.agents:PersonalityBlock",
    "ProviderError": "gathering.core.errors:ProviderError",
    "Reply": "gathering.core.messages:Reply",
    "SummaryMemory": "gathering.agents:SummaryMemory",
    "ToolCall": "gathering.core.messages:ToolCall",
    "ToolPermission": "gathering.core.results:ToolPermission",
    "ToolResult": "gathering.core.results:ToolResult",
    "Trace": "gathering.storage:Trace",
    "Usage": "gathering.core.messages:Usage",
    "WindowMemory": "gathering.agents:WindowMemory",
    "budget": "gathering.core.budget:budget",
    "check": "gathering.testing:check",
    "load": "gathering.agents.versions:load",
    "no_live_calls": "gathering.core.session:no_live_calls",
    "provider": "gathering.core.registry:create_provider",
    "tape": "gathering.testing:tape",
    "tool": "gathering.tools:tool",
}


def __getattr__(name: str) -> Any:
    """A name of the door, loaded now. ``trace`` is made anew each time: it follows the configured store."""
    if name == "trace":
        from gathering.core.session import session_id
        from gathering.storage import Trace, default_store

        return Trace(default_store(), {"session": session_id()})
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _WHERE:
        raise AttributeError(f"module 'gathering' has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    found = globals()[name] = getattr(importlib.import_module(module), attribute)
    return found


def __dir__() -> list[str]:
    """The public names."""
    return sorted({*__all__, *_MODULES, "load_ipython_extension", "unload_ipython_extension"})


def _markdown(text: str) -> str:
    from gathering.notebook.markdown import to_html

    return to_html(text)


def _literal(text: str) -> str:
    from gathering.notebook.literal import to_markdown

    return to_markdown(text)


_set_markdown_renderer(_markdown, _literal)


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext gathering``: silent, no network, no file written."""
    from gathering.notebook import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext gathering``: everything as it was before."""
    from gathering.notebook import unload

    unload(ipython)
