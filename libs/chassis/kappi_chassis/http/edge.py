"""The outermost ASGI layer: ids, trace, metrics, load shedding, and a problem document for every failure."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from starlette.requests import ClientDisconnect

from kappi_chassis import base_url
from kappi_chassis.base_url import BASE_URL
from kappi_chassis.observability import context, metrics, tracing
from kappi_chassis.observability.access_log import access_log
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.problems import PROBLEM_JSON, InsufficientStorage, Overloaded, Problem, problem_body

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SLOW_REQUEST_S = 1.0
LASTS = "kappi.lasts"
"""Set by an app in the scope of an answer that takes as long as its client reads.

Metrics and the log of slow requests then measure only the time until the answer begins.
"""
PACED = "kappi.paced"
"""Set by an app in the scope of a request that takes as long as its client sends; not logged as slow."""
BODY_FOLLOWS = "kappi.body_follows"
"""Set by an app in a `http.response.start` when it sends the body at once, so that both are one write."""
CLIENT_LEFT = 499
"""Status in metrics for a request whose client left before the answer began; it is never sent."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNSAFE_IN_HEADER = re.compile(r"[\x00-\x1f\x7f]")
REQUEST_ID = b"x-request-id"
TRACEPARENT = b"traceparent"
FORWARDED_FOR = b"x-forwarded-for"
_NOTED = frozenset({BASE_URL, REQUEST_ID, TRACEPARENT})

_log = get_logger(__name__)


class CutOff(Exception):
    """A begun answer that cannot be completed: the connection is closed.

    The cause was logged or counted before.
    """


async def send_problem(send: Send, problem: Problem) -> None:
    """Answers with a problem document, on bare ASGI."""
    body = problem_body(problem, context.request_id.get())
    headers = [(b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(body)).encode())]
    headers += [
        (name.lower().encode(), value.encode("latin-1")) for name, value in safe_headers(problem).items()
    ]
    start = {"type": "http.response.start", "status": problem.status, "headers": headers, BODY_FOLLOWS: True}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def safe_headers(problem: Problem) -> dict[str, str]:
    """Returns the problem's headers without characters that could end one and begin another."""
    return {
        name: _UNSAFE_IN_HEADER.sub("", value).encode("latin-1", "replace").decode("latin-1")
        for name, value in problem.headers.items()
    }


class FailureGuard:
    """Turns an app's exceptions into problem documents, or into CutOff if the answer has begun.

    meaning: returns the problem for another exception, None for an unexpected failure.
    """

    def __init__(self, app: App, *, meaning: Callable[[Exception], Problem | None] = lambda _: None) -> None:
        self._app = app
        self._meaning = meaning

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:  # noqa: BLE001 - the HTTP edge: every failure gets an answer
            await self.answer(error, scope, send, begun=begun)

    async def answer(self, error: Exception, scope: Scope, send: Send, *, begun: bool) -> None:
        """Answers a failure. begun: whether the app's answer has begun. Raises CutOff."""
        if isinstance(error, ClientDisconnect):
            return  # the client has left, so there is no answer to send and no failure
        if isinstance(error, CutOff):
            raise error
        if begun:
            _log.error("http.cut_off", route=route_of(scope), error_type=type(error).__name__, exc_info=error)
            raise CutOff from error
        await send_problem(send, self._problem(error, route_of(scope)))

    def _problem(self, error: Exception, route: str) -> Problem:
        if isinstance(error, Problem):
            return error
        if (problem := self._meaning(error)) is not None:
            _log.warning("http.refused", route=route, error=str(error), error_type=type(error).__name__)
            return problem
        _log.error("http.failed", route=route, error_type=type(error).__name__, exc_info=error)
        return Problem("Something went wrong on our side. Tell us the request_id.")


class _AllEdges:
    """in_flight: requests that all edges of this process are answering."""

    in_flight = 0


_all_edges = _AllEdges()
metrics.HTTP_IN_FLIGHT.set_function(
    lambda: _all_edges.in_flight
)  # asked for rarely, changed with each request


