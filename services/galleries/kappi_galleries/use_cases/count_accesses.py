"""Counts views and downloads of galleries that have a cap on them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from kappi_chassis.clock import Clock

from kappi_galleries import metrics
from kappi_galleries.errors import GalleryNotFound
from kappi_galleries.repository.galleries import GalleryQueries


class CountView:
    """Counts one view, before its answer is given."""

    def __init__(self, queries: GalleryQueries, *, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock

    async def __call__(self, gallery_id: UUID) -> None:
        """Raises GalleryNotFound when a cap is reached, as for a gallery that has expired."""
        _check(await self._queries.count_view(gallery_id, now=self._clock()), kind="view")


class CountDownload:
    """Counts one download, before its answer is given. grace: for which viewers go on after the last view."""

    def __init__(self, queries: GalleryQueries, *, grace: timedelta, clock: Clock) -> None:
        self._queries = queries
        self._grace = grace
        self._clock = clock

    async def __call__(self, gallery_id: UUID) -> None:
        """Raises GalleryNotFound when the cap is reached, as for a gallery that has expired."""
        now = self._clock()
        counted = await self._queries.count_download(gallery_id, now=now, used_up_since=now - self._grace)
        _check(counted, kind="download")


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
