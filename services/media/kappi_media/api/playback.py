"""Films in a form that browsers play."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request
from kappi_chassis.http.responses import JsonResponse
from starlette.responses import Response

from kappi_media.api import playback_operations
from kappi_media.api.access import ClientAddresses, GrantGate, share_of
from kappi_media.api.items import ItemApi, ItemIdPath
from kappi_media.api.redirects import redirect_to
from kappi_media.api.schemas import PendingPlayback
from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.statistics.recorder import AccessRecorder
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.playback import PendingFilm, ShowPlayback

_ASK_AGAIN_S = 2


class PlaybackApi:
    """items: gives the original as it does for a download."""

    def __init__(
        self,
        gate: GrantGate,
        *,
        tier: GoverningTier,
        show: ShowPlayback,
        items: ItemApi,
        recorder: AccessRecorder,
        addresses: ClientAddresses,
    ) -> None:
        self._gate = gate
        self._tier = tier
        self._show = show
        self._items = items
        self._recorder = recorder
        self._addresses = addresses

    def register(self, app: FastAPI) -> None:
        app.add_api_route(
            "/v1/media/{id}/playback", self.playback, methods=["GET"], **playback_operations.PLAYBACK
        )

    async def playback(
        self,
        media_id: ItemIdPath,
        request: Request,
        redirect: Annotated[
            bool, Query(description="`false`: answer 200 with the signed URL instead of 302")
        ] = True,
    ) -> Response:
        grant = await self._gate.open(request, "view")
        await self._items.check_shown(grant, media_id)
        shown = await self._show(
            MediaId(media_id),
            GalleryId(grant.gallery_id),
            rules=await self._tier.of(grant),
            share=share_of(grant, self._addresses.id_of(request)),
        )
        if shown is None:
            return await self._items.original_for(grant, media_id, request, redirect=redirect)
        if isinstance(shown, PendingFilm):
            body = PendingPlayback(state=shown.state, progress=shown.progress)
            headers = {"Retry-After": str(_ASK_AGAIN_S), "Cache-Control": "private, no-store"}
            return JsonResponse(body, status_code=202, headers=headers)
        self._recorder("preview", request, gallery_id=grant.gallery_id, media_id=media_id)
        return redirect_to(shown) if redirect else JsonResponse(shown)
