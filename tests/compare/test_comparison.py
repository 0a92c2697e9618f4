"""``gathering.compare``: many turns at once, their rows and figures, failures, and Stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

import gathering
from gathering import Agent
from gathering.compare import Comparison, compare, compare_async, last
from gathering.core.errors import (
    ConfigurationError,
    MissingRecordingError,
    ProviderTimeoutError,
    UnknownNameError,
)
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, Usage
from gathering.core.portal import portal
from gathering.storage import COLUMNS, SQLiteStore
from gathering.testing import ScriptedProvider


@pytest.fixture
def store() -> Iterator[SQLiteStore]:
    with SQLiteStore(":memory:") as made:
        yield made


class Echo(ILLMProvider):
    """Answers with the prompt; what it does before is handed in."""

    def __init__(self, name: str, before: Callable[[str], Any] | None = None) -> None:
        super().__init__(name, {"model": "echo"})
        self.before = before
        self.now = self.most = 0
        self.cancelled: list[str] = []
        self.heard: list[list[dict[str, Any]]] = []

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> Completion:
        raise AssertionError("a comparison awaits")

    async def complete_async(self, messages: Any, tools: Any = None, **params: Any) -> Completion:
        prompt = messages[-1]["content"]
        self.heard.append(messages)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.before is not None:
                await self.before(prompt)
        except asyncio.CancelledError:
            self.cancelled.append(prompt)
            raise
        finally:
            self.now -= 1
        return Completion(f"{self.name}: {prompt} {params or ''}".strip(), usage=Usage(3, 2), model="echo-1")

    def get_cost(self, usage: Usage) -> float | None:
        return 0.25


def test_every_model_answers_every_case_as_often_as_asked(store: SQLiteStore) -> None:
    """Rows come in the order of the plan, whatever order the answers come in."""
    result = gathering.compare(["p", "q"], [Echo("a"), Echo("b")], repeats=2, store=store)
    assert isinstance(result, Comparison)
    assert [(r["case"], r["model"], r["repeat"], r["output"]) for r in result.rows] == [
        (1, "a:echo", 1, "a: p"),
        (1, "a:echo", 2, "a: p"),
        (1, "b:echo", 1, "b: p"),
        (1, "b:echo", 2, "b: p"),
        (2, "a:echo", 1, "a: q"),
        (2, "a:echo", 2, "a: q"),
        (2, "b:echo", 1, "b: q"),
        (2, "b:echo", 2, "b: q"),
    ]
    assert (result.done, result.total, len(result)) == (8, 8, 8)
    assert last() is result


def test_the_dataframe_has_the_contracts_columns_and_joins_the_trace(store: SQLiteStore) -> None:
    """Case, prompt, model, repeat, output, the columns of calls, then the scorers'."""
    result = compare(["p"], [Echo("a")], store=store, scorers=[len])
    table = result.df()
    of_calls = [column for column in COLUMNS["calls"] if column != "model"]
    assert list(table.columns) == ["case", "prompt", "model", "repeat", "output", *of_calls, "len"]
    row = table.iloc[0]
    assert (row["status"], row["input_tokens"], row["cost_usd"], row["source"]) == ("ok", 3, 0.25, "live")
    assert str(table["started_at"].dtype) == "datetime64[us, UTC]"
    assert [call["call_id"] for call in store.rows("calls")] == [row["call_id"]]
    assert table["case"].dtype == "Int64"


def test_the_figures_of_a_turn_with_tools_are_those_of_all_its_calls(store: SQLiteStore) -> None:
    """Tokens are added up; the id is the last call's."""
    wants = {
        "tool_calls": [{"name": "calculator", "arguments": {"expression": "2+3"}}],
        "usage": {"input_tokens": 10, "output_tokens": 4},
    }
    says = {"content": "It is 5.", "usage": {"input_tokens": 20, "output_tokens": 6}}
    ada = Agent("ada", llm_provider=ScriptedProvider([wants, says]), tools=["calculator"], store=store)
    row = compare("2+3?", agents=[ada]).rows[0]
    calls = store.rows("calls")
    assert (row["input_tokens"], row["output_tokens"], row["output"]) == (30, 10, "It is 5.")
    assert row["call_id"] == calls[-1]["call_id"]
    assert row["latency_ms"] == pytest.approx(sum(call["latency_ms"] for call in calls))
    assert row["cost_usd"] is None
    assert row["started_at"] == calls[0]["started_at"]


