"""The services behind the gateway: their addresses, calls to them, and whether they can be reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec
from kappi_chassis.clock import Monotonic
from kappi_chassis.http.client_spans import client_span, note_status
from kappi_chassis.http.internal import CHALLENGE
from kappi_chassis.http.splice import CAN_SPLICE
from kappi_chassis.observability import context, tracing
from kappi_chassis.observability.logs import get_logger

from kappi_gateway import metrics
from kappi_gateway.errors import UpstreamTimeout, UpstreamUnavailable
from kappi_gateway.routes import Service
from kappi_gateway.upstream.answer import Answer
from kappi_gateway.upstream.connection import Body, Connection, Lost, Silent
from kappi_gateway.upstream.pool import Places, Pool

KEEP_ALIVE_S = 2.0
"""Shorter than a service's drain delay (10 s in deploy/k8s). In that time each answer says that the service
stops, so it then closes no connection on which a request may be under way.
"""
PROVEN_FOR_S = 5.0
PROBE_TIMEOUT_S = 1.0
RETRY_AFTER_S = 1

READ_AHEAD_BYTES = 64 << 10
OBJECT_READ_AHEAD_BYTES = 16 << 10
"""Bytes read ahead of an object whose client reads slowly, plus one read of the system."""

_MAY_REPEAT = frozenset({"GET", "HEAD", "OPTIONS"})
_SENDS_BODY = frozenset({"PATCH", "POST", "PUT"})
_TRACE = "traceparent"
_CHALLENGE = CHALLENGE.encode()
_log = get_logger(__name__)

Headers = list[tuple[str, str]]
T = TypeVar("T")


class Upstreams:
    """The services behind the gateway.

    connect_timeout: time to get a connection, including the wait for a free place. read_timeout: longest
    silence of a service. connections: greatest number of calls at once, over all services. introduction:
    headers of every request, by which the services recognize the gateway.
    """

    def __init__(
        self,
        addresses: Mapping[Service, str],
        *,
        connect_timeout: timedelta,
        read_timeout: timedelta,
        connections: int,
        introduction: Mapping[str, str],
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._addresses = {service: urlsplit(url) for service, url in addresses.items()}
        self.introduction = introduction
        self._monotonic = monotonic
        self._answered_at = dict.fromkeys(self._addresses, float("-inf"))
        self._connect_s = connect_timeout.total_seconds()
        self._silence_s = read_timeout.total_seconds()
        places = Places(connections)
        self._pools = {
            service: Pool(address, places=places, keep_s=KEEP_ALIVE_S)
            for service, address in self._addresses.items()
        }
        introduced = "".join(f"{name}: {value}\r\n" for name, value in introduction.items())
        self._openings = {
            service: (address.path, f" HTTP/1.1\r\nhost: {address.netloc}\r\n{introduced}")
            for service, address in self._addresses.items()
        }

    def knows(self, service: Service) -> bool:
        """Whether the settings give its address."""
        return service in self._addresses

    def can_splice(self, service: Service) -> bool:
        """Whether a body can be spliced to its connections: they are not encrypted."""
        return CAN_SPLICE and self._addresses[service].scheme == "http"

    async def start(self) -> None:
        """Does nothing: a connection is opened when it is needed."""

    async def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    async def send(
        self,
        service: Service,
        method: str,
        target: str,
        *,
        headers: Headers,
        body: Body = None,
        silence: timedelta | None = None,
    ) -> Answer:
        """Returns the service's answer with its body unread; the caller reads it or releases it.

        target: path and query, already encoded. headers: without those of the body's length. silence: longest
        silence of the service, None for the usual. Raises UpstreamUnavailable, UpstreamTimeout, and the
        failure of a streamed body.
        """
        silence_s = self._silence_s if silence is None else silence.total_seconds()
        if tracing.tracer is None:
            answer = await self._answer(service, method, target, headers, body, silence_s)
        else:
            with client_span(method, service.value) as span:
                if span is not None:
                    headers = [*(pair for pair in headers if pair[0] != _TRACE), (_TRACE, span.traceparent)]
                answer = await self._answer(service, method, target, headers, body, silence_s)
                note_status(span, answer.status)
        self._answered_at[service] = self._monotonic()
        if answer.status == 401 and answer.header(b"www-authenticate") == _CHALLENGE:
            answer.release()
            _log.error("upstream.knows_us_not", upstream=service.value, setting="KAPPI_INTERNAL_SECRET")
            raise UpstreamUnavailable("Try again later.", retry_after_s=RETRY_AFTER_S)
        return answer

    async def _answer(
        self,
        service: Service,
        method: str,
        target: str,
        headers: Headers,
        body: Body,
        silence_s: float,
    ) -> Answer:
        """Returns an answer whose head has arrived."""
        pool = self._pools[service]
        head = self._head(service, method, target, headers, body)
        read_ahead = OBJECT_READ_AHEAD_BYTES if service is Service.STORE else READ_AHEAD_BYTES
        while True:
            connection = pool.take() or await self._connected(service, pool)
            may_repeat = not connection.is_new and body is None and method in _MAY_REPEAT
            answer = Answer(connection, head_only=method == "HEAD", read_ahead_bytes=read_ahead)
            connection.call(head, body, answer, silence_s=silence_s)
            try:
                await answer.head()
            except Lost as lost:
                if lost.unanswered and may_repeat:
                    continue  # the service has closed the kept connection before it saw the request
                raise _unavailable(service, lost) from lost
            except Silent as silent:
                metrics.UPSTREAM_FAILURES.labels(service.value, "timeout").inc()
                _log.warning("upstream.timeout", upstream=service.value)
                raise UpstreamTimeout("Try again later.", retry_after_s=RETRY_AFTER_S) from silent
            except asyncio.CancelledError:
                answer.release()
                raise
            return answer

    async def _connected(self, service: Service, pool: Pool) -> Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                return await pool.connect()
        except OSError as error:  # TimeoutError is one
            raise _unavailable(service, error) from error

    def _head(self, service: Service, method: str, target: str, headers: Headers, body: Body) -> bytes:
        """Returns the head of a request. Raises ValueError for a line break in a header."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
            raise ValueError("a header for a service holds a line break")
        length = len(body) if isinstance(body, bytes) else 0 if body is None else body.length
        if length is None:
            framing = "transfer-encoding: chunked\r\n"
        elif length or method in _SENDS_BODY:
            framing = f"content-length: {length}\r\n"
        else:
            framing = ""
        path, introduction = self._openings[service]
        return f"{method} {path}{target}{introduction}{lines}{framing}\r\n".encode()

    async def check_any(self) -> None:
        """Readiness check: returns if any service can be reached, raises UpstreamUnavailable if none can.

        One unreachable service must not take the gateway out of rotation: the others still work through it,
        and all replicas would fail at once. If no service can be reached, this replica is cut off.
        """
        reached = await asyncio.gather(*(self._reachable(service) for service in self._addresses))
        if not any(reached):
            raise UpstreamUnavailable("No service can be reached from here.")

    async def _reachable(self, service: Service) -> bool:
        proven = self._monotonic() - self._answered_at[service] < PROVEN_FOR_S
        reachable = proven or await _accepts_connections(self._addresses[service])
        metrics.UPSTREAM_REACHABLE.labels(service.value).set(reachable)
        return reachable


def _unavailable(service: Service, error: Exception) -> UpstreamUnavailable:
    """Returns the error to raise for a request without an answer, and counts a fault of the service."""
    metrics.UPSTREAM_FAILURES.labels(service.value, "unreachable").inc()
    _log.warning("upstream.unavailable", upstream=service.value, error_type=type(error).__name__)
    return UpstreamUnavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S)


def traced() -> list[tuple[str, str]]:
    """Returns the headers that tie an internal request to the client's request."""
    return [
        ("x-request-id", context.request_id.get()),
        ("traceparent", context.traceparent.get() or ""),
    ]


async def whole(response: Answer) -> bytes:
    """Returns the whole body of an answer. Raises UpstreamUnavailable when it breaks off."""
    try:
        return await response.read()
    except (Lost, Silent) as error:
        raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1) from error
    finally:
        response.release()


def decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Returns the content of an answer in JSON. Raises UpstreamUnavailable for any other answer."""
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise UpstreamUnavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S) from error


async def _accepts_connections(address: SplitResult) -> bool:
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(address.hostname, port)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True
