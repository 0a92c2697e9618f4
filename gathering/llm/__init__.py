"""Providers: the classes that talk to services, servers and the embedded model, and the registry of their names.

The one door of this room. Register a provider of your own under a name, and every agent, magic and comparison finds
it there::

    from gathering.llm import PROVIDERS
    PROVIDERS["mine"] = MyProvider          # or "my_package.module:MyProvider"

A service that speaks chat completions needs no class: ``register_host("name", base_url=..., key_variable=...)``.

Importing this package loads no HTTP client: classes are imported when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gathering.core.interfaces import ILLMProvider
from gathering.core.registry import PROVIDERS, create_provider

if TYPE_CHECKING:
    from gathering.llm.hosts import HostProvider, register_host
    from gathering.llm.http import HTTPProvider
    from gathering.llm.local import LocalProvider
    from gathering.llm.openai import OpenAICompatibleProvider, OpenAIProvider

__all__ = [
    "PROVIDERS",
    "HTTPProvider",
    "HostProvider",
    "ILLMProvider",
    "LocalProvider",
    "OpenAICompatibleProvider",
    "OpenAIProvider",
    "create_provider",
    "register_host",
]

_WHERE = {
    "HTTPProvider": "gathering.llm.http",
    "HostProvider": "gathering.llm.hosts",
    "LocalProvider": "gathering.llm.local",
    "OpenAICompatibleProvider": "gathering.llm.openai",
    "OpenAIProvider": "gathering.llm.openai",
    "register_host": "gathering.llm.hosts",
}


def __getattr__(name: str) -> Any:
    """A class of this room, imported now."""
    if name not in _WHERE:
        raise AttributeError(f"module 'gathering.llm' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_WHERE[name]), name)
    return found


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
