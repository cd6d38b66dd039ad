"""The gateway as an ASGI app: finds the endpoint, finds the client's address, adds the CORS headers."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from kappi_chassis.http.edge import App, Message, Receive, Scope, Send
from kappi_chassis.problems import NotFound

from kappi_gateway.http.client_address import ClientAddresses
from kappi_gateway.http.headers import RawHeaders, first
from kappi_gateway.http.request import Endpoint, Request
from kappi_gateway.http.router import Router
from kappi_gateway.http.static import Page, send_page
from kappi_gateway.limits.concurrency import ConcurrencyLimit

_CORS = (
    # The API uses no cookies: a code, key or token is the whole credential, so it is valid from any origin.
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"Accept-Ranges, Content-Disposition, Content-Range, Date, ETag, Location, Retry-After, X-Request-Id",
    ),
    (b"x-content-type-options", b"nosniff"),
)
_PREFLIGHT = [
    (
        b"access-control-allow-headers",
        (
            b"Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, "
            b"Last-Event-ID, Range, Traceparent, X-Contributor-Key, X-Gallery-Code, X-Gallery-Key, "
            b"X-Gallery-Password, X-Request-Id"
        ),
    ),
    (b"access-control-max-age", b"86400"),
]


class Gateway:
    """The ASGI app for every path except /store/ and /admin.

    places: limits the requests of one address at once, within the places that the chassis' edge has. missing:
    page shown to a browser for a path that does not exist.
    """

    def __init__(
        self,
        router: Router[Endpoint],
        *,
        addresses: ClientAddresses,
        places: ConcurrencyLimit,
        missing: Page,
    ) -> None:
        self._router = router
        self._missing = missing
        self._addresses = addresses
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Problem, which the chassis' edge around this app turns into the answer."""
        if scope["type"] != "http":
            return
        method: str = scope["method"]
        if method == "OPTIONS":
            await self._options(scope, send)
            return
        address = self._addresses.of_request(scope)
        try:
            endpoint, scope["kappi.route"], parameters = self._router.find(method, scope["raw_path"])
        except NotFound:
            if not _shows_pages(method, scope["headers"]):
                raise
            request = Request(scope, receive, send, [], scope["headers"], method, address)
            await send_page(request, self._missing, status=NotFound.status)
            return
        with self._places.held(address):
            await endpoint(Request(scope, receive, send, parameters, scope["headers"], method, address))

    async def _options(self, scope: Scope, send: Send) -> None:
        allow = self._router.allowed(scope["raw_path"]).encode()
        scope["kappi.route"] = "preflight"
        headers = [(b"allow", allow), (b"access-control-allow-methods", allow), *_PREFLIGHT]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _shows_pages(method: str, headers: RawHeaders) -> bool:
    """Whether the client is a browser that followed a link. Programs ask for JSON or for any type."""
    return method in {"GET", "HEAD"} and b"text/html" in (first(headers, b"accept") or b"")


def with_cors(app: App) -> App:
    """Adds the CORS headers.

    It wraps even the chassis' edge, because a page must be able to read errors too.
    """

    async def cors(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, _with_headers(send, _CORS))

    return cors


def with_hsts(app: App, *, addresses: ClientAddresses, max_age_s: int) -> App:
    """Adds Strict-Transport-Security to answers over HTTPS; over HTTP the header is forbidden (RFC 6797)."""
    header = (b"strict-transport-security", f"max-age={max_age_s}".encode())

    async def hsts(scope: Scope, receive: Receive, send: Send) -> None:
        secure = scope["type"] == "http" and addresses.scheme_of(scope) == "https"
        await app(scope, receive, _with_headers(send, (header,)) if secure else send)

    return hsts


def _with_headers(send: Send, headers: Iterable[tuple[bytes, bytes]]) -> Send:
    """Returns a `send` that adds headers to the answer."""

    def send_with_headers(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        return send(message)

    return send_with_headers


def below(path: str, app: App) -> App:
    """Serves the app below a path. A proxy in front may pass the path on or strip it; both work."""
    prefix = path.encode()

    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        raw_path: bytes = scope.get("raw_path", b"")
        if raw_path == prefix:
            await _move_to(path + "/", send)
            return
        if raw_path.startswith(prefix + b"/"):
            scope["raw_path"], scope["path"] = raw_path[len(prefix) :], scope["path"][len(path) :]
        await app(scope, receive, send)

    return split


async def _move_to(path: str, send: Send) -> None:
    """Redirects to `path`. The links of a page are relative to its address, so the final slash matters."""
    headers = [(b"location", path.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 308, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
