"""Measures what is due and not done, independently of the ticks: they may be what is missing."""

from __future__ import annotations

import asyncio

from kappi_chassis.clock import Clock
from kappi_chassis.db import Database
from kappi_chassis.db.failures import database_is_away
from kappi_chassis.observability.logs import get_logger

from kappi_janitor import metrics
from kappi_janitor.repository.overdue import overdue
from kappi_janitor.repository.purges import count_failing

EVERY_S = 60.0
MOST_COUNTED = 10_000

_log = get_logger(__name__)


class WatchOverdue:
    """Sets the gauges of overdue purges, galleries and links once a minute."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Run until cancelled. A database that is unavailable is waited for."""
        while True:
            try:
                await self()
            except Exception as error:
                if not database_is_away(error):
                    raise
                _log.warning("overdue.not_counted", error=str(error), error_type=type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def __call__(self) -> None:
        """Measure once."""
        now = self._clock()
        async with self._database.transaction() as connection:
            found = await overdue(connection, now=now, limit=MOST_COUNTED)
            failing = await count_failing(connection, limit=MOST_COUNTED)
        for kind, each in found.items():
            metrics.OVERDUE.labels(kind).set(each.number)
            age_s = 0.0 if each.oldest is None else (now - each.oldest).total_seconds()
            metrics.OVERDUE_SECONDS.labels(kind).set(age_s)
        metrics.PURGE_FAILING.set(failing)
