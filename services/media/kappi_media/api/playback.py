"""Films in a form that browsers play."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class PlaybackParts:
    """What requests for films need. items: gives the original as it does for a download."""

    gate: GrantGate
    tier: GoverningTier
    items: ItemApi
    recorder: AccessRecorder
    addresses: ClientAddresses


class PlaybackApi:
    def __init__(self, parts: PlaybackParts, *, show: ShowPlayback) -> None:
        self._parts = parts
        self._show = show

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
        parts = self._parts
        grant = await parts.gate.open(request, "view")
        await parts.items.check_shown(grant, media_id)
        shown = await self._show(
            MediaId(media_id),
            GalleryId(grant.gallery_id),
            rules=await parts.tier.of(grant),
            share=share_of(grant, parts.addresses.id_of(request)),
        )
        if shown is None:
            return await parts.items.original_for(grant, media_id, request, redirect=redirect)
        if isinstance(shown, PendingFilm):
            return pending(shown)
        parts.recorder("preview", request, gallery_id=grant.gallery_id, media_id=media_id)
        return redirect_to(shown) if redirect else JsonResponse(shown)


def pending(film: PendingFilm) -> Response:
    body = PendingPlayback(state=film.state, progress=film.progress)
    headers = {"Retry-After": str(_ASK_AGAIN_S), "Cache-Control": "private, no-store"}
    return JsonResponse(body, status_code=202, headers=headers)
