"""The gateway as an ASGI app: finds the endpoint, knows whose request it is, speaks CORS."""

from __future__ import annotations

from collections.abc import Awaitable

from kappi_chassis.http.edge import App, Message, Receive, Scope, Send

from kappi_gateway.call import Call, Endpoint
from kappi_gateway.client_address import UNKNOWN, ClientAddresses
from kappi_gateway.headers import FORWARDED_FOR, FORWARDED_PROTO, first
from kappi_gateway.router import Router

_CORS = (
    # No cookies anywhere: whoever holds a code, key or token holds the right, from any origin.
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Content-Disposition, ETag, Location, Retry-After, X-Request-Id"),
    (b"x-content-type-options", b"nosniff"),
)
_PREFLIGHT = [
    (
        b"access-control-allow-headers",
        (
            b"Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Range, "
            b"Traceparent, X-Gallery-Code, X-Gallery-Key, X-Gallery-Password, X-Request-Id"
        ),
    ),
    (b"access-control-max-age", b"86400"),
]


class Gateway:
    """Everything but /store/."""

    def __init__(self, router: Router[Endpoint], *, addresses: ClientAddresses) -> None:
        self._router = router
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Problem; the chassis' edge around it answers with it."""
        if scope["type"] != "http":
            return
        method: str = scope["method"]
        if method == "OPTIONS":
            await self._options(scope, send)
            return
        endpoint, scope["kappi.route"], parameters = self._router.find(method, scope["raw_path"])
        client = scope["client"]
        address = client[0] if client else UNKNOWN
        if self._addresses.trusts(address):
            address = self._behind_proxy(scope, address)
        await endpoint(Call(scope, receive, send, parameters, scope["headers"], method, address))

    def _behind_proxy(self, scope: Scope, peer: str) -> str:
        forwarded_proto = first(scope["headers"], FORWARDED_PROTO)
        if forwarded_proto in (b"http", b"https"):
            scope["scheme"] = forwarded_proto.decode()
        # A repeated header means the same as one list (RFC 9110, 5.3).
        chain = b",".join(value for name, value in scope["headers"] if name == FORWARDED_FOR)
        return self._addresses.of(peer, chain.decode("latin-1"))

    async def _options(self, scope: Scope, send: Send) -> None:
        allow = self._router.allowed(scope["raw_path"]).encode()
        scope["kappi.route"] = "preflight"
        headers = [(b"allow", allow), (b"access-control-allow-methods", allow), *_PREFLIGHT]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def with_cors(app: App) -> App:
    """Outside even the chassis' edge: a page must be able to read errors and refusals too."""

    async def cors(scope: Scope, receive: Receive, send: Send) -> None:
        def send_with_cors(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_CORS]
            return send(message)

        await app(scope, receive, send_with_cors)

    return cors


def behind_prefix(prefix: bytes, inside: App, *, otherwise: App) -> App:
    """Requests whose raw path begins with `prefix` to one app, the rest to the other."""

    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        app = inside if scope.get("raw_path", b"").startswith(prefix) else otherwise
        await app(scope, receive, send)

    return split
