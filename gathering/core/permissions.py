"""May this tool call run? The values the question and its answer travel in, and the two interfaces that answer.

A policy decides by rule (``gathering.tools.permissions``); where a rule says ``ask``, an asker puts the question to
a person (the notebook's card, a terminal's prompt) or, where nobody is there, to a setting. Both are outside the
prompt: nothing a model or a tool says can change them.
"""

from __future__ import annotations

import contextlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from gathering.core import config
from gathering.core.errors import ConfigurationError
from gathering.core.messages import ToolCall

__all__ = [
    "Asker",
    "Decision",
    "Effect",
    "IPolicy",
    "PermissionRequest",
    "Scope",
    "ask_person",
    "asked_by",
    "set_asker",
    "set_witness",
]

#: Named, not imported: the room of the rules is above this one.
_RULES = "gathering.tools.permissions"

Effect: TypeAlias = Literal["allow", "ask", "deny"]
#: How long a person's answer holds: this call, this cell, this session, or from now on.
Scope: TypeAlias = Literal["once", "cell", "session", "always"]


@dataclass(frozen=True, slots=True)
class PermissionRequest:
    """A tool call that wants to run. ``permission`` is the kind of the act, ``targets`` what it would touch."""

    agent: str
    call: ToolCall
    permission: str
    targets: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self.call.name


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. ``arguments`` are a person's own in place of the model's; ``reason`` is told to the model."""

    effect: Effect
    decided_by: str = "default"
    reason: str = ""
    scope: Scope = "once"
    arguments: dict[str, Any] | None = None


class IPolicy(ABC):
    """What decides before a tool runs."""

    @abstractmethod
    def decide(self, request: PermissionRequest) -> Decision:
        """Allow it, deny it, or ask a person."""

    @abstractmethod
    def remember(self, request: PermissionRequest, decision: Decision) -> None:
        """Keep a person's answer as long as its scope says."""


Asker: TypeAlias = Callable[[PermissionRequest], Any]
#: Stands before the asker: given the question and the asker, it gives the answer.
Witness: TypeAlias = Callable[[PermissionRequest, Asker], Any]

_asker: Asker | None = None
_asker_here: ContextVar[Asker | None] = ContextVar("asker", default=None)
_witness: Witness | None = None


def set_asker(asker: Asker | None) -> Asker | None:
    """Say who is asked from now on; who was asked before. An asker gives a ``Decision``, or an awaitable of one."""
    global _asker
    before, _asker = _asker, asker
    return before


@contextlib.contextmanager
def asked_by(asker: Asker) -> Iterator[None]:
    """Within the block, and within what its task starts, this asker is asked: a panel asks where its person looks."""
    before = _asker_here.set(asker)
    try:
        yield
    finally:
        _asker_here.reset(before)


def set_witness(witness: Witness | None) -> None:
    """Let every question to a person pass through ``witness`` (a tape); None takes it away."""
    global _witness
    _witness = witness


def ask_person(request: PermissionRequest) -> Any:
    """The asker's ``Decision`` (or an awaitable of one); where nobody can be asked, the setting ``unattended``."""
    ask = _asker_here.get() or _asker or unattended
    return ask(request) if _witness is None else _witness(request, ask)


def unattended(request: PermissionRequest) -> Decision:
    """The decision where nobody is there: of the file the setting ``answers`` names, else of the setting ``unattended``.

    The file has rules, one a line, and the first that fits counts. ``unattended`` denies unless it says otherwise.
    """
    file = config.get("answers")
    if file:
        found: Decision = importlib.import_module(_RULES).answers_in(str(file)).decide(request)
        if found.effect != "ask":
            return replace(found, decided_by="answers")
    effect = str(config.get("unattended"))
    if effect not in ("allow", "deny"):
        raise ConfigurationError(f"the setting unattended = {effect!r} is not usable: give 'allow' or 'deny'")
    reason = "" if effect == "allow" else "nobody is there to allow it (setting unattended = 'deny')"
    return Decision("allow" if effect == "allow" else "deny", "unattended", reason)
