"""Accesses to galleries: counting them from events, showing them and removing old counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.day_range import DayRange
from kappi_chassis.outbox import BatchUnit, Outbox
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import MediaAccessed

from kappi_galleries import metrics
from kappi_galleries.domain.statistics import ItemCount, Sums, by_day, for_owner
from kappi_galleries.repository.galleries import GalleryQueries
from kappi_galleries.repository.statistics import StatisticsQueries, StatisticsRows, add_accesses
from kappi_galleries.repository.tombstones import lock_galleries
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


async def count_accesses(unit: BatchUnit, envelopes: Sequence[Envelope[MediaAccessed]]) -> None:
    """The effect of `MediaAccessed`. Order does not matter, because counts are added."""
    # The galleries' locks wait for their deletion, after which nothing is counted for them.
    galleries = await lock_galleries(unit.driver, [each.data.gallery_id for each in envelopes])
    events: defaultdict[str, list[MediaAccessed]] = defaultdict(list)
    for envelope in envelopes:
        gallery = galleries.get(envelope.data.gallery_id)
        if gallery is None:
            outcome = "gallery_unknown"
        else:
            outcome = "counted" if gallery.deleted_at is None else "gallery_gone"
        events[outcome].append(envelope.data)
    await add_accesses(unit.driver, events["counted"])
    for outcome, each in events.items():
        metrics.ACCESS_EVENTS.labels(outcome).inc(len(each))


class ShowGalleryStatistics:
    """Reads the statistics of a gallery for its manager. step: see `for_owner`."""

    def __init__(
        self, queries: GalleryQueries, *, statistics: StatisticsQueries, step: int, clock: Clock
    ) -> None:
        self._queries = queries
        self._statistics = statistics
        self._step = step
        self._clock = clock

    async def __call__(self, gallery_id: UUID, manager: Manager, days: DayRange) -> Shown:
        """Returns the statistics of one gallery. Raises GalleryNotFound, GalleryKeyWrong."""
        now = self._clock()
        await read_managed(self._queries, gallery_id, manager, now=now)
        counts = for_owner(
            await self._statistics.of_gallery(gallery_id, first=days.first, last=days.last),
            step=self._step,
            today=now.astimezone(UTC).date(),
        )
        items = await self._statistics.items_of_gallery(
            gallery_id, first=days.first, last=days.last, limit=ITEMS_SHOWN
        )
        return Shown(days, Sums().add(counts), by_day(counts), list(items))


async def show_total_statistics(statistics: StatisticsQueries, days: DayRange) -> Shown:
    """Returns the statistics over all galleries, deleted ones included."""
    counts = await statistics.of_all(first=days.first, last=days.last)
    return Shown(days, Sums().add(counts), by_day(counts), [])


class SweepStatistics:
    """A step of `JanitorTick`: removes old counters in transactions of some thousand rows."""

    def __init__(self, outbox: Outbox, *, retention: timedelta, batch: int = SWEEP_BATCH) -> None:
        """retention: how long a day's counters are kept. batch: rows of each table per transaction."""
        self._outbox = outbox
        self._retention = retention
        self._batch = batch

    async def __call__(self, as_of: datetime) -> None:
        """Remove the counters of deleted galleries and of days before the retention. as_of: of the tick."""
        while await self._clear_tombstoned():
            pass
        while await self._forget((as_of - self._retention).date()):
            pass

    async def _clear_tombstoned(self) -> bool:
        async with self._outbox.begin() as unit:
            return await StatisticsRows(unit.connection).clear_tombstoned(limit=self._batch)

    async def _forget(self, before: date) -> int:
        async with self._outbox.begin() as unit:
            return await StatisticsRows(unit.connection).forget(before=before, limit=self._batch)
