"""The HTTP client of the services: one pool of kept-alive connections, no decoding, no redirects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import ClientResponse
from kappi_chassis.clock import Monotonic
from kappi_chassis.http.client_spans import client_spans
from kappi_chassis.http.internal import CHALLENGE
from kappi_chassis.observability import context
from kappi_chassis.observability.logs import get_logger
from yarl import URL

from kappi_gateway import metrics
from kappi_gateway.errors import UpstreamTimeout, UpstreamUnavailable
from kappi_gateway.routes import Service

KEEP_ALIVE_S = 30.0
"""Shorter than the services' 75 s, so that a service never closes a connection that is about to be used."""
PROVEN_FOR_S = 5.0
PROBE_TIMEOUT_S = 1.0
RETRY_AFTER_S = 1

READ_AHEAD_BYTES = 16 << 10
"""Bytes read ahead of an object whose client reads slowly: up to twice that, plus one read of the system.

Other answers are buffered whole, which is cheaper.
"""

_AUTOMATIC = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})
_log = get_logger(__name__)


class Stream(Protocol):
    """A body that is sent on while it arrives.

    failure: the error of a client that ended it early, else None.
    """

    @property
    def failure(self) -> Exception | None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


Body = bytes | Stream | None
T = TypeVar("T")


class Upstreams:
    """The services behind the gateway.

    connect_timeout: time to get a connection, including the wait for a free one. read_timeout: longest
    silence of a service. connections: greatest number at once, over all services. introduction: headers of
    every request, by which the services recognize the gateway.
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
        self._addresses = dict(addresses)
        self._connections = connections
        self.introduction = introduction
        self._monotonic = monotonic
        self._answered_at = dict.fromkeys(self._addresses, float("-inf"))
        self._connect_s = connect_timeout.total_seconds()
        self._timeout = self._with_timeout(read_timeout)
        self._session: aiohttp.ClientSession | None = None

    def knows(self, service: Service) -> bool:
        """Whether the settings give its address."""
        return service in self._addresses

    async def start(self) -> None:
        addresses = {service.value: URL(url) for service, url in self._addresses.items()}
        names = {f"{url.host}:{url.port}": name for name, url in addresses.items()}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=self.introduction,
            skip_auto_headers=_AUTOMATIC,
            timeout=self._timeout,
            trust_env=False,
            trace_configs=client_spans(aiohttp.TraceConfig(), names),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        service: Service,
        method: str,
        target: str,
        *,
        headers: list[tuple[str, str]],
        body: Body = None,
        silence: timedelta | None = None,
    ) -> ClientResponse:
        """Returns the service's answer with its body unread; the caller reads it or closes it.

        target: path and query, already encoded. silence: longest silence of the service, None for the usual.
        Raises UpstreamUnavailable, UpstreamTimeout, and the failure of a streamed body.
        """
        assert self._session is not None, "started before the first request"
        try:
            response = await self._session.request(
                method,
                URL(self._addresses[service] + target, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=self._timeout if silence is None else self._with_timeout(silence),
                read_bufsize=READ_AHEAD_BYTES if service is Service.STORE else None,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error, service=service, body=body) from error
        self._answered_at[service] = self._monotonic()
        if response.status == 401 and response.headers.get("www-authenticate") == CHALLENGE:
            response.release()
            _log.error("upstream.knows_us_not", upstream=service.value, setting="KAPPI_INTERNAL_SECRET")
            raise UpstreamUnavailable("Try again later.", retry_after_s=RETRY_AFTER_S)
        return response

    def _with_timeout(self, silence: timedelta) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=None,
            connect=self._connect_s,
            sock_connect=self._connect_s,
            sock_read=silence.total_seconds(),
        )

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


def _failure(error: Exception, *, service: Service, body: Body) -> Exception:
    """Returns the error to raise for a request without an answer, and counts a fault of the service."""
    if isinstance(error, aiohttp.SocketTimeoutError):
        metrics.UPSTREAM_FAILURES.labels(service.value, "timeout").inc()
        _log.warning("upstream.timeout", upstream=service.value)
        return UpstreamTimeout("Try again later.", retry_after_s=RETRY_AFTER_S)
    if body is not None and not isinstance(body, bytes) and body.failure is not None:
        return body.failure
    metrics.UPSTREAM_FAILURES.labels(service.value, "unreachable").inc()
    _log.warning("upstream.unavailable", upstream=service.value, error_type=type(error).__name__)
    return UpstreamUnavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S)


def traced() -> list[tuple[str, str]]:
    """Returns the headers that tie an internal request to the client's request."""
    return [
        ("x-request-id", context.request_id.get()),
        ("traceparent", context.traceparent.get() or ""),
    ]


async def whole(response: ClientResponse) -> bytes:
    """Returns the whole body of an answer. Raises UpstreamUnavailable when it breaks off."""
    try:
        return await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1) from error
    finally:
        response.release()


def decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Returns the content of an answer in JSON. Raises UpstreamUnavailable for any other answer."""
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise UpstreamUnavailable("Try again in a moment.", retry_after_s=RETRY_AFTER_S) from error


async def _accepts_connections(address: str) -> bool:
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True
