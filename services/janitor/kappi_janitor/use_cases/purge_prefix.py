"""Purges the prefixes of the ledger: lease, commit, empty the prefix, record."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.db import Database
from kappi_chassis.leased_work import LeasedWork
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.observability.tracing import work_caused_by
from kappi_chassis.outbox import BatchUnit, Outbox
from kappi_chassis.storage import ObjectStore
from kappi_contracts.events import ObjectsPurged, PostPurged

from kappi_janitor import metrics
from kappi_janitor.domain import Lease, PostScope, next_sweep, retry_pause
from kappi_janitor.repository import due_galleries, purges
from kappi_janitor.use_cases.prefix_deletion import delete_prefix

MAX_ERROR_CHARACTERS = 500

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
        outbox: Outbox,
        store: ObjectStore,
        *,
        policy: PurgePolicy,
        clock: Clock,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._store = store
        self._policy = policy
        self._clock = clock

    async def __call__(self, lease: Lease) -> None:
        """Purge the prefix. A failure of the store postpones the purge and is not raised."""
        started = time.perf_counter()
        with work_caused_by(lease.traceparent, "purge", attributes={"kappi.attempt": lease.attempts + 1}):
            outcome = await self._attempt(lease)
        metrics.PURGE_SWEEPS.labels(outcome).inc()
        metrics.PURGE_SECONDS.observe(time.perf_counter() - started)

    async def _attempt(self, lease: Lease) -> str:
        try:
            await self._sweep(lease)
        except _LeaseLost:
            return "superseded"
        except Exception as error:  # noqa: BLE001 - one prefix that hits a bug must not stop the others
            await self._postpone(lease, error)
            return "failed"
        return "clean"

    async def _sweep(self, lease: Lease) -> None:
        began_at = self._clock()

        async def on_removed(objects: int) -> None:
            until = self._clock() + self._policy.lease
            ours = await purges.note_progress(self._database, lease, objects=objects, until=until)
            if not ours:  # after the commit, so that the count stays
                raise _LeaseLost

        await delete_prefix(self._store, lease.scope.prefix, on_removed=on_removed)
        await self._record(lease, began_at)

    async def _record(self, lease: Lease, began_at: datetime) -> None:
        again_at = next_sweep(
            requested_at=lease.requested_at, began_at=began_at, delays=self._policy.resweep_after
        )
        async with self._outbox.begin_batch() as unit:
            objects = await purges.finish_sweep(unit.driver, lease, began_at=began_at, again_at=again_at)
            if objects is None:
                return
            await self._publish(unit, lease, objects=objects)
        _log.info("purge.done", prefix=lease.scope.prefix, objects=objects, look_again_at=again_at)

    async def _publish(self, unit: BatchUnit, lease: Lease, *, objects: int) -> None:
        scope, now = lease.scope, self._clock()
        if isinstance(scope, PostScope):
            purged = PostPurged(post_id=scope.post_id, prefix=scope.prefix, objects=objects, purged_at=now)
            sequence = await purges.next_post_publication(unit.driver, lease.purge_id)
            await unit.publish(purged, sequence=sequence)
            return
        event = ObjectsPurged(
            gallery_id=scope.gallery_id,
            media_id=scope.media_id,
            prefix=scope.prefix,
            objects=objects,
            purged_at=now,
        )
        sequence = await due_galleries.next_publication(unit.driver, scope.gallery_id)
        await unit.publish(event, sequence=sequence)

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
        self._work = LeasedWork(
            "purge", take=self.take, work=purge, at_once=policy.concurrency, poll=policy.poll
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
