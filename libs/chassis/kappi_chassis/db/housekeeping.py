"""Forgetting: rows of the shared tables whose retention is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg

from kappi_chassis.observability.logs import get_logger

EVERY_S = 600.0
BATCH = 5_000
SENT_GRACE = timedelta(hours=1)
"""However old an event is, it stays this long after it was last sent, so that a replay reaches everyone."""

_log = get_logger(__name__)

_OUTBOX = """
DELETE FROM outbox WHERE id IN (
  SELECT id FROM outbox
  WHERE sent_at < now() - $2::interval AND occurred_at < now() - $1::interval ORDER BY id LIMIT $3)
"""
_INBOX = "DELETE FROM inbox WHERE received_at < now() - $1::interval"
_IDEMPOTENCY = "DELETE FROM idempotency WHERE created_at < now() - $1::interval"


class Housekeeping:
    """Prunes outbox, inbox and stored answers. Many may run: deleting twice is deleting once."""

    def __init__(
        self,
        url: str,
        *,
        outbox_retention: timedelta,
        inbox_retention: timedelta,
        idempotency_retention: timedelta,
    ) -> None:
        self._url = url
        self._outbox_retention = outbox_retention
        self._inbox_retention = inbox_retention
        self._idempotency_retention = idempotency_retention

    async def run(self) -> None:
        """Until cancelled. The first round waits, so that a replay at start finds everything."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.prune()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                _log.warning("housekeeping.failed", error=str(error), retry_in_s=EVERY_S)

    async def prune(self) -> None:
        connection = await asyncpg.connect(self._url, command_timeout=60)
        try:
            await connection.execute(_OUTBOX, self._outbox_retention, SENT_GRACE, BATCH)
            await connection.execute(_INBOX, self._inbox_retention)
            await connection.execute(_IDEMPOTENCY, self._idempotency_retention)
        finally:
            await connection.close(timeout=2)
