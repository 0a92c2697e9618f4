"""Errors read in one line, carry what they are about, and survive a trip between processes."""

from __future__ import annotations

import copy
import pickle

import pytest

from gathering.core import errors
from gathering.core.errors import GatheringError, ProviderError, RateLimitError, UnknownNameError, nearest


def test_every_error_is_under_one_roof() -> None:
    """``except GatheringError`` catches each of them."""
    for name in errors.__all__:
        thing = getattr(errors, name)
        assert not isinstance(thing, type) or issubclass(thing, GatheringError)


def test_a_provider_error_carries_the_details_through_pickle_and_copy() -> None:
    """Worker processes send errors back."""
    error = RateLimitError(
        "slow", provider="p", model="m", status=429, request_id="r", retry_after=1.5, partial="abc"
    )
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is RateLimitError
        assert str(twin) == "slow"
        assert twin.__dict__ == error.__dict__


def test_a_notebook_shows_one_line_unless_asked_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The full traceback is one switch away."""
    try:
        raise ProviderError("no answer: try again")
    except ProviderError as caught:
        error = caught
    assert error._render_traceback_() == ["ProviderError: no answer: try again"]
    monkeypatch.setattr(GatheringError, "show_full_traceback", True)
    assert any("Traceback" in line for line in error._render_traceback_())


def test_a_failed_check_is_an_assertion() -> None:
    """Test runners report it as a failure, not as an error."""
    assert issubclass(errors.CheckFailedError, AssertionError)


def test_names_near_and_far() -> None:
    """Letter case does not matter; nothing near gives the list of what there is."""
    assert nearest("CALCULATOR", ["calculator"]) == ["calculator"]
    assert "known: a, b" in str(UnknownNameError("thing", "zzz", ["b", "a"]))
    assert "no thing is known yet" in str(UnknownNameError("thing", "zzz", []))
    many = str(UnknownNameError("thing", "zzz", [f"n{i:02}" for i in range(33)]))
    assert "n00, n01" in many
    assert many.endswith("n29 and 3 more")
