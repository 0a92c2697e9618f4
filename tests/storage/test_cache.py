"""The response cache: equal requests are answered from it, at no cost, by any process; nothing else is."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

import gathering
from gathering.compare import compare
from gathering.core import config
from gathering.core.errors import ConfigurationError, RateLimitError, StoreError
from gathering.core.interfaces import ILLMProvider
from gathering.core.prices import set_price
from gathering.storage import SQLiteStore
from gathering.storage.cache import ResponseCache, cached
from gathering.testing import ScriptedProvider, tape

HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(autouse=True)
def cache_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of this test's own, with its trace and its cache."""
    monkeypatch.chdir(tmp_path)
    config.set("store", str(tmp_path / "trace.sqlite"))
    return tmp_path / "trace.cache.sqlite"


def agent(*answers: Any, **options: Any) -> gathering.Agent:
    return gathering.Agent(
        "ada", llm_provider=ScriptedProvider(answers), store=SQLiteStore(":memory:"), **options
    )


def text(provider: ILLMProvider, messages: Any = HI, **params: Any) -> str:
    return str(provider.complete(messages, **params)["content"])


def test_an_equal_request_is_answered_from_it() -> None:
    """Whole or streamed; the row says where the answer comes from and that it cost nothing."""
    set_price("scripted:script", input=1000, output=1000)
    assert agent("one", cache=True).ask("Hi").cost
    ada = agent(cache=True)
    reply = ada.ask("Hi")
    set_price("scripted:script")
    assert (reply.text, reply.cost) == ("one", 0)
    row = ada.trace.calls().iloc[0]
    assert (row["source"], row["cost_usd"], row["status"]) == ("cache", 0, "ok")
    assert row["latency_ms"] < 5_000
    with agent(cache=True).stream("Hi") as stream:
        assert [event.text for event in stream if hasattr(event, "text")] == ["one"]


def test_it_is_off_unless_it_is_asked_for(cache_file: Path) -> None:
    """No file is made; the setting, an agent, a turn and a provider can ask for it, and a turn against it."""
    assert agent("one").ask("Hi").text == "one"
    assert not cache_file.exists()
    assert agent("two").ask("Hi", cache=True).text == "two"
    config.set("cache", True)
    assert agent().ask("Hi").text == "two"
    assert agent("new").ask("Hi", cache=False).text == "new"
    assert agent("new", cache=False).ask("Hi").text == "new"


def test_a_provider_may_stand_behind_it() -> None:
    """It is taken for the one behind it."""
    provider = gathering.provider("openai:gpt-5-mini", api_key="k", cache=True)
    assert (provider.name, provider.model) == ("openai", "gpt-5-mini")
    assert type(cached(provider, False)).__name__ == "OpenAIProvider"
    assert type(gathering.provider("openai:gpt-5-mini", cache=False)).__name__ == "OpenAIProvider"
    with pytest.raises(ConfigurationError, match="cache = 'yes'"):
        gathering.provider("openai:gpt-5-mini", cache="yes")


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": "Ho"}]},
        {"temperature": 1},
        {"tools": [{"name": "t"}]},
        {"model": "other"},
        {"options": {"base_url": "http://127.0.0.1:1"}},
        {"number": 2},
    ],
)
def test_what_differs_is_asked_anew(change: dict[str, Any]) -> None:
    """Messages, tools, parameters, model, the place that is asked, and which answer of several is wanted."""

    def provider(answer: str, *, model: str = "m", options: Any = None, number: int = 1) -> ILLMProvider:
        made = ScriptedProvider([answer], model=model)
        made.config.update(options or {})
        return cached(made, number)

    said = {k: change.pop(k) for k in ("model", "options", "number") if k in change}
    assert text(provider("first")) == "first"
    assert text(provider("second", **said), **change) == "second"
    assert text(provider("third")) == "first"


def test_what_cannot_be_told_apart_is_not_kept() -> None:
    """A parameter that is no plain value may be another one each time."""
    provider = cached(ScriptedProvider(["one", "two"]), True)
    assert [text(provider, hook=object()) for _ in range(2)] == ["one", "two"]


def test_failures_and_passing_ends_are_not_kept() -> None:
    """The next call is made; so is one after a filter, or after a stream that was left."""
    filtered = {"content": "", "finish_reason": "content_filter"}
    provider = cached(ScriptedProvider([RateLimitError("slow"), filtered, "cut off", "fine"]), True)
    with pytest.raises(RateLimitError):
        text(provider)
    assert text(provider) == ""
    with provider.stream(HI) as stream:
        next(iter(stream))
    assert text(provider) == "fine"
    assert text(provider) == "fine"


