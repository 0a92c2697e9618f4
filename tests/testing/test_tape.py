"""The tape: what was recorded comes again, from the tape alone; what was not is one clear error."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import gathering
from gathering.core import session
from gathering.core.errors import (
    AuthenticationError,
    ConfigurationError,
    GatheringError,
    MissingRecordingError,
    ProviderError,
    RateLimitError,
    TapeError,
)
from gathering.core.events import Event, TextDelta
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion
from gathering.core.offers import Embeddings
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider, current_tape, tape

TAPE = "tapes/lesson.jsonl"
HI = [{"role": "user", "content": "Hi there"}]


class Untouchable(ILLMProvider):
    """Stands in for what is not there in replay: no key, no weights, no network."""

    def __init__(self, name: str = "scripted", model: str = "script") -> None:
        super().__init__(name, {"model": model})

    def _touched(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("replay touched the provider")

    complete = complete_async = stream = is_available = get_token_count = _touched  # type: ignore[assignment]


def agent(provider: ILLMProvider, **options: Any) -> gathering.Agent:
    return gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"), **options)


def entries(path: str = TAPE) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()[1:]]


def record(answers: Sequence[Any], messages: Any = HI, **params: Any) -> list[Completion]:
    with tape(TAPE, "record") as made:
        provider = made.wrap(ScriptedProvider(answers))
        return [provider.complete(messages, **params) for _ in answers]  # type: ignore[misc]


def replay(messages: Any = HI, provider: ILLMProvider | None = None, **params: Any) -> Completion:
    with tape(TAPE, "replay") as made:
        return made.wrap(provider or Untouchable()).complete(messages, **params)  # type: ignore[return-value]


def test_a_conversation_with_tools_comes_again() -> None:
    """Recorded once, a turn with a tool call replays without the provider, streamed or whole, with its figures."""

    def turn(provider: ILLMProvider) -> gathering.Agent:
        ada = agent(provider, tools=["calculator"])
        ada.ask("What is 15 * 25?")
        return ada

    script = [
        {"tool_calls": [{"name": "calculator", "arguments": {"expression": "15 * 25"}}]},
        {"content": "It is 375.", "thinking": "easy"},
    ]
    with tape(TAPE, "record"):
        recorded = turn(ScriptedProvider(script))
    with tape(TAPE, "replay") as played:
        replayed = turn(Untouchable())
    assert played.played == 3  # two calls, and the calculator's result
    columns = ["model", "input_tokens", "output_tokens", "finish_reason", "status"]
    assert replayed.trace.calls()[columns].equals(recorded.trace.calls()[columns])
    assert set(replayed.trace.calls()["source"]) == {"tape"}
    assert list(replayed.trace.messages()["content"]) == list(recorded.trace.messages()["content"])
    assert list(replayed.trace.tool_calls()["output"]) == list(recorded.trace.tool_calls()["output"])


def test_ids_made_up_at_random_do_not_matter() -> None:
    """A service that gives its tool calls no ids gets new ones in each run; the requests are still the same."""

    def script() -> list[Any]:
        return [{"tool_calls": [{"id": "", "name": "calculator", "arguments": {"expression": "1+1"}}]}, "2"]

    with tape(TAPE, "record"):
        agent(ScriptedProvider(script()), tools=["calculator"]).ask("1 + 1?")
    calls = [e["request"]["messages"] for e in entries() if "messages" in e["request"]]
    assert [messages[-1].get("tool_call_id") for messages in calls] == [None, "call-1"]
    for _ in range(2):
        with tape(TAPE, "replay"):
            assert agent(Untouchable(), tools=["calculator"]).ask("1 + 1?").text == "2"


def test_whole_and_streamed_answer_each_other() -> None:
    """Recorded by stream, the answer can be asked for whole, and the reverse."""
    with tape(TAPE, "record"):
        events = [e for e in agent(ScriptedProvider(["one two"])).stream("A") if isinstance(e, TextDelta)]
        agent(ScriptedProvider(["three four"])).ask("B")
    with tape(TAPE, "replay"):
        assert agent(Untouchable()).ask("A").text == "one two"
        assert texts(agent(Untouchable()).stream("B")) == ["three four"]
    with tape(TAPE, "replay", unused="ignore"):
        assert texts(agent(Untouchable()).stream("A")) == [e.text for e in events] == ["one ", "two"]


def texts(events: Any) -> list[str]:
    return [e.text for e in events if isinstance(e, TextDelta)]


async def test_replay_is_awaited_too() -> None:
    """The four ways of asking replay the same recordings."""
    with tape(TAPE, "record") as made:
        provider = made.wrap(ScriptedProvider(["a b", "c d"]))
        await provider.complete_async(HI)
        recorded: list[Event] = [e async for e in provider.stream(HI).events()]
    with tape(TAPE, "replay") as made:
        provider = made.wrap(Untouchable())
        assert (await provider.complete_async(HI))["content"] == "a b"
        replayed = [e async for e in provider.stream(HI).events()]
    assert texts(replayed) == texts(recorded) == ["c ", "d"]


def test_times_are_those_of_the_recording() -> None:
    """Start, first token and latency are fixed, so a table of them is the same in each run."""
    record(["x"])
    body = entries()[0]
    for _ in range(2):
        timing = replay().timing
        assert timing is not None
        assert (timing.started_at, timing.ttft_ms, timing.latency_ms) == (
            body["started_at"],
            body["ttft_ms"],
            body["latency_ms"],
        )


def test_the_rhythm_can_be_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """speed=1 waits between the pieces as long as the model did; 0 waits nowhere; 2 half as long."""
    record(["x"])
    line = entries()[0]
    line.update(stream=[[100, {"text": "on"}], [400, {"text": "e"}]], latency_ms=500)
    line["answer"]["content"] = "one"
    Path(TAPE).write_text('{"gathering_tape": 1}\n' + json.dumps(line) + "\n")
    waited: list[float] = []
    clock = SimpleNamespace(sleep=waited.append)
    monkeypatch.setattr(sys.modules["gathering.core.playback"], "time", clock)
    for speed in (1, 2, 0):
        with tape(TAPE, "replay", speed=speed) as made:
            assert list(made.wrap(Untouchable()).stream(HI)) == ["on", "e"]
    assert waited == pytest.approx([0.1, 0.3, 0.1, 0.05, 0.15, 0.05])
    with pytest.raises(ConfigurationError, match="speed = -1"):
        tape(TAPE, "replay", speed=-1)


def test_equal_requests_have_their_own_recordings() -> None:
    """The n-th time the same is asked, the n-th recording answers; one more is an error that says so."""
    record(["one", "two"])
    with tape(TAPE, "replay") as made:
        provider = made.wrap(Untouchable())
        assert [provider.complete(HI)["content"] for _ in range(2)] == ["one", "two"]
        with pytest.raises(MissingRecordingError, match="recorded 2 times and asked for once more"):
            provider.complete(HI)


async def test_equal_requests_at_the_same_time_each_get_one() -> None:
    """A comparison that asks the same five times at once gets five recordings, none twice."""
    with tape(TAPE, "record") as made:
        provider = made.wrap(ScriptedProvider([str(n) for n in range(5)]))
        await asyncio.gather(*(provider.complete_async(HI) for _ in range(5)))
    with tape(TAPE, "replay") as made:
        provider = made.wrap(Untouchable())
        replayed = await asyncio.gather(*(provider.complete_async(HI) for _ in range(5)))
    assert sorted(c["content"] for c in replayed) == list("01234")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"messages": [{"role": "user", "content": "Who are you?"}]},
            r"the nearest, 'Hi there', differs in prompt: 'Hi there' -> 'Who are you\?'",
        ),
        ({"temperature": 1}, "differs in params.temperature: 0 -> 1"),
        ({"provider": Untouchable(model="other")}, "differs in model: 'script' -> 'other'"),
        ({"provider": Untouchable(name="other")}, "differs in provider: 'scripted' -> 'other'"),
        (
            {"messages": [{"role": "system", "content": "Be brief."}, *HI]},
            "differs in system: '' -> 'Be brief.'",
        ),
        ({"tools": [{"name": "t"}]}, "differs in tools.t: none -> "),
    ],
)
def test_a_missing_recording_names_the_prompt_and_the_difference(change: Any, said: str) -> None:
    """The error says which prompt, what differs from the recording of it, and how to record."""
    record(["x"], temperature=0)
    with pytest.raises(MissingRecordingError, match=said) as caught:
        replay(**{"temperature": 0, **change})
    assert repr(str({"messages": HI, **change}["messages"][-1]["content"])) in str(caught.value)
    assert "GATHERING_TAPE_MODE=record" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_under_a_test_runner_auto_means_replay() -> None:
    """Nothing is asked of a model: this very test runs under one."""
    provider = ScriptedProvider(["x"])
    with tape(TAPE) as made, pytest.raises(MissingRecordingError, match="empty or missing"):
        agent(provider).ask("Hi")
    assert (made.mode, provider.requests) == ("replay", [])


def test_auto_replays_what_is_there_and_records_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a test runner the tape grows by what was missing, and only by that."""
    monkeypatch.setattr(session, "under_test", lambda: False)
    record(["one"])
    before = Path(TAPE).read_bytes()
    with tape(TAPE) as made:
        provider = made.wrap(ScriptedProvider(["two"]))
        assert [provider.complete(HI)["content"] for _ in range(2)] == ["one", "two"]
    assert (made.mode, made.played, made.recorded) == ("auto", 1, 1)
    assert Path(TAPE).read_bytes().startswith(before)
    assert [e["ordinal"] for e in entries()] == [0, 1]


