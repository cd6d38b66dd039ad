"""The app of the API: finds the endpoint and the client's address, and limits the requests of an address."""

from __future__ import annotations

from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_chassis.problems import NotFound

from kappi_gateway.http.client_address import ClientAddresses
from kappi_gateway.http.headers import RawHeaders, first
from kappi_gateway.http.request import Endpoint, Request
from kappi_gateway.http.router import Router
from kappi_gateway.http.static import Page, send_page
from kappi_gateway.limits.concurrency import ConcurrencyLimit

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
