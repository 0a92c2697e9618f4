"""The store through its public door: what is put comes back, merged, in order, from any thread or process."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gathering.core.errors import StoreError
from gathering.core.session import new_id, session_id
from gathering.storage import SQLiteStore, default_store

Start = Callable[..., "subprocess.Popen[str]"]


def one(store: SQLiteStore, table: str, **where: Any) -> dict[str, Any]:
    (row,) = store.rows(table, where)
    return row


def test_rows_put_twice_are_merged(store: SQLiteStore) -> None:
    """A later put changes only the columns it names, whether or not the first was written already."""
    store.put("calls", {"call_id": "a", "model": "m", "status": "started", "session": session_id()})
    store.put("calls", {"call_id": "a", "status": "ok"})
    assert (one(store, "calls")["model"], one(store, "calls")["status"]) == ("m", "ok")
    store.put("calls", {"call_id": "a", "latency_ms": 2.5})
    row = one(store, "calls")
    assert (row["model"], row["status"], row["latency_ms"]) == ("m", "ok", 2.5)


def test_tool_calls_of_two_calls_may_share_an_id(store: SQLiteStore) -> None:
    """Services number tool calls anew in each answer, so the call is part of the key."""
    for call_id in ("c1", "c2"):
        store.put("tool_calls", {"tool_call_id": "0", "call_id": call_id, "success": True})
    assert [row["call_id"] for row in store.rows("tool_calls")] == ["c1", "c2"]


def test_the_file_survives_its_process(path: Path) -> None:
    """What one store wrote, the next one on the file reads."""
    with SQLiteStore(path) as first:
        first.put("memories", {"memory_id": "m", "content": "tea", "in_context": False, "created_at": 5})
    with SQLiteStore(path) as second:
        assert one(second, "memories")["in_context"] is False


def test_rows_are_selected_by_values_and_lists(store: SQLiteStore) -> None:
    """A value selects equal rows, a list any of its values; an unknown column is an error."""
    for n in range(4):
        store.put("messages", {"message_id": new_id(), "agent": "ada" if n % 2 else "bob", "content": str(n)})
    assert [r["content"] for r in store.rows("messages", {"agent": "ada"})] == ["1", "3"]
    assert store.count("messages", {"agent": ["ada", "bob"]}) == 4
    with pytest.raises(StoreError, match="no column 'colour'"):
        store.rows("messages", {"colour": "red"})


@pytest.mark.parametrize(
    ("table", "row", "said"),
    [
        ("cals", {"call_id": "a"}, "no table 'cals'"),
        ("calls", {"call_id": "a", "colour": "red"}, "no column 'colour'"),
        ("tool_calls", {"tool_call_id": "a"}, "needs call_id and tool_call_id"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_at_once(
    store: SQLiteStore, table: str, row: dict[str, Any], said: str
) -> None:
    """The mistake shows where the row is put, not later in a thread."""
    with pytest.raises(StoreError, match=said):
        store.put(table, row)


def test_a_growing_value_is_written_until_it_is_replaced(store: SQLiteStore) -> None:
    """A function is called at each write; the put that gives the column a value ends that."""
    text = ["Once"]
    store.put("messages", {"message_id": "m", "call_id": "c", "content": lambda: "".join(text)})
    assert one(store, "messages")["content"] == "Once"
    text.append(" upon")
    assert one(store, "messages")["content"] == "Once upon"
    store.put("messages", {"message_id": "m", "content": "The end"})
    text.append(" never seen")
    assert one(store, "messages")["content"] == "The end"


def test_a_growing_value_ends_with_its_call(store: SQLiteStore) -> None:
    """When the call is settled the text is read a last time and the function is let go."""
    text = ["par"]
    store.put("messages", {"message_id": "m", "call_id": "c", "content": lambda: "".join(text)})
    store.flush()
    text.append("tial")
    store.put("calls", {"call_id": "c", "status": "interrupted"})
    store.flush()
    text.append(" and more")
    assert one(store, "messages")["content"] == "partial"


def test_a_growing_value_that_raises_keeps_what_it_gave(store: SQLiteStore) -> None:
    """A broken function takes nothing back and does not hold up other rows."""
    answers = iter(["so far"])
    store.put("messages", {"message_id": "m", "content": lambda: next(answers)})
    store.flush()
    store.put("memories", {"memory_id": "x"})
    assert one(store, "messages")["content"] == "so far"
    assert store.count("memories") == 1


def test_puts_from_many_threads_all_arrive(store: SQLiteStore) -> None:
    """Eight threads put at once; every row is there."""

    def work(name: int) -> None:
        for n in range(200):
            store.put("messages", {"message_id": f"{name}-{n}", "content": "x"})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count("messages") == 1600


def test_without_threads_rows_are_written_when_put(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where threads do not exist a put writes, and nothing needs a flush."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with SQLiteStore(path) as store:
        store.put("memories", {"memory_id": "m", "content": "tea"})
        with sqlite3.connect(path) as raw:
            assert raw.execute("SELECT content FROM memories").fetchall() == [("tea",)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.text(st.characters(exclude_categories=["Cs"])),
    arguments=json_values,
    tokens=st.integers(-(2**63), 2**63 - 1),
)
def test_any_row_comes_back_as_it_was(store: SQLiteStore, content: str, arguments: Any, tokens: int) -> None:
    """Text with NUL and every character, any JSON value and any 64-bit number round-trip."""
    identity = new_id()
    store.put("messages", {"message_id": identity, "content": content, "tokens": tokens})
    store.put("tool_calls", {"tool_call_id": "t", "call_id": identity, "arguments": arguments})
    message = one(store, "messages", message_id=identity)
    assert (message["content"], message["tokens"]) == (content, tokens)
    assert one(store, "tool_calls", call_id=identity)["arguments"] == arguments


def test_half_a_surrogate_becomes_a_replacement_character(store: SQLiteStore) -> None:
    """Text no file can hold is written with U+FFFD; pairs are joined and NUL stays."""
    store.put("messages", {"message_id": "m", "content": "a\ud800b\x00c \ud83d\ude00", "parts": ["\udfff"]})
    row = one(store, "messages")
    assert row["content"] == "a\ufffdb\x00c \U0001f600"
    assert row["parts"] == ["\ufffd"]


def test_values_json_has_no_form_for_are_stored_as_text(store: SQLiteStore) -> None:
    """Odd objects, cycles and odd numbers hold nothing up."""

    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no")

    cycle: list[Any] = []
    cycle.append(cycle)
    for n, output in enumerate([Odd(), cycle, {1: b"x"}, {(1, 2): 3}]):
        store.put("tool_calls", {"call_id": "c", "tool_call_id": str(n), "output": output, "started_at": n})
    store.put("calls", {"call_id": "c", "input_tokens": 2**80, "latency_ms": "slow", "attempts": "2"})
    outputs = [row["output"] for row in store.rows("tool_calls")]
    assert outputs == ["<Odd>", "[[...]]", {"1": "b'x'"}, "{(1, 2): 3}"]
    row = one(store, "calls")
    assert (row["input_tokens"], row["latency_ms"], row["attempts"]) == (float(2**80), None, 2)


def test_keys_are_masked_in_params_and_errors(store: SQLiteStore) -> None:
    """What looks like a key, or is named like one, never reaches the file."""
    secret = "sk-proj-abcdefghijklm4567nopqrstuvwx"
    params = {"api_key": "hunter2-but-secret", "extra": {"note": f"use {secret}"}, "temperature": 0}
    store.put("calls", {"call_id": "c", "params": params, "error": f"401: Bearer {secret} is wrong"})
    row = one(store, "calls")
    assert row["params"] == {"api_key": "***", "extra": {"note": "use ***"}, "temperature": 0}
    assert row["error"] == "401: Bearer *** is wrong"


def test_two_processes_write_one_file(path: Path, start: Start) -> None:
    """Two writers at once lose nothing and never see a locked database."""
    code = """
        import sys
        from gathering.storage import SQLiteStore
        store = SQLiteStore(sys.argv[1])
        for n in range(300):
            store.put("messages", {"message_id": f"{sys.argv[2]}-{n:03}", "agent": sys.argv[2]})
            if n % 20 == 0:
                store.flush()
        store.close()
    """
    writers = [start(code, path, name) for name in ("ada", "bob")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    with SQLiteStore(path) as store:
        assert (store.count("messages", {"agent": "ada"}), store.count("messages")) == (300, 600)


def test_a_killed_process_leaves_what_had_arrived(path: Path, start: Start) -> None:
    """After kill -9 the call is there as interrupted, with the text that had grown; while it ran it was started."""
    code = """
        import sys, threading
        from gathering.core.session import session_id
        from gathering.storage import SQLiteStore
        store = SQLiteStore(sys.argv[1])
        text = ["Once upon"]
        here = {"session": session_id()}
        store.put("calls", {"call_id": "c", "status": "started", **here})
        store.put("messages", {"message_id": "m", "call_id": "c", "content": lambda: "".join(text), **here})
        store.flush()
        print("written", flush=True)
        sys.stdin.readline()
    """
    process = start(code, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    with SQLiteStore(path) as store:
        assert one(store, "calls")["status"] == "started"
        process.kill()
        process.wait()
        assert one(store, "calls")["status"] == "interrupted"
        assert store.count("calls", {"status": "interrupted"}) == 1
        assert one(store, "messages")["content"] == "Once upon"


def test_rows_are_written_without_a_flush(path: Path, start: Start) -> None:
    """A process that ends in the ordinary way writes what it put."""
    code = """
        import sys
        from gathering.storage import SQLiteStore
        SQLiteStore(sys.argv[1]).put("memories", {"memory_id": "m", "content": "tea"})
    """
    assert start(code, path).wait(timeout=60) == 0
    with SQLiteStore(path) as store:
        assert one(store, "memories")["content"] == "tea"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_writes_with_a_connection_of_its_own(store: SQLiteStore) -> None:
    """Parent and child go on with the same object; the child repeats nothing of the parent's queue."""
    store.put("messages", {"message_id": "1", "agent": "parent", "session": session_id()})
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.put("messages", {"message_id": "2", "agent": "child", "session": session_id()})
            store.flush()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.put("messages", {"message_id": "3", "agent": "parent", "session": session_id()})
    rows = store.rows("messages")
    assert [row["agent"] for row in rows] == ["parent", "child", "parent"]
    assert rows[0]["session"] == rows[2]["session"] != rows[1]["session"]


def test_a_store_in_memory_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """':memory:' reads back, writes no file, and two of them share nothing."""
    monkeypatch.chdir(tmp_path)
    first, second = SQLiteStore(":memory:"), SQLiteStore(":memory:")
    first.put("memories", {"memory_id": "m"})
    assert (first.count("memories"), second.count("memories")) == (1, 0)
    assert not list(tmp_path.iterdir())


def test_the_default_store_is_one_for_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same settings give the same store; nothing is written until it is used, and then Git ignores it."""
    monkeypatch.delenv("GATHERING_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    store = default_store()
    assert default_store() is store
    assert not list(tmp_path.iterdir())
    store.ready()
    assert (tmp_path / ".gathering" / ".gitignore").read_text() == "*\n"
    monkeypatch.setenv("GATHERING_STORE", str(tmp_path / "other.sqlite"))
    assert default_store().path == str(tmp_path / "other.sqlite")
    store.close()
