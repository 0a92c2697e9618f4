"""The ceiling on what calls may cost, and the accounts beneath it. What is booked there is ``gathering.core.booking``.

A ceiling stands for the whole process, for a block of code or for one comparison; every one that applies must have
room. Amounts are US dollars.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

from gathering.core import session
from gathering.core.display import bundle
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import IRecorder

__all__ = [
    "CRUMB",
    "Account",
    "Budget",
    "OnUnknown",
    "Purse",
    "Scope",
    "budget",
    "budget_off",
    "current_budget",
    "current_purse",
    "dollars",
    "enter",
    "leave",
    "paying",
    "session_spent",
    "set_asker",
]

Scope: TypeAlias = Literal["session", "project"]
#: What is done about a call whose price is not known. A function is given ``"provider:model"``.
OnUnknown: TypeAlias = "Literal['refuse', 'allow', 'ask'] | Callable[[str], bool]"

#: Sums of fractions leave crumbs, which are no reason to refuse a call (US dollars).
CRUMB = 1e-9

_lock = threading.Lock()


@dataclass(slots=True)
class Account:
    """What was spent, and what is booked by calls that run."""

    spent: float = 0.0
    booked: float = 0.0
    running: int = 0
    #: What other sessions have spent and booked, as far as it was read.
    others: float = 0.0


_session = Account()
_standing: Budget | None = None
_blocks: list[Budget] = []
_asker: Callable[[str], bool] | None = None


def budget(ceiling: float, *, scope: Scope = "session", on_unknown: OnUnknown = "refuse") -> Budget:
    """A ceiling in US dollars on what this process may spend on calls, from now on, in place of the one before.

    What the session has spent already counts. With ``scope="project"`` all that the trace's store knows of counts, of
    other notebooks and earlier days too. As a context manager it counts what is spent in the block, beside the ceiling
    that stands. ``on_unknown`` says what happens to a call whose price nobody knows: ``"refuse"``, ``"allow"``,
    ``"ask"``, or a function of ``"provider:model"``. Raises ``ConfigurationError`` for a ceiling that is none.

    >>> with budget(0.50) as ceiling:
    ...     ceiling.left
    0.5
    """
    global _standing
    made = Budget(ceiling, scope=scope, on_unknown=on_unknown, account=_session)
    with _lock:
        made._before, _standing = _standing, made
    return made


def budget_off() -> None:
    """Take the ceiling away that stands; one of a block stays to its end."""
    global _standing
    _standing = None


def current_budget() -> Budget | None:
    """The ceiling that counts now: the innermost block's, or the one that stands."""
    return _blocks[-1] if _blocks else _standing


def session_spent() -> float:
    """What this process has spent so far, in US dollars, as far as prices are known."""
    return _session.spent


def set_asker(asker: Callable[[str], bool] | None) -> Callable[[str], bool] | None:
    """Say how a person is asked about a call of unknown price, by one line that wants yes or no; who was asked before."""
    global _asker
    before, _asker = _asker, asker
    return before


def dollars(amount: float) -> str:
    """The amount with two to six decimals.

    >>> dollars(1), dollars(0.00125)
    ('1.00', '0.00125')
    """
    whole, _, rest = f"{amount:.6f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"


