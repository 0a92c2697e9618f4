"""The trace explorer: the turns of a trace, and one of them as a timeline with what was sent and what came back.

Owns how rows of the trace become a timeline. The rows are ``gathering.storage``'s, the requests ``gathering.core.sent``'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gathering.core.errors import ConfigurationError
from gathering.core.sent import KEPT, sent
from gathering.notebook.board import Act, Board
from gathering.notebook.items import sendable
from gathering.storage import Trace

__all__ = ["TracePanel"]

#: Turns that are listed, newest last, and characters of one text that a view is sent.
LISTED, LONGEST = 200, 20_000

Row = Mapping[str, Any]


class TracePanel(Board):
    """A trace to walk through. ``turn`` is the id of the one to open, the newest if it is not given."""

    kind = "trace"

    def __init__(
        self, trace: Trace, *, turn: str | None = None, height: int = 520, readonly: bool = False
    ) -> None:
        self.trace, self._open = trace, turn
        if turn is not None and not self._rows("messages", {"turn_id": turn}):
            raise ConfigurationError(f"the trace has no turn {turn!r}: look up turn_id in trace.messages()")
        super().__init__("Trace", height=height, readonly=readonly)

    def read(self) -> dict[str, Any]:
        """``turns``: the list, and how many are older; ``turn``: the one that is open."""
        turns, older = self._turns()
        known = {turn["turn_id"] for turn in turns}
        shown = self._open if self._open is not None else turns[-1]["turn_id"] if turns else None
        opened = None if shown is None else self._timeline(str(shown))
        return {
            "turns": {"rows": turns, "older": older, "open": shown, "listed": shown in known},
            "turn": opened,
        }

    def acts(self) -> dict[str, Act]:
        """Open a turn, look again."""
        return {"open": self._choose, "reload": lambda value: None}

    def harmless(self) -> set[str]:
        """All of them only look."""
        return {"open", "reload"}

    def transcript(self) -> dict[str, str]:
        """The open turn, one line for each step."""
        from gathering.core.display import bundle

        turn = self.read()["turn"]
        if turn is None:
            return bundle("Trace: no turn yet")
        head = f"Turn of {turn['agent']}: {' '.join(turn['question'].split())[:200]}"
        lines = [f"- {step['start']:>7,.0f} ms {_line(step)}" for step in turn["steps"]]
        return bundle("\n".join([head, *lines]), markdown="\n".join([f"**{head}**", "", *lines]))

    def _choose(self, value: dict[str, Any]) -> None:
        wanted = str(value.get("turn", ""))
        if not self._rows("messages", {"turn_id": wanted}):
            raise ConfigurationError("this turn is not in the trace any more: look again")
        self._open = wanted

    def _rows(self, table: str, where: Row) -> list[dict[str, Any]]:
        return [dict(row) for row in self.trace.store.rows(table, {**self.trace.where, **where})]

    def _turns(self) -> tuple[list[dict[str, Any]], int]:
        turns: dict[str, dict[str, Any]] = {}
        for row in self._rows("messages", {"role": "user"}):
            turns.setdefault(
                str(row["turn_id"]),
                {
                    "turn_id": row["turn_id"],
                    "agent": row["agent"] or "",
                    "question": sendable(str(row["content"] or ""))[:120],
                    "calls": 0,
                    "tokens": 0,
                    "cost": 0.0,
                    "ms": 0.0,
                    "status": "ok",
                },
            )
        newest = dict(list(turns.items())[-LISTED:])
        if newest:
            for row in self._rows("calls", {"turn_id": list(newest)}):
                _add_call(newest[row["turn_id"]], row)
        return list(newest.values()), len(turns) - len(newest)

    def _timeline(self, turn_id: str) -> dict[str, Any]:
        calls = self._rows("calls", {"turn_id": turn_id})
        tools = self._rows("tool_calls", {"turn_id": turn_id})
        messages = self._rows("messages", {"turn_id": turn_id})
        begun = min((row["started_at"] for row in [*calls, *tools] if row["started_at"]), default=0.0)
        steps = [_call_step(row, messages, begun) for row in calls] + [
            _tool_step(row, begun) for row in tools
        ]
        steps.sort(key=lambda step: step["start"])
        first = messages[0] if messages else {}
        return {
            "turn_id": turn_id,
            "agent": first.get("agent") or "",
            "question": _text(first.get("content")),
            "steps": steps,
            "ms": max((step["start"] + (step["ms"] or 0.0) for step in steps), default=0.0),
            "checks": [
                {"check": _text(row["check"]), "passed": row["passed"], "actual": _text(row["actual"])}
                for row in self._rows("checks", {"turn_id": turn_id})
            ],
        }


def _add_call(turn: dict[str, Any], row: Row) -> None:
    turn["calls"] += 1
    turn["tokens"] += (row["input_tokens"] or 0) + (row["output_tokens"] or 0)
    turn["cost"] = None if row["cost_usd"] is None or turn["cost"] is None else turn["cost"] + row["cost_usd"]
    turn["ms"] += row["latency_ms"] or 0.0
    if row["status"] != "ok":
        turn["status"] = row["status"]


def _call_step(row: Row, messages: Iterable[Row], begun: float) -> dict[str, Any]:
    request = sent(str(row["call_id"]))
    came = [m for m in messages if m["call_id"] == row["call_id"] and m["role"] == "assistant"]
    return {
        "kind": "call",
        "id": row["call_id"],
        "name": f"{row['provider']}:{row['model']}",
        "start": ((row["started_at"] or begun) - begun) * 1000,
        "ms": row["latency_ms"],
        "ttft": row["ttft_ms"],
        "input": row["input_tokens"],
        "output": row["output_tokens"],
        "cached": row["cached_tokens"],
        "cost": row["cost_usd"],
        "status": row["status"],
        "error": _text(row["error"]) if row["error"] else None,
        "finish": row["finish_reason"],
        "source": row["source"],
        "attempts": row["attempts"],
        "sent": None if request is None else _request(request.messages, request.tools, request.params),
        "not_sent": f"the request itself is kept for the last {KEPT} calls of the kernel that made them",
        "params": _json(row["params"]),
        "came": [
            {"role": m["role"], "text": _text(m["content"]), "parts": _json(m["parts"] or [])} for m in came
        ],
    }


def _request(messages: Any, tools: Any, params: Any) -> dict[str, Any]:
    return {
        "messages": [
            {
                "role": str(m.get("role", "")),
                "text": _text(_readable(m.get("content"))),
                "more": _json({k: v for k, v in m.items() if k not in ("role", "content", "images")}),
                "images": len(m.get("images") or ()),
            }
            for m in messages
        ],
        "tools": _json(tools or []),
        "params": _json(params),
    }


def _tool_step(row: Row, begun: float) -> dict[str, Any]:
    return {
        "kind": "tool",
        "id": row["tool_call_id"],
        "name": row["tool"],
        "start": ((row["started_at"] or begun) - begun) * 1000,
        "ms": row["execution_time_ms"],
        "status": "started" if row["success"] is None else "ok" if row["success"] else "error",
        "error": _text(row["error"]) if row["error"] else None,
        "arguments": _json(row["arguments"]),
        "result": None if row["output"] is None else _json(row["output"]),
        "permission": row["permission"],
        "decision": row["decision"],
        "decided_by": row["decided_by"],
    }


def _readable(content: Any) -> str:
    return (
        content if isinstance(content, str) else "" if content is None else json.dumps(content, default=str)
    )


def _json(value: Any) -> str:
    """A value as a person reads it; text as it is."""
    return _text(
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)
    )


def _text(value: Any) -> str:
    text = sendable(str(value or ""))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n... ({len(text):,} characters)"


def _line(step: Mapping[str, Any]) -> str:
    took = "" if step["ms"] is None else f", {step['ms']:,.0f} ms"
    tokens = (
        f", {step['input']:,} + {step['output']:,} tokens"
        if step.get("input") is not None and step.get("output") is not None
        else ""
    )
    return f"{step['kind']} {step['name']}: {step['status']}{took}{tokens}"
