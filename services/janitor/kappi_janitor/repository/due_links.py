"""The deadlines of expiring links."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_janitor.models import due_links


@dataclass(frozen=True, slots=True)
class DueLink:
    """A link that a tick claimed. sequence: the newest known version of the link."""

    link_id: UUID
    media_id: UUID
    expires_at: datetime
    sequence: int


async def record_due_link(
    connection: AsyncConnection, *, link_id: UUID, media_id: UUID, expires_at: datetime, sequence: int
) -> bool:
    """Store the deadline of a link. Returns False when the link is known, claimed or not."""
    statement = insert(due_links).values(
        link_id=link_id, media_id=media_id, expires_at=expires_at, sequence=sequence
    )
    result = await connection.execute(statement.on_conflict_do_nothing())
    return bool(result.rowcount)


async def expire_due_links(
    connection: AsyncConnection, *, at: datetime, now: datetime, limit: int
) -> list[DueLink]:
    """Claim up to `limit` unclaimed links due by `at`, the longest due first. now: the wall clock."""
    due = (
        select(due_links.c.link_id)
        .where(due_links.c.claimed_at.is_(None), due_links.c.expires_at <= at)
        .order_by(due_links.c.expires_at, due_links.c.link_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")  # evaluated once: a subquery may run again for each row, and claim more than the limit
    )
    rows = await connection.execute(
        update(due_links)
        .where(due_links.c.link_id.in_(select(due.c.link_id)))
        .values(claimed_at=now)
        .returning(due_links.c.link_id, due_links.c.media_id, due_links.c.expires_at, due_links.c.sequence)
    )
    return [DueLink(*row) for row in rows]