class Budget:
    """A ceiling, and how far it has been used. Made by ``gathering.budget``, or for a comparison of its own."""

    def __init__(
        self,
        ceiling: float,
        *,
        scope: Scope = "session",
        on_unknown: OnUnknown = "refuse",
        account: Account | None = None,
    ) -> None:
        if isinstance(ceiling, bool) or not isinstance(ceiling, int | float) or not 0 <= ceiling < math.inf:
            raise ConfigurationError(f"a budget of {ceiling!r} is not usable: give US dollars, like 1.00")
        if scope not in ("session", "project"):
            raise ConfigurationError(f"the scope {scope!r} is unknown: use 'session' or 'project'")
        if on_unknown not in ("refuse", "allow", "ask") and not callable(on_unknown):
            raise ConfigurationError(
                f"on_unknown = {on_unknown!r} is not usable: give 'refuse', 'allow', 'ask' or a function"
            )
        self.ceiling, self.scope, self.on_unknown = float(ceiling), scope, on_unknown
        self._account = account or Account()
        self._before: Budget | None = None
        self._allowed: dict[str, bool] = {}

    @property
    def spent(self) -> float:
        """US dollars spent under this ceiling; an unknown part counts at its upper estimate."""
        others = self._account.others if self.scope == "project" else 0.0
        return self._account.spent + others

    @property
    def booked(self) -> float:
        """US dollars that calls running now could still cost."""
        return self._account.booked

    @property
    def left(self) -> float:
        """US dollars that are neither spent nor booked."""
        return max(0.0, self.ceiling - self.spent - self.booked)

    def close(self) -> None:
        """Take this ceiling away, if it counts now."""
        global _standing
        with _lock:
            if _standing is self:
                _standing = None
            if self in _blocks:
                _blocks.remove(self)

    def __enter__(self) -> Self:
        """The ceiling for the block, on what is spent in it; the one that stood before stands again."""
        global _standing
        with _lock:
            if _standing is self:
                _standing, self._before = self._before, None
            if self.scope == "session":
                self._account = Account()
            _blocks.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        """Take the ceiling away."""
        self.close()

    def look(self, store: IRecorder) -> None:
        """Read what other sessions have spent, for a ceiling on the whole project. Raises ``StoreError``."""
        if self.scope == "project":
            self._account.others = store.spent_beside(session.session_id())

    def allows_unknown(self, model: str) -> bool:
        """Whether a call of this model may be made although its price is not known; a person is asked once."""
        if self.on_unknown in ("refuse", "allow"):
            return self.on_unknown == "allow"
        if model not in self._allowed:
            ask = self.on_unknown if callable(self.on_unknown) else _ask
            self._allowed[model] = bool(ask(model))
        return self._allowed[model]

    def __repr__(self) -> str:
        """The ceiling alone: a saved notebook shows the same when it is replayed."""
        return f"Budget({dollars(self.ceiling)} USD)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return bundle(f"budget: {dollars(self.ceiling)} USD")


def _ask(model: str) -> bool:
    """What a person says; no, where there is nobody: a test runner would wait for ever."""
    if _asker is None or session.under_test():
        return False
    return _asker(f"The price of {model} is not known. Send the call anyway?")


@dataclass(frozen=True, slots=True)
class Purse:
    """The ceilings of a turn beside those that count for all. A ``patient`` one waits for room that calls will free."""

    budgets: tuple[Budget, ...] = ()
    patient: bool = False

    def beside(self, other: Purse) -> Purse:
        """Both at once: a call needs room under the ceilings of either."""
        more = tuple(b for b in other.budgets if b not in self.budgets)
        return Purse((*self.budgets, *more), self.patient or other.patient) if more else self

    def applying(self) -> tuple[Budget, ...]:
        """All ceilings that count for a call made now."""
        return (*self.budgets, *reversed(_blocks), *([_standing] if _standing is not None else []))


_purse: ContextVar[Purse | None] = ContextVar("gathering_purse", default=None)


def current_purse() -> Purse:
    """What pays for calls made on behalf of the turn that runs here."""
    return _purse.get() or Purse()


@contextlib.contextmanager
def paying(purse: Purse) -> Iterator[None]:
    """A block whose calls count under the ceilings of this purse too: those of a turn that are not its own."""
    token = _purse.set(purse)
    try:
        yield
    finally:
        _purse.reset(token)


def enter(budgets: Sequence[Budget], amount: float) -> tuple[list[Account], Budget | None]:
    """Book the amount on every account of these ceilings; or on none, and the ceiling that has no room for it."""
    with _lock:
        for one in budgets:
            if amount and one.spent + one.booked + amount > one.ceiling + CRUMB:
                return [], one
        accounts = list({id(a): a for a in (_session, *(b._account for b in budgets))}.values())
        for account in accounts:
            account.booked += amount
            account.running += 1
    return accounts, None


def leave(accounts: Sequence[Account], amount: float, cost: float) -> None:
    """Put the cost in the place of the amount that was booked."""
    with _lock:
        for account in accounts:
            account.spent += cost
            account.running -= 1
            # When nothing runs, nothing is booked: crumbs neither.
            account.booked = max(0.0, account.booked - amount) if account.running else 0.0


def _after_fork() -> None:
    # The calls that run are the parent's, and one of its threads may have held the lock.
    global _lock
    _lock = threading.Lock()
    _session.booked, _session.running = 0.0, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
