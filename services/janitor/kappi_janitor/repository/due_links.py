"""The deadlines of expiring links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_janitor.models import due_links

# In order of the ids, so that two transactions never wait for each other.
_RECORD: Final = """
INSERT INTO due_links (link_id, media_id, expires_at, sequence)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bigint[])
  AS e (link_id, media_id, expires_at, sequence)
ORDER BY link_id ON CONFLICT DO NOTHING RETURNING link_id
"""


@dataclass(frozen=True, slots=True)
class DueLink:
    """A link, as it becomes known and as a tick claims it. sequence: the newest known version of the link."""

    link_id: UUID
    media_id: UUID
    expires_at: datetime
    sequence: int


async def record_due_links(database: Database, links: Sequence[DueLink]) -> Sequence[bool]:
    """Store the deadlines of links, in one statement. Returns for each False when the link is known, claimed
    or not.
    """
    columns = zip(
        *((each.link_id, each.media_id, each.expires_at, each.sequence) for each in links), strict=True
    )
    new = {row[0] for row in await database.hot.fetch(_RECORD, *map(list, columns))}
    news = []
    for each in links:
        news.append(each.link_id in new)
        new.discard(each.link_id)
    return news


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
