"""How fast a service may be asked: limits a user sets, and those a service shows by refusing. A state machine, no I/O.

A request takes a slot before it is sent and waits until the slot begins; who waits, and how, is the caller's. One
``Gate`` stands before each model of a service and key and is shared by everything in the process, threads and loops. What was
never limited is never asked: ``Gate.limited`` is False, and that is all a call looks at.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gathering.llm.waits import exhausted_for

__all__ = ["Gate", "Slot", "gate_of", "reset"]

#: Seconds for which limits count.
MINUTE = 60.0
#: Seconds between two requests after a refusal: at first, and at most. It doubles with each further refusal that comes
#: in spite of it, and shrinks by ``EASE`` with each success until it is gone.
FIRST_SPACING, MOST_SPACING, EASE, GONE = 0.1, 8.0, 0.8, 0.01
#: A clock that differs by less than this (seconds) shows the same time.
COARSE = 1e-6
#: A service that says it is closed is believed for so long; then it is asked again.
LONGEST_CLOSED = 120.0


@dataclass(slots=True)
class _Taken:
    when: float
    amount: float
    counted: bool = True


@dataclass(slots=True)
class Slot:
    """One request's place. ``start`` is when it may be sent, by the gate's clock; ``forced`` are the seconds it waits
    because the service refused, the rest is what a user allows.
    """

    start: float
    forced: float
    wait: float
    request: _Taken | None = None
    tokens: _Taken | None = None


class _Window:
    """At most so much in any minute, given out in the order of asking."""

    def __init__(self, most: float) -> None:
        self.most, self.used = most, 0.0
        self.taken: deque[_Taken] = deque()

    def earliest(self, start: float, amount: float) -> float:
        """When there is room for this amount, not before ``start``; what is larger than the limit goes alone."""
        if self.taken:  # nobody overtakes: what was let go for a later start would be missing in the sum
            start = max(start, self.taken[-1].when)
        while self.taken and (self.taken[0].when + MINUTE <= start or self.used + amount > self.most):
            first = self.taken.popleft()
            first.counted = False
            self.used -= first.amount
            start = max(start, first.when + MINUTE)
        return start

    def take(self, start: float, amount: float) -> _Taken:
        taken = _Taken(start, amount)
        self.taken.append(taken)
        self.used += amount
        return taken

    def correct(self, taken: _Taken, amount: float) -> None:
        if taken.counted:
            self.used += amount - taken.amount
        taken.amount = amount


class _Allowance:
    """What a user allows one key of a service, shared by its models."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests: _Window | None = None
        self.tokens: _Window | None = None
        self.given = False


class Gate:
    """What stands before one model of a service and key. Safe from any thread; ``clock`` gives seconds."""

    def __init__(
        self, allowance: _Allowance | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self._allowance = allowance or _Allowance()
        self._closed = self._free = 0.0  # nothing before the one; the next paced slot is the other
        self._spacing, self._refused_at, self._told = 0.0, -1.0, False

    @property
    def limited(self) -> bool:
        """Whether a request has to take a slot: something was allowed, refused or used up."""
        return self._told or self._allowance.given

    def allow(self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        """Set what a user allows; None leaves it as it is. The last word counts for all who share the key."""
        shared = self._allowance
        with shared.lock:
            shared.requests = _window(shared.requests, requests_per_minute)
            shared.tokens = _window(shared.tokens, tokens_per_minute)
            shared.given = shared.requests is not None or shared.tokens is not None

    def take(self, tokens: int = 0, wait: float = 0.0) -> Slot:
        """The next free slot, at least ``wait`` seconds from now, for a request of about so many tokens."""
        shared = self._allowance
        with shared.lock:
            now = self.clock()
            forced = max(wait, self._closed - now, self._free - now, 0.0)
            start = now + forced
            by_requests = start if shared.requests is None else shared.requests.earliest(start, 1.0)
            begin = by_requests if shared.tokens is None else shared.tokens.earliest(by_requests, tokens)
            slot = Slot(begin, forced, forced if begin == start else begin - now)
            slot.request = None if shared.requests is None else shared.requests.take(begin, 1.0)
            slot.tokens = None if shared.tokens is None else shared.tokens.take(begin, tokens)
            self._pace(begin)
            return slot

    def wait_seconds(self, slot: Slot) -> float:
        """Seconds until the slot begins, each wait told once; 0 to send now.

        Asked again after the wait, since the service may have refused others meanwhile. What a clock shows then does
        not count: a sleep that ends a little early makes no second one.
        """
        with self._allowance.lock:
            if slot.start < self._closed - COARSE:
                now = self.clock()
                slot.start = max(self._closed, self._free)
                slot.forced = slot.wait = max(0.0, slot.start - now)
                self._pace(slot.start)
            wait, slot.wait = slot.wait, 0.0
            return wait

    def leave(self, slot: Slot) -> None:
        """Give back a slot that was not used."""
        self._correct(slot, 0.0, 0.0)

    def passed(self, slot: Slot, sent_at: float, tokens: int | None) -> None:
        """Note a success, and how many tokens it took in truth (None: as was thought)."""
        if tokens is not None:
            self._correct(slot, 1.0, tokens)
        with self._allowance.lock:
            if self._spacing and sent_at > self._refused_at:
                spacing = self._spacing * EASE
                self._spacing = spacing if spacing > GONE else 0.0
                self._closed = min(self._closed, self.clock())

    def refused(self, sent_at: float, wait: float) -> None:
        """Note that a request sent at this time was refused, to be obeyed for ``wait`` seconds."""
        with self._allowance.lock:
            self._told, now = True, self.clock()
            if (
                sent_at >= self._refused_at
            ):  # those that ran beside the first one are refused for the same reason
                self._spacing = min(MOST_SPACING, self._spacing * 2) or FIRST_SPACING
                self._refused_at = now
            self._close(now, wait)

    def heard(self, headers: Mapping[str, str]) -> None:
        """Note what the headers of an answer say: nothing is sent before a limit that is used up is filled again."""
        wait = exhausted_for(headers)
        if wait:
            with self._allowance.lock:
                self._told = True
                self._close(self.clock(), wait)

    def _close(self, now: float, wait: float) -> None:
        self._closed = max(self._closed, now + min(wait, LONGEST_CLOSED))

    def _pace(self, start: float) -> None:
        if self._spacing:
            self._free = max(self._free, start + self._spacing)

    def _correct(self, slot: Slot, requests: float, tokens: float) -> None:
        shared = self._allowance
        with shared.lock:
            if shared.requests is not None and slot.request is not None:
                shared.requests.correct(slot.request, requests)
            if shared.tokens is not None and slot.tokens is not None:
                shared.tokens.correct(slot.tokens, tokens)


def _window(window: _Window | None, most: float | None) -> _Window | None:
    if most is None or (window is not None and window.most == most):
        return window
    made = _Window(most)
    if window is not None:  # what was taken counts under the new limit too
        made.taken, made.used = window.taken, window.used
    return made


_allowances: dict[tuple[str, str, int], _Allowance] = {}
_gates: dict[tuple[str, str, int, str], Gate] = {}


def gate_of(provider: str, base_url: str, key: str, model: str) -> Gate:
    """The process's one gate of this model for this key. The key itself is not kept, only Python's salted hash of it."""
    owner = (provider, base_url, hash(key))
    found = _gates.get((*owner, model))
    if found is None:
        allowance = _allowances.setdefault(owner, _Allowance())
        found = _gates.setdefault((*owner, model), Gate(allowance))
    return found


def reset() -> None:
    """Forget every limit."""
    _allowances.clear()
    _gates.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset)  # a lock of the parent may be held there for ever
