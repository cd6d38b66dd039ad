"""The relaying side of the outbox: it sends committed events to the broker, in order per key.

An event is marked as sent after the broker's acknowledgement.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

import asyncpg

from kappi_chassis.clock import Clock, utc_now
from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox.outbox import CHANNEL

RELAY_LOCK = 0x6B61_7070_6F  # one relay per database at a time; order per key depends on it
BATCH = 500
POLL_FLOOR_S = 5.0
RETRY_S = 1.0
STANDBY_S = 2.0
STATEMENT_TIMEOUT_S = 10.0
COUNT_EVERY_S = 5.0
FEW = 4
PAUSE_S, LONGEST_PAUSE_S = 0.001, 0.003
"""Time after a page until the next, per event of it beyond a FEW. The more events are published, the more are
sent together; few events are not delayed.
"""

_log = get_logger(__name__)

_SESSION = {
    # A mark lost in a crash sends its event again, which consumers tolerate, so it is not worth a disk flush.
    "synchronous_commit": "off",
    # The server must notice a relay whose machine is gone, otherwise its lock keeps all others on standby.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
_UNSENT = """
SELECT id, event_id, topic, type, key, sequence, payload, traceparent, occurred_at
FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT $1
"""
_COUNT = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
_MARK = "UPDATE outbox SET sent_at = clock_timestamp() WHERE id = ANY($1::bigint[])"
_PARK = "UPDATE outbox SET sent_at = 'infinity' WHERE id = $1"
_REPLAY = """
UPDATE outbox SET sent_at = NULL WHERE id IN (
  SELECT id FROM outbox
  WHERE occurred_at >= $1 AND sent_at < $2 AND ($3::text[] IS NULL OR topic = ANY($3))
  ORDER BY id LIMIT $4)
