"""The deadlines of galleries, and the tombstones of deleted ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_janitor.models import due_galleries

# In order of the ids, so that two transactions never wait for each other.
_RECORD_DUE: Final = """
INSERT INTO due_galleries AS d (gallery_id, expires_at, sequence)
SELECT DISTINCT ON (gallery_id) *
FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[]) AS e (gallery_id, expires_at, sequence)
ORDER BY gallery_id, sequence DESC
ON CONFLICT (gallery_id) DO UPDATE SET expires_at = excluded.expires_at, sequence = excluded.sequence
WHERE d.sequence < excluded.sequence AND d.deleted_at IS NULL
RETURNING gallery_id, old.sequence AS before
"""
_RECORD_DELETIONS: Final = """
INSERT INTO due_galleries AS d (gallery_id, deleted_at, sequence)
SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[]) AS e (gallery_id, deleted_at, sequence)
ORDER BY gallery_id
ON CONFLICT (gallery_id) DO UPDATE
SET deleted_at = excluded.deleted_at, sequence = greatest(d.sequence, excluded.sequence)
WHERE d.deleted_at IS NULL
"""
_NEXT_PUBLICATIONS: Final = """
INSERT INTO due_galleries AS d (gallery_id, sequence, published)
SELECT gallery_id, 0, number FROM unnest($1::uuid[], $2::bigint[]) AS e (gallery_id, number)
ORDER BY gallery_id
ON CONFLICT (gallery_id) DO UPDATE SET published = d.published + excluded.published
RETURNING gallery_id, published
"""
_NEVER: Final = 2**63 - 1
"""The sequence that no event has: nothing about a deleted gallery is news."""


@dataclass(frozen=True, slots=True)
class DueGallery:
    """A gallery that a tick claimed. published: the sequence of the event about it."""

    gallery_id: UUID
    expires_at: datetime
    published: int


Position = tuple[datetime, UUID]
"""A place in the order of deadlines: a deadline and its gallery."""


@dataclass(frozen=True, slots=True)
class DueDate:
    """A deadline of a gallery, in the version that this sequence names. expires_at: None for no deadline."""

    gallery_id: UUID
    expires_at: datetime | None
    sequence: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """The deletion of a gallery, in its last version."""

    gallery_id: UUID
    deleted_at: datetime
    sequence: int


async def record_due_dates(database: Database, dates: Sequence[DueDate]) -> Sequence[bool]:
    """Store the newest deadline of each gallery, in one statement.

    Returns for each date, in its order, False when it is outdated or its gallery is deleted.
    """
    columns = zip(*((each.gallery_id, each.expires_at, each.sequence) for each in dates), strict=True)
    rows = await database.hot.fetch(_RECORD_DUE, *map(list, columns))
    newest = {row["gallery_id"]: row["before"] or 0 for row in rows}
    news = []
    for each in dates:
        is_news = each.sequence > newest.get(each.gallery_id, _NEVER)
        if is_news:
            newest[each.gallery_id] = each.sequence
        news.append(is_news)
    return news


async def record_deletions(driver: Any, deletions: Sequence[Deletion]) -> None:
    """Store tombstones, so that no earlier event revives a gallery. An older tombstone stays.

    driver: an asyncpg connection in a transaction.
    """
    first = {each.gallery_id: each for each in reversed(deletions)}
    columns = zip(
        *((each.gallery_id, each.deleted_at, each.sequence) for each in first.values()), strict=True
    )
    await driver.execute(_RECORD_DELETIONS, *map(list, columns))


async def expire_due(
    connection: AsyncConnection,
    *,
    at: datetime,
    tick_id: UUID,
    limit: int,
    after: Position | None = None,
) -> list[DueGallery]:
    """Claim up to `limit` galleries due by `at` that this tick has not claimed yet, the longest due first.

    after: of the page before. Without it, each page reads again what the earlier pages claimed.
    """
    place = tuple_(due_galleries.c.expires_at, due_galleries.c.gallery_id)
    due = (
        select(due_galleries.c.gallery_id)
        .where(
            due_galleries.c.deleted_at.is_(None),
            due_galleries.c.expires_at <= at,
            due_galleries.c.claimed_by.is_distinct_from(tick_id),
            true() if after is None else place > tuple_(*after),
        )
        .order_by(due_galleries.c.expires_at, due_galleries.c.gallery_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")  # evaluated once: a subquery may run again for each row, and claim more than the limit
    )
    rows = await connection.execute(
        update(due_galleries)
        .where(due_galleries.c.gallery_id.in_(select(due.c.gallery_id)))
        .values(claimed_by=tick_id, published=due_galleries.c.published + 1)
        .returning(due_galleries.c.gallery_id, due_galleries.c.expires_at, due_galleries.c.published)
    )
    return [DueGallery(*row) for row in rows]


async def next_publications(driver: Any, numbers: Mapping[UUID, int]) -> dict[UUID, list[int]]:
    """Returns the sequences of the next events about galleries, and locks their rows until the commit.

    numbers: of events by gallery. Missing rows are created. driver: an asyncpg connection in a transaction.
    """
    rows = await driver.fetch(_NEXT_PUBLICATIONS, list(numbers), list(numbers.values()))
    last = {row["gallery_id"]: row["published"] for row in rows}
    return {each: [*range(last[each] - number + 1, last[each] + 1)] for each, number in numbers.items()}
