"""An account's library: the search, and the tags and places to search by."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Query, Request
from kappi_chassis.http.responses import JsonResponse
from kappi_chassis.pagination import Count, Text, Timestamp, cursor_invalid, cursor_of, fields_of
from starlette.responses import Response

from kappi_media.api import library_operations as operations
from kappi_media.api import library_query as query
from kappi_media.api.accounts import AccountGate, AccountToken
from kappi_media.api.page_size import DEFAULT_LIMIT, Limit
from kappi_media.api.presentation import present_item
from kappi_media.api.schemas import LibraryPage, PlacePage, TagPage, UsedPlace, UsedTag
from kappi_media.domain.library import ALWAYS, Filters, Order, Position
from kappi_media.domain.media import GalleryId
from kappi_media.domain.tiers import TierRules
from kappi_media.signed_urls import DownloadUrls
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.search_library import LibraryPage as FoundPage
from kappi_media.use_cases.search_library import NamePage, SearchLibrary

Instant = Annotated[
    str | None,
    Query(max_length=40, examples=["2026-04-01T00:00:00Z"], json_schema_extra={"format": "date-time"}),
]
Prefix = Annotated[
    str,
    Query(alias="q", max_length=200, description="Only names that begin so, in alphabetical order"),
]


class LibraryApi:
    def __init__(
        self, gate: AccountGate, *, tier: GoverningTier, search: SearchLibrary, urls: DownloadUrls
    ) -> None:
        self._gate = gate
        self._tier = tier
        self._search = search
        self._urls = urls

    def register(self, app: FastAPI) -> None:
        """Register the routes. They come before those of one item, because `tags` must not be read as an
        item's id.
        """
        app.add_api_route("/v1/media", self.find, methods=["GET"], **operations.SEARCH)
        app.add_api_route("/v1/media/tags", self.tags, methods=["GET"], **operations.TAGS)
        app.add_api_route("/v1/media/places", self.places, methods=["GET"], **operations.PLACES)

    async def find(
        self,
        request: Request,
        _token: AccountToken,
        tags: query.TagFilter = [],  # noqa: B006 - FastAPI copies it
        location: query.LocationFilter = None,
        kind: query.KindFilter = None,
        gallery_id: UUID | None = None,
        taken_from: Instant = None,
        taken_to: Instant = None,
        uploaded_from: Instant = None,
        uploaded_to: Instant = None,
        q: query.TextFilter = None,
        near: query.NearFilter = None,
        within_km: query.WithinFilter = None,
        bbox: query.BoxFilter = None,
        sort: query.SortChoice = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: query.CursorChoice = None,
    ) -> Response:
        owner_id = await self._gate.open(request)
        query.refuse_nul(tag=tags, location=location, q=q)
        filters = Filters(
            owner_id=owner_id,
            tags=tuple(tags),
            place=location,
            kind=kind,
            gallery_id=GalleryId(gallery_id) if gallery_id is not None else None,
            taken=query.span_of("taken", taken_from, taken_to),
            uploaded=query.span_of("uploaded", uploaded_from, uploaded_to),
            text=q,
            circle=query.circle_of(near, within_km),
            box=query.box_of(bbox),
        )
        order = sort or _natural(filters)
        after = _position_of(cursor, order) if cursor else None
        page = await self._search(filters, order=order, after=after, limit=limit)
        return self._shown(page, order, rules=await self._tier(owner_id))

    def _shown(self, page: FoundPage, order: Order, *, rules: TierRules) -> Response:
        as_of = self._urls.as_of()
        return JsonResponse(
            LibraryPage(
                items=[present_item(item, self._urls, as_of=as_of, rules=rules) for item in page.items],
                next_cursor=cursor_of(order, *page.next_after) if page.next_after else None,
            )
        )

    async def tags(
        self,
        request: Request,
        _token: AccountToken,
        prefix: Prefix = "",
        limit: Limit = DEFAULT_LIMIT,
        cursor: query.NameCursorChoice = None,
    ) -> Response:
        page, next_cursor = await self._names(request, "tag", prefix=prefix, limit=limit, cursor=cursor)
        items = [UsedTag(tag=name.shown, item_count=name.item_count) for name in page.names]
        return JsonResponse(TagPage(items=items, next_cursor=next_cursor))

    async def places(
        self,
        request: Request,
        _token: AccountToken,
        prefix: Prefix = "",
        limit: Limit = DEFAULT_LIMIT,
        cursor: query.NameCursorChoice = None,
    ) -> Response:
        page, next_cursor = await self._names(request, "place", prefix=prefix, limit=limit, cursor=cursor)
        items = [UsedPlace(location=name.shown, item_count=name.item_count) for name in page.names]
        return JsonResponse(PlacePage(items=items, next_cursor=next_cursor))

    async def _names(
        self, request: Request, kind: str, *, prefix: str, limit: int, cursor: str | None
    ) -> tuple[NamePage, str | None]:
        owner_id = await self._gate.open(request)
        query.refuse_nul(q=prefix)
        page = await self._search.names(
            owner_id,
            kind,
            prefix=prefix,
            after=fields_of(cursor, tuple[Count, Text]) if cursor else None,
            limit=limit,
        )
        return page, cursor_of(*page.next_after) if page.next_after else None


def _position_of(cursor: str, order: Order) -> Position:
    """Raises ValidationFailed, also for a cursor of another order."""
    made_for, at, item_id = fields_of(cursor, tuple[Order, Timestamp, UUID])
    if made_for is not order:
        raise cursor_invalid()
    return Position(at, item_id)


def _natural(filters: Filters) -> Order:
    """Returns the order of a page without a requested one: the latest first, by the time that is
    filtered on.
    """
    by_upload = filters.uploaded != ALWAYS and filters.taken == ALWAYS
    return Order.NEWEST_UPLOADED if by_upload else Order.NEWEST_TAKEN
