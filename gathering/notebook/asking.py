"""A person's word on the tool calls of a panel: what waits for it, and how a view gives it.

On the I/O thread. What is shown of it is the answer's (``gathering.notebook.answer``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gathering.core.errors import ConfigurationError
from gathering.core.messages import ToolCall
from gathering.core.permissions import Decision, Effect, PermissionRequest, Scope
from gathering.notebook.channel import Request

__all__ = ["Asking"]

_SCOPES: dict[str, Scope] = {"once": "once", "session": "session", "always": "always"}
_EFFECTS: dict[str, Effect] = {"allow": "allow", "deny": "deny"}


class Asking:
    """The questions that wait. ``decided`` is told each answer."""

    def __init__(self, decided: Callable[[ToolCall, Decision], None]) -> None:
        self._decided = decided
        self._waiting: dict[str, asyncio.Future[Decision]] = {}

    async def ask(self, request: PermissionRequest) -> Decision:
        """What the person at a panel says to a tool call; until then the turn waits."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[request.call.id] = future
        try:
            decision: Decision = await future
        finally:
            del self._waiting[request.call.id]
        self._decided(request.call, decision)
        return decision

    def decide(self, request: Request) -> None:
        """Take a view's word. Raises ``ConfigurationError`` for one that cannot be, or that nobody waits for."""
        effect, scope = (
            _EFFECTS.get(str(request.get("effect"))),
            _SCOPES.get(str(request.get("scope") or "once")),
        )
        if effect is None or scope is None:
            raise ConfigurationError("a decision is allow or deny, for once, session or always")
        arguments = request.get("arguments")
        if arguments is not None and not isinstance(arguments, dict):
            raise ConfigurationError("arguments are a JSON object: {...}")
        future = self._waiting.get(str(request.get("call", "")))
        if future is None or future.done():
            raise ConfigurationError("nobody waits for this decision any more: ask again")
        future.set_result(Decision(effect, "person", str(request.get("reason") or ""), scope, arguments))
