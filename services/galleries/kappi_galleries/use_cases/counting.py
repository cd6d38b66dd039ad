"""Keeping a gallery's counters exact, whatever order its items' events come in."""

from __future__ import annotations

from uuid import UUID

from kappi_chassis.bus import Poison
from kappi_chassis.outbox import UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import MediaDeleted, MediaReady

from kappi_galleries import metrics
from kappi_galleries.domain import CountedItem, GalleryId, MediaId, count
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.repository.items import ItemRows
from kappi_galleries.repository.statistics import StatisticsRows


async def count_ready(unit: UnitOfWork, envelope: Envelope[MediaReady]) -> None:
    """The effect of `MediaReady`. Raises Poison for a gallery this service never had."""
    item = CountedItem(sequence=envelope.sequence, state="ready", size_bytes=envelope.data.size_bytes)
    await _apply(unit, item, media_id=envelope.data.media_id, gallery_id=envelope.data.gallery_id)


async def count_deleted(unit: UnitOfWork, envelope: Envelope[MediaDeleted]) -> None:
    """The effect of `MediaDeleted`. Raises Poison for a gallery this service never had."""
    tombstone = CountedItem(sequence=envelope.sequence, state="deleted", size_bytes=0)
    await _apply(unit, tombstone, media_id=envelope.data.media_id, gallery_id=envelope.data.gallery_id)
    # Under the gallery's lock, so that an access that is being counted for the item is seen.
    await StatisticsRows(unit.connection).forget_item(envelope.data.media_id)


async def _apply(unit: UnitOfWork, news: CountedItem, *, media_id: UUID, gallery_id: UUID) -> None:
    # The gallery's lock is what makes reading the item and adding the difference one step.
    gallery = await GalleryRows(unit.connection).lock(gallery_id)
    if gallery is None:
        raise Poison(f"no gallery {gallery_id}")
    if gallery.deleted_at is not None:
        metrics.ITEM_EVENTS.labels("gallery_gone").inc()
        return
    items = ItemRows(unit.connection)
    change = count(await items.find(MediaId(media_id)), news)
    if change is None:
        metrics.ITEM_EVENTS.labels("outdated").inc()
        return
    await items.write(news, media_id=MediaId(media_id), gallery_id=GalleryId(gallery_id), change=change)
    metrics.ITEM_EVENTS.labels("counted").inc()
