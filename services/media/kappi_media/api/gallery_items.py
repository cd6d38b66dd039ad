"""Lists the items of a gallery for its manager, and changes their order."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import FastAPI, Path, Request
from kappi_chassis.http.idempotency import IdempotentCalls, idempotency_key
from kappi_chassis.http.responses import JsonResponse
from kappi_chassis.pagination import Cursor
from kappi_chassis.problems import FieldError, ValidationFailed
from starlette.responses import Response

from kappi_media.api import order_operations as operations
from kappi_media.api.access import GrantGate
from kappi_media.api.item_cursor import cursor_after_key, sort_key_in
from kappi_media.api.page_size import DEFAULT_LIMIT, Limit
from kappi_media.api.presentation import present_item
from kappi_media.api.reading import decode, read_body
from kappi_media.api.schemas import ManagedItemPage, OrderChange, OrderChanged
from kappi_media.domain.media import GalleryId, Item
from kappi_media.domain.order import Placement, Sorting
from kappi_media.signed_urls import DownloadUrls
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.reorder_items import ReorderItems
from kappi_media.use_cases.view_gallery import ViewGallery

GalleryIdPath = Annotated[UUID, Path(alias="id", description="Id of the gallery")]

_change = msgspec.json.Decoder(OrderChange)


class GalleryItemsApi:
    def __init__(
        self,
        gate: GrantGate,
        *,
        tier: GoverningTier,
        view: ViewGallery,
        reorder: ReorderItems,
        urls: DownloadUrls,
        calls: IdempotentCalls,
    ) -> None:
        self._gate = gate
        self._tier = tier
        self._view = view
        self._reorder = reorder
        self._urls = urls
        self._calls = calls

    def register(self, app: FastAPI) -> None:
        path = "/v1/galleries/{id}"
        app.add_api_route(f"{path}/media", self.list, methods=["GET"], **operations.LIST_ITEMS)
        app.add_api_route(f"{path}/order", self.reorder, methods=["POST"], **operations.REORDER)

    async def list(
        self, gallery_id: GalleryIdPath, request: Request, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Response:
        grant = await self._gate.open_for(request, "manage", gallery_id=gallery_id)
        await self._view.contents(grant.gallery)
        page = await self._view.page(grant.gallery, after=sort_key_in(cursor), limit=limit)
        found = await self._view.items(grant.gallery, [media_id for media_id, _ in page.versions])
        items: dict[UUID, Item] = {item.id: item for item in found}
        as_of, rules = self._urls.as_of(), await self._tier.of(grant)
        shown = [
            present_item(items[media_id], self._urls, as_of=as_of, rules=rules)
            for media_id, _ in page.versions
            if media_id in items
        ]
        return JsonResponse(ManagedItemPage(items=shown, next_cursor=cursor_after_key(page.next_after)))

    async def reorder(self, gallery_id: GalleryIdPath, request: Request) -> Response:
        grant = await self._gate.open_for(request, "manage", gallery_id=gallery_id)
        body = await read_body(request)
        wanted = _wanted(decode(_change, body))
        key, scope = idempotency_key(request), f"POST /v1/galleries/{gallery_id}/order"
        call = None if key is None else self._calls.call(key, body, scope=scope)
        done = await self._reorder(GalleryId(grant.gallery_id), wanted, call=call)
        return JsonResponse(OrderChanged(moved=[*done.moved], not_found=[*done.not_found]))


def _wanted(asked: OrderChange) -> Placement | Sorting:
    """Raises ValidationFailed for both items and a sort, for neither, and for items before themselves."""
    if asked.sort is not None:
        if asked.ids is not None:
            raise _invalid("ids", "invalid", "not together with `sort`")
        if asked.before is not None:
            raise _invalid("before", "invalid", "not together with `sort`")
        return asked.sort
    if asked.ids is None:
        raise _invalid("ids", "missing", "the items to move, or `sort`")
    if asked.before in asked.ids:
        raise _invalid("before", "invalid", "one of the items to move")
    return Placement(tuple(asked.ids), asked.before)


def _invalid(field: str, code: str, message: str) -> ValidationFailed:
    return ValidationFailed(
        f"Look at: {field}.", errors=(FieldError(field=field, code=code, message=message),)
    )
