"""Counts views and downloads of galleries that have a cap on them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox

from kappi_galleries import metrics
from kappi_galleries.domain.galleries import with_caps_applied
from kappi_galleries.errors import GalleryNotFound
from kappi_galleries.repository.galleries import GalleryQueries, GalleryRows
from kappi_galleries.use_cases.store_change import store_change


class CountView:
    """Counts one view, before its answer is given. The view that uses up the cap is published as a change."""

    def __init__(self, queries: GalleryQueries, *, outbox: Outbox, clock: Clock) -> None:
        self._queries = queries
        self._outbox = outbox
        self._clock = clock

    async def __call__(self, gallery_id: UUID) -> None:
        """Raises GalleryNotFound when a cap is reached, as for a gallery that has expired."""
        counted = await self._queries.count_view(gallery_id) or await self._count_last(gallery_id)
        _check(counted, kind="view")

    async def _count_last(self, gallery_id: UUID) -> bool:
        now = self._clock()
        async with self._outbox.begin() as unit:
            gallery = await GalleryRows(unit.connection).lock_to_view(gallery_id)
            if gallery is None:
                return False
            viewed = replace(gallery, views_used=gallery.views_used + 1)
            await store_change(unit, with_caps_applied(viewed, now=now), now=now)
        return True


class CountDownload:
    """As `CountView`, for one download. grace: for which viewers go on after the last view."""

    def __init__(self, queries: GalleryQueries, *, outbox: Outbox, grace: timedelta, clock: Clock) -> None:
        self._queries = queries
        self._outbox = outbox
        self._grace = grace
        self._clock = clock

    async def __call__(self, gallery_id: UUID) -> None:
        """Raises GalleryNotFound when the cap is reached, as for a gallery that has expired."""
        used_up_since = self._clock() - self._grace
        counted = await self._queries.count_download(gallery_id, used_up_since=used_up_since)
        _check(counted or await self._count_last(gallery_id), kind="download")

    async def _count_last(self, gallery_id: UUID) -> bool:
        now = self._clock()
        async with self._outbox.begin() as unit:
            rows = GalleryRows(unit.connection)
            gallery = await rows.lock_to_download(gallery_id, used_up_since=now - self._grace)
            if gallery is None:
                return False
            downloaded = replace(gallery, downloads_used=gallery.downloads_used + 1)
            await store_change(unit, with_caps_applied(downloaded, now=now), now=now)
        return True


class CheckPreview:
    """Decides whether a gallery with caps is shown in a preview, which is not counted."""

    def __init__(self, queries: GalleryQueries) -> None:
        self._queries = queries

    async def __call__(self, gallery_id: UUID) -> None:
        """Raises GalleryNotFound when a cap is reached. There is no grace, because nothing goes on."""
        if not await self._queries.is_below_caps(gallery_id):
            metrics.CAPPED.labels("preview", "refused").inc()
            raise GalleryNotFound


def _check(counted: bool, *, kind: str) -> None:
    metrics.CAPPED.labels(kind, "counted" if counted else "refused").inc()
    if not counted:
        raise GalleryNotFound
