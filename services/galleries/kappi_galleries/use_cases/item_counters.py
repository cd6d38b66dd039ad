"""Keeps the counters of galleries exact, whatever the order of the events about their items, and removes a
cover whose item left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from kappi_chassis.outbox import UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import MediaDeleted, MediaMoved, MediaReady

from kappi_galleries import metrics
from kappi_galleries.domain.galleries import (
    CountedItem,
    Gallery,
    GalleryId,
    MediaId,
    count,
    is_cover_lost,
    is_kept,
    newest,
)
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.repository.items import ItemRows
from kappi_galleries.repository.statistics import StatisticsRows
from kappi_galleries.use_cases.store_change import store_change


async def count_ready(unit: UnitOfWork, envelope: Envelope[MediaReady]) -> None:
    """The effect of `MediaReady`."""
    event = envelope.data
    item = CountedItem(
        gallery_id=GalleryId(event.gallery_id),
        sequence=envelope.sequence,
        state="ready",
        size_bytes=event.size_bytes,
        contributor_id=event.contributor_id,
    )
    await _apply(unit, item, media_id=event.media_id, at=event.ready_at)


async def count_moved(unit: UnitOfWork, envelope: Envelope[MediaMoved]) -> None:
    """The effect of `MediaMoved`."""
    event = envelope.data
    item = CountedItem(
        gallery_id=GalleryId(event.gallery_id),
        sequence=envelope.sequence,
        state="ready",
        size_bytes=event.size_bytes,
        moved=True,
    )
    await _apply(
        unit, item, media_id=event.media_id, at=event.moved_at, from_gallery_id=event.from_gallery_id
    )


async def count_deleted(unit: UnitOfWork, envelope: Envelope[MediaDeleted]) -> None:
    """The effect of `MediaDeleted`."""
    event = envelope.data
    tombstone = CountedItem(
        gallery_id=GalleryId(event.gallery_id), sequence=envelope.sequence, state="deleted", size_bytes=0
    )
    await _apply(unit, tombstone, media_id=event.media_id, at=event.deleted_at)
    # This runs under the gallery's lock, so that an access that is being counted in this gallery is seen. An
    # access that is being counted in a gallery that the item was moved from may stay; that gallery lists
    # accesses of moved items anyway.
    await StatisticsRows(unit.connection).forget_item(event.media_id)


async def _apply(
    unit: UnitOfWork,
    news: CountedItem,
    *,
    media_id: UUID,
    at: datetime,
    from_gallery_id: UUID | None = None,
) -> None:
    items = ItemRows(unit.connection)
    # Two events about one item may name different galleries, so the item is locked. The galleries' locks
    # delay their deletion.
    await items.lock(MediaId(media_id))
    named = {news.gallery_id, from_gallery_id or news.gallery_id}
    galleries = await GalleryRows(unit.connection).lock_of_item(media_id, named=named)
    if named - {gallery.id for gallery in galleries}:
        # This database went back in time behind the creation of the gallery (ADR-0064).
        metrics.ITEM_EVENTS.labels("gallery_unknown").inc()
        return
    alive = {gallery.id for gallery in galleries if gallery.deleted_at is None}
    known = await items.find(MediaId(media_id))
    after = newest(known, news)
    await settle(unit, galleries, known=known, after=after, media_id=MediaId(media_id), at=at)
    if known is not None and known.sequence == after.sequence:
        metrics.ITEM_EVENTS.labels("outdated").inc()
    else:
        metrics.ITEM_EVENTS.labels("counted" if news.gallery_id in alive else "gallery_gone").inc()


async def settle(
    unit: UnitOfWork,
    galleries: Sequence[Gallery],
    *,
    known: CountedItem | None,
    after: CountedItem,
    media_id: MediaId,
    at: datetime,
) -> None:
    """Store the new state of a locked item, and what follows for counters and covers. galleries: all that
    count it before or after, locked.
    """
    items = ItemRows(unit.connection)
    alive = {gallery.id for gallery in galleries if gallery.deleted_at is None}
    if after != known and is_kept(after, gallery_alive=after.gallery_id in alive):
        await items.write(after, media_id=media_id)
        for gallery_id, change in count(known, after).items():
            if gallery_id in alive:
                await items.add(change, gallery_id=gallery_id)
    for gallery in galleries:
        if gallery.id in alive and is_cover_lost(gallery, media_id, after):
            bare = replace(gallery, cover_media_id=None)
            await store_change(unit, bare, now=max(at, gallery.updated_at))
