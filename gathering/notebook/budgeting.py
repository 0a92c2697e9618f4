"""``%gathering budget`` and how a person is asked about a price nobody knows. Owns no account: that is ``gathering.core.budget``."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gathering.core.budget import (
    Budget,
    OnUnknown,
    Scope,
    budget,
    budget_off,
    current_budget,
    dollars,
    session_spent,
)
from gathering.core.display import bundle
from gathering.core.errors import ConfigurationError
from gathering.notebook.screen import Note, Screen

__all__ = ["PriceQuestion", "money_line", "set_budget"]


def set_budget(amount: str | None, scope: Scope | None, on_unknown: OnUnknown | None) -> Budget | Note:
    """The ceiling that was named; without an amount, how far the one there is has been used; ``off`` takes it away.

    Raises ``ConfigurationError`` for what is no amount.
    """
    if amount is None:
        return Note(bundle(f"budget: {money_line()}"))
    if amount == "off":
        budget_off()
        return Note(bundle("budget: off"))
    try:
        ceiling = float(amount.removeprefix("$"))
    except ValueError as err:
        raise ConfigurationError(f"{amount!r} is no budget: write US dollars, like 1.00, or off") from err
    return budget(ceiling, scope=scope or "session", on_unknown=on_unknown or "ask")


def money_line() -> str:
    """What was spent of how much, for one line of the status."""
    one = current_budget()
    if one is None:
        return f"{dollars(session_spent())} USD spent, no ceiling"
    if one.scope == "project":
        from gathering.storage import default_store

        one.look(default_store())
    whose = " by the whole project" if one.scope == "project" else ""
    return f"{dollars(one.spent)} of {dollars(one.ceiling)} USD spent{whose}"


class PriceQuestion:
    """Asks the person at a screen, in one typed line. Where nobody can type, the answer is no, at once."""

    def __init__(self, screen: Callable[[], Screen], read: Callable[[str], str] | None = None) -> None:
        self._screen, self._read = screen, read

    def __call__(self, question: str) -> bool:
        """The person's answer; Stop passes through."""
        if self._screen().way == "final" or threading.current_thread() is not threading.main_thread():
            return False
        try:
            return (self._read or input)(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except (EOFError, NotImplementedError):  # a front end that takes no input after all
            return False
