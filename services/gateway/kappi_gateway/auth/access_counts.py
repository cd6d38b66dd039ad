"""Counts views and downloads of galleries that have a cap, before they are answered."""

from __future__ import annotations

from uuid import UUID

from kappi_gateway.auth.credentials import Credentials
from kappi_gateway.errors import GalleryNotFound, UpstreamUnavailable
from kappi_gateway.http.request import Request
from kappi_gateway.routes import Service
from kappi_gateway.upstream import Upstreams, traced, whole


class AccessCounts:
    """Asks the service that owns the cap. An answer that it does not count is not given."""

    def __init__(self, upstreams: Upstreams, credentials: Credentials) -> None:
        self._upstreams = upstreams
        self._credentials = credentials

    async def take(self, target: str, request: Request) -> None:
        """Counts one access, unless a manager of the gallery asks. target: the value of COUNTED_HEADER.

        Raises GalleryNotFound when the cap is reached; UpstreamUnavailable, UpstreamTimeout.
        """
        gallery_id = UUID(target.split("/")[3])
        if await self._credentials.manages(gallery_id, request):
            return
        response = await self._upstreams.send(Service.GALLERIES, "POST", target, headers=traced())
        await whole(response)
        if response.status == GalleryNotFound.status:
            raise GalleryNotFound
        if response.status != 204:
            raise UpstreamUnavailable("Try again in a moment.", retry_after_s=1)
