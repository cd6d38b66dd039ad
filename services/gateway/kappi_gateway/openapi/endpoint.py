"""One OpenAPI 3.1 document of the public surface, built from the services' own documents."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import blake2b

import msgspec
from kappi_chassis.clock import Monotonic
from kappi_chassis.observability.logs import get_logger

from kappi_gateway.errors import UpstreamTimeout, UpstreamUnavailable
from kappi_gateway.http.request import Request
from kappi_gateway.http.static import Page, send_page
from kappi_gateway.openapi.document import Document
from kappi_gateway.openapi.merge import merge
from kappi_gateway.openapi.own import OWN_OPERATIONS
from kappi_gateway.routes import ROUTES, Service
from kappi_gateway.upstream import Upstreams, decoded, whole

_document = msgspec.json.Decoder(Document)
_log = get_logger(__name__)


class OpenApi:
    """The endpoint of /openapi.json. refresh: greatest age of the services' documents.

    If a service does not answer, its last document is used; a service that never answered is left out.
    """

    def __init__(
        self, upstreams: Upstreams, *, refresh: timedelta, monotonic: Monotonic, path: str = ""
    ) -> None:
        """path: path of the public URL."""
        self._upstreams = upstreams
        # Without `servers`, the operations are below the root of the document's host.
        self._servers: Document = {"servers": [{"url": path}]} if path else {}
        self._refresh_s = refresh.total_seconds()
        self._monotonic = monotonic
        services = dict.fromkeys(route.service for route in ROUTES)
        self._sources = tuple(service for service in services if upstreams.knows(service))
        self._parts: dict[Service, Document] = {}
        self._page: Page | None = None
        self._tried_at = float("-inf")
        self._refreshing = asyncio.Lock()

    async def __call__(self, request: Request) -> None:
        """Raises UpstreamUnavailable while no service has ever answered."""
        async with self._refreshing:
            if self._monotonic() - self._tried_at > self._refresh_s or len(self._parts) < len(self._sources):
                await self._refresh()
        if self._page is None:
            raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1)
        await send_page(request, self._page)

    async def _refresh(self) -> None:
        found = await asyncio.gather(*(self._fetch(service) for service in self._sources))
        self._tried_at = self._monotonic()
        self._parts.update(
            {service: part for service, part in zip(self._sources, found, strict=True) if part is not None}
        )
        if self._parts:
            parts = {**self._parts, Service.GATEWAY: OWN_OPERATIONS}
            body = msgspec.json.encode(merge(parts) | self._servers)
            tag = blake2b(body, digest_size=12).hexdigest()
            self._page = Page.of(body, content_type="application/json", etag=tag)

    async def _fetch(self, service: Service) -> Document | None:
        try:
            response = await self._upstreams.send(service, "GET", "/internal/openapi.json", headers=[])
            body = await whole(response)
            if response.status == 200:
                return decoded(body, _document)
            _log.warning("openapi.refused", upstream=service.value, status=response.status)
        except (UpstreamUnavailable, UpstreamTimeout) as error:
            _log.warning("openapi.missing", upstream=service.value, error_type=type(error).__name__)
        return None
