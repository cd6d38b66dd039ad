"""Statistics: what an account stores, and the access log of a gallery."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Path, Query, Request
from kappi_chassis.http.responses import JsonResponse
from kappi_chassis.pagination import Cursor, Timestamp, cursor_of, fields_of
from starlette.responses import Response

from kappi_media.api import statistics_operations as operations
from kappi_media.api.access import GrantGate
from kappi_media.api.accounts import AccountGate, AccountToken
from kappi_media.api.page_size import DEFAULT_LIMIT, Limit
from kappi_media.api.statistics_schemas import AccessPage, AccessView
from kappi_media.domain.media import GalleryId
from kappi_media.repository.accesses import LogPosition
from kappi_media.use_cases.statistics import ShowAccesses, ShowUsage

NO_STORE = {"Cache-Control": "no-store"}

Day = Annotated[str | None, Query(examples=["2026-05-31"], json_schema_extra={"format": "date"})]


class StatisticsApi:
    def __init__(
        self, gate: GrantGate, *, accounts: AccountGate, usage: ShowUsage, accesses: ShowAccesses
    ) -> None:
        self._gate = gate
        self._accounts = accounts
        self._usage = usage
        self._accesses = accesses

    def register(self, app: FastAPI) -> None:
        app.add_api_route("/v1/me/stats", self.mine, methods=["GET"], **operations.ACCOUNT_STATS)
        app.add_api_route(
            "/v1/galleries/{id}/accesses", self.accesses, methods=["GET"], **operations.ACCESS_LOG
        )

    async def mine(
        self,
        request: Request,
        _token: AccountToken,
        first: Annotated[Day, Query(alias="from", description="The first UTC day")] = None,
        last: Annotated[Day, Query(alias="to", description="The last UTC day; 366 at most")] = None,
    ) -> Response:
        account_id = await self._accounts.open(request)
        days = self._usage.range_of(first, last)
        return JsonResponse(await self._usage(account_id, days), headers=NO_STORE)

    async def accesses(
        self,
        gallery_id: Annotated[UUID, Path(alias="id", description="Id of the gallery")],
        request: Request,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response:
        await self._gate.open_for(request, "manage", gallery_id=gallery_id)
        page = await self._accesses(
            GalleryId(gallery_id),
            before=LogPosition(*fields_of(cursor, tuple[Timestamp, UUID])) if cursor else None,
            limit=limit,
        )
        views = [
            AccessView(hour=line.hour, kind=line.kind, network=line.network, count=line.accesses)
            for line in page.lines
        ]
        next_cursor = cursor_of(*page.next_before) if page.next_before else None
        return JsonResponse(AccessPage(items=views, next_cursor=next_cursor), headers=NO_STORE)
