"""Counts views and downloads of galleries that have a cap, before they are answered."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from kappi_contracts.grants import ACCESS_HEADER, COUNTED_HEADER

from kappi_gateway.auth.credentials import Credentials
from kappi_gateway.errors import GalleryNotFound, UpstreamTimeout, UpstreamUnavailable
from kappi_gateway.http.headers import ROLE, TO_STATISTICS, passing
from kappi_gateway.http.request import Request
from kappi_gateway.routes import Service
from kappi_gateway.upstream import Answer, Upstreams, traced, whole

_COUNTED, _ACCESS = COUNTED_HEADER.encode(), ACCESS_HEADER.encode()


class AccessCounts:
    """Asks the service that owns the cap. An answer that it does not count is not given, and not recorded."""

    def __init__(self, upstreams: Upstreams, credentials: Credentials) -> None:
        self._upstreams = upstreams
        self._credentials = credentials

    async def take(self, answer: Answer, request: Request) -> None:
        """Counts what the headers of the media service's answer name.

        Raises GalleryNotFound when the cap is reached; UpstreamUnavailable, UpstreamTimeout.
        """
        if (count := answer.header(_COUNTED)) is not None:
            await self._count(count.decode(), request)
        if (access := answer.header(_ACCESS)) is not None:
            with suppress(UpstreamUnavailable, UpstreamTimeout):  # statistics never refuse an answer
                await self._record(access.decode(), request)

    async def _count(self, target: str, request: Request) -> None:
        """Counts one access, unless a manager of the gallery asks."""
        gallery_id = UUID(target.split("/")[3])
        if await self._credentials.manages(gallery_id, request):
            return
        response = await self._upstreams.send(Service.GALLERIES, "POST", target, headers=traced())
        await whole(response)
        if response.status == GalleryNotFound.status:
            raise GalleryNotFound
        if response.status != 204:
            raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1)

    async def _record(self, target: str, request: Request) -> None:
        headers = [*passing(request.headers, TO_STATISTICS), *traced(), ("x-forwarded-for", request.address)]
        if (role := await self._credentials.role_of(request)) is not None:
            headers.append((ROLE, role))
        await whole(await self._upstreams.send(Service.MEDIA, "POST", target, headers=headers))
