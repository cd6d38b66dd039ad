"""Runs a service's checks: on the tick for a limited time, for an operator to the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.db import Database
from kappi_chassis.leased_work import LeasedWork
from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.reconcile.check import Check, Difference, Page
from kappi_chassis.reconcile.peer import PeerAway
from kappi_chassis.reconcile.runs import Counts, Lease, Run, RunQueries

LEASE: Final = timedelta(minutes=5)
"""Longer than a page with its repairs takes."""
PAUSE: Final = timedelta(seconds=30)
"""The time after a failure before a check continues."""
MAX_ERROR_CHARACTERS: Final = 500

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilePolicy:
    """every: time between two runs of a check on the tick. budget: working time after each tick. settle: time
    after which a difference must still exist, because events may be under way. poll: time between looks for
    requested runs.
    """

    every: timedelta
    budget: timedelta
    settle: timedelta = timedelta(seconds=2)
    poll: timedelta = timedelta(seconds=2)


class Reconciler:
    """Runs checks, one after another. Several replicas may run it: leases divide the work.

    A run continues behind its last finished page, in any process. Comparing or repairing a page twice has the
    effect of once.
    """

    def __init__(
        self,
        database: Database,
        checks: Mapping[str, Check],
        *,
        policy: ReconcilePolicy,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._runs = RunQueries(database)
        self._checks = checks
        self._policy = policy
        self._clock = clock
        self._new_id = new_id
        self._is_registered = False
        self._work = LeasedWork("reconcile", take=self._take, work=self._run, at_once=1, poll=policy.poll)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the checks."""
        return tuple(self._checks)

    async def on_tick(self, _: datetime) -> None:
        """Lets the checks work for the budget from now on; the tick's own instant does not matter."""
        now = self._clock()
        await self._runs.register(list(self._checks))
        await self._runs.open_budget(
            list(self._checks),
            now=now,
            until=now + self._policy.budget,
            due_before=now - self._policy.every,
        )
        self._work.wake()

    async def run(self) -> None:
        """Runs until cancelled."""
        await self._work.run()

    async def _take(self, limit: int) -> Sequence[Lease]:
        if not self._is_registered:
            await self._runs.register(list(self._checks))
            self._is_registered = True
        now = self._clock()
        self._show(await self._runs.all())
        return await self._runs.take(
            list(self._checks), lease_id=self._new_id(), now=now, until=now + LEASE, limit=limit
        )

    async def _run(self, lease: Lease) -> None:
        try:
            await self._to_the_end(lease)
        except Exception as error:  # noqa: BLE001 - a check that hits a bug must not stop the service
            log = _log.info if isinstance(error, PeerAway) else _log.warning
            log(
                "reconcile.failed",
                check=lease.name,
                error=str(error),
                error_type=type(error).__name__,
                retry_in_s=PAUSE.total_seconds(),
            )
            await self._postpone(lease, error)

    async def _postpone(self, lease: Lease, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]
        try:
            await self._runs.release(lease, not_before=self._clock() + PAUSE, error=text)
        except Exception as failure:
            if not is_transient(failure):
                raise
            _log.warning("reconcile.lost_database", error=str(failure))  # the lease expires by itself

    async def _to_the_end(self, lease: Lease) -> None:
        check, after = self._checks[lease.name], lease.position
        repair = check.repair if lease.repair else _leave
        while lease.work_until is None or self._clock() < lease.work_until:
            page = await self._settled(check, after)
            repaired = [each for each in page.differences if await repair(each)]
            advanced = await self._runs.advance(
                lease,
                after=page.after,
                examined=page.examined,
                counts=_counted(page.differences, repaired),
                examples=[{"kind": each.kind, "subject": each.subject} for each in page.differences],
                leased_until=self._clock() + LEASE,
                now=self._clock(),
            )
            metrics.RECONCILE_EXAMINED.labels(lease.name).inc(page.examined)
            for each in repaired:
                metrics.RECONCILE_REPAIRED.labels(lease.name, each.kind).inc()
                _log.info("reconcile.repaired", check=lease.name, kind=each.kind, subject=each.subject)
            if not advanced or page.after is None:
                return
            after = page.after
        await self._runs.release(lease, not_before=None, error=None)

    async def _settled(self, check: Check, after: str) -> Page:
        """Returns a page with the differences that still exist after a pause."""
        page = await check.page(after)
        if not page.differences:
            return page
        await asyncio.sleep(self._policy.settle.total_seconds())
        again = await check.page(after)
        lasting = set(page.differences) & set(again.differences)
        ends = [each.after for each in (page, again) if each.after is not None]
        return Page(
            after=min(ends, default=None),
            examined=again.examined,
            differences=[each for each in again.differences if each in lasting],
        )

    def _show(self, runs: Sequence[Run]) -> None:
        """Sets the gauges from the table, so that every process shows the same."""
        for run in runs:
            if run.name not in self._checks or not run.is_finished or run.finished_at is None:
                continue
            metrics.RECONCILE_FINISHED.labels(run.name).set(run.finished_at.timestamp())
            for kind in self._checks[run.name].kinds:
                found, repaired = run.found.get(kind, (0, 0))
                metrics.RECONCILE_DIFFERENCES.labels(run.name, kind).set(found - repaired)


async def _leave(_: Difference) -> bool:
    return False


def _counted(found: Sequence[Difference], repaired: Sequence[Difference]) -> Counts:
    counts: Counts = {}
    for each in found:
        counts.setdefault(each.kind, [0, 0])[0] += 1
    for each in repaired:
        counts[each.kind][1] += 1
    return counts
