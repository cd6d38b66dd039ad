"""Leads to the cover of a gallery."""

from __future__ import annotations

from fastapi import FastAPI, Request
from kappi_chassis.http.app import hot_route
from kappi_contracts.grants import COUNTED_HEADER, counted_access
from starlette.responses import Response

from kappi_media.api import order_operations
from kappi_media.api.access import ClientAddresses, GrantGate, share_of
from kappi_media.api.redirects import redirect_to
from kappi_media.errors import GalleryNotFound
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.show_cover import ShowCover


class CoverApi:
    def __init__(
        self, gate: GrantGate, *, tier: GoverningTier, show_cover: ShowCover, addresses: ClientAddresses
    ) -> None:
        self._gate = gate
        self._tier = tier
        self._show_cover = show_cover
        self._addresses = addresses

    def register(self, app: FastAPI) -> None:
        hot_route(app, "/v1/g/{code}/cover", self.show, method="GET", openapi=order_operations.COVER)

    async def show(self, request: Request) -> Response:
        grant = await self._gate.open(request, "view")
        if grant.gallery.code != request.path_params["code"].strip().lower():
            raise GalleryNotFound
        share = share_of(grant, self._addresses.id_of(request))
        signed = await self._show_cover(grant.gallery, rules=await self._tier.of(grant), share=share)
        if not grant.gallery.capped:
            return redirect_to(signed)
        # It is no view, but a gallery that is used up shows nothing to a newcomer.
        return redirect_to(signed, **{COUNTED_HEADER: counted_access("previews", grant.gallery_id)})
