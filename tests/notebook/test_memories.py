"""``%gathering memory``: remembering, searching and forgetting from a cell."""

from __future__ import annotations

from typing import Any

import pytest

import gathering
from gathering.agents import LongTermMemory
from gathering.core.errors import ConfigurationError
from gathering.notebook.memories import remembered
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider


def agent(**options: Any) -> gathering.Agent:
    return gathering.Agent(
        "ada", llm_provider=ScriptedProvider(["Hello."]), store=SQLiteStore(":memory:"), **options
    )


def test_remember_search_and_forget() -> None:
    """Each shows what there is then."""
    memory = agent(memory=LongTermMemory()).memory
    frame = remembered(memory, {"remember": "Bob likes green tea."})
    assert frame["content"].tolist() == ["Bob likes green tea."]
    remembered(memory, {"remember": "Oslo is in Norway."})
    found = remembered(memory, {"search": "green tea"})
    assert found["content"].iloc[0] == "Bob likes green tea."
    assert list(found.columns)[:4] == ["memory_id", "content", "similarity", "score"]
    assert remembered(memory, {"forget": found["memory_id"].iloc[0]})["content"].tolist() == [
        "Oslo is in Norway."
    ]
    with pytest.raises(ConfigurationError, match="nothing remembered"):
        remembered(memory, {"forget": "tea"})


def test_a_window_has_nothing_that_stays() -> None:
    """It is shown; what takes a long-term memory says how to get one."""
    memory = agent().memory
    assert remembered(memory, {}).empty
    with pytest.raises(ConfigurationError, match="memory: long_term"):
        remembered(memory, {"search": "tea"})


def test_importance_and_pin_go_with_what_is_remembered() -> None:
    """They are those of the new fact; without one they say where they belong."""
    memory = agent(memory="long_term").memory
    frame = remembered(memory, {"remember": "The exam is on Monday.", "importance": 0.9, "pin": True})
    assert (frame["importance"][0], bool(frame["pinned"][0]), frame["why"][0]) == (0.9, True, "pinned")
    with pytest.raises(ConfigurationError, match="--pin goes with --remember"):
        remembered(memory, {"pin": True})
