"""``%gathering agents``: what is here, and what was saved."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from gathering import Agent
from gathering.notebook.agents import agents_frame
from gathering.testing import ScriptedProvider


def test_here_and_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An agent that is here has its variable and its version; versions that are not here have rows of their own."""
    monkeypatch.setenv("GATHERING_STORE", str(tmp_path / "t.sqlite"))
    ada = Agent("ada", llm_provider=ScriptedProvider(["Hello."]), tools=["calculator"])
    ada.ask("Hi")
    ada.save()
    ada.history = "a baker"
    ada.save()
    bob = Agent("bob", llm_provider=ScriptedProvider([]))
    frame = agents_frame({"a": ada, "b": bob})
    assert frame["variable"].fillna("-").tolist() == ["a", "b", "-"]
    assert frame["agent"].tolist() == ["ada", "bob", "ada"]
    assert frame["version"].fillna(0).tolist() == [2, 0, 1]
    assert frame["messages"].fillna(-1).tolist() == [2, 0, -1]
    assert frame["saved_at"].isna().tolist() == [False, True, False]
    assert isinstance(frame["saved_at"].dtype, pd.DatetimeTZDtype)


def test_nothing_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The columns are there."""
    monkeypatch.setenv("GATHERING_STORE", str(tmp_path / "t.sqlite"))
    frame = agents_frame({})
    assert frame.empty
    assert list(frame.columns)[-2:] == ["version", "saved_at"]
