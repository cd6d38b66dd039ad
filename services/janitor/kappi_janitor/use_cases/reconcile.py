"""Compares due dates with their owners, and looks for purges that are not done (ADR-0064)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Final
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.reconcile import Difference, Page
from kappi_chassis.reconcile.check import PAGE, joined, start_of
from kappi_chassis.reconcile.peer import Peer
from kappi_contracts.reconciliation import GalleryDeadline, LinkDeadline

from kappi_janitor.repository.reconcile import ReconcileQueries

OVERDUE_AFTER: Final = timedelta(hours=1)
"""The time for which a due purge may fail or wait before it is reported."""


class ReconcileDueGalleries:
    """A check of the deadlines of galleries."""

    kinds: ClassVar[Sequence[str]] = ("deadline_wrong",)

    def __init__(self, queries: ReconcileQueries, *, galleries: Peer) -> None:
        self._queries = queries
        self._galleries = galleries

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        start = start_of(after)
        listed = await self._galleries.page("deadlines", GalleryDeadline, after=start, limit=PAGE)
        theirs = {each.gallery_id: each.expires_at for each in listed}
        return _compared(await self._queries.galleries(start, limit=PAGE), theirs, kind="deadline_wrong")

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`. A gallery that is deleted here stays so: galleries learns it from media."""
        gallery_id = UUID(difference.subject)
        before = UUID(int=gallery_id.int - 1)
        found = await self._galleries.page("deadlines", GalleryDeadline, after=before, limit=1)
        if found and found[0].gallery_id == gallery_id:
            version, expires_at = found[0].version, found[0].expires_at
            return await self._queries.set_gallery(gallery_id, version=version, expires_at=expires_at)
        return await self._queries.unset_gallery(gallery_id)


class ReconcileDueLinks:
    """A check of the deadlines of expiring links."""

    kinds: ClassVar[Sequence[str]] = ("link_deadline_wrong",)

    def __init__(self, queries: ReconcileQueries, *, media: Peer, clock: Clock) -> None:
        self._queries = queries
        self._media = media
        self._clock = clock

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        start = start_of(after)
        listed = await self._media.page("links", LinkDeadline, after=start, limit=PAGE)
        theirs = {each.link_id: each.expires_at for each in listed}
        return _compared(await self._queries.links(start, limit=PAGE), theirs, kind="link_deadline_wrong")

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`."""
        link_id = UUID(difference.subject)
        found = await self._media.page("links", LinkDeadline, after=UUID(int=link_id.int - 1), limit=1)
        if found and found[0].link_id == link_id:
            media_id, expires_at = found[0].media_id, found[0].expires_at
            return await self._queries.set_link(link_id, media_id=media_id, expires_at=expires_at)
        return await self._queries.unset_link(link_id, now=self._clock())


class ReconcilePurges:
    """A check of the purge ledger. Its repair has an overdue purge tried again at once."""

    kinds: ClassVar[Sequence[str]] = ("purge_overdue",)

    def __init__(self, queries: ReconcileQueries, *, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        before = self._clock() - OVERDUE_AFTER
        overdue = await self._queries.overdue_purges(after, before=before, limit=PAGE)
        return Page(
            after=overdue[-1] if len(overdue) == PAGE else None,
            examined=len(overdue),
            differences=[Difference(kind="purge_overdue", subject=prefix) for prefix in overdue],
        )

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`."""
        return await self._queries.hurry_purge(difference.subject, now=self._clock())


def _compared(mine: dict[UUID, datetime], theirs: dict[UUID, datetime], *, kind: str) -> Page:
    rows, end = joined(mine, theirs, limit=PAGE)
    wrong = [Difference(kind=kind, subject=str(each)) for each, here, there in rows if here != there]
    return Page(after=end, examined=len(rows), differences=wrong)
