"""An agent through its public door: made from parts or data, asked, streamed, interrupted, forked, explained."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import gathering
from gathering.core.errors import (
    ConfigurationError,
    ContextOverflowError,
    GatheringError,
    StoreError,
    UnknownNameError,
)
from gathering.core.events import Done, TextDelta
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion
from gathering.core.stream import Batch, TextStream
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider


class Talker(ILLMProvider):
    """Streams the given words, then raises or waits if told to; notes whether its stream was closed."""

    def __init__(self, words: list[str], then: BaseException | None = None) -> None:
        super().__init__("talker", {"model": "t"})
        self.words, self.then, self.closed = words, then, False

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> Completion:
        return Completion("".join(self.words))

    def stream(self, messages: Any, tools: Any = None, **params: Any) -> TextStream:
        async def asynchronous() -> Any:
            for batch in self._batches():
                yield batch

        return TextStream(self._batches, asynchronous)

    def _batches(self) -> Iterator[Batch]:
        try:
            for word in self.words:
                yield [TextDelta(word)]
            if self.then is not None:
                raise self.then
            yield [Done(Completion("".join(self.words)))]
        finally:
            self.closed = True


def test_a_reply_says_what_there_is_to_say() -> None:
    """Text, model, usage and times are on the reply; ``str`` is the text, the repr has no ids."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["Hello!"]))
    reply = ada.ask("Say hello.")
    assert str(reply) == reply.text == "Hello!"
    assert reply.model.startswith("scripted:")
    assert reply.latency >= 0
    assert reply.turn_id not in repr(reply)
    assert set(reply._repr_mimebundle_()) == {"text/plain", "text/markdown", "text/html"}


