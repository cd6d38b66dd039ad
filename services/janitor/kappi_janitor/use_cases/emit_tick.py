"""Publishes one JanitorTick per turn of the timer, over all replicas."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.observability.tracing import work_caused_by
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import JanitorTick

from kappi_janitor import metrics
from kappi_janitor.domain import Bucket, bucket_of
from kappi_janitor.repository import ticks

SCHEDULE = "hourly"
RETRY_S = 5.0
LONGEST_SLEEP_S = 60.0
"""The longest sleep. A clock that was set, or a machine that was suspended, delays a tick no longer."""

_log = get_logger(__name__)


class EmitTick:
    """Publishes ticks. Every replica calls it; the database decides which of them publishes."""

    def __init__(self, outbox: Outbox, *, every: timedelta, clock: Clock) -> None:
        self._outbox = outbox
        self._every = every
        self._clock = clock

    async def __call__(self) -> bool:
        """Publish this turn's tick. Returns False when another call published it."""
        now = self._clock()
        turn = bucket_of(now, every=self._every)
        with work_caused_by(None, "tick"):
            return await self._publish(now, turn)

    async def _publish(self, now: datetime, turn: Bucket) -> bool:
        async with self._outbox.begin() as unit:
            ours = await ticks.take_turn(unit.connection, turn.starts_at)
            if ours:
                tick = JanitorTick(schedule=SCHEDULE, at=now, origin="timer")
                await unit.publish(tick, sequence=turn.number)
        if ours:
            metrics.TICKS_EMITTED.inc()
            _log.info("timer.tick", at=now)
        return ours

    async def run(self) -> None:
        """Run until cancelled. If a turn began while no replica ran, its tick is published at once."""
        while True:
            try:
                await self()
            except Exception as error:
                if not is_transient(error):
                    raise
                _log.warning("timer.failed", error=str(error), retry_in_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
                continue
            rest = bucket_of(self._clock(), every=self._every).ends_at - self._clock()
            await asyncio.sleep(min(max(rest.total_seconds(), 0.0), LONGEST_SLEEP_S))
