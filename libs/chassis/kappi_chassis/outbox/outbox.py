"""The writing side of the outbox: it publishes inside a transaction and wakes the relay after the commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from kappi_contracts.envelope import encode_data
from kappi_contracts.events import Event
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_chassis.clock import NewId, new_id
from kappi_chassis.db.database import Database, driver_of
from kappi_chassis.observability import context
from kappi_chassis.observability.logs import get_logger

CHANNEL = "kappi_outbox"
DEBOUNCE_S = 0.002

_log = get_logger(__name__)
# `unnest` keeps the order of the arrays, so ids have the order of publication.
_PUBLISH: Final = """
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::bigint[])
"""


class OutboxRow(NamedTuple):
    """Column values of an event for a hand-written statement that computes `sequence` itself.

    `INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence) ...`
    """

    event_id: UUID
    topic: str
    type: str
    key: str
    payload: bytes
    traceparent: str | None


class _Publications:
    """The events that a transaction publishes. They are written in one statement, as its last."""

    def __init__(self, outbox: Outbox) -> None:
        self.published = False
        self._outbox = outbox
        self._rows: list[tuple[OutboxRow, int]] = []

    async def publish(self, event: Event, *, sequence: int, traceparent: str | None = None) -> None:
        """Queues an event. sequence: the aggregate's version after this change. traceparent: as for
        `Outbox.row`.
        """
        self.publish_rows([(self._outbox.row(event, traceparent=traceparent), sequence)])

    def publish_rows(self, rows: Sequence[tuple[OutboxRow, int]]) -> None:
        """Queues several events, each with its sequence."""
        self._rows += rows
        self.published = self.published or bool(rows)

    async def _write(self, driver: Any) -> None:
        rows, self._rows = self._rows, []
        columns = zip(*((*row, sequence) for row, sequence in rows), strict=True)
        await driver.execute(_PUBLISH, *(list(column) for column in columns))


class UnitOfWork(_Publications):
    """A transaction that may publish. Lock the aggregate's row first: order per key depends on it."""

    def __init__(self, connection: AsyncConnection, outbox: Outbox) -> None:
        super().__init__(outbox)
        self.connection = connection

    async def write_events(self) -> None:
        """Writes the queued events, before the commit."""
        if self._rows:
            await self._write(await driver_of(self.connection))


class BatchUnit(_Publications):
    """As UnitOfWork, for statements written for asyncpg that handle many events at once.

    driver: an asyncpg connection in a transaction.
    """

    def __init__(self, driver: Any, outbox: Outbox) -> None:
        super().__init__(outbox)
        self.driver = driver

    async def write_events(self) -> None:
        """Writes the queued events, before the commit."""
        if self._rows:
            await self._write(self.driver)


class Outbox:
    """One service's outbox."""

    def __init__(self, database: Database, *, new_id: NewId = new_id) -> None:
        self._database = database
        self._new_id = new_id
        self._wanted = asyncio.Event()
        self._nudge: Callable[[], bool] | None = None

    def relayed_by(self, nudge: Callable[[], bool]) -> None:
        """Registers a relay in this process, which is woken directly.

        nudge: False while another process relays.
        """
        self._nudge = nudge

    def row(self, event: Event, *, traceparent: str | None = None) -> OutboxRow:
        """Returns an event as column values, with a new id.

        traceparent: of the trace that the event belongs to; None for that of the current work.
        """
        return OutboxRow(
            event_id=self._new_id(),
            topic=event.topic_name(),
            type=event.ce_type(),
            key=event.key(),
            payload=encode_data(event),
            traceparent=traceparent or context.traceparent.get(),
        )

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """Begins a use case's transaction; it commits on leaving and wakes the relay if events were
        published."""
        async with self._database.transaction() as connection:
            unit = UnitOfWork(connection, self)
            yield unit
            await unit.write_events()
        if unit.published:
            self.wake()

    @asynccontextmanager
    async def begin_batch(self) -> AsyncIterator[BatchUnit]:
        """As `begin`, for statements written for asyncpg."""
        async with self._database.hot.transaction() as driver:
            unit = BatchUnit(driver, self)
            yield unit
            await unit.write_events()
        if unit.published:
            self.wake()

    def wake(self) -> None:
        """Wakes the relay soon, without waiting.

        Call it after the commit; polling makes up for a missed call.
        """
        if self._nudge is None or not self._nudge():
            self._wanted.set()

    async def run(self) -> None:
        """Sends the debounced notifications for relays of other processes.

        A NOTIFY inside each business transaction would halve inserts: it takes a global lock at commit.
        """
        while True:
            await self._wanted.wait()
            await asyncio.sleep(DEBOUNCE_S)
            self._wanted.clear()
            try:
                await self._database.hot.execute(f"NOTIFY {CHANNEL}")
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("outbox.notify_failed", error=str(error))  # the relay polls anyway
