"""DataFrames of the trace: exactly the promised columns and types, also when there is nothing."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gathering.core.errors import StoreError
from gathering.core.interfaces import IRecorder
from gathering.core.session import session_id
from gathering.storage import COLUMNS, SQLiteStore, Trace, frame

CONTRACT = {
    "calls": "call_id, turn_id, agent, provider, model, started_at, ttft_ms, latency_ms, input_tokens, output_tokens, "
    "cached_tokens, reasoning_tokens, cost_usd, finish_reason, status, error, attempts, source, cell, params, "
    "booked_usd, agent_version",
    "messages": "message_id, conversation, agent, turn_id, call_id, role, content, parts, tokens, created_at",
    "tool_calls": "tool_call_id, call_id, turn_id, agent, tool, arguments, success, output, error, execution_time_ms, "
    "permission, decision, decided_by, cell",
    "memories": "memory_id, agent, kind, content, tokens, in_context, created_at, importance, pinned, embedder",
    "checks": "check_id, turn_id, agent, kind, check, expected, actual, passed, action, decided_by, cell, created_at",
    "agents": "agent, version, model, tools, description, outcomes, conversation, created_at, saved_at",
    "branches": "branch_id, conversation, agent, kind, origin, turn_id, created_at",
}


@pytest.mark.parametrize("table", CONTRACT)
def test_columns_are_the_contract(table: str) -> None:
    """Names and order are what users' notebooks rely on."""
    assert list(frame(table, []).columns) == CONTRACT[table].split(", ") == list(COLUMNS[table])


@pytest.mark.parametrize("table", CONTRACT)
def test_types_do_not_depend_on_the_rows(table: str, store: SQLiteStore) -> None:
    """An empty frame, one with missing values and one with values have the same types."""
    full = {
        "text": "x",
        "integer": 1,
        "real": 0.5,
        "flag": True,
        "time": 1_700_000_000.25,
        "json": {"a": [1]},
    }
    row = {name: full[kind] for name, kind in COLUMNS[table].items()}
    frames = [frame(table, rows) for rows in ([], [{}], [row], [row, {}])]
    assert all(f.dtypes.equals(frames[0].dtypes) for f in frames)
    assert {str(t) for t in frames[0].dtypes} >= {"string"}


def test_values_are_pythons_and_times_are_utc(store: SQLiteStore) -> None:
    """JSON comes back as objects, a time as the moment it was, to the microsecond."""
    store.put("messages", {"message_id": "m", "parts": [{"a": 1}], "created_at": 1_700_000_000.123456})
    row = Trace(store).messages().iloc[0]
    assert row.parts == [{"a": 1}]
    assert row.created_at == pd.Timestamp(dt.datetime(2023, 11, 14, 22, 13, 20, 123456, dt.UTC))
    assert row.call_id is pd.NA


def test_times_no_calendar_has_are_missing() -> None:
    """A nonsense time does not break the table."""
    assert frame("memories", [{"created_at": 1e300}, {"created_at": float("nan")}]).created_at.isna().all()


def test_a_trace_is_limited_and_can_be_widened(store: SQLiteStore) -> None:
    """The trace of a session shows that session; everything() shows the rest too."""
    for name in (session_id(), "another"):
        store.put("calls", {"call_id": name, "session": name, "agent": "ada", "status": "ok"})
    here = Trace(store, {"session": session_id(), "agent": "ada"})
    assert len(here.calls()) == 1
    assert len(here.everything().calls()) == 2
    assert len(here.tool_calls()) == len(here.memories()) == 0


def test_the_card_counts_and_says_where(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card names the file from here, and no id, time or folder that differs between runs."""
    monkeypatch.chdir(path.parent)
    store.put("calls", {"call_id": "c", "status": "ok"})
    card = Trace(store)._repr_mimebundle_()
    assert card["text/plain"] == "Trace: 1 call, 0 messages, 0 tool calls, 0 memories, kept in trace.sqlite"
    assert "| 1 | 0 | 0 | 0 |" in card["text/markdown"]
    assert '<th scope="col">tool calls</th>' in card["text/html"]
    assert repr(Trace(SQLiteStore(":memory:"))).endswith("kept in memory")


def test_an_unknown_table_is_named() -> None:
    """The error lists the tables there are."""
    with pytest.raises(StoreError, match="it has calls, messages"):
        frame("cals", [])


def test_any_recorder_can_be_looked_at() -> None:
    """A user's own recorder needs rows() only."""

    class Mine(IRecorder):
        def ready(self) -> None: ...
        def put(self, table: str, row: dict[str, Any]) -> None: ...
        def flush(self) -> None: ...
        def rows(self, table: str, where: Any = None) -> list[dict[str, Any]]:
            return [{"call_id": "c"}] if table == "calls" else []

    assert repr(Trace(Mine())) == "Trace: 1 call, 0 messages, 0 tool calls, 0 memories, kept in Mine"
