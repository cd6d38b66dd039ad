"""Records sweeps in the ledger and publishes them: those that end at the same time in one transaction."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import BatchUnit, Outbox
from kappi_contracts.events import ObjectsPurged, PostPurged

from kappi_janitor.domain import PostScope
from kappi_janitor.repository import due_galleries, purges
from kappi_janitor.repository.purges import Sweep

MOST: Final = 250
"""Sweeps recorded in one transaction."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    sweep: Sweep
    recorded: asyncio.Future[None]


class RecordSweeps:
    """Records sweeps that left nothing.

    The first of those that wait records all of them; meanwhile the next ones gather. After a failure each is
    recorded alone, so that one of them does not fail the others.
    """

    def __init__(self, outbox: Outbox, *, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._turn = asyncio.Lock()

    async def __call__(self, sweep: Sweep) -> None:
        """Returns after the commit. A sweep that lost its lease is ignored."""
        mine = _Waiting(sweep, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        async with self._turn:
            while not mine.recorded.done():
                batch = self._waiting[:MOST]
                await self._record_all(batch)
                del self._waiting[: len(batch)]
        await mine.recorded

    async def _record_all(self, batch: Sequence[_Waiting]) -> None:
        """Sets the outcome of each."""
        try:
            await self._record([each.sweep for each in batch])
        except Exception as error:  # noqa: BLE001 - it is an outcome of the sweep
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            _log.info("purge.not_recorded_together", sweeps=len(batch), error=str(error))
            for each in batch:
                await self._record_all([each])
        else:
            for each in batch:
                _succeed(each)

    async def _record(self, sweeps: Sequence[Sweep]) -> None:
        async with self._outbox.begin_batch() as unit:
            objects = await purges.finish_sweeps(unit.driver, sweeps)
            told = [each for each in sweeps if each.lease.purge_id in objects]
            await self._publish(unit, told, objects)
        for sweep in told:
            _log.info(
                "purge.done",
                prefix=sweep.lease.scope.prefix,
                objects=objects[sweep.lease.purge_id],
                look_again_at=sweep.again_at,
            )

    async def _publish(self, unit: BatchUnit, sweeps: Sequence[Sweep], objects: purges.Objects) -> None:
        posts, galleries = [], Counter[UUID]()
        for sweep in sweeps:
            scope = sweep.lease.scope
            if isinstance(scope, PostScope):
                posts.append(sweep.lease.purge_id)
            else:
                galleries[scope.gallery_id] += 1
        of_post = await purges.next_post_publications(unit.driver, posts) if posts else {}
        of_gallery = await due_galleries.next_publications(unit.driver, galleries) if galleries else {}
        now = self._clock()
        for sweep in sweeps:
            event = _event(sweep, objects=objects[sweep.lease.purge_id], at=now)
            if isinstance(event, PostPurged):
                sequence = of_post[sweep.lease.purge_id]
            else:
                sequence = of_gallery[event.gallery_id].pop(0)
            await unit.publish(event, sequence=sequence, traceparent=sweep.traceparent)


def _event(sweep: Sweep, *, objects: int, at: datetime) -> ObjectsPurged | PostPurged:
    scope = sweep.lease.scope
    if isinstance(scope, PostScope):
        return PostPurged(post_id=scope.post_id, prefix=scope.prefix, objects=objects, purged_at=at)
    return ObjectsPurged(
        gallery_id=scope.gallery_id,
        media_id=scope.media_id,
        prefix=scope.prefix,
        objects=objects,
        purged_at=at,
    )


def _succeed(waiting: _Waiting) -> None:
    if not waiting.recorded.done():  # it is cancelled when its sweep is
        waiting.recorded.set_result(None)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.recorded.done():
        waiting.recorded.set_exception(error)
