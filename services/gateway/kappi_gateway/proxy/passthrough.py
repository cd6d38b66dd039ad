"""Passes all requests below a prefix to one service: the object store, the admin panel.

Path and query are passed byte for byte. Bodies and answers stream, up to the size that the route allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import unquote_to_bytes

from kappi_chassis.http.direct_bytes import DIRECT
from kappi_chassis.http.edge import LASTS, PACED, App, Receive, Scope, Send
from kappi_chassis.http.splice import LEAST_BYTES
from kappi_chassis.observability import context
from kappi_chassis.problems import MethodNotAllowed, NotFound

from kappi_gateway.http.base_urls import BaseUrls
from kappi_gateway.http.body import ClientLeft, RequestBody, declared_body
from kappi_gateway.http.client_address import ClientAddresses
from kappi_gateway.http.client_disconnect import ClientDisconnect
from kappi_gateway.http.headers import TO_PANEL, TO_STORE, passing
from kappi_gateway.limits.concurrency import ConcurrencyLimit
from kappi_gateway.limits.minimum_rate import MinimumRate
from kappi_gateway.limits.transfers import Transfers
from kappi_gateway.proxy.response_stream import stream_response
from kappi_gateway.proxy.spliced import SplicedBody
from kappi_gateway.routes import Service
from kappi_gateway.upstream import Answer, Body, Upstreams

_WITH_BODY = frozenset({"PUT", "POST"})
_DOTS = frozenset({b".", b".."})

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PassthroughRoute:
    """The service a passthrough leads to, and the requests it lets through.

    route: name in metrics. passing: the client's headers that are passed on. body_limit_bytes: None for no
    limit. introduces: headers that describe the client to the service. under_way: holds a place for the
    request and returns the minimum rate. large: bodies and answers may take as long as the client's line
    needs.
    """

    service: Service
    route: str
    methods: tuple[str, ...]
    passing: Mapping[bytes, str]
    body_limit_bytes: int | None
    introduces: Callable[[Scope], Headers]
    under_way: Callable[[Scope], AbstractContextManager[MinimumRate]]
    large: bool = False


class Passthrough:
    """The ASGI app of one passthrough."""

    def __init__(self, route: PassthroughRoute, *, upstreams: Upstreams) -> None:
        self._route = route
        self._upstreams = upstreams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Problem before the answer has begun."""
        if scope["type"] != "http":
            return
        scope["kappi.route"] = self._route.route
        method: str = scope["method"]
        if method not in self._route.methods:
            allow = ", ".join(self._route.methods)
            raise MethodNotAllowed(f"Allowed here: {allow}.", headers={"Allow": allow})
        if self._route.large:
            scope[PACED if method in _WITH_BODY else LASTS] = True
        with suppress(ClientLeft), self._route.under_way(scope) as rate:
            await self._pass(scope, receive, send, rate)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, rate: MinimumRate) -> None:
        body: RequestBody | None = None
        if scope["method"] in _WITH_BODY:
            body = declared_body(
                scope["headers"], receive, limit_bytes=self._route.body_limit_bytes, rate=rate
            )
        with ClientDisconnect(scope) as disconnect:
            if body is None:
                disconnect.arm()
                response = await self._ask(scope, None)
            elif (length := self._spliced_length(body)) is not None:
                spliced = SplicedBody(scope[DIRECT], length=length, rate=rate, on_end=disconnect.arm)
                try:
                    response = await self._ask(scope, spliced)
                finally:
                    await spliced.leave()
            else:
                await body.open(disconnect.arm)
                response = await self._ask(scope, body if body.whole is None else body.whole)
            await self._answer(response, scope, send, rate)

    def _spliced_length(self, body: RequestBody) -> int | None:
        """Returns the length of a body that is better spliced than copied, None for others."""
        long = self._route.large and body.length is not None and body.length >= LEAST_BYTES
        return body.length if long and self._upstreams.can_splice(self._route.service) else None

    async def _ask(self, scope: Scope, body: Body) -> Answer:
        headers = passing(scope["headers"], self._route.passing)
        headers.append(("x-request-id", context.request_id.get()))
        headers += self._route.introduces(scope)
        target = scope["raw_path"].decode("ascii")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        return await self._upstreams.send(
            self._route.service, scope["method"], target, headers=headers, body=body
        )

    async def _answer(self, response: Answer, scope: Scope, send: Send, rate: MinimumRate) -> None:
        try:
            await stream_response(
                response,
                send,
                direct=scope[DIRECT] if self._route.large else None,
                service=self._route.service,
                head_only=scope["method"] == "HEAD",
                rate=rate,
            )
        finally:
            response.release()


def store_passthrough(upstreams: Upstreams, *, addresses: ClientAddresses, transfers: Transfers) -> App:
    """Passes /store/… to the object store.

    The signed URL is the credential, so the client's identity is irrelevant.
    """

    def under_way(scope: Scope) -> AbstractContextManager[MinimumRate]:
        place = transfers.upload if scope["method"] in _WITH_BODY else transfers.download
        return place(addresses.of_request(scope))

    route = PassthroughRoute(
        service=Service.STORE,
        route="/store/{key}",
        methods=("GET", "HEAD", "OPTIONS", "PUT"),
        passing=TO_STORE,
        body_limit_bytes=None,
        introduces=lambda _: [],
        under_way=under_way,
        large=True,
    )
    return Passthrough(route, upstreams=upstreams)


def panel_passthrough(
    upstreams: Upstreams,
    *,
    addresses: ClientAddresses,
    body_limit_bytes: int,
    client_silence: timedelta,
    places: ConcurrencyLimit,
    base_urls: BaseUrls,
) -> App:
    """Passes identity's own pages: /admin, all below it, and the page for a new password.

    They use cookies and forms, so they must not get the API's CORS headers. places: concurrency limit per
    address.
    """

    @contextmanager
    def under_way(scope: Scope) -> Iterator[MinimumRate]:
        with places.held(addresses.of_request(scope)):
            yield MinimumRate(client_silence.total_seconds())

    route = PassthroughRoute(
        service=Service.IDENTITY,
        route="identity pages",
        methods=("GET", "HEAD", "POST"),
        passing=TO_PANEL,
        body_limit_bytes=body_limit_bytes,
        introduces=partial(_describe_client, addresses=addresses, base_urls=base_urls),
        under_way=under_way,
    )
    return _without_climbing_paths(Passthrough(route, upstreams=upstreams))


def _describe_client(scope: Scope, *, addresses: ClientAddresses, base_urls: BaseUrls) -> Headers:
    address = addresses.of_request(scope)
    # The panel compares this URL with the origin of a form, and builds absolute URLs from it.
    base = base_urls.of_page(scope)
    return [
        ("traceparent", context.traceparent.get() or ""),
        ("x-forwarded-for", address),
        ("x-forwarded-host", base.netloc),
        ("x-forwarded-prefix", base.path),
        ("x-forwarded-proto", base.scheme),
    ]


def _without_climbing_paths(app: App) -> App:
    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if _climbs(scope["raw_path"]):
            raise NotFound("There is nothing of that name.")
        await app(scope, receive, send)

    return checked


def _climbs(raw_path: bytes) -> bool:
    """Whether a server that normalizes paths could read it as a path outside the prefix."""
    decoded = unquote_to_bytes(raw_path).replace(b"\\", b"/")
    return not _DOTS.isdisjoint(decoded.split(b"/"))