RETURNING id
"""


class EventRefused(Exception):
    """The broker will never accept this event as it is: it is too large."""


class EventSink(Protocol):
    """The destination of the relay: the bus."""

    async def send_batch(self, rows: Sequence[Any]) -> list[BaseException | None]:
        """Sends in order; returns per row None after the broker's acknowledgement, else the failure.

        EventRefused means that the same batch fails again. The cause may be another row of the batch.
        """
        ...


class Relay:
    """Sends the events of the outbox. Several may run; the holder of the advisory lock works, others wait.

    If the lock is lost while sending, two relays may overlap briefly. Each sends a key's events in order, so
    a consumer still receives them *for the first time* in order; the others are duplicates. An event that the
    broker refuses is parked (ADR-0009), so that it does not block others.
    """

    def __init__(self, url: str, sink: EventSink, *, clock: Clock = utc_now) -> None:
        self._url = url
        self._sink = sink
        self._clock = clock
        self._wake = asyncio.Event()
        self._working = False
        self._counted_at = float("-inf")

    @property
    def working(self) -> bool:
        """Whether this relay has the lock, so that no other process sends."""
        return self._working

    def nudge(self) -> bool:
        """Wakes the relay after a commit in this process.

        Returns False if another process relays, which needs a NOTIFY.
        """
        self._wake.set()
        return self._working

    async def run(self) -> None:
        """Runs until cancelled.

        A lost connection or broker is waited for: no event is marked before its ack.
        """
        while True:
            try:
                await self._session()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                _log.warning(
                    "outbox.relay_lost_database",
                    error=str(error),
                    error_type=type(error).__name__,
                    retry_in_s=RETRY_S,
                )
                await asyncio.sleep(RETRY_S)

    async def _session(self) -> None:
        connection = await asyncpg.connect(
            self._url,
            timeout=STATEMENT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,  # with the polling, this detects a half-dead connection
            server_settings=_SESSION,
        )
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", RELAY_LOCK):
                # The holder of the lock may hang and then reports no age.
                self._tell_age(await connection.fetch(_UNSENT, 1))
                await asyncio.sleep(STANDBY_S)
            await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
            self._working = True
            await self._drain_forever(connection)
        finally:
            self._working = False
            metrics.OUTBOX_PENDING.set(0)  # the relay in another process reports it
            metrics.OUTBOX_OLDEST_SECONDS.set(0)
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=2)

    async def _drain_forever(self, connection: Any) -> None:
        while True:
            self._wake.clear()
            sent = await self._drain(connection)
            await asyncio.sleep(min(max(0, sent - FEW) * PAUSE_S, LONGEST_PAUSE_S))
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_FLOOR_S):
                    await self._wake.wait()

    async def _drain(self, connection: Any) -> int:
        """Returns the number of events of the last page."""
        more = True
        while more:
            rows = await connection.fetch(_UNSENT, BATCH)
            await self._measure(connection, rows)
            if not rows:
                return 0
            outcomes = await self._sink.send_batch(rows)
            acknowledged, refused = _settled(rows, outcomes)
            await self._mark(connection, acknowledged)
            for row in refused:
                await self._send_alone(connection, row)
            more = len(rows) == BATCH or len(acknowledged) < len(rows)
            passing = [found for found in outcomes if found and not isinstance(found, EventRefused)]
            if passing:
                await self._pause_after(passing[0])
        return len(rows)

    async def _mark(self, connection: Any, rows: Sequence[Any]) -> None:
        if not rows:
            return
        await connection.execute(_MARK, [row["id"] for row in rows])
        now = self._clock()
        for row in rows:
            metrics.OUTBOX_LAG_SECONDS.observe(max(0.0, (now - row["occurred_at"]).total_seconds()))
        for topic, number in Counter(row["topic"] for row in rows).items():
            metrics.OUTBOX_SENT.labels(topic).inc(number)

    async def _send_alone(self, connection: Any, row: Any) -> None:
        """Sends one row alone: a broker refuses whole batches, so only then the row itself is at fault."""
        (outcome,) = await self._sink.send_batch([row])
        if outcome is None:
            await self._mark(connection, [row])
        elif isinstance(outcome, EventRefused):
            await connection.execute(_PARK, row["id"])
            metrics.OUTBOX_PARKED.labels(row["topic"]).inc()
            _log.error(
                "outbox.event_parked",
                outbox_id=row["id"],
                event_id=str(row["event_id"]),
                topic=row["topic"],
                size_bytes=len(row["payload"]),
                error=str(outcome),
            )
        else:
            await self._pause_after(outcome)

    async def _pause_after(self, failure: BaseException) -> None:
        metrics.OUTBOX_FAILURES.inc()
        _log.warning(
            "outbox.send_failed",
            error=str(failure),
            error_type=type(failure).__name__,
            retry_in_s=RETRY_S,
        )
        await asyncio.sleep(RETRY_S)

    async def _measure(self, connection: Any, rows: Sequence[Any]) -> None:
        """Sets the gauges: a page that is not full is the whole backlog; a longer one is counted at times."""
        self._tell_age(rows)
        if len(rows) < BATCH:
            metrics.OUTBOX_PENDING.set(len(rows))
        elif time.monotonic() - self._counted_at > COUNT_EVERY_S:
            self._counted_at = time.monotonic()
            metrics.OUTBOX_PENDING.set(await connection.fetchval(_COUNT))

    def _tell_age(self, rows: Sequence[Any]) -> None:
        oldest = (self._clock() - rows[0]["occurred_at"]).total_seconds() if rows else 0.0
        metrics.OUTBOX_OLDEST_SECONDS.set(max(0.0, oldest))


def _settled(rows: Sequence[Any], outcomes: Sequence[BaseException | None]) -> tuple[list[Any], list[Any]]:
    """Returns the rows to mark, and those to send alone.

    After a key's first failure its later events wait.
    """
    broken: set[tuple[str, str]] = set()
    acknowledged, refused = [], []
    for row, failure in zip(rows, outcomes, strict=True):
        topic_and_key = (row["topic"], row["key"])
        if topic_and_key in broken:
            continue
        if failure is None:
            acknowledged.append(row)
            continue
        broken.add(topic_and_key)
        if isinstance(failure, EventRefused):
            refused.append(row)
    return acknowledged, refused


async def replay(
    url: str,
    *,
    since: datetime,
    sent_before: datetime,
    topics: Sequence[str] | None = None,
    limit: int = 5_000,
) -> int:
    """Marks up to `limit` events that occurred since `since` as unsent, oldest first; returns their number.

    sent_before: the instant when the replay began, the same on every page, so that events sent again
    meanwhile are not taken twice. Call it until it returns 0: pages keep a burst from outrunning the
    consumers. Consumers are idempotent, so an event that they already had does nothing. Parked events stay
    parked.
    """
    connection = await asyncpg.connect(url, command_timeout=60)
    try:
        rows = await connection.fetch(_REPLAY, since, sent_before, topics, limit)
        await connection.execute(f"NOTIFY {CHANNEL}")
        return len(rows)
    finally:
        await connection.close(timeout=5)