def test_a_reply_never_becomes_live_html() -> None:
    """Model text is escaped wherever it becomes HTML."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["<script>alert(1)</script>"]))
    assert "<script" not in ada.ask("x")._repr_mimebundle_()["text/html"]


def test_what_the_model_is_sent_is_what_explain_shows() -> None:
    """``explain`` sends nothing and shows the very messages of the next ``ask``."""
    provider = ScriptedProvider(["one", "two"])
    ada = gathering.Agent(
        "ada", llm_provider=provider, age=52, history="20 years of teaching", personality_blocks=["patient"],
        competencies=[gathering.Competency("mathematics", 0.9)], tools=["calculator"],
    )  # fmt: skip
    ada.ask("first")
    shown = ada.explain("second")
    assert len(provider.requests) == 1
    ada.ask("second")
    assert provider.requests[1].messages == shown.messages
    assert provider.requests[1].tools == shown.tools
    sources = list(shown.df()["source"])
    assert sources[:4] == ["name and age", "history", "competency:mathematics", "personality:patient"]
    assert sources[-2:] == ["message", "tool:calculator"]
    assert shown.tokens == sum(shown.df()["tokens"])


def test_an_agent_that_is_only_a_name_sends_no_system_prompt() -> None:
    """So that a bare model can be compared, and the embedded one keeps its own short prompt."""
    provider = ScriptedProvider(["x"])
    gathering.Agent("plain", llm_provider=provider).ask("Hi")
    assert [m["role"] for m in provider.requests[0].messages] == ["user"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"name": "x", "agee": 3}, "unknown key 'agee': did you mean 'age'?"),
        ({"name": "x", "age": -3}, "age = -3"),
        ({"name": "x", "age": "old"}, "age = 'old'"),
        ({"name": "x", "age": 200}, "age = 200"),
        ({"name": ""}, "name = ''"),
        ({"name": "   "}, "name = '   '"),
        ({}, "'name' is missing"),
        ({"name": "x", "llm_provider": "opnai"}, "unknown provider 'opnai': did you mean 'openai'?"),
        ({"name": "x", "personality_blocks": [{"name": "curious", "intensity": 1.5}]}, "intensity = 1.5"),
        ({"name": "x", "personality_blocks": [{"name": "curious", "intensity": -1}]}, "intensity = -1"),
        ({"name": "x", "personality_blocks": ["curius"]}, "did you mean 'curious'?"),
        ({"name": "x", "personality_blocks": [{"nam": "curious"}]}, "did you mean 'name'?"),
        ({"name": "x", "competencies": [{"name": "maths", "level": 2}]}, "level = 2"),
        ({"name": "x", "tools": ["calculater"]}, "did you mean 'calculator'?"),
        ({"name": "x", "tools": "calculator"}, "tools = 'calculator'"),
        ({"name": "x", "max_rounds": 0}, "max_rounds = 0"),
        (["name"], "a mapping"),
        (None, "a mapping"),
    ],
)
def test_a_wrong_description_is_one_clear_line(config: Any, says: str) -> None:
    """One ``ConfigurationError`` that names the value and what would be right."""
    with pytest.raises(ConfigurationError) as caught:
        gathering.Agent.from_config(config)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_description_may_hold_objects_and_names() -> None:
    """Parts that exist already are taken as they are."""
    provider = ScriptedProvider(["x"])
    ada = gathering.Agent.from_config(
        {
            "name": "ada",
            "llm_provider": provider,
            "personality_blocks": ["patient", {"name": "pirate", "prompt": "Speak like a pirate."}],
            "competencies": ["mathematics"],
            "tools": ["calculator"],
            "memory": {"max_tokens": 100},
        }
    )
    assert ada.llm_provider is provider
    assert [b.name for b in ada.personality_blocks] == ["patient", "pirate"]
    assert ada.memory.max_tokens == 100


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("a\0b", "NUL character at position 1"),
        ("half \ud83d", "lone surrogate) at position 5"),
        (None, "NoneType"),
        (b"bytes", "bytes"),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused(message: Any, says: str) -> None:
    """Nothing is sent, remembered or written; the error says what to do."""
    provider = ScriptedProvider(["x"])
    ada = gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"))
    with pytest.raises(ConfigurationError, match=says.replace(")", r"\)")):
        ada.ask(message)
    assert not provider.requests
    assert len(ada.memory) == 0
    assert len(ada.trace.messages()) == 0
    assert ada.ask("Hi").text == "x"


def test_a_huge_message_is_refused_before_it_is_sent() -> None:
    """A megabyte does not fit: the error has both figures, and the agent goes on."""
    provider = ScriptedProvider(["x"])
    ada = gathering.Agent("ada", llm_provider=provider)
    with pytest.raises(ContextOverflowError, match="shorten the message"):
        ada.ask("word " * 200_000)
    assert ada.ask("Hi").text == "x"


def test_a_store_that_cannot_be_written_stops_the_turn_before_it_costs(tmp_path: Any) -> None:
    """The provider is not asked when the trace could not be kept."""
    (tmp_path / "file").write_text("not a folder")
    provider = ScriptedProvider(["x"])
    ada = gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(tmp_path / "file" / "trace.sqlite"))
    with pytest.raises(StoreError, match="GATHERING_STORE"):
        ada.ask("Hi")
    assert not provider.requests


def test_stop_in_a_stream_keeps_what_had_arrived() -> None:
    """The partial answer is remembered and in the trace; the call is interrupted; the next turn works."""
    provider = Talker(["Once ", "upon "], KeyboardInterrupt())
    ada = gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"))
    with pytest.raises(KeyboardInterrupt):
        list(ada.stream("A story."))
    assert provider.closed
    assert [m["content"] for m in ada.memory.get_conversation_history()] == ["A story.", "Once upon "]
    assert list(ada.trace.calls()["status"]) == ["interrupted"]
    assert list(ada.trace.messages()["content"]) == ["A story.", "Once upon "]
    provider.then = None
    assert ada.ask("Go on.").text == "Once upon "


def test_the_events_of_a_stream_are_read_as_those_of_any() -> None:
    """``events()`` of an agent's stream is the stream itself."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["Well, well."]))
    stream = ada.stream("Hi")
    assert [type(event).__name__ for event in stream.events()] == ["TextDelta", "TextDelta", "Done"]
    assert stream.reply.text == "Well, well."


def test_a_stream_left_early_is_closed_and_recorded() -> None:
    """Leaving the ``with`` block closes the provider's stream; what was read is kept."""
    provider = Talker(["Once ", "upon ", "a time"])
    ada = gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"))
    with ada.stream("A story.") as stream:
        assert next(iter(stream)) == TextDelta("Once ")
    assert provider.closed
    assert list(ada.trace.calls()["status"]) == ["interrupted"]
    assert ada.memory.get_conversation_history()[-1]["content"] == "Once "


async def test_a_cancelled_turn_keeps_what_had_arrived() -> None:
    """Stop in an awaited cell arrives as a cancellation, and leaves the same traces."""
    provider = Talker(["Once "], asyncio.CancelledError())
    ada = gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"))
    with pytest.raises(asyncio.CancelledError):
        [e async for e in ada.stream("A story.")]
    assert provider.closed
    assert list(ada.trace.calls()["status"]) == ["interrupted"]


def test_a_turn_that_failed_without_a_word_is_not_remembered() -> None:
    """Asking again does not send the question twice; the trace has the failed call."""
    provider = ScriptedProvider([GatheringError("no"), "yes"])
    ada = gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"))
    with pytest.raises(GatheringError):
        ada.ask("Hi")
    ada.ask("Hi")
    assert [m["content"] for m in provider.requests[1].messages] == ["Hi"]
    assert list(ada.trace.calls()["status"]) == ["error", "ok"]


