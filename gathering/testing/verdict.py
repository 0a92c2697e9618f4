"""Is it as good as it was? Repeated checks beside a stored baseline, and the four words for what they show.

Owns the statistics (from scipy) and their words; what was run is ``gathering.testing.lanes``, where the baseline is kept
``gathering.testing.baseline``. Sources: Wilson (1927) for one rate, Newcombe (1998, method 10) for a difference,
Yao et al. (2024, tau-bench) for pass^k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gathering.core.errors import ConfigurationError

__all__ = ["Rate", "Verdict", "Word", "judge", "pass_hat"]

Word: TypeAlias = Literal["better", "same", "worse", "undecided"]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something held: ``passed`` of ``runs``."""

    passed: int
    runs: int

    def __post_init__(self) -> None:
        if not 0 <= self.passed <= self.runs or self.runs < 1:
            raise ConfigurationError(f"{self.passed} of {self.runs} runs cannot be: give 0 <= passed <= runs")

    @property
    def value(self) -> float:
        """The share that held, from 0 to 1."""
        return self.passed / self.runs

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval of the rate."""
        from scipy.stats import binomtest

        found = binomtest(self.passed, self.runs).proportion_ci(confidence, method="wilson")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        """``3 of 5``."""
        return f"{self.passed} of {self.runs}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What repeated runs show beside the baseline: the word, and the interval of the difference in rates."""

    word: Word
    now: Rate
    before: Rate | None
    low: float = -1.0
    high: float = 1.0
    margin: float = 0.1

    @property
    def line(self) -> str:
        """One line with the figures: ``same: 9 of 10, before 10 of 10 (difference -0.35 to 0.19, margin 0.1)``."""
        if self.before is None:
            return f"{self.word}: {self.now}, no baseline yet"
        return (
            f"{self.word}: {self.now}, before {self.before} "
            f"(difference {self.low:+.2f} to {self.high:+.2f}, margin {self.margin:g})"
        )


def judge(now: Rate, before: Rate | None, margin: float = 0.1, confidence: float = 0.95) -> Verdict:
    """The verdict over a rate beside the one of the baseline.

    ``better``: the difference is above 0 for certain. ``same``: it is above ``-margin`` for certain, so not worse by more
    than that. ``worse``: it is below 0 for certain, and may be more than the margin. Otherwise ``undecided``: more runs
    would tell; so is what has no baseline. Raises ``ConfigurationError`` for a margin or confidence outside 0 to 1.
    """
    if not 0 <= margin < 1 or not 0 < confidence < 1:
        raise ConfigurationError(f"margin {margin!r} and confidence {confidence!r} must lie between 0 and 1")
    if before is None:
        return Verdict("undecided", now, None, margin=margin)
    low, high = difference_interval(now, before, confidence)
    return Verdict(_word(low, high, margin), now, before, low, high, margin)


def difference_interval(now: Rate, before: Rate, confidence: float = 0.95) -> tuple[float, float]:
    """Newcombe's interval of ``now - before``, of two independent rates."""
    difference = now.value - before.value
    (low, high), (low_before, high_before) = now.interval(confidence), before.interval(confidence)
    below = math.hypot(now.value - low, high_before - before.value)
    above = math.hypot(high - now.value, before.value - low_before)
    return max(-1.0, difference - below), min(1.0, difference + above)


def _word(low: float, high: float, margin: float) -> Word:
    if low > 0:
        return "better"
    if low > -margin:
        return "same"
    return "worse" if high < 0 else "undecided"


def pass_hat(passes: Sequence[bool], k: int) -> float:
    """pass^k: how likely it is that k tries in a row all pass, estimated without bias from all runs there are.

    >>> pass_hat([True, True, True, False], 2)
    0.5

    Raises ``ConfigurationError`` unless 1 <= k <= the number of runs.
    """
    if not 1 <= k <= len(passes):
        raise ConfigurationError(f"pass^{k} needs at least {max(k, 1)} runs, there are {len(passes)}")
    return math.comb(sum(passes), k) / math.comb(len(passes), k)
