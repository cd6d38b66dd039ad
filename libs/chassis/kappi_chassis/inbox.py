"""Effects happen once: the event's id is recorded in the transaction of its effect (ADR-0002)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from kappi_contracts.envelope import Envelope
from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_chassis.db.tables import inbox_table
from kappi_chassis.outbox import Outbox, UnitOfWork

_RECORD = insert(inbox_table(MetaData())).on_conflict_do_nothing()

Effect = Callable[[UnitOfWork, Envelope[Any]], Awaitable[None]]
Handler = Callable[[Envelope[Any]], Awaitable[bool]]
"""Handles one event; returns False for a duplicate, which has no effect."""


async def record(connection: AsyncConnection, *, consumer: str, event_id: UUID) -> bool:
    """Records an event as handled; False if it already was.

    Waits for a concurrent transaction with the same id.
    """
    result = await connection.execute(_RECORD, {"consumer": consumer, "event_id": event_id})
    return bool(result.rowcount)


def once(outbox: Outbox, *, consumer: str, effect: Effect) -> Handler:
    """Returns a handler whose database effect happens once, however often the event is delivered."""

    async def handle(envelope: Envelope[Any]) -> bool:
        async with outbox.begin() as unit:
            if not await record(unit.connection, consumer=consumer, event_id=envelope.id):
                return False
            await effect(unit, envelope)
        return True

    return handle