def test_no_key_is_kept(cache_file: Path) -> None:
    """An answer that shows one is not in the file, nor is a prompt; two prompts with two keys are two."""
    key = "sk-proj-abcdefghijk1234567890"
    provider = cached(ScriptedProvider([f"your key is {key}", "asked again", "other"]), True)
    ask = [{"role": "user", "content": f"my key is {key}"}]
    assert [text(provider, ask) for _ in range(3)] == [f"your key is {key}", "asked again", "asked again"]
    assert text(provider, [{"role": "user", "content": f"my key is {key}9"}]) == "other"
    for file in cache_file.parent.glob("trace.cache.sqlite*"):
        assert key.encode() not in file.read_bytes()


def test_repeats_of_a_comparison_are_answers_of_their_own() -> None:
    """The first run asks three times; a second one asks nobody and has the same three."""
    answers = ["one", "two", "three"]

    def run(provider: ScriptedProvider) -> list[Any]:
        result = compare("Hi", [provider], repeats=3, concurrency=1, params={"cache": True})
        assert {row["source"] for row in result.rows} == {"cache" if not provider.answers else "live"}
        return [row["output"] for row in result.rows]

    assert run(ScriptedProvider(answers)) == run(ScriptedProvider([])) == answers


def test_a_tape_goes_before_it() -> None:
    """In replay the tape answers, whatever the cache holds."""
    with tape("t.jsonl", "record"):
        agent("from the tape", cache=True).ask("Hi")
    gathering.cache.clear()
    agent("from the cache", cache=True).ask("Hi")
    with tape("t.jsonl", "replay"):
        assert agent(cache=True).ask("Hi").text == "from the tape"


def test_it_needs_no_room_in_a_budget() -> None:
    """What is known already costs nothing."""
    set_price("scripted:script", input=1, output=1)
    agent("one", cache=True).ask("Hi")
    with gathering.budget(0):
        assert agent(cache=True).ask("Hi").text == "one"
    set_price("scripted:script")


def test_it_is_measured_pruned_and_cleared(cache_file: Path) -> None:
    """By age in days; clearing says how many there were, and asking the size makes no file."""
    assert gathering.cache.size().answers == 0
    assert not cache_file.exists()
    for word in "ab":
        text(cached(ScriptedProvider([word]), True), [{"role": "user", "content": word}])
    assert gathering.cache.size().answers == 2
    assert gathering.cache.size().bytes > 100
    with sqlite3.connect(cache_file) as raw:
        raw.execute("UPDATE answers SET created_at = created_at - 864000 WHERE body LIKE '%\"a\"%'")
    assert gathering.cache.prune(9) == 1
    assert gathering.cache.clear() == 1
    with pytest.raises(ConfigurationError, match="days = -1"):
        gathering.cache.prune(-1)


def test_many_threads_use_one_file(cache_file: Path) -> None:
    """Two caches on one file, as in two processes, from many threads: each request has one answer in the end."""
    caches = [ResponseCache(str(cache_file)) for _ in range(2)]
    answer = {"content": "x", "finish_reason": "stop", "usage": {}, "model": "m"}
    body = {"started_at": 0, "ttft_ms": 1, "latency_ms": 1, "answer": answer}
    errors: list[BaseException] = []

    def work(one: ResponseCache) -> None:
        try:
            for n in range(20):
                request = {"provider": "p", "model": "m", "n": n, "number": 1}
                one.find(request)
                one.keep(request, 1, body)
                assert one.find(request)[1] is not None
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(caches[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert caches[0].size().answers == 20
    for one in caches:
        one.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_opens_the_file_for_itself() -> None:
    """It finds what its parent kept."""
    provider = cached(ScriptedProvider(["one"]), True)
    text(provider)
    child = os.fork()
    if not child:
        os._exit(0 if text(provider) == "one" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_file_that_is_none_is_one_line(cache_file: Path) -> None:
    """Nothing is sent, and the line says what to do; so it does for a file of a newer version."""
    cache_file.write_bytes(b"dear diary " * 500)
    scripted = ScriptedProvider(["x"])
    with pytest.raises(
        StoreError, match=r"^the response cache 'trace\.cache\.sqlite' cannot be read .*cache=False$"
    ):
        text(cached(scripted, True))
    assert not scripted.requests
    cache_file.unlink()
    with sqlite3.connect(cache_file) as raw:
        raw.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer GatheRing"):
        text(cached(scripted, True))


def test_an_answer_that_cannot_be_kept_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there and paid for."""

    def full(self: ResponseCache) -> Any:
        raise sqlite3.OperationalError("database or disk is full")

    provider = cached(ScriptedProvider(["x"]), True)
    found = provider.prepared(HI, None, {})
    monkeypatch.setattr(ResponseCache, "_connection", full)
    with pytest.warns(UserWarning, match="cannot be written"):
        assert found.complete(HI)["content"] == "x"
