"""/store/…: straight through to the local object store's process, both ways, of any size.

The signed URL is the credential, so path and query go on byte for byte.
"""

from __future__ import annotations

from datetime import timedelta

from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_chassis.observability import context
from kappi_chassis.problems import MethodNotAllowed

from kappi_gateway.body import ClientLeft, RequestBody, declared_body
from kappi_gateway.departure import Departure
from kappi_gateway.headers import TO_STORE, passing
from kappi_gateway.relay import relay
from kappi_gateway.routes import Service
from kappi_gateway.upstream import Upstreams

PREFIX = b"/store/"
_WITH_BODY = frozenset({"PUT", "POST"})
_ALLOW = "GET, HEAD, OPTIONS, PUT"


class StoreDoor:
    """An ASGI app. client_silence: longest pause of a client that sends or reads a body."""

    def __init__(self, upstreams: Upstreams, *, client_silence: timedelta) -> None:
        self._upstreams = upstreams
        self._silence_s = client_silence.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Problem, before the answer has begun."""
        scope["kappi.route"] = "/store/{key}"
        method: str = scope["method"]
        if method not in _ALLOW.split(", "):
            raise MethodNotAllowed(f"Allowed here: {_ALLOW}.", headers={"Allow": _ALLOW})
        body: RequestBody | None = None
        if method in _WITH_BODY:
            body = declared_body(scope["headers"], receive, limit_bytes=None, silence_s=self._silence_s)
        try:
            with Departure(receive) as departure:
                if body is None:
                    departure.arm()
                else:
                    await body.open(departure.arm)
                await self._exchange(scope, send, body)
        except ClientLeft:
            return

    async def _exchange(self, scope: Scope, send: Send, body: RequestBody | None) -> None:
        headers = passing(scope["headers"], TO_STORE)
        headers.append(("x-request-id", context.request_id.get()))
        if body is not None and body.length is not None:
            headers.append(("content-length", str(body.length)))
        elif body is None and scope["method"] in _WITH_BODY:
            headers.append(("content-length", "0"))
        target = scope["raw_path"].decode("ascii")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        response = await self._upstreams.send(
            Service.STORE,
            scope["method"],
            target,
            headers=headers,
            body=body if body is None or body.whole is None else body.whole,
        )
        try:
            await relay(
                response,
                send,
                service=Service.STORE,
                head_only=scope["method"] == "HEAD",
                silence_s=self._silence_s,
            )
        finally:
            response.release()
