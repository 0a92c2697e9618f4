"""A memory described instead of made: by a word, a mapping or a list, in the constructor as in an agent's cell."""

from __future__ import annotations

from typing import Any

import pytest

from gathering import Agent
from gathering.agents import LongTermMemory, SummaryMemory, WindowMemory
from gathering.core.errors import ConfigurationError
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider


def made(memory: Any) -> Agent:
    model = ScriptedProvider(["Well."])
    return Agent("ada", llm_provider=model, memory=memory, store=SQLiteStore(":memory:"))


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        (None, WindowMemory),
        ("window", WindowMemory),
        ("summary", SummaryMemory),
        ("long_term", LongTermMemory),
        ({"max_tokens": 9}, WindowMemory),
        ({"type": "long_term", "shared": "class", "limit": 2}, LongTermMemory),
        (["window", "summary", "long_term"], LongTermMemory),
    ],
)
def test_a_memory_may_be_described(description: Any, kind: type) -> None:
    """The constructor and plain data understand the same, and the agent answers with it."""
    ada = made(description)
    assert type(ada.memory) is kind
    assert ada.ask("Hello?").text == "Well."
    again = Agent.from_config({"name": "ada", "llm_provider": ScriptedProvider([]), "memory": description})
    assert type(again.memory) is kind


def test_a_list_is_built_from_the_inside_out() -> None:
    """Facts around a summary around a window, each with its options."""
    memory = made(
        [{"max_tokens": 50}, {"type": "summary", "words": 30}, {"type": "long_term", "limit": 2}]
    ).memory
    assert isinstance(memory, LongTermMemory)
    assert isinstance(memory.conversation, SummaryMemory)
    assert (memory.limit, memory.conversation.words, memory.conversation.window.max_tokens) == (2, 30, 50)


@pytest.mark.parametrize(
    ("description", "advice"),
    [
        (3, "write window, summary or long_term"),
        ("longterm", "it should be 'window', 'summary' or 'long_term'"),
        ({"type": "long_term", "embeder": "local"}, "did you mean 'embedder'"),
        ({"type": "long_term", "embedder": "locall"}, "did you mean 'local'"),
        ({"type": "window", "shared": "class"}, "it takes max_tokens"),
        (["long_term", "window"], "window first"),
        (["window", "window"], "leave one out"),
    ],
)
def test_a_wrong_description_is_one_line(description: Any, advice: str) -> None:
    """It names the agent or the name that is wrong, and says what to write."""
    with pytest.raises(ConfigurationError, match=advice) as caught:
        made(description)
    assert "\n" not in str(caught.value)
