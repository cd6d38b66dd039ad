"""Expiring links: create, list, revoke, follow."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import FastAPI, Path, Request
from kappi_chassis.base_url import link_base_url
from kappi_chassis.http.idempotency import IdempotentCalls, idempotency_key
from kappi_chassis.http.responses import JsonResponse, json_response
from kappi_chassis.pagination import Cursor, cursor_after, position_of
from kappi_chassis.time_left import seconds_left
from starlette.responses import Response

from kappi_media.api import link_operations
from kappi_media.api.access import GrantGate
from kappi_media.api.items import ItemIdPath
from kappi_media.api.page_size import DEFAULT_LIMIT, Limit
from kappi_media.api.reading import decode, read_body
from kappi_media.api.schemas import LinkPage, LinkRequest, LinkView, NewLink
from kappi_media.domain.media import GalleryId, LinkId, MediaId
from kappi_media.repository.links import Link
from kappi_media.statistics.recorder import AccessRecorder
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.links import CreatedLink, CreateLink, LinkOrder, Links

LinkIdPath = Annotated[UUID, Path(alias="id", description="Id of the link")]

_request = msgspec.json.Decoder(LinkRequest)


class LinkApi:
    def __init__(
        self,
        gate: GrantGate,
        *,
        tier: GoverningTier,
        create: CreateLink,
        links: Links,
        recorder: AccessRecorder,
        public_url: str,
        calls: IdempotentCalls,
    ) -> None:
        """Builds the routes. public_url: the public address of the gateway, with which links begin."""
        self._gate = gate
        self._tier = tier
        self._create = create
        self._links = links
        self._recorder = recorder
        self._public_url = public_url
        self._calls = calls

    def register(self, app: FastAPI) -> None:
        path = "/v1/media/{id}/links"
        app.add_api_route(path, self.create, methods=["POST"], **link_operations.CREATE_LINK)
        app.add_api_route(path, self.list_live, methods=["GET"], **link_operations.LIST_LINKS)
        app.add_api_route("/v1/links/{id}", self.revoke, methods=["DELETE"], **link_operations.REVOKE_LINK)
        app.add_api_route("/v1/l/{token}", self.follow, methods=["GET"], **link_operations.FOLLOW_LINK)

    async def create(self, media_id: ItemIdPath, request: Request) -> Response:
        grant = await self._gate.open(request, "manage")
        body = await read_body(request)
        asked = decode(_request, body)
        order = LinkOrder(
            MediaId(media_id),
            grant,
            await self._tier.of(grant),
            timedelta(seconds=asked.valid_for),
            max_views=asked.max_views,
            max_downloads=asked.max_downloads,
        )
        key, scope = idempotency_key(request), f"POST /v1/media/{media_id}/links"
        call = (
            None
            if key is None
            else self._calls.secret_call(key, body, scope=scope, caller=str(grant.gallery_id))
        )
        return json_response(await self._create(order, call, render=self._render), status=201)

    def _render(self, created: CreatedLink) -> bytes:
        link = created.link
        return msgspec.json.encode(
            NewLink(
                link=f"{link_base_url(self._public_url)}/v1/l/{created.token}",
                **_shown(link, now=created.created_at),
            )
        )

    async def list_live(
        self,
        media_id: ItemIdPath,
        request: Request,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response:
        grant = await self._gate.open(request, "manage")
        page = await self._links.live(
            MediaId(media_id),
            GalleryId(grant.gallery_id),
            after=position_of(cursor),
            limit=limit,
        )
        views = [LinkView(**_shown(link, now=page.seen_at)) for link in page.links]
        return JsonResponse(LinkPage(items=views, next_cursor=cursor_after(page.next_after)))

    async def revoke(self, link_id: LinkIdPath, request: Request) -> Response:
        grant = await self._gate.open(request, "manage")
        await self._links.revoke(LinkId(link_id), GalleryId(grant.gallery_id))
        return Response(status_code=204)

    async def follow(
        self, token: Annotated[str, Path(description="As in the link")], request: Request
    ) -> Response:
        followed = await self._links.follow(token)
        self._recorder("link", request, gallery_id=followed.gallery_id, media_id=followed.media_id)
        headers = {
            "Location": followed.signed.url,
            "Cache-Control": "private, no-store",
            # The Referer header of the next page must not contain the link.
            "Referrer-Policy": "no-referrer",
        }
        return Response(status_code=302, headers=headers)


def _shown(link: Link, *, now: datetime) -> dict[str, Any]:
    return {
        "id": link.id,
        "expires_at": link.expires_at,
        "expires_in": seconds_left(link.expires_at, now=now),
        "valid_for": link.valid_for_s,
        "created_at": link.created_at,
        "max_views": link.max_views,
        "views_used": 0 if link.max_views is None else link.follow_count,
        "max_downloads": link.max_downloads,
        "downloads_used": 0 if link.max_downloads is None else link.follow_count,
    }
