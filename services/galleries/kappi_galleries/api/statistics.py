"""The public endpoints of statistics: accesses to one gallery and to all galleries."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from kappi_chassis.clock import Clock
from kappi_chassis.day_range import DayRange
from kappi_chassis.http.documents import document_response
from kappi_chassis.http.turns import Turns
from starlette.responses import Response

from kappi_galleries.api import operations
from kappi_galleries.api.access import AccountToken, Callers, GalleryKey
from kappi_galleries.api.galleries import GalleryIdPath
from kappi_galleries.api.statistics_schemas import GalleryStatsAnswer, TotalStatsAnswer
from kappi_galleries.repository.statistics import StatisticsQueries
from kappi_galleries.use_cases.statistics import ShowGalleryStatistics, show_total_statistics

AT_ONCE: Final = 2
TIMEOUT_S: Final = 1.0
"""Statistics read at once, and the seconds that a request waits for its turn."""

_DAY = {"format": "date"}
First = Annotated[
    str | None, Query(alias="from", description="The first UTC day, as 2026-05-01", json_schema_extra=_DAY)
]
Last = Annotated[
    str | None,
    Query(alias="to", description="The last UTC day; 366 days at most", json_schema_extra=_DAY),
]


class StatisticsApi:
    """The endpoints' handlers and the use cases they call."""

    def __init__(
        self,
        *,
        show_gallery: ShowGalleryStatistics,
        statistics: StatisticsQueries,
        callers: Callers,
        clock: Clock,
    ) -> None:
        self._show_gallery = show_gallery
        self._statistics = statistics
        self._turns = Turns(
            AT_ONCE,
            timeout_s=TIMEOUT_S,
            refusal="Too many statistics are being read.",
            retry_after_s=1,
        )
        self._callers = callers
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(tags=["Statistics"])
        router.add_api_route(
            "/v1/galleries/{gallery_id}/stats", self.of_gallery, methods=["GET"], **operations.GALLERY_STATS
        )
        router.add_api_route("/v1/admin/stats", self.of_all, methods=["GET"], **operations.TOTAL_STATS)
        return router

    async def of_gallery(
        self,
        request: Request,
        gallery_id: GalleryIdPath,
        _token: AccountToken,
        key: GalleryKey,
        first: First = None,
        last: Last = None,
    ) -> Response:
        manager = await self._callers.manager(request, key)
        days = DayRange.read(first, last, now=self._clock())
        async with self._turns.taken():
            shown = await self._show_gallery(gallery_id, manager, days)
        return document_response(GalleryStatsAnswer.of(shown))

    async def of_all(
        self, request: Request, _token: AccountToken, first: First = None, last: Last = None
    ) -> Response:
        await self._callers.admin(request)
        days = DayRange.read(first, last, now=self._clock())
        async with self._turns.taken():
            shown = await show_total_statistics(self._statistics, days)
        return document_response(TotalStatsAnswer.of(shown))
