"""Statistics for owners: how much they store, and the access log of a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import msgspec
from kappi_chassis.clock import Clock
from kappi_chassis.day_range import DayRange
from kappi_chassis.pagination import cut_page

from kappi_media.domain.media import AccountId, GalleryId
from kappi_media.domain.usage import AccountStats, AmountView, DayUsageView, QuotaView, UsageView
from kappi_media.repository.accesses import AccessQueries, LoggedAccesses, LogPosition
from kappi_media.repository.usage import UsageQueries, UsageRow
from kappi_media.use_cases.governing_tier import GoverningTier

SWEEP_BATCH = 5_000


class ShowUsage:
    """Shows what an account stores, by kind, type and day of upload."""

    def __init__(self, usage: UsageQueries, *, tier: GoverningTier, clock: Clock) -> None:
        self._usage = usage
        self._tier = tier
        self._clock = clock

    def range_of(self, first: str | None, last: str | None) -> DayRange:
        """Returns the range of days. Raises ValidationFailed."""
        return DayRange.read(first, last, now=self._clock())

    async def __call__(self, account_id: AccountId, days: DayRange) -> AccountStats:
        rows = await self._usage.by_day(account_id, first=days.first, last=days.last)
        charged = await self._usage.charged(account_id)
        rules = await self._tier(account_id)
        within = [row for row in rows if row.day is not None]
        by_day = [(day, usage_of(list(found))) for day, found in groupby(within, key=lambda row: row.day)]
        return AccountStats(
            from_=days.first,
            to=days.last,
            totals=usage_of(within),
            days=[DayUsageView(day=day, **msgspec.structs.asdict(found)) for day, found in by_day if day],
            library=usage_of(rows),
            quota=QuotaView(
                used_bytes=charged.used_bytes,
                reserved_bytes=charged.reserved_bytes,
                limit_bytes=rules.quota_bytes,
            ),
        )


class AccessLines(NamedTuple):
    """Lines of the access log, the newest first. next_before: for the page after."""

    lines: Sequence[LoggedAccesses]
    next_before: LogPosition | None


class ShowAccesses:
    """Shows the access log of a gallery.

    step: counts are rounded up to a multiple of it. So a count cannot be matched with the counters of a day,
    which are exact by kind.
    """

    def __init__(self, accesses: AccessQueries, *, step: int) -> None:
        self._accesses = accesses
        self._step = step

    async def __call__(self, gallery_id: GalleryId, *, before: LogPosition | None, limit: int) -> AccessLines:
        found = await self._accesses.page(gallery_id, before=before, limit=limit + 1)
        page, last = cut_page(found, limit=limit)
        shown = [line._replace(accesses=self._rounded(line.accesses)) for line in page]
        return AccessLines(shown, next_before=last.position if last else None)

    def _rounded(self, accesses: int) -> int:
        return -(-accesses // self._step) * self._step


class SweepAccessLog:
    """Deletes lines whose retention has ended, 5,000 per transaction."""

    def __init__(self, accesses: AccessQueries, *, retention: timedelta) -> None:
        self._accesses = accesses
        self._retention = retention

    async def __call__(self, as_of: datetime) -> None:
        """Delete what is due at `as_of`, the tick's instant, not the wall clock."""
        while await self._accesses.sweep(as_of - self._retention, limit=SWEEP_BATCH) == SWEEP_BATCH:
            pass


def usage_of(rows: Sequence[UsageRow]) -> UsageView:
    """Returns the sums of the rows: in all, by kind and by type."""
    kinds: dict[str, list[UsageRow]] = {}
    types: dict[str, list[UsageRow]] = {}
    for row in rows:
        kinds.setdefault(row.content_type.partition("/")[0], []).append(row)
        types.setdefault(row.content_type, []).append(row)
    return UsageView(
        item_count=sum(row.item_count for row in rows),
        size_bytes=sum(row.size_bytes for row in rows),
        kinds={name: _amount(found) for name, found in kinds.items()},
        types={name: _amount(found) for name, found in types.items()},
    )


def _amount(rows: Sequence[UsageRow]) -> AmountView:
    return AmountView(
        item_count=sum(row.item_count for row in rows), size_bytes=sum(row.size_bytes for row in rows)
    )