def test_one_turn_at_a_time() -> None:
    """A second turn while one runs is refused with advice; afterwards the agent is free again."""
    ada = gathering.Agent("ada", llm_provider=Talker(["a", "b"]))
    with ada.stream("Hi") as stream:
        next(iter(stream))
        with pytest.raises(GatheringError, match="in the middle of another turn"):
            ada.ask("Me too")
        assert ada.fork().ask("Me too").text == "ab"
    assert ada.ask("Now?").text == "ab"


def test_tools_run_on_the_callers_thread() -> None:
    """Notebook code touches the user's own objects, so a sync call stays where it is."""
    seen = []

    def where() -> str:
        """Say where this runs."""
        seen.append(threading.current_thread())
        return "here"

    provider = ScriptedProvider([{"tool_calls": [{"name": "where", "arguments": {}}]}, "done"])
    gathering.Agent("ada", llm_provider=provider, tools=[where]).ask("Where?")
    assert seen == [threading.current_thread()]


def test_a_fork_goes_its_own_way() -> None:
    """It remembers what was said, and what it says later is its own."""
    provider = ScriptedProvider(["one", "two"])
    ada = gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"))
    ada.ask("first")
    twin = ada.fork()
    twin.ask("second")
    assert len(ada.memory) == 2
    assert len(twin.memory) == 4
    assert len(ada.trace.calls()) == len(twin.trace.calls()) == 1


def test_agents_of_one_name_do_not_mix_their_traces() -> None:
    """``agent.trace`` is of this agent, not of everything with its name."""
    first, second = (gathering.Agent("ada", llm_provider=ScriptedProvider(["x"])) for _ in range(2))
    first.ask("Hi")
    assert len(first.trace.calls()) == 1
    assert len(second.trace.calls()) == 0


def test_parameters_of_the_agent_and_of_the_turn_reach_the_model() -> None:
    """Those of the turn win, and the calls' ``params`` say what was sent."""
    provider = ScriptedProvider(["x"])
    ada = gathering.Agent(
        "ada", llm_provider=provider, params={"temperature": 0, "seed": 1}, store=SQLiteStore(":memory:")
    )
    ada.ask("Hi", temperature=1)
    assert provider.requests[0].params == {"temperature": 1, "seed": 1}
    assert ada.trace.calls()["params"].iloc[0] == {"temperature": 1, "seed": 1}


def test_unusable_parts_are_named() -> None:
    """The constructor says which part cannot be used."""
    with pytest.raises(ConfigurationError, match="name"):
        gathering.Agent("")
    with pytest.raises(UnknownNameError, match="did you mean"):
        gathering.Agent("x", llm_provider="locl")
    with pytest.raises(ConfigurationError, match="no tool"):
        gathering.Agent("x", llm_provider=ScriptedProvider([]), tools=[3])
    with pytest.raises(ConfigurationError, match="two tools"):
        gathering.Agent("x", llm_provider=ScriptedProvider([]), tools=["calculator", "calculator"])


def test_a_card_shows_the_parts_and_no_address() -> None:
    """Three forms, all without ids."""
    ada = gathering.Agent(
        "ada", llm_provider=ScriptedProvider([]), tools=["calculator"], personality_blocks=["patient"]
    )
    bundle = ada._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/markdown", "text/html"}
    assert "calculator" in bundle["text/plain"]
    assert "patient 0.5" in bundle["text/plain"]
    assert not any("0x" in form for form in bundle.values())


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("competencies", [5]),
        ("competencies", 5),
        ("personality_blocks", [5]),
        ("tools", 5),
        ("permissions", 5),
        ("max_rounds", 0),
        ("max_rounds", "many"),
        ("params", 5),
        ("history", 5),
        ("system_prompt", 5),
    ],
)
def test_a_part_that_is_none_is_said_when_the_agent_is_made(part: str, value: Any) -> None:
    """In one line, not at the first question."""
    parts: dict[str, Any] = {part: value}
    with pytest.raises(ConfigurationError) as caught:
        gathering.Agent("ada", llm_provider=ScriptedProvider([]), **parts)
    assert "\n" not in str(caught.value)


def test_one_part_alone_needs_no_list() -> None:
    """A text is one name, not a list of letters."""
    ada = gathering.Agent(
        "ada",
        llm_provider=ScriptedProvider([]),
        tools="calculator",
        competencies="mathematics",
        personality_blocks="curious",
    )
    assert list(ada.tools) == ["calculator"]
    assert [c.name for c in ada.competencies] == ["mathematics"]
    assert [b.name for b in ada.personality_blocks] == ["curious"]


def test_what_an_error_calls_its_source_is_not_where_an_answer_came_from() -> None:
    """The row of a call that failed says live, whatever the error carries."""

    class Parsing(Exception):
        source = "the text that could not be read"

    provider = ScriptedProvider([Parsing("line 1")])
    ada = gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"))
    with pytest.raises(Parsing):
        ada.ask("Hi")
    assert list(ada.trace.calls()["source"]) == ["live"]
