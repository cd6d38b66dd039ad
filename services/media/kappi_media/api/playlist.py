"""The playlists of long films, for players of HTTP Live Streaming."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request
from kappi_chassis.http.responses import JsonResponse
from starlette.responses import Response

from kappi_media.api import playlist_operations
from kappi_media.api.access import share_of
from kappi_media.api.compression import compress, negotiate
from kappi_media.api.items import ItemIdPath
from kappi_media.api.playback import PlaybackParts, pending
from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.domain.playlists import CONTENT_TYPE
from kappi_media.use_cases.playback import PendingFilm
from kappi_media.use_cases.playlist import ShowPlaylist


class PlaylistApi:
    def __init__(self, parts: PlaybackParts, *, show: ShowPlaylist) -> None:
        self._parts = parts
        self._show = show

    def register(self, app: FastAPI) -> None:
        app.add_api_route(
            "/v1/media/{id}/playback.m3u8", self.playlist, methods=["GET"], **playlist_operations.PLAYLIST
        )

    async def playlist(
        self,
        media_id: ItemIdPath,
        request: Request,
        signed: Annotated[
            bool,
            Query(description="Answer with a signed URL, for players without credentials"),
        ] = False,
        size: Annotated[
            Literal["playback", "playback-480"] | None,
            Query(description="The playlist of this size, in place of the one that names all"),
        ] = None,
        expires: Annotated[str, Query(description="As in the signed URL")] = "",
        signature: Annotated[str, Query(description="As in the signed URL; it replaces credentials")] = "",
    ) -> Response:
        parts = self._parts
        if signature:
            query = f"expires={expires}&signature={signature}"
            text = await self._show.signed(
                MediaId(media_id), size=size, query=query, expires=expires, signature=signature
            )
            return await _playlist(text, request)
        grant = await parts.gate.open(request, "view")
        await parts.items.check_shown(grant, media_id)
        shown = await self._show(
            MediaId(media_id),
            GalleryId(grant.gallery_id),
            size=size,
            rules=await parts.tier.of(grant),
            share=share_of(grant, parts.addresses.id_of(request)),
        )
        if isinstance(shown, PendingFilm):
            return pending(shown)
        parts.recorder("preview", request, gallery_id=grant.gallery_id, media_id=media_id)
        return JsonResponse(shown.signed) if signed else await _playlist(shown.text, request)


async def _playlist(text: str, request: Request) -> Response:
    coding = negotiate(request.headers.get("accept-encoding", ""))
    headers = {"Cache-Control": "private, no-store", "Vary": "Accept-Encoding", "Content-Type": CONTENT_TYPE}
    if coding != "identity":
        headers["Content-Encoding"] = coding
    return Response(await asyncio.to_thread(compress, text.encode(), coding), headers=headers)
