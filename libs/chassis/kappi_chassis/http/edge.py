"""The outermost ASGI layer: ids, trace, metrics, load shedding, and every failure as a problem document."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from kappi_chassis.observability import context, metrics
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.problems import PROBLEM_JSON, Overloaded, Problem, problem_body

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SLOW_REQUEST_S = 1.0
REQUEST_ID = b"x-request-id"
TRACEPARENT = b"traceparent"

_log = get_logger(__name__)


async def send_problem(send: Send, problem: Problem) -> None:
    """Answer with a problem document, on bare ASGI."""
    body = problem_body(problem, context.request_id.get())
    headers = [(b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class FailureGuard:
    """Turns whatever an app raises into a problem document; an answer that has begun is cut instead."""

    def __init__(self, app: App) -> None:
        self._app = app

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
        except Problem as problem:
            if begun:
                raise
            await send_problem(send, problem)
        except Exception as error:
            _log.exception("http.failed", path=scope["path"], error_type=type(error).__name__)
            if begun:
                raise
            await send_problem(send, Problem("Something went wrong on our side. Tell us the request_id."))


class Edge:
    """Wraps an ASGI app. max_in_flight: requests beyond it are answered 503 before the app sees them.

    The route of a request, for metrics, is what the app leaves in `scope["kappi.route"]` or the router's
    template: never the raw path, which would make a series per id.
    """

    def __init__(self, app: App, *, max_in_flight: int) -> None:
        self._app = FailureGuard(app)
        self._max_in_flight = max_in_flight
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        incoming = {
            name: value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (REQUEST_ID, TRACEPARENT)
        }
        request_id = context.accept_request_id(incoming.get(REQUEST_ID))
        context.request_id.set(request_id)
        context.traceparent.set(context.continue_trace(incoming.get(TRACEPARENT)))
        call = _Call(scope, send, request_id)
        if self._in_flight >= self._max_in_flight:
            metrics.HTTP_SHED.inc()
            await send_problem(call.send, Overloaded("Try again in a moment.", retry_after_s=1))
            return
        self._in_flight += 1
        metrics.HTTP_IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, call.send)
        finally:
            self._in_flight -= 1
            metrics.HTTP_IN_FLIGHT.dec()
            call.finished()


class _Call:
    """One request on its way out."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._request_id = request_id.encode()
        self._started = time.perf_counter()
        self._status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message.get("headers", ()), (REQUEST_ID, self._request_id)]
        await self._send(message)

    def finished(self) -> None:
        elapsed_s = time.perf_counter() - self._started
        route = route_of(self._scope)
        method = self._scope["method"]
        metrics.HTTP_REQUEST_SECONDS.labels(method, route, str(self._status)).observe(elapsed_s)
        if self._status >= 500 or elapsed_s > SLOW_REQUEST_S:
            _log.warning(
                "http.answered",
                method=method,
                route=route,
                status=self._status,
                elapsed_ms=round(elapsed_s * 1e3, 1),
            )


def route_of(scope: Scope) -> str:
    """The route's template, or `unmatched`."""
    named = scope.get("kappi.route")
    if named is not None:
        return str(named)
    return str(getattr(scope.get("route"), "path", "unmatched"))
