"""One call's way past the limits and the circuit of its service: when it may be sent, and what is told of how it went.

Ties a call to the ``Gate`` (``gathering.llm.limits``) and the ``Circuit`` (``gathering.llm.circuit``) that everything in
the process shares, and bounds the time it may wait in all. Owns no I/O: the course yields the waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gathering.core.errors import ProviderConnectionError, ProviderError, RateLimitError
from gathering.core.messages import Usage
from gathering.llm.circuit import Circuit
from gathering.llm.limits import Gate, Slot

__all__ = ["LONGEST_WAIT", "Admission"]

#: Seconds within which a retry may still begin, and for which a refusal is waited out; a longer wait is the caller's
#: decision.
LONGEST_WAIT = 120.0
#: A refusal that names no time closes the gate for so long (seconds).
UNNAMED = 1.0
#: Bytes of a request for one token, roughly; corrected when the service has counted.
BYTES_A_TOKEN = 4


class Admission:
    """What one call asks before each sending, and tells after it."""

    __slots__ = ("_begun", "_sent", "_sent_at", "_size", "_slot", "circuit", "clock", "gate", "max_wait")

    def __init__(
        self,
        gate: Gate | None = None,
        circuit: Circuit | None = None,
        max_wait: float = LONGEST_WAIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gate, self.circuit = gate or Gate(), circuit or Circuit()
        self.max_wait, self.clock = max_wait, clock
        self._begun: float | None = None  # when it was first sent
        self._sent_at, self._size = 0.0, 0
        self._slot: Slot | None = None  # the place it waits for
        self._sent: Slot | None = None  # the place it was sent in

    def check(self) -> None:
        """Raise ``ProviderConnectionError`` if the service is known to be dead just now."""
        seconds = self.circuit.refuses()
        if seconds is not None:
            until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
            raise ProviderConnectionError(
                f"was not asked: it failed {self.circuit.failures} times in a row and is left alone for "
                f"{seconds:.0f} s, until {until}. Next: ask again then, or another provider",
                retry_after=seconds,
            )

    def wait_seconds(self, size: int) -> float:
        """Seconds to wait before this request of so many bytes is sent; asked until it is 0.

        Raises ``RateLimitError`` where the service would have to be waited for too long.
        """
        self._size = size
        if self._slot is None and self.gate.limited:
            self._slot = self.gate.take(size // BYTES_A_TOKEN)
        if self._slot is not None and (wait := self.gate.wait_seconds(self._slot)):
            if self._slot.forced > self._left():
                raise _closed(self._slot.forced)
            return wait
        self._sent, self._slot, self._sent_at = self._slot, None, self.clock()
        if self._begun is None:
            self._begun = self._sent_at
        return 0.0

    def end(self) -> None:
        """Give back the place that was not used: the call is over."""
        if self._slot is not None:
            self.gate.leave(self._slot)
            self._slot = None

    def heard(self, status: int, headers: Mapping[str, str]) -> None:
        """Tell that the service answered with this status."""
        if status < 500:
            self.circuit.answered()
        self.gate.heard(headers)

    def passed(self, usage: Usage) -> None:
        """Tell that the answer is whole."""
        if self._sent is not None:
            known = usage.input_tokens is not None or usage.output_tokens is not None
            tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0) if known else None
            self.gate.passed(self._sent, self._sent_at, tokens)

    def failed(self, error: ProviderError, status: int) -> None:
        """Tell that it came to nothing, under this status; 0 where nobody answered."""
        if _is_dead(status, error):
            self.circuit.failed(self._sent_at)
        if isinstance(error, RateLimitError):
            asked = error.retry_after
            self.gate.refused(self._sent_at, UNNAMED if asked is None else asked)

    def again(self, wait: float) -> float | None:
        """Seconds until the call has its turn again, ``wait`` or more; None when that would be too late."""
        forced = wait
        if self.gate.limited:
            self._slot = self.gate.take(self._size // BYTES_A_TOKEN, wait)
            forced, wait = self._slot.forced, self.gate.wait_seconds(self._slot)
        return wait if forced <= self._left() else None

    def _left(self) -> float:
        return self.max_wait - (0.0 if self._begun is None else self.clock() - self._begun)


def _closed(seconds: float) -> RateLimitError:
    return RateLimitError(
        f"was not asked: its limit is used up for {seconds:.0f} s more. "
        "Next: ask again then, or give a longer max_wait=",
        retry_after=seconds,
    )


def _is_dead(status: int, error: ProviderError) -> bool:
    """Whether the service is down, and not only busy for a while."""
    if status < 500 or status in (501, 529):
        return status == 0
    return error.retry_after is None
