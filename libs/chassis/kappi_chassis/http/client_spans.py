"""Calls to other services as spans: a context for own clients, and the hooks of aiohttp.

Without a tracer, no hook is registered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from kappi_chassis.http.edge import TRACEPARENT
from kappi_chassis.observability import context, tracing

_HEADER = TRACEPARENT.decode()


class Hooks(Protocol):
    """The hooks of `aiohttp.TraceConfig`, which this package does not depend on."""

    @property
    def on_request_start(self) -> Any: ...

    @property
    def on_request_end(self) -> Any: ...

    @property
    def on_request_exception(self) -> Any: ...


@contextmanager
def client_span(method: str, service: str) -> Iterator[tracing.Span | None]:
    """Within the context, a call to a service is a span. Yields None if the trace is not exported.

    The request has to carry the span's traceparent.
    """
    span = _begin(method, service)
    try:
        yield span
    except BaseException as failure:
        if span is not None:
            span.fail(type(failure).__name__)
        raise
    finally:
        if span is not None:
            span.end()


def note_status(span: tracing.Span | None, status: int) -> None:
    """Notes the status of the answer in the span of a call."""
    if span is not None:
        span.note({"http.response.status_code": status})
        if status >= 500:
            span.fail(str(status))


def client_spans(hooks: Hooks, names: Mapping[str, str]) -> list[Any] | None:
    """Returns the `trace_configs` of a session: the hooks with spans; None without a tracer.

    names: of the services, by `host:port`.
    """
    if tracing.tracer is None:
        return None

    async def begin(_: Any, call: Any, request: Any) -> None:
        service = names.get(f"{request.url.host}:{request.url.port}", "other")
        call.span = _begin(request.method, service)
        if call.span is not None:
            request.headers[_HEADER] = call.span.traceparent

    async def end(_: Any, call: Any, answer: Any) -> None:
        if call.span is not None:
            note_status(call.span, answer.response.status)
            call.span.end()

    async def fail(_: Any, call: Any, failure: Any) -> None:
        if call.span is not None:
            call.span.fail(type(failure.exception).__name__)
            call.span.end()

    hooks.on_request_start.append(begin)
    hooks.on_request_end.append(end)
    hooks.on_request_exception.append(fail)
    return [hooks]


def _begin(method: str, service: str) -> tracing.Span | None:
    tracer, parent = tracing.tracer, context.traceparent.get()
    if tracer is None or parent is None or not context.is_exported(parent):
        return None
    span = tracer.begin(f"{method} {service}", kind="client", parent=parent)
    span.note({"http.request.method": method, "peer.service": service})
    return span
