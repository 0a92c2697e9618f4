"""Window memory: what is kept, what of it fits, and how it shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gathering
from gathering.agents import WindowMemory
from gathering.core.errors import ConfigurationError
from gathering.testing import ScriptedProvider

COLUMNS = ["memory_id", "agent", "kind", "content", "tokens", "in_context", "created_at"]


def words(text: str) -> int:
    return len(text.split())


def said(*turns: tuple[str, str], max_tokens: int | None = None) -> WindowMemory:
    memory = WindowMemory(max_tokens, count_tokens=words)
    for question, answer in turns:
        memory.add_message({"role": "user", "content": question})
        memory.add_message({"role": "assistant", "content": answer})
    return memory


def test_the_window_holds_the_newest_whole_turns() -> None:
    """A turn that does not fit whole is left out whole."""
    memory = said(("one", "a b"), ("two", "c d"), ("three", "e f"), max_tokens=7)
    assert [m["content"] for m in memory.get_context_window()] == ["two", "c d", "three", "e f"]
    assert len(memory.get_conversation_history()) == 6


def test_the_tighter_bound_counts() -> None:
    """The memory's own and the caller's are both kept."""
    memory = said(("one", "a b"), ("two", "c d"), max_tokens=100)
    assert [m["content"] for m in memory.get_context_window(3)] == ["two", "c d"]
    assert memory.get_context_window(2) == []


def test_a_tool_call_stays_with_its_result() -> None:
    """The window never begins in the middle of a turn."""
    memory = WindowMemory(4, count_tokens=words)
    memory.add_message({"role": "user", "content": "q"})
    memory.add_message(
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "name": "f", "arguments": {}}]}
    )
    memory.add_message({"role": "tool", "content": "r", "tool_call_id": "1"})
    memory.add_message({"role": "assistant", "content": "long answer here"})
    assert memory.get_context_window() == []


@given(
    st.lists(st.tuples(st.text("ab ", max_size=9), st.text("cd ", max_size=9)), max_size=8),
    st.integers(1, 20),
)
def test_the_window_fits_and_begins_with_a_user(turns: list[tuple[str, str]], bound: int) -> None:
    """Whatever was said, the window is a suffix within the bound that begins with a user's message."""
    memory = said(*turns)
    window = memory.get_context_window(bound)
    assert sum(words(m["content"]) for m in window) <= bound
    assert window == memory.get_conversation_history()[len(memory) - len(window) :]
    assert not window or window[0]["role"] == "user"


def test_memory_as_a_dataframe() -> None:
    """One row for each message, with the columns of the contract, and what is in the context now."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["hello"]))
    assert list(ada.memory.df().columns) == COLUMNS
    ada.ask("hi")
    frame = ada.memory.df()
    assert list(frame.columns) == COLUMNS
    assert list(frame["kind"]) == ["user", "assistant"]
    assert list(frame["content"]) == ["hi", "hello"]
    assert set(frame["agent"]) == {"ada"}
    assert frame["in_context"].all()
    assert str(frame["created_at"].dt.tz) == "UTC"


def test_search_finds_shared_words_and_clear_forgets() -> None:
    """The plain search of the interface."""
    memory = said(("the red fox", "ok"), ("the blue whale", "ok"))
    assert memory.search("a whale")[0]["content"] == "the blue whale"
    memory.clear()
    assert memory.get_conversation_history() == []


def test_history_is_a_copy_and_may_be_limited() -> None:
    """Changing what one is given does not change the memory."""
    memory = said(("one", "two"))
    memory.get_conversation_history()[0]["content"] = "changed"
    assert [m["content"] for m in memory.get_conversation_history(1)] == ["two"]
    assert memory.get_conversation_history()[0]["content"] == "one"


def test_a_bound_below_one_is_refused() -> None:
    """One line that says what is right."""
    with pytest.raises(ConfigurationError, match="give 1 or more"):
        WindowMemory(0)
