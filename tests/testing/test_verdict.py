"""The statistics of repeated checks: what the four words promise, counted out where it can be."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gathering.core.errors import ConfigurationError
from gathering.testing.verdict import Rate, difference_interval, judge, pass_hat

RATES = st.integers(1, 60).flatmap(lambda runs: st.integers(0, runs).map(lambda passed: Rate(passed, runs)))
EXAMPLES = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize(
    ("now", "before", "word"),
    [
        (Rate(50, 50), Rate(50, 50), "same"),
        (Rate(50, 50), Rate(20, 50), "better"),
        (Rate(10, 50), Rate(48, 50), "worse"),
        (Rate(4, 5), Rate(5, 5), "undecided"),
        (Rate(5, 5), None, "undecided"),
    ],
)
def test_the_four_words(now: Rate, before: Rate | None, word: str) -> None:
    """Each word where everybody would say it; few runs, and no baseline, decide nothing."""
    verdict = judge(now, before)
    assert verdict.word == word
    assert str(now) in verdict.line


@EXAMPLES
@given(RATES, RATES)
def test_the_interval_holds_the_difference_and_turns_with_it(now: Rate, before: Rate) -> None:
    """The observed difference lies inside, and swapping the two rates mirrors the interval."""
    low, high = difference_interval(now, before)
    assert -1 <= low <= now.value - before.value <= high <= 1
    mirrored = difference_interval(before, now)
    assert mirrored == pytest.approx((-high, -low))


@EXAMPLES
@given(RATES, st.integers(1, 50), st.floats(0, 0.5))
def test_more_passes_never_make_it_worse(before: Rate, runs: int, margin: float) -> None:
    """With each further pass the word stays or moves from worse over undecided and same to better."""
    order = {"worse": 0, "undecided": 1, "same": 2, "better": 3}
    words = [order[judge(Rate(passed, runs), before, margin).word] for passed in range(runs + 1)]
    assert words == sorted(words)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Counted out over all outcomes of 20 and 20 runs: at several true rates it covers about 95 of 100 times or more."""
    for now, before in itertools.product((0.2, 0.5, 0.8, 0.95), repeat=2):
        covered = sum(
            _chance(a, 20, now) * _chance(b, 20, before)
            for a, b in itertools.product(range(21), repeat=2)
            if _covers(difference_interval(Rate(a, 20), Rate(b, 20)), now - before)
        )
        assert covered > 0.925


def _covers(interval: tuple[float, float], value: float) -> bool:
    return interval[0] <= value <= interval[1]


def _chance(passed: int, runs: int, rate: float) -> float:
    return math.comb(runs, passed) * rate**passed * (1 - rate) ** (runs - passed)


@EXAMPLES
@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 12))
def test_pass_k_is_the_share_of_draws_that_all_pass(passes: list[bool], k: int) -> None:
    """pass^k is what drawing k of the runs without putting back gives, counted out."""
    if k > len(passes):
        with pytest.raises(ConfigurationError, match="needs at least"):
            pass_hat(passes, k)
        return
    draws = list(itertools.combinations(passes, k))
    assert pass_hat(passes, k) == pytest.approx(sum(map(all, draws)) / len(draws))


@pytest.mark.parametrize(("passed", "runs"), [(2, 1), (-1, 3), (0, 0)])
def test_a_rate_that_cannot_be_is_refused(passed: int, runs: int) -> None:
    """More passes than runs, or none at all, is a mistake somewhere else."""
    with pytest.raises(ConfigurationError, match="cannot be"):
        Rate(passed, runs)


@pytest.mark.parametrize(("margin", "confidence"), [(-0.1, 0.95), (1.0, 0.95), (0.1, 1.0)])
def test_a_margin_outside_is_refused(margin: float, confidence: float) -> None:
    """Margin and confidence are shares."""
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        judge(Rate(1, 1), Rate(1, 1), margin, confidence)
