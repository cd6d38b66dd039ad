"""Writing counts down: every few seconds, and once more when the process stops."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox

from kappi_media import metrics
from kappi_media.repository.accesses import AccessQueries, LogLine
from kappi_media.statistics.counter import AccessCounter, Counts
from kappi_media.statistics.events import events_of

CLOSE_TIMEOUT_S = 5.0

_log = get_logger(__name__)
_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Counts on their way. id: the same in every attempt, so that one whose end is not known counts once."""

    id: UUID
    counts: Counts
    at: datetime


class AccessFlush:
    """Moves what a counter holds into the outbox and the access log, a transaction for each flush.

    A flush that fails is tried again before anything newer. Meanwhile the counter goes on within its bound,
    so that at most two counters' worth is in memory. interval: between two flushes.
    """

    def __init__(
        self,
        counter: AccessCounter,
        *,
        accesses: AccessQueries,
        outbox: Outbox,
        interval: timedelta,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._counter = counter
        self._accesses = accesses
        self._outbox = outbox
        self._interval_s = interval.total_seconds()
        self._clock = clock
        self._new_id = new_id
        self._pending: _Batch | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.flush()
            except _AWAY as error:
                metrics.ACCESS_FLUSHES.labels("failed").inc()
                _log.warning("accesses.flush_failed", error=str(error), error_type=type(error).__name__)

    async def flush(self) -> None:
        """Write what a failed flush left, then what was counted since.

        Raises OSError, TimeoutError, PostgresError, InterfaceError: nothing is lost, call again.
        """
        while (batch := self._next()) is not None:
            await self._write(batch)
            self._pending = None
            self._outbox.wake()
            metrics.ACCESS_FLUSHES.labels("written").inc()

    async def close(self) -> None:
        """The last flush, bounded in time. It comes after the last request and before the database closes."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.flush()
        except _AWAY as error:
            metrics.ACCESS_FLUSHES.labels("lost").inc()
            _log.error("accesses.lost", error=str(error), error_type=type(error).__name__)

    def _next(self) -> _Batch | None:
        if self._pending is None and (counts := self._counter.take()):
            self._pending = _Batch(self._new_id(), counts, self._clock())
        return self._pending

    async def _write(self, batch: _Batch) -> None:
        await self._accesses.write(
            batch.id,
            events=[self._outbox.row(event) for event in events_of(batch.counts, day=batch.at.date())],
            lines=[
                LogLine(self._new_id(), gallery_id, kind, network, count)
                for gallery_id, counted in batch.counts.items()
                for (kind, network), count in counted.networks.items()
            ],
            hour=batch.at.replace(minute=0, second=0, microsecond=0),
        )
