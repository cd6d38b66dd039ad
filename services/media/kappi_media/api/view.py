"""Serves the page of a gallery."""

from __future__ import annotations

from fastapi import FastAPI, Request
from kappi_chassis.http.app import hot_route
from kappi_contracts.grants import ACCESS_HEADER, COUNTED_HEADER, counted_access, recorded_access
from starlette.responses import Response

from kappi_media.api import operations
from kappi_media.api.access import GrantGate, shown_only_of
from kappi_media.api.compression import negotiate
from kappi_media.api.gallery_page import GalleryPages, PageRequest
from kappi_media.api.item_cursor import sort_key_in
from kappi_media.api.page_size import DEFAULT_LIMIT, PAGE_SIZE
from kappi_media.domain.contributions import ContributorId
from kappi_media.errors import GalleryNotFound
from kappi_media.statistics.recorder import AccessRecorder
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.view_gallery import ViewGallery


class ViewApi:
    def __init__(
        self,
        gate: GrantGate,
        *,
        tier: GoverningTier,
        pages: GalleryPages,
        view: ViewGallery,
        recorder: AccessRecorder,
    ) -> None:
        self._view = view
        self._gate = gate
        self._tier = tier
        self._pages = pages
        self._recorder = recorder

    def register(self, app: FastAPI) -> None:
        hot_route(app, "/v1/g/{code}", self.view, method="GET", openapi=operations.VIEW_GALLERY)

    async def view(self, request: Request) -> Response:
        grant = await self._gate.open(request, "view")
        if grant.gallery.code != request.path_params["code"].strip().lower():
            raise GalleryNotFound
        page = _page_request(request, only_of=shown_only_of(grant))
        answer = await self._pages(grant.gallery, page, rules=await self._tier.of(grant))
        headers = {"ETag": answer.etag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
        if grant.gallery.capped and await self._view.is_first(grant.gallery, after=page.after):
            headers[COUNTED_HEADER] = counted_access("views", grant.gallery_id)
        if page.after is None:
            if grant.gallery.capped:
                headers[ACCESS_HEADER] = recorded_access("view", grant.gallery_id)
            else:
                self._recorder("view", request, gallery_id=grant.gallery_id)
        if answer.body is None:
            return Response(status_code=304, headers=headers)
        if page.coding != "identity":
            headers["Content-Encoding"] = page.coding
        return Response(answer.body, headers=headers, media_type="application/json")


def _page_request(request: Request, *, only_of: ContributorId | None) -> PageRequest:
    limit, cursor = DEFAULT_LIMIT, None
    if request.scope["query_string"]:
        if (text := request.query_params.get("limit")) is not None:
            limit = PAGE_SIZE.read(text)
        cursor = request.query_params.get("cursor")
    headers = request.headers
    return PageRequest(
        limit=limit,
        after=sort_key_in(cursor),
        coding=negotiate(headers.get("accept-encoding", "")),
        known_tags=headers.get("if-none-match", ""),
        only_of=only_of,
    )
