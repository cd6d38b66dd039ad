"""Relaying side of the outbox: committed events to the broker, in order per key, marked after its ack."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

import asyncpg

from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox.outbox import CHANNEL

RELAY_LOCK = 0x6B61_7070_6F  # one relay per database at a time; order per key depends on it
BATCH = 500
POLL_FLOOR_S = 1.0
RETRY_S = 1.0
STANDBY_S = 2.0

_log = get_logger(__name__)

_UNSENT = """
SELECT id, event_id, topic, type, key, sequence, payload, traceparent, occurred_at
FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT $1
"""
_MARK = """
UPDATE outbox SET sent_at = clock_timestamp() WHERE id = ANY($1::bigint[])
RETURNING extract(epoch FROM sent_at - occurred_at)::float8
"""
_REPLAY = """
UPDATE outbox SET sent_at = NULL WHERE id IN (
  SELECT id FROM outbox
  WHERE occurred_at >= $1 AND sent_at < $2 AND ($3::text[] IS NULL OR topic = ANY($3))
  ORDER BY id LIMIT $4)
RETURNING id
"""


class EventSink(Protocol):
    """Where the relay sends to: the bus."""

    async def send_batch(self, rows: Sequence[Any]) -> list[BaseException | None]:
        """Send in order; per row None once the broker acknowledged it, else why it did not."""
        ...


class Relay:
    """Sends what the outbox holds. Many may run; the one with the advisory lock works, the rest stand by."""

    def __init__(self, url: str, sink: EventSink) -> None:
        self._url = url
        self._sink = sink
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. A lost connection or broker is waited out: nothing is marked before its ack."""
        while True:
            try:
                await self._session()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                _log.warning("outbox.relay_lost_database", error=str(error), retry_in_s=RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def _session(self) -> None:
        connection = await asyncpg.connect(self._url, command_timeout=30)
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", RELAY_LOCK):  # noqa: ASYNC110 - another process holds it
                await asyncio.sleep(STANDBY_S)
            await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
            await self._drain_forever(connection)
        finally:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=2)

    async def _drain_forever(self, connection: Any) -> None:
        while True:
            self._wake.clear()
            await self._drain(connection)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_FLOOR_S):
                    await self._wake.wait()

    async def _drain(self, connection: Any) -> None:
        while rows := await connection.fetch(_UNSENT, BATCH):
            metrics.OUTBOX_PENDING.set(len(rows))
            outcomes = await self._sink.send_batch(rows)
            acknowledged = _acknowledged(rows, outcomes)
            if acknowledged:
                for (lag_s,) in await connection.fetch(_MARK, [row["id"] for row in acknowledged]):
                    metrics.OUTBOX_LAG_SECONDS.observe(lag_s)
            for row in acknowledged:
                metrics.OUTBOX_SENT.labels(row["topic"]).inc()
            if len(acknowledged) < len(rows):
                failure = next(outcome for outcome in outcomes if outcome is not None)
                metrics.OUTBOX_FAILURES.inc()
                _log.warning("outbox.send_failed", error=str(failure), error_type=type(failure).__name__)
                await asyncio.sleep(RETRY_S)
        metrics.OUTBOX_PENDING.set(0)


def _acknowledged(rows: Sequence[Any], outcomes: Sequence[BaseException | None]) -> list[Any]:
    """Rows to mark: after a key's first failure its later events stay, to be sent again in order."""
    broken: set[tuple[str, str]] = set()
    done = []
    for row, failure in zip(rows, outcomes, strict=True):
        lane = (row["topic"], row["key"])
        if failure is not None:
            broken.add(lane)
        elif lane not in broken:
            done.append(row)
    return done


async def replay(
    url: str,
    *,
    since: datetime,
    sent_before: datetime,
    topics: Sequence[str] | None = None,
    limit: int = 5_000,
) -> int:
    """Mark up to `limit` events that occurred since `since` as unsent, oldest first; returns how many.

    sent_before: the instant the replay began, the same on every page, so that what the relay has sent again
    meanwhile is not taken twice. Call until it returns 0: pages keep a burst from outrunning the consumers.
    Consumers are idempotent, so an event they already had does nothing.
    """
    connection = await asyncpg.connect(url, command_timeout=60)
    try:
        rows = await connection.fetch(_REPLAY, since, sent_before, topics, limit)
        await connection.execute(f"NOTIFY {CHANNEL}")
        return len(rows)
    finally:
        await connection.close(timeout=5)