def test_a_model_is_asked_bare_and_an_agent_as_it_is_now(store: SQLiteStore) -> None:
    """Cases do not see each other, and the agent does not remember the comparison."""
    bare, own = Echo("bare"), Echo("own")
    ada = Agent("ada", llm_provider=own, system_prompt="Be brief.", store=store)
    own.before = None
    asyncio.run(ada.ask_async("before"))
    compare(["p", "q"], [bare, ada], store=store)
    assert sorted(len(messages) for messages in bare.heard) == [1, 1]
    assert [[m["content"] for m in messages] for messages in sorted(own.heard[1:], key=str)] == [
        ["You are ada. Be brief.", "before", "own: before", "p"],
        ["You are ada. Be brief.", "before", "own: before", "q"],
    ]
    assert len(ada.memory.get_conversation_history()) == 2


def test_params_reach_every_call(store: SQLiteStore) -> None:
    """In neutral words, for models and agents alike."""
    result = compare(
        "p", [Echo("a"), Agent("ada", llm_provider=Echo("b"), store=store)], params={"seed": 7}, store=store
    )
    assert [row["output"] for row in result.rows] == ["a: p {'seed': 7}", "b: p {'seed': 7}"]


def test_labels_say_who_answered_and_are_never_the_same_twice(store: SQLiteStore) -> None:
    """A model as it was written, an agent by its name, twins numbered."""
    ada = Agent("ada", llm_provider=Echo("x"), store=store)
    assert compare("p", [Echo("a"), Echo("a"), ada], store=store).models == (
        "a:echo (1)",
        "a:echo (2)",
        "ada",
    )
    assert compare("p", ada, store=store).models == ("ada",)


def test_a_dict_of_models_names_them(store: SQLiteStore) -> None:
    """Two configurations of one model are told apart by labels of one's own, which the table and the trace have too."""
    result = compare("p", {"cold": Echo("a"), "warm": Echo("a")}, store=store)
    assert result.models == ("cold", "warm")
    assert result.df()["model"].tolist() == ["cold", "warm"]
    assert set(result.df()["agent"]) == {"cold", "warm"}
    with pytest.raises(ConfigurationError, match="3 cannot be compared"):
        compare("p", {"three": 3}, store=store)  # type: ignore[dict-item]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_calls_run_at_once_than_allowed(concurrency: int, store: SQLiteStore) -> None:
    """Over all models together; and as many as allowed do."""

    async def others_first(prompt: str) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    echo = Echo("a", others_first)
    compare([str(n) for n in range(10)], [echo], concurrency=concurrency, store=store)
    assert echo.most == concurrency


def test_a_model_that_answers_one_at_a_time_is_asked_so_and_keeps_nobody_waiting(store: SQLiteStore) -> None:
    """Its latency is that of the answer, and the others run beside it as many as allowed."""

    class Small(Echo):
        one_at_a_time = True

    async def others_first(prompt: str) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    small, large = Small("small", others_first), Echo("large", others_first)
    cases = [str(n) for n in range(10)]
    assert compare(cases, [small, large], concurrency=4, store=store).done == 20
    assert (small.most, large.most >= 3) == (1, True)


def test_a_failure_is_a_row_that_says_why_and_stops_no_other(store: SQLiteStore) -> None:
    """With the text that had arrived."""
    cut = ProviderTimeoutError("fell silent:\ntry again", partial="Half an ans")
    result = compare(["p", "q", "r"], [ScriptedProvider(["one", cut, "three"])], concurrency=1, store=store)
    assert [row["status"] for row in result.rows] == ["ok", "error", "ok"]
    assert result.rows[1]["output"] == "Half an ans"
    assert result.rows[1]["error"] == "ProviderTimeoutError: fell silent: try again"
    assert result.rows[1]["call_id"] in {call["call_id"] for call in store.rows("calls")}
    assert result.done == 3


