"""Calls to other services as spans, through the hooks of aiohttp. Without a tracer, no hook is registered."""

from __future__ import annotations

from collections.abc import Mapping
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


def client_spans(hooks: Hooks, names: Mapping[str, str]) -> list[Any] | None:
    """Returns the `trace_configs` of a session: the hooks with spans; None without a tracer.

    names: of the services, by `host:port`.
    """
    if tracing.tracer is None:
        return None

    async def begin(_: Any, call: Any, request: Any) -> None:
        tracer, parent = tracing.tracer, context.traceparent.get()
        call.span = None
        if tracer is None or parent is None or not context.is_exported(parent):
            return
        service = names.get(f"{request.url.host}:{request.url.port}", "other")
        call.span = tracer.begin(f"{request.method} {service}", kind="client", parent=parent)
        call.span.note({"http.request.method": request.method, "peer.service": service})
        request.headers[_HEADER] = call.span.traceparent

    async def end(_: Any, call: Any, answer: Any) -> None:
        if call.span is not None:
            call.span.note({"http.response.status_code": answer.response.status})
            if answer.response.status >= 500:
                call.span.fail(str(answer.response.status))
            call.span.end()

    async def fail(_: Any, call: Any, failure: Any) -> None:
        if call.span is not None:
            call.span.fail(type(failure.exception).__name__)
            call.span.end()

    hooks.on_request_start.append(begin)
    hooks.on_request_end.append(end)
    hooks.on_request_exception.append(fail)
    return [hooks]
