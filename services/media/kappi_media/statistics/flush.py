"""Writes counts to the database: every few seconds, and once more when the process stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID, uuid4

import asyncpg
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox

from kappi_media import metrics
from kappi_media.repository.accesses import AccessQueries, LogLine
from kappi_media.statistics.counter import AccessCounter, Counts
from kappi_media.statistics.events import events_of

CLOSE_TIMEOUT_S = 5.0
CLOSE_PAUSE_S = 0.2
"""The pause between two attempts of the last flush to log galleries that are locked."""
SLICE: Final = 250
"""The number of rows that are built before other tasks may run."""

Row = TypeVar("Row")

_log = get_logger(__name__)
_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(slots=True)
class _Batch:
    """Counts that are being written. id: the same in every attempt, so that a repeated attempt has the effect
    of one.

    busy: galleries that could not be logged in the last attempt that wrote anything.
    """

    id: UUID
    counts: Counts
    at: datetime
    busy: frozenset[UUID] = frozenset()

    def leave(self, busy: frozenset[UUID]) -> None:
        self.busy = busy


class AccessFlush:
    """Moves the counts into the outbox and the access log, with one transaction per flush.

    A flush that fails is repeated before anything newer. Meanwhile the counter goes on within its bound, so
    at most two counters are in memory. interval: between two flushes.
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
        """Run until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.flush()
            except _AWAY as error:
                metrics.ACCESS_FLUSHES.labels("failed").inc()
                _log.warning("accesses.flush_failed", error=str(error), error_type=type(error).__name__)

    async def flush(self) -> bool:
        """Write what a failed flush left, then what was counted since.

        Returns False when galleries were locked; the counter has their log lines again. Raises OSError,
        TimeoutError, PostgresError, InterfaceError: nothing is lost, call again.
        """
        busy: list[_Batch] = []
        try:
            # What is counted meanwhile is left for the next flush: under load there is always something.
            for _ in range(1 if self._pending is None else 2):
                batch = self._next()
                if batch is None:
                    break
                await self._write(batch)
                self._pending = None
                self._outbox.wake()
                metrics.ACCESS_FLUSHES.labels("written").inc()
                if batch.busy:
                    busy.append(batch)
        finally:
            # Only at the end: within the loop they would be taken, and found locked, again and again.
            for batch in busy:
                for gallery_id in batch.busy:
                    self._counter.log_again(gallery_id, batch.counts[gallery_id].networks)
        return not busy

    async def close(self) -> None:
        """Flush for the last time, bounded in time. It comes after the last request and before the database
        closes.
        """
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while not await self.flush():  # noqa: ASYNC110 - the event is in the database
                    await asyncio.sleep(CLOSE_PAUSE_S)
        except _AWAY as error:
            metrics.ACCESS_FLUSHES.labels("lost").inc()
            _log.error("accesses.lost", error=str(error), error_type=type(error).__name__)

    def _next(self) -> _Batch | None:
        if self._pending is None and (counts := self._counter.take()):
            self._pending = _Batch(self._new_id(), counts, self._clock())
        return self._pending

    async def _write(self, batch: _Batch) -> None:
        events = events_of(batch.counts, day=batch.at.date())
        await self._accesses.write(
            batch.id,
            events=[self._outbox.row(event) async for event in _in_slices(events)],
            lines=[line async for line in _in_slices(_lines(batch.counts))],
            hour=batch.at.replace(minute=0, second=0, microsecond=0),
            leave=batch.leave,
        )


def _lines(counts: Counts) -> Iterator[LogLine]:
    for gallery_id, counted in counts.items():
        for (kind, network), count in counted.networks.items():
            # A random id: the flush's ids would reveal the time.
            yield LogLine(uuid4(), gallery_id, kind, network, count)


async def _in_slices(rows: Iterable[Row]) -> AsyncIterator[Row]:
    """Yields the rows, and regularly lets other tasks of the event loop run."""
    for number, row in enumerate(rows, start=1):
        yield row
        if number % SLICE == 0:
            await asyncio.sleep(0)
