"""Measures how long deliveries wait, independently of the calls: those may be what is missing."""

from __future__ import annotations

from kappi_chassis.clock import Clock
from kappi_chassis.db import Database

from kappi_identity import metrics
from kappi_identity.repository.deliveries import DeliveryQueries


class WatchDeliveries:
    """Sets the gauge of the first delivery that is due."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._deliveries = DeliveryQueries(database)
        self._clock = clock

    async def __call__(self) -> None:
        """Measure once."""
        now = self._clock()
        due_at = await self._deliveries.first_due(now=now)
        metrics.DELIVERY_DUE_SECONDS.set(0.0 if due_at is None else (now - due_at).total_seconds())