def test_progress_counts_on_the_callers_thread(store: SQLiteStore) -> None:
    """From none to all, while ``last()`` holds what is there."""
    seen: list[tuple[int, int, str, int]] = []

    def progress(done: int, total: int) -> None:
        running = last()
        assert running is not None
        seen.append(
            (done, total, threading.current_thread().name, sum(r["status"] == "ok" for r in running.rows))
        )

    compare(["p", "q"], [Echo("a")], progress=progress, store=store)
    here = threading.current_thread().name
    assert seen == [(0, 2, here, 0), (1, 2, here, 1), (2, 2, here, 2)]


def shouts(text: str) -> bool:
    return text.isupper()


def right(reply: gathering.Reply, case: Any) -> float:
    if case["answer"] not in reply.text:
        raise LookupError("no answer")
    return 1.0


def test_scorers_are_columns_and_a_broken_one_is_a_note(store: SQLiteStore) -> None:
    """Functions of the text, or of the reply and its case; a score that fails is missing, nothing else is."""
    table = pd.DataFrame({"text": ["x", "y"], "answer": ["x", "z"]})
    result = compare(
        table,
        [Echo("a")],
        prompt="Say {{ text }}",
        scorers=[shouts, right],
        store=store,
    )
    assert [row["shouts"] for row in result.rows] == [False, False]
    assert [row["right"] for row in result.rows] == [1.0, None]
    assert result.notes == [
        "the scorer 'right' gave nothing for case 1, a:echo, repeat 1: LookupError: no answer"
    ]
    assert result.df()["shouts"].dtype == "boolean"
    named = compare("p", [Echo("a")], scorers={"n": len, "bad": lambda text: [text]}, store=store)
    assert (named.rows[0]["n"], named.rows[0]["bad"]) == (4, None)
    assert "gave list: return a number" in named.notes[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"models": []}, "nobody to compare"),
        ({"models": [3]}, "3 cannot be compared"),
        ({"models": ["local"], "repeats": 0}, "repeats = 0"),
        ({"models": ["local"], "concurrency": 0}, "concurrency = 0"),
        ({"models": ["local"], "scorers": [lambda text: 1]}, "without a name"),
        ({"models": ["local"], "scorers": {"status": len}}, "name of another column"),
        ({"models": ["local"], "scorers": {"x": lambda a, b, c: 1}}, "'x' cannot be called"),
        ({"models": ["local"], "scorers": [len, len]}, "name of another column"),
    ],
)
def test_a_mistake_is_said_before_anything_is_asked(options: dict[str, Any], said: str) -> None:
    """As one line."""
    with pytest.raises(ConfigurationError, match=said):
        compare("p", **options)


def test_an_unknown_provider_is_answered_with_the_nearest() -> None:
    """Before anything is asked."""
    with pytest.raises(UnknownNameError, match="did you mean 'local'"):
        compare("p", ["locl"])


def test_a_missing_recording_ends_the_run_as_an_error(store: SQLiteStore) -> None:
    """A test must not pass over it; what had been answered is kept."""
    provider = ScriptedProvider(["one", MissingRecordingError("no recording of 'q'"), "three"])
    with pytest.raises(MissingRecordingError):
        compare(["p", "q", "r"], [provider], concurrency=1, store=store)
    kept = last()
    assert kept is not None
    assert [row["status"] for row in kept.rows] == ["ok", "error", "interrupted"]


