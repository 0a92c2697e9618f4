"""May this tool run? The card in the cell and the question below it. Owns how a person is asked, not what follows.

The question is typed (``input()``): it works while a cell blocks the kernel, in every front end and in a terminal. Where
nobody can type (a test runner, nbconvert, a background thread) the setting ``unattended`` answers, at once.
"""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Callable
from typing import Any

from gathering.core.display import bundle
from gathering.core.permissions import Decision, PermissionRequest, Scope, unattended
from gathering.notebook.screen import Screen

__all__ = ["Approval"]

_SCOPES: dict[str, Scope] = {"y": "once", "c": "cell", "s": "session", "a": "always"}
_QUESTION = "Allow it? [y]es  [n]o  [e]dit  for this [c]ell / [s]ession / [a]lways: "
_STYLE = "border: 1px solid currentColor; border-left-width: 4px; padding: 0.4em 0.8em; margin: 0.3em 0"


class Approval:
    """Asks the person at a screen. ``read`` takes one line of input."""

    def __init__(self, screen: Callable[[], Screen], read: Callable[[str], str] | None = None) -> None:
        self._screen, self._read = screen, read

    def __call__(self, request: PermissionRequest) -> Decision:
        """The person's decision; Stop passes through."""
        screen = self._screen()
        if screen.way == "final" or threading.current_thread() is not threading.main_thread():
            return unattended(request)
        card = screen.open(_card(request)) if screen.way == "live" else None
        if card is None:
            screen.write(_card(request)["text/plain"] + "\n")
        decision = self._asked(request, screen)
        if card is not None:
            screen.paint(card, _card(request, decision))
        return decision

    def _asked(self, request: PermissionRequest, screen: Screen) -> Decision:
        read = self._read or input
        while True:
            try:
                word, _, rest = read(_QUESTION).strip().partition(" ")
            except (EOFError, NotImplementedError):  # a front end that takes no input after all
                return unattended(request)
            choice = word.lower()[:1]
            if choice in _SCOPES:
                return Decision("allow", "person", scope=_SCOPES[choice])
            if choice == "n":
                return Decision("deny", "person", rest.strip())
            if choice == "e":
                edited = self._edited(read, screen)
                if edited is not None:
                    return Decision("allow", "person", arguments=edited)
                continue
            screen.write("Type y, n (with a reason if you like), e, c, s or a.\n")

    def _edited(self, read: Callable[[str], str], screen: Screen) -> dict[str, Any] | None:
        text = read("The arguments, as JSON (empty: ask again): ").strip()
        if not text:
            return None
        try:
            arguments = json.loads(text)
        except ValueError as err:
            screen.write(f"That is no JSON ({err}).\n")
            return None
        if not isinstance(arguments, dict):
            screen.write("Arguments are a JSON object: {...}.\n")
            return None
        return arguments


def _card(request: PermissionRequest, decision: Decision | None = None) -> dict[str, str]:
    """The three forms of the question, or of the question with its answer."""
    title = f"{request.agent} wants to use {request.tool} ({request.permission})"
    arguments = json.dumps(request.call.arguments, ensure_ascii=False, indent=2, default=str)
    end = _answer(decision) if decision is not None else request.reason
    plain = "\n".join([title, arguments, *([end] if end else [])])
    inside = f"<b>{html.escape(title)}</b><pre>{html.escape(arguments)}</pre><span>{html.escape(end)}</span>"
    return bundle(
        plain,
        markdown=f"**{title}**\n\n```json\n{arguments}\n```\n\n{end}",
        html_form=f'<div role="group" aria-label="{html.escape(title, quote=True)}" style="{_STYLE}">{inside}</div>',
    )


def _answer(decision: Decision) -> str:
    if decision.effect == "deny":
        return f"Denied by {decision.decided_by}" + (f": {decision.reason}" if decision.reason else "")
    if decision.arguments is not None:
        return (
            f"Allowed with these arguments: {json.dumps(decision.arguments, ensure_ascii=False, default=str)}"
        )
    return (
        "Allowed"
        + {"once": " once", "cell": " for this cell", "session": " for this session", "always": " always"}[
            decision.scope
        ]
    )
