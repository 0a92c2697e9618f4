"""A turn's rows as OpenTelemetry spans and metrics, beside the trace they go to. Off unless somebody set up where they go.

On when the program has a tracer provider, or ``OTEL_EXPORTER_OTLP_ENDPOINT`` says where a collector is; the setting
``telemetry`` can switch it ``off``, or add what was said (``content``). Owns the mapping of rows to spans; names are
``gathering.storage.semconv``'s, and where spans go is ``gathering.storage.exporting``'s. Nothing of OpenTelemetry is imported unless it is on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gathering.core import config
from gathering.core.interfaces import IRecorder
from gathering.storage import semconv as names

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from gathering.storage.exporting import Sink

__all__ = ["Telemetry", "observed"]

_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
#: Sources of an answer for which nothing was asked just now: a replayed call took its time when it was recorded.
_PLAYED = "tape"


def observed(recorder: IRecorder) -> IRecorder:
    """The recorder for one turn, which also tells OpenTelemetry where that is set up; otherwise the recorder itself."""
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    trace = sys.modules.get("opentelemetry.trace")
    if not endpoint and (trace is None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)):
        return recorder
    setting = config.get("telemetry")
    if setting == "off" or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return recorder
    from gathering.storage.exporting import sink

    found = sink(bool(endpoint))
    if found is None:
        return recorder
    content = setting == "content" or os.environ.get(_CONTENT, "").lower() == "true"
    return Telemetry(recorder, found, content=content)


class Telemetry(IRecorder):
    """A recorder for one turn that passes every row on, and makes spans and metrics of what has ended.

    Spans begin and end at the times of the rows. They are children of the span that was current where the turn
    began; what a tool does inside is not among them.
    """

    def __init__(self, recorder: IRecorder, sink: Sink, *, content: bool = False) -> None:
        self.recorder, self.sink, self.content = recorder, sink, content
        self._begun = time.time_ns()
        self._turn: Span | None = None
        self._rows: dict[Any, dict[str, Any]] = {}  # what has begun, by its key
        self._said: list[dict[str, Any]] = []
        self._answered: dict[str, Any] | None = None  # a call that waits for its answer's text
        self._totals: dict[str, Any] = {}

    def ready(self) -> None:
        """As the recorder."""
        self.recorder.ready()

    def flush(self) -> None:
        """As the recorder."""
        self.recorder.flush()

    def rows(self, table: str, where: Mapping[str, Any] | None = None) -> Iterable[dict[str, Any]]:
        """The recorder's rows."""
        return self.recorder.rows(table, where)

    def spent_beside(self, session: str) -> float:
        """As the recorder."""
        return self.recorder.spent_beside(session)

    def put(self, table: str, row: dict[str, Any]) -> None:
        """Put the row, and tell what it says."""
        seen = dict(row)  # the recorder owns the row from here on
        self.recorder.put(table, row)
        self._open(seen)
        if table == "calls":
            self._call_row(seen)
        elif table == "tool_calls":
            self._tool_row(seen)
        elif table == "messages" and self.content and isinstance(seen.get("content"), str):
            self._message_row(seen)

    def turn_over(self, error: BaseException | None = None) -> None:
        """End the turn's span."""
        self.recorder.turn_over(error)
        self._tell_answered()
        if self._turn is None:
            return
        end, kind = time.time_ns(), None if error is None else type(error).__name__
        self._finish(self._turn, end, self._totals, kind)
        shared = {name: self._totals[name] for name in (names.OPERATION, names.AGENT)}
        self._measure(names.TURN_DURATION, (end - self._begun) / 1e9, shared, kind)
        self._turn = None

    def _open(self, row: Mapping[str, Any]) -> None:
        """Begin the turn's span with its first row."""
        if self._turn is not None:
            return
        agent = str(row.get("agent") or "")
        attributes = {
            names.OPERATION: names.OPERATIONS["turn"],
            names.AGENT: agent,
            names.CONVERSATION: row.get("conversation"),
            names.TURN: row.get("turn_id"),
        }
        self._totals = _known(attributes)
        self._turn = self.sink.begin(f"{names.OPERATIONS['turn']} {agent}".strip(), self._begun, None)

    def _call_row(self, row: dict[str, Any]) -> None:
        begun = self._rows.setdefault(row["call_id"], {})
        asked = begun.setdefault("asked", row.get("model"))
        begun.update(row)
        if begun.get("status") in (None, "started"):
            return
        call = {**self._rows.pop(row["call_id"]), "asked": asked, "said": list(self._said)}
        self._answered = call
        if not self.content or call["status"] != "ok":
            self._tell_answered()

    def _message_row(self, row: dict[str, Any]) -> None:
        if self._answered is not None and row.get("call_id") == self._answered["call_id"]:
            self._answered["answer"] = row
            self._tell_answered()
        self._said.append(row)

    def _tell_answered(self) -> None:
        call, self._answered = self._answered, None
        if call is None or call.get("source") == _PLAYED:
            return
        error = _error_type(call)
        provider = str(call.get("provider") or "")
        shared = _known(
            {
                names.OPERATION: names.OPERATIONS["call"],
                names.PROVIDER: names.PROVIDERS.get(provider, provider),
                names.REQUEST_MODEL: call["asked"] or call.get("model"),
                names.RESPONSE_MODEL: call.get("model") if error is None else None,
            }
        )
        name = f"{names.OPERATIONS['call']} {shared.get(names.REQUEST_MODEL, '')}".strip()
        start = int(call["started_at"] * 1e9)
        end = start + int((call.get("latency_ms") or 0) * 1e6)
        span = self.sink.begin(name, start, self._turn, client=True)
        self._finish(span, end, {**shared, **self._of_call(call)}, error)
        self._measure_call(call, shared, error)

    def _of_call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        params = call.get("params") or {}
        streamed = _streamed(call)
        attributes = {
            **{name: params.get(column) for column, name in names.PARAMETERS.items()},
            **{name: call.get(column) for column, name in names.USAGE.items()},
            names.FINISH_REASONS: [call["finish_reason"]] if call.get("finish_reason") else None,
            names.FIRST_CHUNK: call["ttft_ms"] / 1000 if streamed else None,
            names.AGENT: call.get("agent"),
            names.CONVERSATION: call.get("conversation"),
            names.COST: call.get("cost_usd"),
            names.SOURCE: call.get("source"),
            names.ATTEMPTS: call.get("attempts"),
            names.CELL: call.get("cell"),
        }
        if self.content:
            attributes[names.INPUT] = json.dumps([_message(m) for m in call["said"]], default=str)
            if "answer" in call:
                attributes[names.OUTPUT] = json.dumps([_message(call["answer"])], default=str)
        self._add(attributes)
        return attributes

    def _add(self, attributes: Mapping[str, Any]) -> None:
        """What a call took is part of what its turn took."""
        for name in (*names.USAGE.values(), names.COST):
            if attributes.get(name) is not None:
                self._totals[name] = self._totals.get(name, 0) + attributes[name]

    def _measure_call(self, call: Mapping[str, Any], shared: dict[str, Any], error: str | None) -> None:
        if call.get("source") != "live":
            return
        self._measure(names.CALL_DURATION, (call.get("latency_ms") or 0) / 1000, shared, error)
        if _streamed(call):
            self._measure(names.CALL_FIRST_CHUNK, call["ttft_ms"] / 1000, shared, error)
        for column, kind in (("input_tokens", "input"), ("output_tokens", "output")):
            if call.get(column) is not None:
                self._measure(names.TOKEN_USAGE, call[column], {**shared, names.TOKEN_TYPE: kind}, None)

    def _tool_row(self, row: dict[str, Any]) -> None:
        key = (row["call_id"], row["tool_call_id"])
        call = self._rows.setdefault(key, {"began": time.time_ns()})
        call.update(row)
        if "success" not in row:
            return
        del self._rows[key]
        tool = str(call.get("tool") or "")
        error = None if row["success"] else "denied" if row.get("decision") == "deny" else "tool_error"
        took = int((row.get("execution_time_ms") or 0) * 1e6)
        end = max(time.time_ns(), call["began"] + took)
        attributes = {
            names.OPERATION: names.OPERATIONS["tool"],
            names.TOOL: tool,
            names.TOOL_TYPE: "function",
            names.TOOL_CALL: row["tool_call_id"],
            names.DECISION: row.get("decision"),
        }
        if self.content:
            attributes[names.TOOL_ARGUMENTS] = json.dumps(call.get("arguments"), default=str)
            attributes[names.TOOL_RESULT] = json.dumps(row.get("output") or row.get("error"), default=str)
        span = self.sink.begin(f"{names.OPERATIONS['tool']} {tool}", end - took, self._turn)
        self._finish(span, end, attributes, error)
        shared = {names.OPERATION: names.OPERATIONS["tool"], names.TOOL: tool}
        self._measure(names.TOOL_DURATION, took / 1e9, shared, error)

    def _finish(self, span: Span, end: int, attributes: Mapping[str, Any], error: str | None) -> None:
        span.set_attributes(_known({**attributes, names.ERROR_TYPE: error}))
        if error is not None:
            self.sink.mark_failed(span, error)
        span.end(end)

    def _measure(self, name: str, value: float, attributes: dict[str, Any], error: str | None) -> None:
        self.sink.histograms[name].record(value, _known({**attributes, names.ERROR_TYPE: error}))


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _error_type(call: Mapping[str, Any]) -> str | None:
    """The class of what went wrong; its text may repeat what was said, and is content."""
    if call["status"] == "ok":
        return None
    return str(call.get("error") or call["status"]).partition(":")[0]


def _streamed(call: Mapping[str, Any]) -> bool:
    """Whether the first piece came before the last one."""
    first, whole = call.get("ttft_ms"), call.get("latency_ms")
    return first is not None and whole is not None and first < whole


def _message(row: Mapping[str, Any]) -> dict[str, Any]:
    """A message in the form the conventions give it."""
    parts: list[dict[str, Any]] = []
    answered = next((p for p in row.get("parts") or () if p.get("type") == "tool_result"), None)
    if answered is not None:
        parts.append({"type": "tool_call_response", "id": answered.get("id"), "response": row["content"]})
    elif row["content"]:
        parts.append({"type": "text", "content": row["content"]})
    parts += [
        {name: part.get(name) for name in ("type", "id", "name", "arguments")}
        for part in row.get("parts") or ()
        if part.get("type") == "tool_call"
    ]
    return {"role": row["role"], "parts": parts}
