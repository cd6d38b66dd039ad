"""The outermost ASGI layer: ids, trace, metrics, load shedding, and a problem document for every failure."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import ClientDisconnect

from kappi_chassis import base_url
from kappi_chassis.base_url import BASE_URL
from kappi_chassis.observability import context, metrics
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
CLIENT_LEFT = 499
"""Status in metrics for a request whose client left before the answer began; it is never sent."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNSAFE_IN_HEADER = re.compile(r"[\x00-\x1f\x7f]")
REQUEST_ID = b"x-request-id"
TRACEPARENT = b"traceparent"

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
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
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
        except ClientDisconnect:
            return  # the client has left, so there is no answer to send and no failure
        except CutOff:
            raise
        except Exception as error:
            if begun:
                _log.exception("http.cut_off", route=route_of(scope), error_type=type(error).__name__)
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


class Edge:
    """Wraps an ASGI app. max_in_flight: requests beyond it are answered 503 before they reach the app.

    The route in metrics is the app's `scope["kappi.route"]` or the router's template: never the raw path,
    which would make a series per id.
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
            if name in (REQUEST_ID, TRACEPARENT, BASE_URL)
        }
        request_id = context.accept_request_id(incoming.get(REQUEST_ID))
        context.request_id.set(request_id)
        context.traceparent.set(context.continue_trace(incoming.get(TRACEPARENT)))
        base_url.told.set(incoming.get(BASE_URL))
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


def behind(leads_inside: Callable[[bytes], bool], inside: App, *, otherwise: App) -> App:
    """Returns an app that sends requests of some raw paths to one app and the others to the other."""

    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        app = inside if leads_inside(scope.get("raw_path", b"")) else otherwise
        await app(scope, receive, send)

    return split


class _Call:
    """One request and its measurements."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._request_id = request_id.encode()
        self._started = time.perf_counter()
        self._begun: float | None = None
        self._status = CLIENT_LEFT  # unless an answer begins

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._begun = time.perf_counter()
            message["headers"] = [*message.get("headers", ()), (REQUEST_ID, self._request_id)]
        await self._send(message)

    def finished(self) -> None:
        ended = self._begun if LASTS in self._scope else None
        elapsed_s = (ended or time.perf_counter()) - self._started
        route = route_of(self._scope)
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        metrics.HTTP_REQUEST_SECONDS.labels(method, route, str(self._status)).observe(elapsed_s)
        slow = elapsed_s > SLOW_REQUEST_S and PACED not in self._scope
        # A full store is logged once at its source: clients that continue to send must not fill the logs.
        failed = self._status >= 500 and self._status != InsufficientStorage.status
        if self._status >= 500:
            metrics.HTTP_FAILED.labels(method, route).inc()
        if failed or slow:
            _log.warning(
                "http.answered",
                method=method,
                route=route,
                status=self._status,
                elapsed_ms=round(elapsed_s * 1e3, 1),
            )


def route_of(scope: Scope) -> str:
    """Returns the route's template, or `unmatched`."""
    named = scope.get("kappi.route")
    if named is not None:
        return str(named)
    return str(getattr(scope.get("route"), "path", "unmatched"))
