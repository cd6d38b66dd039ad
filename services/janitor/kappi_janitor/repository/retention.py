"""Removes rows after their retention."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_janitor.models import due_galleries, due_links, purges, ticks


async def prune(
    connection: AsyncConnection,
    *,
    purges_before: datetime,
    tombstones_before: datetime,
    ticks_before: datetime,
    limit: int,
) -> bool:
    """Remove up to `limit` rows per table that are past their retention. Returns whether more may follow."""
    more = False
    for column, key, before in (
        (purges.c.done_at, purges.c.id, purges_before),
        (due_galleries.c.deleted_at, due_galleries.c.gallery_id, tombstones_before),
        (due_links.c.claimed_at, due_links.c.link_id, tombstones_before),
        (ticks.c.starts_at, ticks.c.starts_at, ticks_before),
    ):
        old = select(key).where(column < before).order_by(column).limit(limit)
        result = await connection.execute(delete(column.table).where(key.in_(old)))
        more |= result.rowcount >= limit
    return more
