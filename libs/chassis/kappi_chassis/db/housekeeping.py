"""Deletes rows of the shared tables after their retention."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg

from kappi_chassis.observability.logs import get_logger

EVERY_S = 600.0
BATCH = 5_000
SENT_GRACE = timedelta(hours=1)
"""Time for which an event of any age stays after it was last sent, so that a replay reaches all consumers."""

_log = get_logger(__name__)

# Ids follow time, so the first young row ends the search: otherwise a table without due rows would be read to
# its end each round.
_OUTBOX = """
DELETE FROM outbox WHERE id IN (
  SELECT id FROM outbox
  WHERE id < coalesce(
    (SELECT id FROM outbox WHERE occurred_at >= now() - $1::interval ORDER BY id LIMIT 1),
    9223372036854775807)
  AND sent_at < now() - $2::interval AND occurred_at < now() - $1::interval ORDER BY id LIMIT $3)
AND sent_at IS NOT NULL
"""
_INBOX = """
DELETE FROM inbox WHERE ctid IN (SELECT ctid FROM inbox WHERE received_at < now() - $1::interval LIMIT $2)
"""
_IDEMPOTENCY = """
DELETE FROM idempotency WHERE ctid IN (
  SELECT ctid FROM idempotency WHERE created_at < now() - $1::interval LIMIT $2)
"""


class Housekeeping:
    """Prunes outbox, inbox and stored answers. Several instances may run: deleting twice is harmless."""

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
        """Runs until cancelled.

        The first round comes after a wait, so that a replay at start finds all events.
        """
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.prune()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                _log.warning("housekeeping.failed", error=str(error), retry_in_s=EVERY_S)

    async def prune(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=10, command_timeout=60)
        try:
            await _prune(connection, _OUTBOX, self._outbox_retention, SENT_GRACE)
            await _prune(connection, _INBOX, self._inbox_retention)
            await _prune(connection, _IDEMPOTENCY, self._idempotency_retention)
        finally:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=2)


async def _prune(connection: Any, statement: str, *limits: timedelta) -> None:
    """Deletes in batches, each its own transaction, until no row is due."""
    deleted = BATCH
    while deleted == BATCH:
        status: str = await connection.execute(statement, *limits, BATCH)
        deleted = int(status.rpartition(" ")[2])
