"""The turns of the timer."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_janitor.models import ticks


async def take_turn(connection: AsyncConnection, starts_at: datetime) -> bool:
    """Take a turn. Returns True for the first caller over all replicas."""
    result = await connection.execute(insert(ticks).values(starts_at=starts_at).on_conflict_do_nothing())
    return bool(result.rowcount)
