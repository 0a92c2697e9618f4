"""Where spans and metrics go: the program's own OpenTelemetry providers, or a collector named in the environment.

The one module that imports OpenTelemetry. Owns no mapping of rows: that is ``gathering.storage.telemetry``'s.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gathering.storage import semconv as names

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ["Sink", "sink"]

_lock = threading.Lock()
_sinks: dict[tuple[int, int], Sink] = {}
_own: tuple[Any, Any] | tuple[()] | None = None


@dataclass(frozen=True, slots=True)
class Sink:
    """A tracer and the histograms beside it."""

    tracer: Tracer
    histograms: dict[str, Histogram]
    providers: tuple[Any, Any]

    def begin(self, name: str, start: int, parent: Span | None, *, client: bool = False) -> Span:
        """A span that began at ``start`` (nanoseconds since 1970), below the parent or the current span."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        context = None if parent is None else set_span_in_context(parent)
        kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
        return self.tracer.start_span(name, context=context, kind=kind, start_time=start)

    def mark_failed(self, span: Span, error: str) -> None:
        """Say that what the span is about failed."""
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR, error))


def sink(endpoint: bool) -> Sink | None:
    """Where spans go now, None if nobody set that up. ``endpoint``: whether the environment names a collector."""
    from opentelemetry import metrics, trace

    tracers, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
    if isinstance(tracers, trace.ProxyTracerProvider):
        own = _own_providers() if endpoint else None
        if own is None:
            return None
        tracers, meters = own
    with _lock:
        key = (id(tracers), id(meters))
        if key not in _sinks:
            _sinks[key] = _sink(tracers, meters)
        return _sinks[key]


def _sink(tracers: TracerProvider, meters: MeterProvider) -> Sink:
    meter = meters.get_meter(names.SCOPE)
    histograms = {
        name: meter.create_histogram(name, unit, explicit_bucket_boundaries_advisory=list(boundaries))
        for name, (unit, boundaries) in names.BOUNDARIES.items()
    }
    return Sink(tracers.get_tracer(names.SCOPE), histograms, (tracers, meters))


def _own_providers() -> tuple[TracerProvider, MeterProvider] | None:
    """Providers that send to the collector of the environment; they flush when the program ends."""
    global _own
    with _lock:
        if _own is None:
            _own = _made() or ()
        return _own or None


def _made() -> tuple[TracerProvider, MeterProvider] | None:
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        message = (
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but its exporter is not installed, so nothing is sent: "
            "pip install 'gathering[otel]', or set the variable OTEL_SDK_DISABLED=true"
        )
        warnings.warn(message, UserWarning, stacklevel=2)
        return None
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    meters = MeterProvider(metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter())])
    return tracers, meters