def test_auto_records_nothing_where_live_calls_are_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing recording is what is said, for a user's own provider too."""
    monkeypatch.setattr(session, "under_test", lambda: False)
    provider = ScriptedProvider(["x"])
    with tape(TAPE), session.no_live_calls(), pytest.raises(MissingRecordingError):
        agent(provider).ask("Hi")
    assert not provider.requests


def test_record_begins_anew_and_only_when_something_is_said() -> None:
    """The old tape stays until the first new exchange; then it is gone, whole."""
    record(["old", "old too"])
    with tape(TAPE, "record") as made:
        assert len(entries()) == 2
        made.wrap(ScriptedProvider(["new"])).complete(HI)
        assert [e["answer"]["content"] for e in entries()] == ["new"]


def test_live_is_as_without_a_tape() -> None:
    """Nothing is read, nothing is written."""
    with tape(TAPE, "live"):
        assert agent(ScriptedProvider(["x"])).ask("Hi").text == "x"
    assert not Path(TAPE).exists()


@pytest.mark.parametrize(("given", "env", "then"), [
    (None, "record", "record"), ("auto", "record", "record"), ("replay", "record", "replay"), (None, "", "replay"),
])  # fmt: skip
def test_the_environment_decides_where_nothing_else_does(
    given: Any, env: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mode that is named wins over the variable, the variable over auto."""
    monkeypatch.setenv("GATHERING_TAPE_MODE", env)
    assert tape(TAPE, given).mode == then


def test_an_unknown_mode_is_an_error() -> None:
    """It lists the modes."""
    with pytest.raises(ConfigurationError, match="use auto, record, replay, live"):
        tape(TAPE, "rec")  # type: ignore[arg-type]


def test_one_tape_is_in_at_a_time() -> None:
    """A plain call replaces the tape that is in; a block gives it back."""
    first = tape("a.jsonl")
    with tape("b.jsonl") as second:
        assert current_tape() is second
    assert current_tape() is first
    third = tape("c.jsonl")
    first.close()
    assert current_tape() is third
    third.close()
    third.close()
    assert current_tape() is None
    assert agent(ScriptedProvider(["live"])).ask("Hi").text == "live"


def test_a_tape_shows_itself_the_same_in_each_mode() -> None:
    """Recorded and replayed, a saved notebook holds the same output."""
    record(["x"])
    with tape(TAPE, "replay", unused="ignore") as replaying, tape(TAPE, "record") as recording:
        assert repr(replaying) == repr(recording) == "Tape('tapes/lesson.jsonl')"
        assert replaying._repr_mimebundle_() == recording._repr_mimebundle_()
    assert (len(replaying), replaying.mode, recording.mode) == (1, "replay", "record")


@pytest.mark.parametrize(
    "error",
    [
        RateLimitError("slow down", provider="p", model="m", status=429, request_id="r", retry_after=2.5),
        AuthenticationError("wrong key", status=401),
        ValueError("a provider of one's own"),
    ],
)
def test_errors_come_again_as_they_were(error: Exception) -> None:
    """Type, text and details are replayed; text that had arrived comes first."""
    with tape(TAPE, "record") as made, pytest.raises(type(error)):
        list(made.wrap(ScriptedProvider([{"content": "Half an", "raises": error}])).stream(HI))
    with tape(TAPE, "replay") as made:
        stream = iter(made.wrap(Untouchable()).stream(HI))
        assert [next(stream), next(stream)] == ["Half ", "an"]
        with pytest.raises(type(error)) as caught:
            next(stream)
    assert str(caught.value) == str(error)
    details = {name: value for name, value in vars(caught.value).items() if name != "timing"}
    assert details == vars(error)


def test_an_unknown_error_is_told_as_a_providers() -> None:
    """A class of the user's own cannot be made again, its name and text can."""

    class Odd(Exception):
        pass

    with pytest.raises(Odd):
        record([Odd("strange")])
    with pytest.raises(ProviderError, match="Odd: strange"):
        replay()


@pytest.mark.parametrize("error", [SystemExit(), AuthenticationError("no key"), GatheringError("here")])
def test_what_went_wrong_here_is_not_recorded(error: BaseException) -> None:
    """An exit, a missing key or a mistake of the caller is no answer of a model."""
    with pytest.raises(type(error)):
        record([error])
    assert not Path(TAPE).exists()


def test_a_stream_that_is_left_can_be_left_again() -> None:
    """As far as it was read it replays; half an answer does not pass for a whole one."""
    with tape(TAPE, "record") as made, made.wrap(ScriptedProvider(["one two"])).stream(HI) as stream:
        next(iter(stream))
    assert entries()[0]["cut"] == "left"
    with tape(TAPE, "replay") as made, made.wrap(Untouchable()).stream(HI) as stream:
        assert next(iter(stream)) == "one "
    with tape(TAPE, "replay") as made, pytest.raises(TapeError, match="left here when it was recorded"):
        list(made.wrap(Untouchable()).stream(HI))


def test_stop_comes_again_where_it_came() -> None:
    """An interrupted turn replays its pieces and then the interrupt, with the row the recording gave."""

    def turn(provider: ILLMProvider) -> gathering.Agent:
        ada = agent(provider)
        pieces = iter(ada.stream("Tell me."))
        assert isinstance(next(pieces), TextDelta)
        with pytest.raises(KeyboardInterrupt):
            list(pieces)
        return ada

    columns = ["status", "error", "ttft_ms", "latency_ms", "started_at"]
    with tape(TAPE, "record"):
        recorded = turn(ScriptedProvider([{"content": "One", "raises": KeyboardInterrupt()}]))
    assert entries()[0]["cut"] == "stop"
    tables = []
    for _ in range(2):
        with tape(TAPE, "replay"):
            tables.append(turn(Untouchable()).trace.calls()[columns])
    assert tables[0].equals(tables[1])
    assert list(tables[0]["status"]) == list(recorded.trace.calls()["status"]) == ["interrupted"]
    assert tables[0]["latency_ms"][0] == entries()[0]["latency_ms"]


def test_what_is_cut_short_in_a_replay_asked_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorded failure, and Stop in the middle of a rhythm, are rows of the tape, not of a live call."""
    with tape(TAPE, "record"):
        bob = agent(ScriptedProvider(["One two three.", RateLimitError("too many: wait")]))
        list(bob.stream("Count."))
        with pytest.raises(RateLimitError):
            bob.ask("Again.")

    def stop(seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    with tape(TAPE, "replay", speed=1, unused="ignore"):
        ada = agent(Untouchable())
        with monkeypatch.context() as patch:
            patch.setattr("gathering.core.playback.time.sleep", stop)
            with pytest.raises(KeyboardInterrupt):
                list(ada.stream("Count."))
    with tape(TAPE, "replay"):
        eve = agent(Untouchable())
        list(eve.stream("Count."))
        with pytest.raises(RateLimitError):
            eve.ask("Again.")
    assert list(ada.trace.calls()[["status", "source"]].iloc[0]) == ["interrupted", "tape"]
    assert list(eve.trace.calls()["source"]) == ["tape", "tape"]
    assert list(bob.trace.calls()["source"]) == ["live", "live"]


async def test_an_awaited_turn_that_was_cancelled_is_cancelled_again() -> None:
    """Stop in an awaited cell is a cancellation, and comes again as one."""

    class Slow(ScriptedProvider):
        async def complete_async(self, messages: Any, tools: Any = None, **params: Any) -> Any:
            await asyncio.Event().wait()

    with tape(TAPE, "record") as made:
        asked = asyncio.ensure_future(made.wrap(Slow([])).complete_async(HI))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    with tape(TAPE, "replay") as made, pytest.raises(asyncio.CancelledError):
        await made.wrap(Untouchable()).complete_async(HI)


def test_what_was_stopped_by_hand_is_asked_again_outside_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell stopped by mistake does not stay stopped: in auto its answer takes the place of the cut."""
    monkeypatch.setattr(session, "under_test", lambda: False)
    with pytest.raises(KeyboardInterrupt):
        record([KeyboardInterrupt()])
    with tape(TAPE) as made:
        assert made.wrap(ScriptedProvider(["whole"])).complete(HI)["content"] == "whole"
    assert [(e["ordinal"], "cut" in e) for e in entries()] == [(0, True), (0, False)]
    with tape(TAPE, "replay") as made:
        assert made.wrap(Untouchable()).complete(HI)["content"] == "whole"


def test_what_it_cost_is_what_it_cost_then() -> None:
    """A price that changed, or a provider without one, does not change what a recorded call cost."""

    class Priced(ScriptedProvider):
        def get_cost(self, usage: Any) -> float | None:
            return 0.25

    with tape(TAPE, "record"):
        assert agent(Priced(["x"])).ask("Hi").cost == 0.25
    with tape(TAPE, "replay"):
        assert agent(Untouchable()).ask("Hi").cost == 0.25


def test_a_provider_of_plain_strings_can_be_taped() -> None:
    """A user's own class with a sync complete and an async generator is recorded and replayed, with tools too."""

    class Mine(ILLMProvider):
        def complete(self, messages: Any, tools: Any = None, **params: Any) -> dict[str, Any]:
            return {"role": "assistant", "content": f"{len(messages)} messages"}

        async def stream(self, messages: Any, tools: Any = None, **params: Any) -> Any:  # type: ignore[override]
            yield "piece "
            yield "by piece"

    with tape(TAPE, "record") as made:
        mine = made.wrap(Mine("mine", {}))
        assert list(mine.stream(HI)) == ["piece ", "by piece"]
        assert list(mine.stream(HI, [{"name": "t"}])) == ["1 messages"]
    with tape(TAPE, "replay") as made:
        again = made.wrap(Untouchable("mine", ""))
        assert list(again.stream(HI)) == ["piece ", "by piece"]
        assert again.complete(HI, [{"name": "t"}])["content"] == "1 messages"


def test_tokens_are_counted_without_the_model() -> None:
    """Recording and replay use the same estimate, so both choose the same context window."""
    with tape(TAPE, "replay") as made:
        provider = made.wrap(Untouchable())
    assert provider.get_token_count("eight letters") == ScriptedProvider([]).get_token_count("eight letters")
    assert provider.is_available()
    assert provider.why_unavailable() is None


def test_keys_are_masked_and_the_recording_is_still_found() -> None:
    """A key in a prompt, a parameter or an answer is not on the tape; the same request replays."""
    secret = "sk-proj-abcdefghijk1234567890"
    messages = [{"role": "user", "content": f"my key is {secret}"}]
    params = {"extra": {"api_key": "hunter2"}}
    record([f"never show {secret}"], messages, **params)
    content = Path(TAPE).read_text()
    assert secret not in content
    assert "hunter2" not in content
    assert replay(messages, **params).content == "never show ***"


def test_answers_of_equal_requests_keep_the_order_of_asking(tmp_path: Path) -> None:
    """Asked side by side, the last question may be answered first: a replay gives each its own answer."""

    class LastFirst(ILLMProvider):
        """Answers in the reverse order of asking."""

        def __init__(self) -> None:
            super().__init__("reverse", {"model": "r"})
            self.waiting: list[asyncio.Event] = []

        def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
            raise AssertionError("only awaited calls are made here")

        async def complete_async(self, messages: Any, tools: Any = None, **params: Any) -> Any:
            number, mine = len(self.waiting), asyncio.Event()
            self.waiting.append(mine)
            if number == 3:
                mine.set()
            await mine.wait()
            if number:
                self.waiting[number - 1].set()
            return f"answer {number}"

    async def ask_four(mode: str) -> list[str]:
        with tape(tmp_path / "t.jsonl", mode=mode) as put_in:
            provider = put_in.wrap(LastFirst())
            asked = [provider.complete_async([{"role": "user", "content": "Hi"}]) for _ in range(4)]
            return [answer["content"] for answer in await asyncio.gather(*asked)]

    recorded = asyncio.run(ask_four("record"))
    assert recorded == [f"answer {i}" for i in range(4)]
    assert asyncio.run(ask_four("replay")) == recorded


def test_entries_that_nobody_played_are_an_error() -> None:
    """At the end of a block in replay; not where it is allowed, and not where something else failed before."""
    record(["one", "two"])
    with pytest.raises(TapeError, match=r"1 of 2 entries .* were not played \('Hi there'\)"):
        replay()
    with tape(TAPE, "replay", unused="ignore") as made:
        made.wrap(Untouchable()).complete(HI)
    assert (made.unused(), made.missed()) == (["Hi there"], [])
    with pytest.raises(ValueError, match="the notebook's own"), tape(TAPE, "replay"):
        raise ValueError("the notebook's own")
    with pytest.raises(ConfigurationError, match="unused = 'fail'"):
        tape(TAPE, unused="fail")  # type: ignore[arg-type]


def test_the_nearest_recording_is_one_that_nobody_played() -> None:
    """Two recorded prompts, one changed: the difference shown is from its own recording, and names what was missed."""
    with tape(TAPE, "record") as made:
        for text in ("What is a mean?", "What is a median?"):
            made.wrap(ScriptedProvider(["x"])).complete([{"role": "user", "content": text}])
    with tape(TAPE, "replay", unused="ignore") as made:
        made.wrap(Untouchable()).complete([{"role": "user", "content": "What is a mean?"}])
        with pytest.raises(MissingRecordingError) as caught:
            made.wrap(Untouchable()).complete([{"role": "user", "content": "What is the median?"}])
    assert caught.value.differences == ("prompt: 'What is a median?' -> 'What is the median?'",)
    assert caught.value.prompt == "What is the median?"
    assert made.missed() == ["What is the median?"]


def test_what_is_private_is_masked_and_found_again() -> None:
    """A name that is marked is on the tape in no field, also inside a longer one; the replay is told the same."""
    messages = [{"role": "user", "content": "Write to Jane Doe, or to Jane."}]
    private = ["Jane", "Jane Doe"]
    with tape(TAPE, "record", private=private) as made:
        made.wrap(ScriptedProvider(["Dear Jane Doe"])).complete(messages)
    assert "Jane" not in Path(TAPE).read_text()
    with tape(TAPE, "replay", private=private) as made:
        assert made.wrap(Untouchable()).complete(messages)["content"] == "Dear ***"
    with pytest.raises(ConfigurationError, match="private = ''"):
        tape(TAPE, private=[""])


def test_long_texts_are_on_the_tape_once() -> None:
    """A book in a system prompt and an image are written once, however often they are sent; short texts stay inside."""
    book = "A long story. " * 100
    image = {"media_type": "image/png", "data": "iVBORw0KGgo" * 100}
    messages = [
        {"role": "system", "content": book},
        {"role": "user", "content": "Hi", "images": [image]},
        {"role": "user", "content": '{"$long": "x"}', "extra": {"$long": "not a reference"}},
    ]
    record(["one", "two", book], messages)
    text = Path(TAPE).read_text()
    assert text.count(book) == 1
    assert text.count(image["data"]) == 1
    with tape(TAPE, "replay") as made:
        provider = made.wrap(Untouchable())
        assert [provider.complete(messages)["content"] for _ in range(3)] == ["one", "two", book]


def test_cached_answers_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the response cache gave is on the tape like any answer, so that the tape is whole."""
    monkeypatch.setenv("GATHERING_STORE", str(tmp_path / "trace.sqlite"))
    provider = ScriptedProvider(["x"])
    agent(provider, cache=True).ask("Hi")
    with tape(TAPE, "record") as made:
        assert agent(provider, cache=True).ask("Hi").text == "x"
    assert (len(provider.requests), made.recorded) == (1, 1)
    with tape(TAPE, "replay"):
        assert agent(Untouchable()).ask("Hi").text == "x"


def test_vectors_are_replayed() -> None:
    """An embedder is asked once; recorded and replayed vectors are the same to the last digit, awaited too."""
    asked: list[list[str]] = []

    class Embedder(ScriptedProvider):
        def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
            asked.append(list(texts))
            return Embeddings(tuple((0.1, 1 / 3, float(len(text))) for text in texts), "scripted:small")

    with tape(TAPE, "record") as made:
        provider = made.wrap(Embedder([]))
        recorded = [provider.embed(["a", "bb"]), asyncio.run(provider.embed_async(["ccc"]))]
    with tape(TAPE, "replay") as made:
        provider = made.wrap(Untouchable())
        assert [provider.embed(["a", "bb"]), asyncio.run(provider.embed_async(["ccc"]))] == recorded
        with pytest.raises(MissingRecordingError, match=r"the nearest, 'a \| bb'"):
            provider.embed(["d"])
        shorter = Untouchable()
        shorter.config["dimensions"] = 2
        with pytest.raises(MissingRecordingError, match="differs in dimensions: null -> 2"):
            made.wrap(shorter).embed(["a", "bb"])
    assert asked == [["a", "bb"], ["ccc"]]
    Path(TAPE).write_text(Path(TAPE).read_text().replace('"by"', '"with"'))
    with tape(TAPE, "replay", unused="ignore") as made, pytest.raises(TapeError, match="vectors that cannot"):
        made.wrap(Untouchable()).embed(["a", "bb"])
