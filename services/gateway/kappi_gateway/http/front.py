"""The outermost layer: the app of a path, the headers that all answers have, and clients that do not read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from kappi_chassis.http.edge import LASTS, App, Message, Receive, Scope, Send
from kappi_chassis.problems import TooManyRequests

from kappi_gateway import metrics
from kappi_gateway.errors import ClientStalled
from kappi_gateway.http.body import GRACE_S
from kappi_gateway.http.client_address import ClientAddresses
from kappi_gateway.limits.concurrency import ConcurrencyLimit
from kappi_gateway.routes import leads_to_store

Headers = tuple[tuple[bytes, bytes], ...]

CORS = (
    # The API uses no cookies: a code, key or token is the whole credential, so it is valid from any origin.
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"Accept-Ranges, Content-Disposition, Content-Range, Date, ETag, Location, Retry-After, X-Request-Id",
    ),
    (b"x-content-type-options", b"nosniff"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the public surface. leads_inside: whether it serves a raw path. headers: of its answers."""

    leads_inside: Callable[[bytes], bool]
    app: App
    headers: Headers = ()


class Front:
    """The ASGI app of the public port.

    parts: the first that leads inside serves the request; the last serves all others. path: of the public
    URL; a proxy in front may pass it on or strip it. hsts: value of Strict-Transport-Security in answers over
    HTTPS; over HTTP the header is forbidden (RFC 6797). None sends none. slow: clients of an address that are
    waited for. silence_s: longest wait for one.

    A client that sends requests and does not read the answers holds a place that all requests share. The
    limits apply to every answer, also to an error, and to an answer on a connection with further requests.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        path: str,
        addresses: ClientAddresses,
        hsts: bytes | None,
        slow: ConcurrencyLimit,
        silence_s: float,
    ) -> None:
        self._parts, self._rest = tuple(parts[:-1]), parts[-1]
        self._path, self._prefix = path, path.encode()
        self._addresses = addresses
        self._hsts: Headers = () if hsts is None else ((b"strict-transport-security", hsts),)
        self._slow = slow
        self._silence_s = silence_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._prefix and self._strip(scope):
            await self._move_to_slash(scope, send)
            return
        raw_path = scope["raw_path"]
        for part in self._parts:
            if part.leads_inside(raw_path):
                break
        else:
            part = self._rest
        await part.app(scope, receive, self._sending(scope, send, part.headers))

    def _sending(self, scope: Scope, send: Send, headers: Headers) -> Send:
        """Returns a `send` that adds headers, and raises ClientStalled for a client that does not read."""
        if self._hsts and self._addresses.scheme_of(scope) == "https":
            headers += self._hsts
        blocked = scope["kappi.blocked"]

        def send_on(message: Message) -> Awaitable[None]:
            if headers and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            return self._send_in_time(scope, send, message) if blocked() else send(message)

        return send_on

    async def _send_in_time(self, scope: Scope, send: Send, message: Message) -> None:
        """Sends to a client that has not read what was sent before.

        It raises ClientStalled after a silence, or if too many clients of the address are waited for.
        Downloads may last on any slow line and need no place here: they have their own limits.
        """
        # The server waits before it writes, so a send that timed out here can be repeated.
        try:
            async with asyncio.timeout(GRACE_S):
                await send(message)
                return
        except TimeoutError:
            pass
        downloads = LASTS in scope or leads_to_store(scope["raw_path"])
        try:
            with nullcontext() if downloads else self._slow.held(self._addresses.of_request(scope)):
                async with asyncio.timeout(self._silence_s):
                    await send(message)
        except (TimeoutError, TooManyRequests) as error:
            metrics.CLIENTS_STALLED.inc()
            raise ClientStalled from error

    def _strip(self, scope: Scope) -> bool:
        """Removes the path of the public URL. Returns whether there is nothing after it, not even a slash."""
        raw_path: bytes = scope["raw_path"]
        if raw_path.startswith(self._prefix + b"/"):
            scope["raw_path"], scope["path"] = raw_path[len(self._prefix) :], scope["path"][len(self._path) :]
        return raw_path == self._prefix

    async def _move_to_slash(self, scope: Scope, send: Send) -> None:
        """Redirects. The links of a page are relative to its address, so the final slash matters."""
        send = self._sending(scope, send, ())
        headers = [(b"location", self._prefix + b"/"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 308, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