class Edge:
    """Wraps an ASGI app. max_in_flight: requests beyond it are answered 503 before they reach the app.

    client_of: names the client of a request, for the limit of log lines; the peer without it.
    The route in metrics is the app's `scope["kappi.route"]` or the router's template: never the raw path,
    which would make a series per id.
    """

    def __init__(
        self, app: App, *, max_in_flight: int, client_of: Callable[[Scope], str] | None = None
    ) -> None:
        self._app = app
        self._guard = FailureGuard(app)
        self._max_in_flight = max_in_flight
        self._client_of = client_of or _sender
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        incoming_id = incoming_trace = told_url = None
        for name, value in scope["headers"]:
            if name not in _NOTED:
                continue
            if name == REQUEST_ID:
                incoming_id = value.decode("latin-1")
            elif name == TRACEPARENT:
                incoming_trace = value.decode("latin-1")
            else:
                told_url = value.decode("latin-1")
        request_id = context.accept_request_id(incoming_id)
        context.request_id.set(request_id)
        call = _Call(scope, send, request_id, self._client_of)
        if tracing.tracer is None:
            context.traceparent.set(context.continue_trace(incoming_trace))
        else:
            call.span = tracing.tracer.begin("request", kind="server", parent=incoming_trace)
            tracing.enter(call.span)
        base_url.told.set(told_url)
        if self._in_flight >= self._max_in_flight:
            metrics.HTTP_SHED.inc()
            await send_problem(call.send, Overloaded("Try again in a moment.", retry_after_s=1))
            call.noted(0.0, route="overloaded", method=_method_of(scope), slow=False)
            return
        self._in_flight += 1
        _all_edges.in_flight += 1
        try:
            await self._app(scope, receive, call.send)
        except Exception as error:  # noqa: BLE001 - the HTTP edge: every failure gets an answer
            await self._guard.answer(error, scope, call.send, begun=call.begun)
        finally:
            self._in_flight -= 1
            _all_edges.in_flight -= 1
            call.finished()


def behind(leads_inside: Callable[[bytes], bool], inside: App, *, otherwise: App) -> App:
    """Returns an app that sends requests of some raw paths to one app and the others to the other."""

    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        app = inside if leads_inside(scope.get("raw_path", b"")) else otherwise
        await app(scope, receive, send)

    return split


class _Call:
    """One request and its measurements. span: its span, with a tracer."""

    span: tracing.Span | None = None

    def __init__(self, scope: Scope, send: Send, request_id: str, client_of: Callable[[Scope], str]) -> None:
        self._scope = scope
        self._client_of = client_of
        self._send = send
        self._request_id = request_id.encode()
        self._started = time.perf_counter()
        self._begun: float | None = None
        self._status = CLIENT_LEFT  # unless an answer begins

    @property
    def begun(self) -> bool:
        return self._begun is not None

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._begun = time.perf_counter()
            message["headers"] = [*message.get("headers", ()), (REQUEST_ID, self._request_id)]
        return self._send(message)

    def finished(self) -> None:
        ended = self._begun if LASTS in self._scope else None
        elapsed_s = (ended or time.perf_counter()) - self._started
        route = route_of(self._scope)
        method = _method_of(self._scope)
        _seconds(method, route, self._status).observe(elapsed_s)
        slow = elapsed_s > SLOW_REQUEST_S and PACED not in self._scope
        if self._status >= 500:
            metrics.HTTP_FAILED.labels(method, route).inc()
        if self._status >= 400 or slow or access_log.every or self.span is not None:
            self.noted(elapsed_s, route=route, method=method, slow=slow)

    def noted(self, elapsed_s: float, *, route: str, method: str, slow: bool) -> None:
        """Logs the answer where it has to be logged, and ends the span."""
        status = self._status
        if (status >= 400 and status != CLIENT_LEFT) or slow or access_log.every:
            # A full store is logged at its source, too.
            failed = status >= 500 and status != InsufficientStorage.status
            access_log.note(
                client=self._client_of(self._scope),
                level="warning" if failed or slow else "info",
                method=method,
                route=route,
                status=status,
                elapsed_ms=round(elapsed_s * 1e3, 1),
            )
        if self.span is not None:
            _end_span(self.span, method=method, route=route, status=status)


def _end_span(span: tracing.Span, *, method: str, route: str, status: int) -> None:
    span.rename(f"{method} {route}")
    span.note(
        {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "kappi.request_id": context.request_id.get(),
        }
    )
    if status >= 500:
        span.fail(str(status))
    span.end()


@lru_cache(maxsize=4096)
def _seconds(method: str, route: str, status: int) -> Any:
    # Looking up a series costs more than counting in it.
    return metrics.HTTP_REQUEST_SECONDS.labels(method, route, str(status))


def _method_of(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def _sender(scope: Scope) -> str:
    """Returns the client that the gateway names; the peer if none is named."""
    for name, value in scope["headers"]:
        if name == FORWARDED_FOR:
            return str(value.decode("latin-1"))
    return str((scope.get("client") or ("",))[0])


def route_of(scope: Scope) -> str:
    """Returns the route's template, or `unmatched`."""
    named = scope.get("kappi.route")
    if named is not None:
        return str(named)
    return str(getattr(scope.get("route"), "path", "unmatched"))
