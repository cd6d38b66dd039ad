"""Effects happen once: the event's id is recorded in the transaction of its effect (ADR-0002)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final
from uuid import UUID

from kappi_contracts.envelope import Envelope
from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_chassis.db.database import driver_of
from kappi_chassis.db.tables import inbox_table
from kappi_chassis.observability import tracing
from kappi_chassis.outbox import BatchUnit, Outbox, UnitOfWork

_RECORD = insert(inbox_table(MetaData())).on_conflict_do_nothing()
# In order of the ids, so that two consumers with the same events never wait for each other.
_RECORD_MANY: Final = """
INSERT INTO inbox (consumer, event_id) SELECT $1, id FROM unnest($2::uuid[]) AS e (id) ORDER BY id
ON CONFLICT DO NOTHING RETURNING event_id
"""

Effect = Callable[[UnitOfWork, Envelope[Any]], Awaitable[None]]
BatchEffect = Callable[[BatchUnit, Sequence[Envelope[Any]]], Awaitable[None]]
"""The effects of several events in the order in which they arrived, in one transaction. No two events have
the same id.
"""
Committed = Callable[[], None]


async def record(connection: AsyncConnection, *, consumer: str, event_id: UUID) -> bool:
    """Records an event as handled; False if it already was.

    Waits for a concurrent transaction with the same id.
    """
    result = await connection.execute(_RECORD, {"consumer": consumer, "event_id": event_id})
    return bool(result.rowcount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A handler whose database effect happens once, however often the event is delivered.

    Several events have their effects one after the other in one transaction. then: called after a commit
    with news.
    """

    outbox: Outbox
    consumer: str
    effect: Effect
    then: Committed | None = None

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """Returns False for a duplicate."""
        async with self.outbox.begin() as unit:
            if not await record(unit.connection, consumer=self.consumer, event_id=envelope.id):
                return False
            await self.effect(unit, envelope)
        if self.then is not None:
            self.then()
        return True

    async def handle_all(self, envelopes: Sequence[Envelope[Any]]) -> Sequence[bool]:
        """Returns for each event whether it was new. Source: BatchHandler."""
        if len(envelopes) == 1:
            with tracing.continued(envelopes[0].traceparent):
                return [await self(envelopes[0])]
        async with self.outbox.begin() as unit:
            driver = await driver_of(unit.connection)
            news = await record_all(driver, consumer=self.consumer, envelopes=envelopes)
            for envelope in compress(envelopes, news):
                with tracing.continued(envelope.traceparent):
                    await self.effect(unit, envelope)
        if self.then is not None and any(news):
            self.then()
        return news


@dataclass(frozen=True, slots=True, kw_only=True)
class OnceTogether:
    """As `Once`, with an effect that is written for many events."""

    outbox: Outbox
    consumer: str
    effect: BatchEffect
    then: Committed | None = None

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """Returns False for a duplicate."""
        (is_new,) = await self.handle_all([envelope])
        return is_new

    async def handle_all(self, envelopes: Sequence[Envelope[Any]]) -> Sequence[bool]:
        """Returns for each event whether it was new. Source: BatchHandler."""
        async with self.outbox.begin_batch() as unit:
            news = await record_all(unit.driver, consumer=self.consumer, envelopes=envelopes)
            if any(news):
                await self.effect(unit, list(compress(envelopes, news)))
        if self.then is not None and any(news):
            self.then()
        return news


async def record_all(driver: Any, *, consumer: str, envelopes: Sequence[Envelope[Any]]) -> Sequence[bool]:
    """Records events as handled. Returns for each whether it is new: not recorded, and the first of its id.

    Waits for concurrent transactions with the same ids. driver: an asyncpg connection in a transaction.
    """
    ids = [envelope.id for envelope in envelopes]
    new = {row[0] for row in await driver.fetch(_RECORD_MANY, consumer, ids)}
    news = []
    for event_id in ids:
        news.append(event_id in new)
        new.discard(event_id)
    return news


def once(outbox: Outbox, *, consumer: str, effect: Effect, then: Committed | None = None) -> Once:
    """Returns a handler whose database effect happens once, however often the event is delivered."""
    return Once(outbox=outbox, consumer=consumer, effect=effect, then=then)


def once_together(
    outbox: Outbox, *, consumer: str, effect: BatchEffect, then: Committed | None = None
) -> OnceTogether:
    """As `once`, for an effect that is written for many events."""
    return OnceTogether(outbox=outbox, consumer=consumer, effect=effect, then=then)
