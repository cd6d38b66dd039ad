"""The deadlines of galleries, and the tombstones of deleted ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_janitor.models import due_galleries


@dataclass(frozen=True, slots=True)
class DueGallery:
    """A gallery that a tick claimed. published: the sequence of the event about it."""

    gallery_id: UUID
    expires_at: datetime
    published: int


async def record_due_date(
    connection: AsyncConnection, *, gallery_id: UUID, expires_at: datetime | None, sequence: int
) -> bool:
    """Store the newest deadline of a gallery. Returns False when this one is outdated or the gallery is
    deleted.
    """
    statement = insert(due_galleries).values(gallery_id=gallery_id, expires_at=expires_at, sequence=sequence)
    result = await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[due_galleries.c.gallery_id],
            set_={"expires_at": statement.excluded.expires_at, "sequence": statement.excluded.sequence},
            where=and_(
                due_galleries.c.sequence < statement.excluded.sequence,
                due_galleries.c.deleted_at.is_(None),
            ),
        )
    )
    return bool(result.rowcount)


async def record_deletion(
    connection: AsyncConnection, *, gallery_id: UUID, deleted_at: datetime, sequence: int
) -> bool:
    """Store a tombstone, so that no earlier event revives the gallery. Returns False when there is one."""
    statement = insert(due_galleries).values(gallery_id=gallery_id, deleted_at=deleted_at, sequence=sequence)
    result = await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[due_galleries.c.gallery_id],
            set_={
                "deleted_at": statement.excluded.deleted_at,
                "sequence": func.greatest(due_galleries.c.sequence, statement.excluded.sequence),
            },
            where=due_galleries.c.deleted_at.is_(None),
        )
    )
    return bool(result.rowcount)


async def expire_due(
    connection: AsyncConnection, *, at: datetime, tick_id: UUID, limit: int
) -> list[DueGallery]:
    """Claim up to `limit` galleries due by `at` that this tick has not claimed yet, the longest due first."""
    due = (
        select(due_galleries.c.gallery_id)
        .where(
            due_galleries.c.deleted_at.is_(None),
            due_galleries.c.expires_at <= at,
            due_galleries.c.claimed_by.is_distinct_from(tick_id),
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


async def next_publication(connection: AsyncConnection, gallery_id: UUID) -> int:
    """Returns the sequence of the next event about a gallery, and locks its row until the commit.

    A missing row is created.
    """
    statement = insert(due_galleries).values(gallery_id=gallery_id, sequence=0, published=1)
    published: int = (
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=[due_galleries.c.gallery_id],
                set_={"published": due_galleries.c.published + 1},
            ).returning(due_galleries.c.published)
        )
    ).scalar_one()
    return published
