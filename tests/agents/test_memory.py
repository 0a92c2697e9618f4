"""Window memory: what is kept, what of it fits, and how it shows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gathering
from gathering.agents import WindowMemory
from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.testing import ScriptedProvider

COLUMNS = [
    *("memory_id", "agent", "kind", "content", "tokens", "in_context", "created_at"),
    *("importance", "pinned", "embedder", "why", "score"),
]


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


def test_a_message_may_be_edited_in_the_frame() -> None:
    """The text that was edited is what is sent from then on; an id that is not known is said."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["hello", "again"]))
    ada.ask("Hi")
    frame = ada.memory.df()
    assert frame["why"].tolist() == ["in the window"] * 2
    frame.loc[1, "content"] = "good morning"
    assert ada.memory.update(frame) == 1
    ada.ask("And?")
    assert ada.llm_provider.requests[1].messages[1]["content"] == "good morning"
    frame.loc[0, "memory_id"] = "no such"
    with pytest.raises(UnknownNameError, match="no such"):
        ada.memory.update(frame)


@pytest.mark.parametrize(
    ("memory", "shown"),
    [
        ({"max_tokens": 50}, "WindowMemory(0 messages, 0 in context)"),
        ("window", "WindowMemory(0 messages, 0 in context)"),
        (
            {"type": "summary", "words": 50},
            "SummaryMemory(WindowMemory(0 messages, 0 in context), 0 messages summarised)",
        ),
        (
            [{"type": "window", "max_tokens": 500}, "summary", {"type": "long_term", "shared": "class"}],
            "LongTermMemory(0 facts of shared:class, SummaryMemory(WindowMemory(0 messages, 0 in context), "
            "0 messages summarised))",
        ),
        ("long_term", "LongTermMemory(0 facts of agent:ada, WindowMemory(0 messages, 0 in context))"),
    ],
)
def test_memory_described_by_data(memory: Any, shown: str) -> None:
    """A name, a mapping, or a list of them from the inside out."""
    ada = gathering.Agent.from_config({"name": "ada", "model": "local", "memory": memory})
    assert repr(ada.memory) == shown


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        ({"typ": "window"}, "did you mean 'type'"),
        ("windw", "memory"),
        (["summary", "summary"], "two"),
        (["long_term", "window"], "first"),
        ({"type": "window", "words": 5}, "words"),
        ({"type": "long_term", "limit": 0}, "limit"),
    ],
)
def test_a_memory_that_cannot_be_made_is_said_in_one_line(memory: Any, words: str) -> None:
    """What is wrong, and of which agent."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        gathering.Agent.from_config({"name": "ada", "model": "local", "memory": memory})
    assert "\n" not in str(caught.value)


def test_a_store_that_is_none_is_said_at_once() -> None:
    """A text is no store."""
    with pytest.raises(ConfigurationError, match=r"give SQLiteStore\(':memory:'\)"):
        gathering.Agent("ada", llm_provider=ScriptedProvider([]), store=":memory:")  # type: ignore[arg-type]


def test_a_pinned_message_keeps_its_turn_in_the_window() -> None:
    """Before newer turns and whole; the frame says so, and it can be taken back there."""
    memory = WindowMemory(max_tokens=40, count_tokens=lambda text: 10)
    for number in range(5):
        memory.add_message({"role": "user", "content": f"question {number}"})
        memory.add_message({"role": "assistant", "content": f"answer {number}"})
    said = [m["content"] for m in memory.get_context_window()]
    assert said == ["question 3", "answer 3", "question 4", "answer 4"]
    frame = memory.df()
    frame.loc[1, "pinned"] = True
    assert memory.update(frame) == 1
    said = [m["content"] for m in memory.get_context_window()]
    assert said == ["question 0", "answer 0", "question 4", "answer 4"]
    frame = memory.df()
    assert list(frame["why"][:2]) == ["in the window", "pinned"]
    assert next(m["content"] for _, m in memory.older()) == "question 1"
    assert [m["content"] for m in memory.fork(memory.get_conversation_history()).get_context_window()] == said
    frame.loc[1, "pinned"] = False
    assert memory.update(frame) == 1
    assert next(m["content"] for m in memory.get_context_window()) == "question 3"


def test_what_is_pinned_and_too_long_is_said() -> None:
    """It is left out whole, and the newest turns are sent."""
    memory = WindowMemory(max_tokens=30, count_tokens=len)
    memory.add_message({"role": "user", "content": "x" * 100})
    memory.add_message({"role": "user", "content": "short"})
    memory.pin(memory.df()["memory_id"][0])
    assert [m["content"] for m in memory.get_context_window()] == ["short"]
    assert memory.df()["why"][0] == "pinned, and longer than there is room for"
    with pytest.raises(UnknownNameError):
        memory.pin("no such id")


def test_an_edited_frame_may_lack_columns_and_rows() -> None:
    """They stay as they are; what is no frame, or has an unknown id, changes nothing."""
    memory = WindowMemory()
    for text in ("one", "two"):
        memory.add_message({"role": "user", "content": text})
    frame = memory.df()
    assert memory.update(frame[["memory_id", "pinned"]]) == 0
    assert memory.update(frame.iloc[:1].assign(content="ONE")) == 1
    assert list(memory.df()["content"]) == ["ONE", "two"]
    wrong = frame.assign(content=["a", "b"], memory_id=[frame["memory_id"][0], "no such id"])
    with pytest.raises(UnknownNameError):
        memory.update(wrong)
    with pytest.raises(ConfigurationError, match=r"memory\.df"):
        memory.update([1])  # type: ignore[arg-type]
    assert list(memory.df()["content"]) == ["ONE", "two"]


def test_a_window_says_which_memory_remembers() -> None:
    """For long is another memory's: one line that says how to have it."""
    for act in (lambda: WindowMemory().remember("tea"), lambda: WindowMemory().forget("tea")):
        with pytest.raises(ConfigurationError, match="long_term"):
            act()
