"""Keeps the counters of galleries exact, whatever the order of the events about their items, and removes a
cover whose item left.

Many events of one gallery change its row once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from kappi_chassis.outbox import BatchUnit
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import MediaDeleted, MediaMoved, MediaReady

from kappi_galleries import metrics
from kappi_galleries.domain.galleries import (
    CountedItem,
    CounterChange,
    Gallery,
    GalleryId,
    MediaId,
    count,
    is_cover_lost,
    is_kept,
    newest,
)
from kappi_galleries.events import updated
from kappi_galleries.repository.items import ItemRows
from kappi_galleries.repository.statistics import forget_items


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """The state of an item that an event reports. traceparent: of the event."""

    media_id: MediaId
    item: CountedItem
    at: datetime
    from_gallery_id: GalleryId | None = None
    traceparent: str | None = None

    @property
    def named(self) -> set[GalleryId]:
        """The galleries that the event names."""
        return {self.item.gallery_id, self.from_gallery_id or self.item.gallery_id}


async def count_ready(unit: BatchUnit, envelopes: Sequence[Envelope[MediaReady]]) -> None:
    """The effect of `MediaReady`."""
    await _apply(
        unit,
        [
            _Report(
                media_id=MediaId(each.data.media_id),
                item=CountedItem(
                    gallery_id=GalleryId(each.data.gallery_id),
                    sequence=each.sequence,
                    state="ready",
                    size_bytes=each.data.size_bytes,
                    contributor_id=each.data.contributor_id,
                ),
                at=each.data.ready_at,
                traceparent=each.traceparent,
            )
            for each in envelopes
        ],
    )


async def count_moved(unit: BatchUnit, envelopes: Sequence[Envelope[MediaMoved]]) -> None:
    """The effect of `MediaMoved`."""
    await _apply(
        unit,
        [
            _Report(
                media_id=MediaId(each.data.media_id),
                item=CountedItem(
                    gallery_id=GalleryId(each.data.gallery_id),
                    sequence=each.sequence,
                    state="ready",
                    size_bytes=each.data.size_bytes,
                    moved=True,
                ),
                at=each.data.moved_at,
                from_gallery_id=GalleryId(each.data.from_gallery_id),
                traceparent=each.traceparent,
            )
            for each in envelopes
        ],
    )


async def count_deleted(unit: BatchUnit, envelopes: Sequence[Envelope[MediaDeleted]]) -> None:
    """The effect of `MediaDeleted`."""
    await _apply(
        unit,
        [
            _Report(
                media_id=MediaId(each.data.media_id),
                item=CountedItem(
                    gallery_id=GalleryId(each.data.gallery_id),
                    sequence=each.sequence,
                    state="deleted",
                    size_bytes=0,
                ),
                at=each.data.deleted_at,
                traceparent=each.traceparent,
            )
            for each in envelopes
        ],
    )
    # This runs under the galleries' locks, so that an access that is being counted in them is seen. An access
    # that is being counted in a gallery that an item was moved from may stay; that gallery lists accesses of
    # moved items anyway.
    await forget_items(unit.driver, [each.data.media_id for each in envelopes])


@dataclass(slots=True)
class Settlement:
    """What follows from new states of locked items, to be written at once.

    galleries: all that count the items before or after, locked. items: the known states.
    """

    galleries: dict[GalleryId, Gallery]
    items: dict[MediaId, CountedItem]
    _written: set[MediaId] = field(default_factory=set)
    _changes: defaultdict[GalleryId, CounterChange] = field(
        default_factory=lambda: defaultdict(CounterChange)
    )
    _without_cover: dict[GalleryId, str | None] = field(default_factory=dict)

    def is_alive(self, gallery_id: GalleryId) -> bool:
        gallery = self.galleries.get(gallery_id)
        return gallery is not None and gallery.deleted_at is None

    def note(
        self,
        media_id: MediaId,
        after: CountedItem,
        *,
        named: Collection[GalleryId],
        at: datetime,
        traceparent: str | None = None,
    ) -> None:
        """Notes the state of an item after an event. named: the galleries that the event names."""
        known = self.items.get(media_id)
        if after != known and is_kept(after, gallery_alive=self.is_alive(after.gallery_id)):
            self.items[media_id] = after
            self._written.add(media_id)
            for gallery_id, change in count(known, after).items():
                if self.is_alive(gallery_id):
                    self._changes[gallery_id] += change
        for gallery_id in {*named, known.gallery_id} if known is not None else {*named}:
            gallery = self.galleries[gallery_id]
            if gallery.deleted_at is None and is_cover_lost(gallery, media_id, after):
                self.galleries[gallery_id] = replace(
                    gallery,
                    cover_media_id=None,
                    version=gallery.version + 1,
                    updated_at=max(at, gallery.updated_at),
                )
                self._without_cover[gallery_id] = traceparent

    async def write(self, unit: BatchUnit) -> None:
        """Stores states, counters and covers, and publishes the galleries without their covers."""
        rows = ItemRows(unit.driver)
        if self._written:
            await rows.write({media_id: self.items[media_id] for media_id in self._written})
        if changes := {id_: change for id_, change in self._changes.items() if change != CounterChange()}:
            await rows.add(changes)
        if self._without_cover:
            await rows.drop_covers([self.galleries[gallery_id] for gallery_id in self._without_cover])
        for gallery_id, traceparent in self._without_cover.items():
            gallery = self.galleries[gallery_id]
            await unit.publish(updated(gallery), sequence=gallery.version, traceparent=traceparent)


async def _apply(unit: BatchUnit, reports: Sequence[_Report]) -> None:
    rows, media_ids = ItemRows(unit.driver), {each.media_id for each in reports}
    # Two events about one item may name different galleries, so the items are locked. The galleries' locks
    # delay their deletion.
    await rows.lock(media_ids)
    named = {gallery_id for each in reports for gallery_id in each.named}
    galleries = await rows.lock_galleries(media_ids, named=named)
    settlement = Settlement(galleries, await rows.find(media_ids))
    outcomes = [_weigh(settlement, each) for each in reports]
    await settlement.write(unit)
    for outcome, number in Counter(outcomes).items():
        metrics.ITEM_EVENTS.labels(outcome).inc(number)


def _weigh(settlement: Settlement, report: _Report) -> str:
    if report.named - settlement.galleries.keys():
        # This database went back in time behind the creation of the gallery (ADR-0064).
        return "gallery_unknown"
    known = settlement.items.get(report.media_id)
    after = newest(known, report.item)
    settlement.note(report.media_id, after, named=report.named, at=report.at, traceparent=report.traceparent)
    if known is not None and known.sequence == after.sequence:
        return "outdated"
    return "counted" if settlement.is_alive(report.item.gallery_id) else "gallery_gone"