def test_stop_cuts_every_call_and_keeps_what_was_answered(store: SQLiteStore) -> None:
    """Ctrl-C: the calls are cancelled, the rest is marked, and the next comparison works."""
    main = threading.main_thread().ident
    assert main is not None

    async def stop_in_the_third(prompt: str) -> None:
        if prompt == "p":
            return
        if prompt == "r":
            signal.pthread_kill(main, signal.SIGINT)
        await asyncio.Event().wait()

    echo = Echo("a", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        compare(["p", "q", "r", "s"], [echo], concurrency=2, store=store)
    assert sorted(echo.cancelled) == ["q", "r"]
    kept = last()
    assert kept is not None
    assert [row["status"] for row in kept.rows] == ["ok", "interrupted", "interrupted", "interrupted"]
    assert [row["output"] for row in kept.rows] == ["a: p", None, None, None]
    assert kept.rows[1]["call_id"] in {c["call_id"] for c in store.rows("calls", {"status": "interrupted"})}
    assert kept.rows[3]["call_id"] is None
    assert "1 answered, 3 interrupted" in repr(kept)
    assert compare("t", [Echo("b")], store=store).rows[0]["status"] == "ok"


def test_a_stopped_one_goes_on_and_asks_nothing_twice(store: SQLiteStore) -> None:
    """What was answered is taken over with its figures and scored anew; only the rest is asked, and what is new."""
    asked: list[str] = []
    down = True

    async def note(prompt: str) -> None:
        if down and prompt == "q":
            raise ProviderTimeoutError("no answer")
        asked.append(prompt)

    a, b = Echo("a", note), Echo("b", note)
    first = compare(["p", "q"], [a, b], store=store)
    assert [row["status"] for row in first.rows] == ["ok", "ok", "error", "error"]
    down, before = False, first.rows[0]["call_id"]
    steps: list[int] = []
    second = compare(
        ["p", "q", "r"],
        [a, b],
        repeats=2,
        store=store,
        resume=first,
        scorers=[shouts],
        progress=lambda done, total: steps.append(done),
    )
    assert sorted(asked) == sorted(["p"] * 4 + ["q"] * 4 + ["r"] * 4)
    assert steps == [2, *range(3, 13)]
    assert {row["status"] for row in second.rows} == {"ok"}
    assert second.rows[0]["call_id"] == before
    assert second.rows[0]["cost_usd"] == 0.25
    assert second.rows[0]["shouts"] is False
    assert [row["status"] for row in first.rows] == ["ok", "ok", "error", "error"]


def test_only_the_same_question_is_taken_over(store: SQLiteStore) -> None:
    """Another prompt under the same case, or another label, is asked."""
    first = compare([{"case": 1, "prompt": "p"}], [Echo("a")], store=store)
    other = Echo("a")
    compare([{"case": 1, "prompt": "other"}], [other], store=store, resume=first)
    compare([{"case": 1, "prompt": "p"}], [Echo("c")], store=store, resume=first)
    assert len(other.heard) == 1
    with pytest.raises(ConfigurationError, match="no comparison"):
        compare(["p"], [other], store=store, resume="result")  # type: ignore[arg-type]


def test_an_error_of_the_progress_display_stops_the_run(store: SQLiteStore) -> None:
    """It is the caller's own code: raised to the caller, with no call left running."""

    async def forever(prompt: str) -> None:
        if prompt != "p":
            await asyncio.Event().wait()

    def broken(done: int, total: int) -> None:
        if done:
            raise ZeroDivisionError

    echo = Echo("a", forever)
    with pytest.raises(ZeroDivisionError):
        compare(["p", "q"], [echo], progress=broken, store=store)
    assert echo.cancelled == ["q"]


async def test_it_can_be_awaited_on_the_callers_loop(store: SQLiteStore) -> None:
    """With the same result; everything happens on this loop."""
    threads: set[str] = set()

    async def where(prompt: str) -> None:
        threads.add(threading.current_thread().name)

    result = await compare_async(["p", "q"], [Echo("a", where)], store=store, repeats=2)
    assert [row["output"] for row in result.rows] == ["a: p", "a: p", "a: q", "a: q"]
    assert all(row["call_id"] for row in result.rows)
    assert threads == {threading.current_thread().name}


async def test_an_awaited_comparison_is_stopped_by_cancelling_it(store: SQLiteStore) -> None:
    """As Stop does in a cell that awaits."""
    started = asyncio.Event()

    async def forever(prompt: str) -> None:
        started.set()
        await asyncio.Event().wait()

    echo = Echo("a", forever)
    task = asyncio.ensure_future(compare_async(["p", "q"], [echo], concurrency=1, store=store))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert echo.cancelled == ["p"]
    kept = last()
    assert kept is not None
    assert [row["status"] for row in kept.rows] == ["interrupted", "interrupted"]


async def test_a_sync_comparison_works_inside_a_running_loop(store: SQLiteStore) -> None:
    """As in a cell: it blocks the cell and not itself."""
    assert compare("p", [Echo("a")], store=store).rows[0]["output"] == "a: p"


def test_the_io_thread_is_told_to_await_instead_of_waiting_for_itself(store: SQLiteStore) -> None:
    """A deadlock would be the alternative."""

    async def inside() -> None:
        compare("p", [Echo("a")], store=store)

    with pytest.raises(RuntimeError, match="compare_async"):
        portal().run(inside())
