"""Ways straight through to one service, whatever lies behind a prefix: the object store, the admin panel.

Path and query go on byte for byte, bodies and answers stream, both of any size the passage allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import unquote_to_bytes

from kappi_chassis.http.edge import LASTS, PACED, App, Receive, Scope, Send
from kappi_chassis.observability import context
from kappi_chassis.problems import MethodNotAllowed, NotFound

from kappi_gateway.base_urls import BaseUrls
from kappi_gateway.body import ClientLeft, RequestBody, declared_body
from kappi_gateway.client_address import ClientAddresses
from kappi_gateway.client_disconnect import ClientDisconnect
from kappi_gateway.headers import TO_PANEL, TO_STORE, passing
from kappi_gateway.limits import ConcurrencyLimit
from kappi_gateway.minimum_rate import MinimumRate
from kappi_gateway.response_stream import stream_response
from kappi_gateway.routes import Service
from kappi_gateway.transfers import Transfers
from kappi_gateway.upstream import Upstreams

STORE_PREFIX = b"/store/"
PANEL_PREFIX = b"/admin"
RESET_PAGE = b"/reset-password"  # where a mailed token leads
_WITH_BODY = frozenset({"PUT", "POST"})
_DOTS = frozenset({b".", b".."})

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PassthroughRoute:
    """Where a passthrough leads, and what it lets through.

    route: its name in metrics. passing: headers of the client that go on. body_limit_bytes: None for none.
    introduces: headers by which the service learns who is asking. under_way: a place for the request, and the
    pace to be kept. large: bodies and answers take as long as the client's line does.
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
    """An ASGI app."""

    def __init__(self, passage: PassthroughRoute, *, upstreams: Upstreams) -> None:
        self._passage = passage
        self._upstreams = upstreams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Problem, before the answer has begun."""
        if scope["type"] != "http":
            return
        scope["kappi.route"] = self._passage.route
        method: str = scope["method"]
        if method not in self._passage.methods:
            allow = ", ".join(self._passage.methods)
            raise MethodNotAllowed(f"Allowed here: {allow}.", headers={"Allow": allow})
        if self._passage.large:
            scope[PACED if method in _WITH_BODY else LASTS] = True
        with suppress(ClientLeft), self._passage.under_way(scope) as rate:
            await self._pass(scope, receive, send, rate)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, rate: MinimumRate) -> None:
        body: RequestBody | None = None
        if scope["method"] in _WITH_BODY:
            body = declared_body(
                scope["headers"], receive, limit_bytes=self._passage.body_limit_bytes, rate=rate
            )
        with ClientDisconnect(receive) as disconnect:
            if body is None:
                disconnect.arm()
            else:
                await body.open(disconnect.arm)
            await self._exchange(scope, send, body=body, rate=rate)

    async def _exchange(
        self, scope: Scope, send: Send, *, body: RequestBody | None, rate: MinimumRate
    ) -> None:
        headers = passing(scope["headers"], self._passage.passing)
        headers.append(("x-request-id", context.request_id.get()))
        headers += self._passage.introduces(scope)
        if body is not None and body.length is not None:
            headers.append(("content-length", str(body.length)))
        elif body is None and scope["method"] in _WITH_BODY:
            headers.append(("content-length", "0"))
        target = scope["raw_path"].decode("ascii")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        response = await self._upstreams.send(
            self._passage.service,
            scope["method"],
            target,
            headers=headers,
            body=body if body is None or body.whole is None else body.whole,
        )
        try:
            await stream_response(
                response,
                send,
                service=self._passage.service,
                head_only=scope["method"] == "HEAD",
                rate=rate,
            )
        finally:
            response.release()


def store_passthrough(upstreams: Upstreams, *, addresses: ClientAddresses, transfers: Transfers) -> App:
    """/store/…: the signed URL is the credential, so who asks does not matter."""

    def under_way(scope: Scope) -> AbstractContextManager[MinimumRate]:
        place = transfers.upload if scope["method"] in _WITH_BODY else transfers.download
        return place(addresses.of_request(scope))

    passage = PassthroughRoute(
        service=Service.STORE,
        route="/store/{key}",
        methods=("GET", "HEAD", "OPTIONS", "PUT"),
        passing=TO_STORE,
        body_limit_bytes=None,
        introduces=lambda _: [],
        under_way=under_way,
        large=True,
    )
    return Passthrough(passage, upstreams=upstreams)


def panel_passthrough(
    upstreams: Upstreams,
    *,
    addresses: ClientAddresses,
    body_limit_bytes: int,
    client_silence: timedelta,
    places: ConcurrencyLimit,
    base_urls: BaseUrls,
) -> App:
    """Identity's own pages, /admin and below it and the one for a new password: they have cookies and forms,
    so the API's freedom towards other origins must not reach them. places: of one address."""

    def introduce(scope: Scope) -> Headers:
        address = addresses.of_request(scope)
        # The panel compares it with where a form came from, and builds absolute addresses of it.
        base = base_urls.of_page(scope)
        return [
            ("traceparent", context.traceparent.get() or ""),
            ("x-forwarded-for", address),
            ("x-forwarded-host", base.netloc),
            ("x-forwarded-prefix", base.path),
            ("x-forwarded-proto", base.scheme),
        ]

    @contextmanager
    def under_way(scope: Scope) -> Iterator[MinimumRate]:
        with places.held(addresses.of_request(scope)):
            yield MinimumRate(client_silence.total_seconds())

    passage = PassthroughRoute(
        service=Service.IDENTITY,
        route="identity pages",
        methods=("GET", "HEAD", "POST"),
        passing=TO_PANEL,
        body_limit_bytes=body_limit_bytes,
        introduces=introduce,
        under_way=under_way,
    )
    passthrough = Passthrough(passage, upstreams=upstreams)

    async def below_admin(scope: Scope, receive: Receive, send: Send) -> None:
        if _climbs(scope["raw_path"]):
            raise NotFound("There is nothing of that name.")
        await passthrough(scope, receive, send)

    return below_admin


def leads_to_panel(raw_path: bytes) -> bool:
    return raw_path in (PANEL_PREFIX, RESET_PAGE) or raw_path.startswith(PANEL_PREFIX + b"/")


def leads_to_store(raw_path: bytes) -> bool:
    return raw_path.startswith(STORE_PREFIX)


def _climbs(raw_path: bytes) -> bool:
    """Whether a server that tidies paths up could read it as one outside the prefix."""
    decoded = unquote_to_bytes(raw_path).replace(b"\\", b"/")
    return not _DOTS.isdisjoint(decoded.split(b"/"))
