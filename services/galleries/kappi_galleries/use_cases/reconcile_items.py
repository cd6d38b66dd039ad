"""Compares counted items with the items of media, and counters with the counted items (ADR-0064)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox
from kappi_chassis.reconcile import Difference, Page
from kappi_chassis.reconcile.check import PAGE, joined, start_of
from kappi_chassis.reconcile.peer import Peer
from kappi_contracts.reconciliation import ReadyItem

from kappi_galleries.domain.galleries import CountedItem, GalleryId, MediaId
from kappi_galleries.repository.items import ItemRows
from kappi_galleries.repository.reconcile import COUNTED_PAGE, ReconcileQueries
from kappi_galleries.use_cases.item_counters import Settlement


class ReconcileItems:
    """A check. Media decides what an item is, whatever the sequences of earlier events say: they are from
    before a restore.
    """

    kinds: ClassVar[Sequence[str]] = (
        "item_gone",  # counted here, and not a ready item of media
        "item_not_counted",  # a ready item of media, in a gallery that lives here
        "item_differs",  # another gallery or size
    )

    def __init__(self, queries: ReconcileQueries, *, media: Peer, outbox: Outbox, clock: Clock) -> None:
        self._queries = queries
        self._media = media
        self._outbox = outbox
        self._clock = clock

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        start = start_of(after)
        mine = await self._queries.items(start, limit=PAGE)
        listed = await self._media.page("items", ReadyItem, after=start, limit=PAGE)
        theirs = {each.media_id: each for each in listed}
        rows, end = joined(mine, theirs, limit=PAGE)
        only_theirs = {item.gallery_id for _, counted, item in rows if item is not None and counted is None}
        alive = await self._queries.alive(only_theirs) if only_theirs else set()
        found = []
        for media_id, counted, item in rows:
            if item is None:
                found.append(Difference(kind="item_gone", subject=str(media_id)))
            elif counted is None:
                if item.gallery_id in alive:
                    found.append(Difference(kind="item_not_counted", subject=str(media_id)))
            elif counted != (item.gallery_id, item.size_bytes):
                found.append(Difference(kind="item_differs", subject=str(media_id)))
        return Page(after=end, examined=len(rows), differences=found)

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`."""
        media_id = MediaId(UUID(difference.subject))
        async with self._outbox.begin_batch() as unit:
            before = (await ItemRows(unit.driver).find([media_id])).get(media_id)
        item = await self._find(media_id)
        after = _state(before, item)
        if after is None or after == before:
            return False
        async with self._outbox.begin_batch() as unit:
            rows = ItemRows(unit.driver)
            await rows.lock([media_id])
            galleries = await rows.lock_galleries([media_id], named=[after.gallery_id])
            known = await rows.find([media_id])
            if after.gallery_id not in galleries or known.get(media_id) != before:
                return False  # an event changed it meanwhile, or the gallery is unknown
            settlement = Settlement(galleries, known)
            settlement.note(media_id, after, named=[after.gallery_id], at=self._clock())
            await settlement.write(unit)
        return True

    async def _find(self, media_id: UUID) -> ReadyItem | None:
        """Returns the item as it is in media now."""
        before = UUID(int=media_id.int - 1)
        found = await self._media.page("items", ReadyItem, after=before, limit=1)
        return found[0] if found and found[0].media_id == media_id else None


def _state(known: CountedItem | None, item: ReadyItem | None) -> CountedItem | None:
    """Returns the state to store; None if there is nothing to store."""
    if item is None:
        return None if known is None else replace(known, state="deleted", size_bytes=0)
    return CountedItem(
        gallery_id=GalleryId(item.gallery_id),
        sequence=item.version,
        state="ready",
        size_bytes=item.size_bytes,
        contributor_id=item.contributor_id or (known.contributor_id if known else None),
        moved=item.moved or (known is not None and known.moved),
    )


class ReconcileCounters:
    """A check of the counters of galleries."""

    kinds: ClassVar[Sequence[str]] = ("counter_wrong",)

    def __init__(self, queries: ReconcileQueries) -> None:
        self._queries = queries

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        rows = await self._queries.wrong_counters(start_of(after))
        return Page(
            after=str(max(rows)) if len(rows) == COUNTED_PAGE else None,
            examined=len(rows),
            differences=[
                Difference(kind="counter_wrong", subject=str(each)) for each, wrong in rows.items() if wrong
            ],
        )

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`."""
        return await self._queries.mend_counters(UUID(difference.subject))
