"""The columns of the trace: the contract of its DataFrames, and what the store keeps beside them. Plain data only.

``COLUMNS`` may grow and never changes a name. Tables of the database are made from the same lists
(``gathering.storage.schema``), DataFrames too (``gathering.storage.frames``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

__all__ = ["COLUMNS", "KEYS", "MASKED", "ORDER", "STORED", "Kind"]

#: How a value is stored and shown. A ``time`` is seconds since 1970 in the store and UTC in a DataFrame; ``bytes`` are
#: figures of a sentence vector.
Kind: TypeAlias = Literal["text", "integer", "real", "flag", "time", "json", "bytes"]

COLUMNS: Mapping[str, Mapping[str, Kind]] = {
    "calls": {
        "call_id": "text",
        "turn_id": "text",
        "agent": "text",
        "provider": "text",
        "model": "text",
        "started_at": "time",
        "ttft_ms": "real",
        "latency_ms": "real",
        "input_tokens": "integer",
        "output_tokens": "integer",
        "cached_tokens": "integer",
        "reasoning_tokens": "integer",
        "cost_usd": "real",
        "finish_reason": "text",
        "status": "text",
        "error": "text",
        "attempts": "integer",
        "source": "text",
        "cell": "integer",
        "params": "json",
        "booked_usd": "real",
        "agent_version": "integer",
    },
    "messages": {
        "message_id": "text",
        "conversation": "text",
        "agent": "text",
        "turn_id": "text",
        "call_id": "text",
        "role": "text",
        "content": "text",
        "parts": "json",
        "tokens": "integer",
        "created_at": "time",
    },
    "tool_calls": {
        "tool_call_id": "text",
        "call_id": "text",
        "turn_id": "text",
        "agent": "text",
        "tool": "text",
        "arguments": "json",
        "success": "flag",
        "output": "json",
        "error": "text",
        "execution_time_ms": "real",
        "permission": "text",
        "decision": "text",
        "decided_by": "text",
        "cell": "integer",
    },
    "memories": {
        "memory_id": "text",
        "agent": "text",
        "kind": "text",
        "content": "text",
        "tokens": "integer",
        "in_context": "flag",
        "created_at": "time",
        "importance": "real",
        "pinned": "flag",
        "embedder": "text",
    },
    "checks": {
        "check_id": "text",
        "turn_id": "text",
        "agent": "text",
        "kind": "text",
        "check": "text",
        "expected": "text",
        "actual": "text",
        "passed": "flag",
        "action": "text",
        "decided_by": "text",
        "cell": "integer",
        "created_at": "time",
    },
    "agents": {
        "agent": "text",
        "version": "integer",
        "model": "text",
        "tools": "text",
        "description": "json",
        "outcomes": "json",
        "conversation": "text",
        "created_at": "time",
        "saved_at": "time",
    },
    "branches": {
        "branch_id": "text",
        "conversation": "text",
        "agent": "text",
        "kind": "text",
        "origin": "text",
        "turn_id": "text",
        "created_at": "time",
    },
}

#: What identifies a row: rows put with the same values are one row.
KEYS: Mapping[str, tuple[str, ...]] = {
    "calls": ("call_id",),
    "messages": ("message_id",),
    "tool_calls": ("call_id", "tool_call_id"),  # services number tool calls anew in each answer
    "memories": ("memory_id",),
    "checks": ("check_id",),
    "agents": ("agent_id",),
    "branches": ("branch_id",),
}

#: Oldest first. Ids made by the project sort by time; recorded times of a replayed call do not.
ORDER: Mapping[str, tuple[str, ...]] = {
    "calls": ("call_id",),
    "messages": ("message_id",),
    "tool_calls": ("call_id", "started_at"),
    "memories": ("created_at", "memory_id"),
    "checks": ("check_id",),
    "agents": ("agent", "version"),
    "branches": ("branch_id",),
}

#: Columns in which a key could stand by mistake: a person's words, a model's, a tool's.
MASKED = frozenset(
    {
        "params",
        "error",
        "content",
        "parts",
        "arguments",
        "output",
        "check",
        "expected",
        "actual",
        "description",
    }
)

_BESIDE: Mapping[str, Mapping[str, Kind]] = {
    "calls": {"session": "text", "conversation": "text"},
    "messages": {"session": "text"},
    "tool_calls": {"session": "text", "conversation": "text", "started_at": "time"},
    "memories": {
        "session": "text",
        "conversation": "text",
        "owner": "text",
        "replaces": "json",
        "vector": "bytes",
        "revision": "integer",
        "forgotten": "flag",
    },
    "checks": {"session": "text", "conversation": "text"},
    "agents": {"agent_id": "text", "session": "text"},
    "branches": {"session": "text"},
}

#: All columns of each table of the database.
STORED: Mapping[str, Mapping[str, Kind]] = {
    table: {**columns, **_BESIDE[table]} for table, columns in COLUMNS.items()
}
