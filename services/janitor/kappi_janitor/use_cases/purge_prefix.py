"""Purges the prefixes of the ledger: lease, commit, empty the prefix, record."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.db import Database
from kappi_chassis.leased_work import LeasedWork
from kappi_chassis.observability import context
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.observability.tracing import work_caused_by
from kappi_chassis.storage import ObjectStore

from kappi_janitor import metrics
from kappi_janitor.domain import Lease, next_sweep, retry_pause
from kappi_janitor.repository import purges
from kappi_janitor.repository.purges import Sweep
from kappi_janitor.use_cases.prefix_deletion import delete_prefix
from kappi_janitor.use_cases.record_sweeps import RecordSweeps

MAX_ERROR_CHARACTERS = 500
LEASES_PER_PLACE = 32
"""Purges leased for each one that is worked on, so that few statements lease and record many."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgePolicy:
    """Limits and intervals of purging; see JanitorSettings."""

    concurrency: int
    poll: timedelta
    lease: timedelta
    longest_pause: timedelta
    resweep_after: Sequence[timedelta]


class _LeaseLost(Exception):
    """The prefix was requested again, or its lease expired, so another sweep works on it now."""


class PurgePrefix:
    """Empties one leased prefix and publishes the result. Repeating it has no further effect."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        *,
        record: RecordSweeps,
        policy: PurgePolicy,
        clock: Clock,
    ) -> None:
        self._database = database
        self._store = store
        self._record = record
        self._policy = policy
        self._clock = clock
        self._places = asyncio.Semaphore(policy.concurrency)

    async def __call__(self, lease: Lease) -> None:
        """Purge the prefix. A failure of the store postpones the purge and is not raised."""
        with work_caused_by(lease.traceparent, "purge", attributes={"kappi.attempt": lease.attempts + 1}):
            outcome = await self._attempt(lease)
        metrics.PURGE_SWEEPS.labels(outcome).inc()

    async def _attempt(self, lease: Lease) -> str:
        try:
            async with self._places:
                with metrics.PURGE_SECONDS.time():
                    sweep = await self._sweep(lease)
            await self._record(sweep)
        except _LeaseLost:
            return "superseded"
        except Exception as error:  # noqa: BLE001 - one prefix that hits a bug must not stop the others
            await self._postpone(lease, error)
            return "failed"
        return "clean"

    async def _sweep(self, lease: Lease) -> Sweep:
        began_at = self._clock()
        if began_at >= lease.until:  # it waited for a place, and another process may have taken it
            raise _LeaseLost

        async def on_removed(objects: int) -> None:
            until = self._clock() + self._policy.lease
            ours = await purges.note_progress(self._database, lease, objects=objects, until=until)
            if not ours:  # after the commit, so that the count stays
                raise _LeaseLost

        await delete_prefix(self._store, lease.scope.prefix, on_removed=on_removed)
        again_at = next_sweep(
            requested_at=lease.requested_at, began_at=began_at, delays=self._policy.resweep_after
        )
        return Sweep(lease, began_at, again_at, context.traceparent.get())

    async def _postpone(self, lease: Lease, error: Exception) -> None:
        pause = retry_pause(
            lease.attempts + 1,
            longest=self._policy.longest_pause,
            jitter=random.random(),  # noqa: S311 - jitter, not a secret
        )
        _log.warning(
            "purge.failed",
            prefix=lease.scope.prefix,
            attempt=lease.attempts + 1,
            error=str(error),
            error_type=type(error).__name__,
            retry_in_s=pause.total_seconds(),
        )
        try:
            async with self._database.transaction() as connection:
                await purges.postpone(
                    connection,
                    lease,
                    not_before=self._clock() + pause,
                    error=f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS],
                )
        except Exception as failure:
            if not is_transient(failure):
                raise
            _log.warning("purger.lost_database", error=str(failure))  # the lease runs out


class Purger:
    """Purges the due prefixes of the ledger. Several replicas may run it; leases divide the work."""

    def __init__(
        self,
        database: Database,
        purge: PurgePrefix,
        *,
        policy: PurgePolicy,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._new_id = new_id
        at_once = policy.concurrency * LEASES_PER_PLACE
        self._work = LeasedWork(
            "purge",
            take=self.take,
            work=purge,
            at_once=at_once,
            page=at_once // 2,
            poll=policy.poll,
        )

    def wake(self) -> None:
        """Read the ledger at once. It is called after the commit; polling compensates for a missed call."""
        self._work.wake()

    async def run(self) -> None:
        """Run until cancelled. Another process continues an unfinished purge after its lease has expired."""
        await self._work.run()

    async def take(self, limit: int) -> list[Lease]:
        """Lease up to `limit` purges that are due."""
        now = self._clock()
        async with self._database.transaction() as connection:
            return await purges.lease_purges(
                connection,
                lease_id=self._new_id(),
                now=now,
                until=now + self._policy.lease,
                limit=limit,
            )
