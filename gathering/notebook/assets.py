"""The JavaScript of the panels: a stub that every widget carries, and the modules it asks the kernel for.

Built from ``js/`` and committed under ``static/``; owns how they are found and the version they are kept under.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from gathering.core.errors import ConfigurationError

__all__ = ["asset", "asset_version", "modules_version", "static_text"]

#: What a view may ask for.
_ASKED_FOR = frozenset({"panel.js", "math.js"})


@cache
def asset(name: str) -> bytes:
    """A module a view may load. Raises ``ConfigurationError`` for any other name."""
    if name not in _ASKED_FOR:
        raise ConfigurationError(f"there is no asset {name!r}: known are {', '.join(sorted(_ASKED_FOR))}")
    return (files("gathering.notebook") / "static" / name).read_bytes()


@cache
def asset_version(name: str) -> str:
    """What changes when the module does."""
    return hashlib.sha256(asset(name)).hexdigest()[:12]


@cache
def modules_version() -> str:
    """What changes when any of them does: a page keeps them under it, also those of several kernels."""
    return hashlib.sha256("".join(map(asset_version, sorted(_ASKED_FOR))).encode()).hexdigest()[:12]


@cache
def static_text(name: str) -> str:
    """A small file of the stub, as text."""
    return (files("gathering.notebook") / "static" / name).read_text("utf-8")
