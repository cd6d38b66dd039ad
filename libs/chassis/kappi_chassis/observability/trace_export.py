"""Exports spans to an OpenTelemetry collector (OTLP, protobuf over HTTP). Only this module loads the SDK.

Ended spans wait in a bounded queue for a thread that sends them in batches. What does not fit, and what the
collector does not take, is dropped and counted: neither a request nor the event loop waits for a collector.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Sequence
from typing import Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from kappi_chassis.observability import context, metrics
from kappi_chassis.observability.tracing import Attributes, Kind

QUEUE_SPANS = 4_096
BATCH_SPANS = 512
SEND_EVERY_MS = 1_000
SEND_TIMEOUT_S = 5.0
"""Longest time for one batch, retries included."""
CLOSE_WITHIN_S = 3.0
PATH = "/v1/traces"

_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


class OtlpTracer:
    """The tracer of one process. It must be closed; `close` waits a few seconds for the collector.

    endpoint: base URL of the collector, without the path. ratio: share of the new traces that is exported;
    all other work follows the decision in its traceparent. called_by: "clients" for a public port, whose
    callers choose the traceparent, so that their decision is not followed.
    """

    def __init__(
        self, service: str, *, endpoint: str, ratio: float, called_by: Literal["clients", "services"]
    ) -> None:
        of_trace = TraceIdRatioBased(ratio)
        sampler = (
            ParentBased(of_trace, remote_parent_sampled=of_trace, remote_parent_not_sampled=of_trace)
            if called_by == "clients"
            else ParentBased(of_trace)
        )
        self._provider = TracerProvider(
            sampler=sampler,
            resource=Resource.create({"service.name": service, "service.namespace": "kappi"}),
            shutdown_on_exit=False,  # it could wait for half a minute
        )
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + PATH, timeout=SEND_TIMEOUT_S)
        self._provider.add_span_processor(_Bounded(exporter))
        self._tracer = self._provider.get_tracer("kappi")

    def begin(
        self,
        name: str,
        *,
        kind: Kind,
        parent: str | None,
        began_at_ns: int | None = None,
        links: Sequence[str] = (),
    ) -> OtlpSpan:
        """Source: Tracer."""
        above = _span_context(parent)
        span = self._tracer.start_span(
            name,
            context=trace.set_span_in_context(NonRecordingSpan(above)) if above else Context(),
            kind=_KINDS[kind],
            start_time=began_at_ns,
            links=[Link(found) for each in links if (found := _span_context(each)) is not None],
        )
        return OtlpSpan(span)

    def close(self) -> None:
        """Sends what waits, in bounded time."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_WITHIN_S)


class OtlpSpan:
    """Source: Span."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        of = span.get_span_context()
        self.traceparent = f"00-{of.trace_id:032x}-{of.span_id:016x}-{of.trace_flags & 1:02x}"

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def link(self, traceparent: str) -> None:
        if (found := _span_context(traceparent)) is not None:
            self._span.add_link(found)

    def fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._span.end()


def start(
    service: str, *, endpoint: str, ratio: float, called_by: Literal["clients", "services"] = "services"
) -> OtlpTracer:
    """Returns a tracer that is closed when the process ends."""
    tracer = OtlpTracer(service, endpoint=endpoint, ratio=ratio, called_by=called_by)
    atexit.register(tracer.close)
    return tracer


class _Waiting:
    """The number of spans that were taken and not sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans = 0

    def take(self) -> bool:
        with self._lock:
            if self._spans >= QUEUE_SPANS:
                return False
            self._spans += 1
            return True

    def give_back(self, spans: int) -> None:
        with self._lock:
            self._spans -= spans


class _Bounded(BatchSpanProcessor):
    """Refuses spans while the queue is full: the SDK's own queue would drop the oldest and count nothing."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._waiting = _Waiting()
        super().__init__(
            _Counted(exporter, self._waiting),
            max_queue_size=QUEUE_SPANS,
            schedule_delay_millis=SEND_EVERY_MS,
            max_export_batch_size=BATCH_SPANS,
        )

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._waiting.take():
            super().on_end(span)
        else:
            metrics.TRACE_SPANS_DROPPED.labels("queue").inc()


class _Counted(SpanExporter):
    def __init__(self, exporter: SpanExporter, waiting: _Waiting) -> None:
        self._exporter = exporter
        self._waiting = waiting

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        finally:
            self._waiting.give_back(len(spans))
        if result is not SpanExportResult.SUCCESS:
            metrics.TRACE_SPANS_DROPPED.labels("collector").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _span_context(traceparent: str | None) -> SpanContext | None:
    found = context.parse(traceparent)
    if found is None:
        return None
    trace_id, span_id, exported = found
    flags = TraceFlags(TraceFlags.SAMPLED if exported else TraceFlags.DEFAULT)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
