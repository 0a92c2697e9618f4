"""Spans and metrics of a turn: their names and times, what they leave out, and that nothing is made where nobody asked."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gathering import Agent, tape
from gathering.core import config
from gathering.core import errors as e
from gathering.storage import SQLiteStore
from gathering.storage.telemetry import Telemetry, observed
from gathering.testing import ScriptedProvider

SECRET = "Ada's diary"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """A program that has set up a tracer provider; what it would send."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """A program that has set up a meter provider."""
    found = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[found], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    yield found
    provider.shutdown()


def bell(times: int) -> str:
    """Ring the bell."""
    if times < 1:
        raise ValueError("the bell is rung at least once")
    return "ding " * times


def agent(*answers: Any, **parts: Any) -> Agent:
    provider = ScriptedProvider(list(answers), "openai", "m1")
    return Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"), **parts)


def ring(times: int = 2) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 4, "cached_tokens": 3, "reasoning_tokens": 1}
    return {"content": "", "tool_calls": [{"name": "bell", "arguments": {"times": times}}], "usage": usage}


def by_name(spans: InMemorySpanExporter) -> dict[str, Any]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_turn_is_a_span_over_its_calls_and_tools(spans: InMemorySpanExporter) -> None:
    """With the names of the conventions; times are those of the rows."""
    ada = agent(ring(), {"content": "Rung.", "usage": {"input_tokens": 20, "output_tokens": 5}}, tools=[bell])
    ada.ask(SECRET, temperature=0)
    call, tool, last, turn = spans.get_finished_spans()
    assert [s.name for s in (turn, call, tool)] == ["invoke_agent ada", "chat m1", "execute_tool bell"]
    assert turn.parent is None
    assert {s.parent.span_id for s in (call, tool, last) if s.parent} == {turn.context.span_id}
    attributes = dict(call.attributes or {})
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.provider.name"] == "openai"
    assert (attributes["gen_ai.request.model"], attributes["gen_ai.response.model"]) == ("m1", "m1")
    assert attributes["gen_ai.request.temperature"] == 0
    assert attributes["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert attributes["gen_ai.usage.input_tokens"] == 10
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 3
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 1
    assert attributes["gen_ai.conversation.id"] == ada.conversation
    assert call.kind is SpanKind.CLIENT
    assert dict(tool.attributes or {})["gen_ai.tool.name"] == "bell"
    totals = dict(turn.attributes or {})
    assert totals["gen_ai.agent.name"] == "ada"
    assert (totals["gen_ai.usage.input_tokens"], totals["gen_ai.usage.output_tokens"]) == (30, 9)
    row = ada.trace.calls().iloc[0]
    assert call.start_time == pytest.approx(row["started_at"].timestamp() * 1e9, abs=1e6)
    assert call.end_time - call.start_time == pytest.approx(row["latency_ms"] * 1e6, abs=1e3)


def test_the_turn_is_below_the_span_that_is_current(spans: InMemorySpanExporter) -> None:
    """So that a program sees its agents in its own traces."""
    tracer = trace.get_tracer_provider().get_tracer("test")
    with tracer.start_as_current_span("lesson") as lesson:
        agent("Hi").ask("Hello")
    assert by_name(spans)["invoke_agent ada"].parent.span_id == lesson.get_span_context().span_id


def test_what_was_said_stays_here(spans: InMemorySpanExporter) -> None:
    """No prompt, answer, argument, result or error text is in any attribute."""
    with pytest.raises(e.RateLimitError):
        agent(e.RateLimitError(f"no more of {SECRET}")).ask(SECRET)
    agent(ring(0), f"About {SECRET}", tools=[bell]).ask(SECRET)
    text = json.dumps([json.loads(span.to_json()) for span in spans.get_finished_spans()])
    for said in (SECRET, "at least once", "times"):
        assert said not in text


def test_what_was_said_goes_along_where_it_is_asked_for(spans: InMemorySpanExporter) -> None:
    """In the form of the conventions."""
    config.set("telemetry", "content")
    agent(ring(), "Rung.", tools=[bell]).ask(SECRET)
    first, tool, last, _ = spans.get_finished_spans()
    asked = json.loads(str((first.attributes or {})["gen_ai.input.messages"]))
    assert asked == [{"role": "user", "parts": [{"type": "text", "content": SECRET}]}]
    wanted = json.loads(str((first.attributes or {})["gen_ai.output.messages"]))
    assert [part["name"] for part in wanted[0]["parts"]] == ["bell"]
    assert json.loads(str((tool.attributes or {})["gen_ai.tool.call.arguments"])) == {"times": 2}
    assert json.loads(str((tool.attributes or {})["gen_ai.tool.call.result"])) == "ding ding "
    heard = json.loads(str((last.attributes or {})["gen_ai.input.messages"]))
    assert [message["role"] for message in heard] == ["user", "assistant", "tool"]
    assert heard[-1]["parts"][0]["type"] == "tool_call_response"
    said = json.loads(str((last.attributes or {})["gen_ai.output.messages"]))
    assert said == [{"role": "assistant", "parts": [{"type": "text", "content": "Rung."}]}]


def test_failures_are_marked_with_their_kind(spans: InMemorySpanExporter) -> None:
    """Of the call, of the tool, and of the turn."""
    with pytest.raises(e.RateLimitError):
        agent(e.RateLimitError("slow down")).ask("Hi")
    for name in ("chat m1", "invoke_agent ada"):
        span = by_name(spans)[name]
        assert (span.status.status_code, span.attributes["error.type"]) == (
            StatusCode.ERROR,
            "RateLimitError",
        )
    agent(ring(0), "Oh.", tools=[bell]).ask("Ring.")
    assert by_name(spans)["execute_tool bell"].attributes["error.type"] == "tool_error"


def test_a_stopped_turn_ends_its_span(spans: InMemorySpanExporter) -> None:
    """With what had been asked."""
    stream = agent("One two three").stream("Count.")
    next(iter(stream))
    stream.close()
    assert by_name(spans)["invoke_agent ada"].attributes["error.type"] == "GeneratorExit"
    assert by_name(spans)["chat m1"].status.status_code is StatusCode.ERROR


def test_who_answered_in_a_chain_is_the_provider_of_the_span(spans: InMemorySpanExporter) -> None:
    """The model that was asked for is the chain; names are those of the conventions."""
    import gathering

    first = ScriptedProvider([e.OverloadedError("busy")], "openai", "m1")
    second = ScriptedProvider(["Hi"], "mistral", "m2")
    chain = gathering.provider("fallback", providers=[first, second])
    Agent("ada", llm_provider=chain, store=SQLiteStore(":memory:")).ask("Hello")
    attributes = by_name(spans)["chat openai:m1 | mistral:m2"].attributes
    assert (attributes["gen_ai.provider.name"], attributes["gen_ai.response.model"]) == ("mistral_ai", "m2")


def test_a_replayed_call_is_none(spans: InMemorySpanExporter, tmp_path: Any) -> None:
    """It took its time when it was recorded; the turn is there."""
    for mode in ("record", "replay"):
        with tape(tmp_path / "t.jsonl", mode):
            agent("Hi").ask("Hello")
    names = [span.name for span in spans.get_finished_spans()]
    assert names == ["chat m1", "invoke_agent ada", "invoke_agent ada"]


def test_metrics_have_the_names_of_the_conventions(spans: Any, reader: InMemoryMetricReader) -> None:
    """Tokens by kind, durations by operation."""
    agent(ring(), {"content": "Rung.", "usage": {"input_tokens": 20}}, tools=[bell]).ask("Ring.")
    data = json.loads(str(reader.get_metrics_data().to_json()))
    (scope,) = data["resource_metrics"][0]["scope_metrics"]
    found = {metric["name"]: metric for metric in scope["metrics"]}
    assert set(found) >= {
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
        "gen_ai.invoke_agent.duration",
        "gen_ai.execute_tool.duration",
    }
    tokens = {
        point["attributes"]["gen_ai.token.type"]: point["sum"]
        for point in found["gen_ai.client.token.usage"]["data"]["data_points"]
    }
    assert tokens == {"input": 30, "output": 4}
    assert found["gen_ai.client.token.usage"]["unit"] == "{token}"
    durations = found["gen_ai.client.operation.duration"]["data"]["data_points"]
    assert [point["count"] for point in durations] == [2]
    assert durations[0]["attributes"]["gen_ai.provider.name"] == "openai"


def test_without_a_provider_nothing_happens() -> None:
    """The recorder is the one it was."""
    store = SQLiteStore(":memory:")
    assert observed(store) is store


@pytest.mark.parametrize("how", ["setting", "variable"])
def test_it_can_be_switched_off(how: str, spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the project's setting, or for all of OpenTelemetry."""
    store = SQLiteStore(":memory:")
    assert isinstance(observed(store), Telemetry)
    if how == "setting":
        config.set("telemetry", "off")
    else:
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert observed(store) is store


def test_nothing_is_imported_unless_it_is_on() -> None:
    """A turn in a plain program loads nothing of OpenTelemetry."""
    code = """
import sys
from gathering import Agent
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider
Agent("ada", llm_provider=ScriptedProvider(["Hi"]), store=SQLiteStore(":memory:")).ask("Hello")
assert not [name for name in sys.modules if name.startswith("opentelemetry")], sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_collector_in_the_environment_gets_spans_and_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that sets up nothing itself: what is waiting is sent when it ends."""
    received: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(f"{self.path} {body!r}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    code = """
from gathering import Agent
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider
Agent("ada", llm_provider=ScriptedProvider(["Hi"]), store=SQLiteStore(":memory:")).ask("Hello")
"""
    try:
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert any(r.startswith("/v1/traces") and "invoke_agent ada" in r for r in received)
    assert any(r.startswith("/v1/metrics") and "gen_ai.client.operation.duration" in r for r in received)
