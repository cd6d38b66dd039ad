"""Accesses to galleries: counting them from events, showing them and removing old counters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from kappi_chassis.bus import Poison
from kappi_chassis.clock import Clock
from kappi_chassis.day_range import DayRange
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import JanitorTick, MediaAccessed

from kappi_galleries import metrics
from kappi_galleries.domain.statistics import ItemCount, Sums, by_day, for_owner
from kappi_galleries.errors import GalleryNotFound
from kappi_galleries.repository.galleries import GalleryQueries, GalleryRows
from kappi_galleries.repository.statistics import StatisticsQueries, StatisticsRows
from kappi_galleries.use_cases.access import Manager, read_managed

RETENTION: Final = timedelta(days=730)
SWEEP_BATCH: Final = 5_000
ITEMS_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Shown:
    """Statistics over a range of days. items: the most accessed ones; empty over all galleries."""

    days: DayRange
    totals: Sums
    by_day: list[tuple[date, Sums]]
    items: list[ItemCount]


async def count_accesses(unit: UnitOfWork, envelope: Envelope[MediaAccessed]) -> None:
    """The effect of `MediaAccessed`. Order does not matter, because counts are added.

    Raises Poison for a gallery this service never had.
    """
    # The gallery's lock waits for the gallery's deletion, after which nothing is counted for it.
    gallery = await GalleryRows(unit.connection).lock(envelope.data.gallery_id)
    if gallery is None:
        raise Poison(f"no gallery {envelope.data.gallery_id}")
    if gallery.deleted_at is not None:
        metrics.ACCESS_EVENTS.labels("gallery_gone").inc()
        return
    await StatisticsRows(unit.connection).add(envelope.data)
    metrics.ACCESS_EVENTS.labels("counted").inc()


class ShowStatistics:
    """Reads statistics for managers and administrators. step: see `for_owner`."""

    def __init__(
        self, queries: GalleryQueries, *, statistics: StatisticsQueries, step: int, clock: Clock
    ) -> None:
        self._queries = queries
        self._statistics = statistics
        self._step = step
        self._clock = clock

    def range_of(self, first: str | None, last: str | None) -> DayRange:
        """Returns the range of days. Raises ValidationFailed."""
        return DayRange.read(first, last, now=self._clock())

    async def of_gallery(self, gallery_id: UUID, manager: Manager, days: DayRange) -> Shown:
        """Returns the statistics of one gallery. Raises GalleryNotFound, GalleryKeyWrong."""
        gallery = await read_managed(self._queries, gallery_id, manager)
        if gallery.is_gone(self._clock()):
            raise GalleryNotFound
        counts = for_owner(
            await self._statistics.of_gallery(gallery_id, first=days.first, last=days.last),
            step=self._step,
            today=self._clock().astimezone(UTC).date(),
        )
        items = await self._statistics.items_of_gallery(
            gallery_id, first=days.first, last=days.last, limit=ITEMS_SHOWN
        )
        return Shown(days, Sums().add(counts), by_day(counts), list(items))

    async def of_all(self, days: DayRange) -> Shown:
        """Returns the statistics over all galleries, deleted ones included."""
        counts = await self._statistics.of_all(first=days.first, last=days.last)
        return Shown(days, Sums().add(counts), by_day(counts), [])


class StatisticsSweep:
    """The handler of `JanitorTick`: removes old counters in transactions of some thousand rows.

    It needs no inbox: removed counters are not found again.
    """

    def __init__(self, outbox: Outbox, *, retention: timedelta, batch: int = SWEEP_BATCH) -> None:
        """retention: how long a day's counters are kept. batch: rows of each table per transaction."""
        self._outbox = outbox
        self._retention = retention
        self._batch = batch

    async def handle(self, envelope: Envelope[JanitorTick]) -> bool:
        while await self._clear_tombstoned():
            pass
        while await self._forget(envelope.data.at):
            pass
        return True

    async def _clear_tombstoned(self) -> bool:
        async with self._outbox.begin() as unit:
            return await StatisticsRows(unit.connection).clear_tombstoned(limit=self._batch)

    async def _forget(self, as_of: datetime) -> int:
        """Remove one batch of old counters. as_of: the tick's instant, not the wall clock."""
        before = (as_of - self._retention).date()
        async with self._outbox.begin() as unit:
            return await StatisticsRows(unit.connection).forget(before=before, limit=self._batch)
