"""All SQL of the janitor. Functions take the connection of the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, case, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_janitor.domain import GalleryScope, Lease, PostScope, Scope
from kappi_janitor.models import due_galleries, due_links, purges, ticks


@dataclass(frozen=True, slots=True)
class DueGallery:
    """A gallery a tick claimed. published: sequence for the claim's event."""

    gallery_id: UUID
    expires_at: datetime
    published: int


@dataclass(frozen=True, slots=True)
class DueLink:
    """A link a tick claimed. sequence: the link's own, as last heard of."""

    link_id: UUID
    media_id: UUID
    expires_at: datetime
    sequence: int


# Due dates


async def record_due_date(
    connection: AsyncConnection, *, gallery_id: UUID, expires_at: datetime | None, sequence: int
) -> bool:
    """Keep the newest deadline of a gallery; False when this one is outdated or the gallery is deleted."""
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
    """Leave a tombstone that no earlier event, however late, brings back; False when there is one."""
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
    """Claim up to `limit` galleries due by `at` that this tick has not claimed yet, longest due first."""
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
    )
    rows = await connection.execute(
        update(due_galleries)
        .where(due_galleries.c.gallery_id.in_(due))
        .values(claimed_by=tick_id, published=due_galleries.c.published + 1)
        .returning(due_galleries.c.gallery_id, due_galleries.c.expires_at, due_galleries.c.published)
    )
    return [DueGallery(*row) for row in rows]


async def record_due_link(
    connection: AsyncConnection, *, link_id: UUID, media_id: UUID, expires_at: datetime, sequence: int
) -> bool:
    """Keep the deadline of a link; False when it is known, live or claimed."""
    statement = insert(due_links).values(
        link_id=link_id, media_id=media_id, expires_at=expires_at, sequence=sequence
    )
    result = await connection.execute(statement.on_conflict_do_nothing())
    return bool(result.rowcount)


async def expire_due_links(
    connection: AsyncConnection, *, at: datetime, now: datetime, limit: int
) -> list[DueLink]:
    """Claim, once and for all, up to `limit` links due by `at`, longest due first. now: the wall clock."""
    due = (
        select(due_links.c.link_id)
        .where(due_links.c.claimed_at.is_(None), due_links.c.expires_at <= at)
        .order_by(due_links.c.expires_at, due_links.c.link_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = await connection.execute(
        update(due_links)
        .where(due_links.c.link_id.in_(due))
        .values(claimed_at=now)
        .returning(due_links.c.link_id, due_links.c.media_id, due_links.c.expires_at, due_links.c.sequence)
    )
    return [DueLink(*row) for row in rows]


async def next_publication(connection: AsyncConnection, gallery_id: UUID) -> int:
    """The sequence of the next event about a gallery. Locks its row, known or not, until the commit."""
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


async def next_post_publication(connection: AsyncConnection, purge_id: UUID) -> int:
    """The sequence of the next event about the purge of a post."""
    published: int = (
        await connection.execute(
            update(purges)
            .where(purges.c.id == purge_id)
            .values(published=purges.c.published + 1)
            .returning(purges.c.published)
        )
    ).scalar_one()
    return published


# The purge ledger


async def request_purge(
    connection: AsyncConnection, *, purge_id: UUID, scope: Scope, now: datetime, not_before: datetime
) -> None:
    """Enter a prefix into the ledger, or start over with one that is there: its owner deleted it again.

    not_before: when the first sweep is due. Later ones are counted from `now`.
    """
    statement = insert(purges).values(
        id=purge_id,
        prefix=scope.prefix,
        requested_at=now,
        not_before=not_before,
        **_columns(scope),
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[purges.c.prefix],
            set_={
                "requested_at": statement.excluded.requested_at,
                "not_before": statement.excluded.not_before,
                "attempts": 0,
                "last_error": None,
                "lease_id": None,
                "leased_until": None,
                "swept_at": None,
                "done_at": None,
            },
        )
    )


async def lease_purges(
    connection: AsyncConnection, *, lease_id: UUID, now: datetime, until: datetime, limit: int
) -> list[Lease]:
    """Take up to `limit` purges that are due and that nobody works on, longest due first."""
    due = (
        select(purges.c.id)
        .where(
            purges.c.done_at.is_(None),
            purges.c.not_before <= now,
            or_(purges.c.leased_until.is_(None), purges.c.leased_until <= now),
        )
        .order_by(purges.c.not_before)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = await connection.execute(
        update(purges)
        .where(purges.c.id.in_(due))
        .values(lease_id=lease_id, leased_until=until)
        .returning(
            purges.c.id,
            purges.c.gallery_id,
            purges.c.media_id,
            purges.c.post_id,
            purges.c.prefix,
            purges.c.requested_at,
            purges.c.attempts,
        )
    )
    return [
        Lease(
            id=lease_id,
            purge_id=row.id,
            scope=_scope(row),
            requested_at=row.requested_at,
            attempts=row.attempts,
        )
        for row in rows
    ]


def _columns(scope: Scope) -> dict[str, UUID | None]:
    if isinstance(scope, PostScope):
        return {"post_id": scope.post_id}
    return {"gallery_id": scope.gallery_id, "media_id": scope.media_id}


def _scope(row: Row[Any]) -> Scope:
    if row.post_id is not None:
        return PostScope(post_id=row.post_id, prefix=row.prefix)
    return GalleryScope(gallery_id=row.gallery_id, media_id=row.media_id, prefix=row.prefix)


async def note_progress(connection: AsyncConnection, lease: Lease, *, objects: int, until: datetime) -> bool:
    """Count what was removed, which is gone whoever holds the lease; False when the lease was lost."""
    row = (
        await connection.execute(
            update(purges)
            .where(purges.c.id == lease.purge_id)
            .values(
                objects=purges.c.objects + objects,
                leased_until=case((purges.c.lease_id == lease.id, until), else_=purges.c.leased_until),
            )
            .returning(purges.c.lease_id)
        )
    ).one_or_none()
    return row is not None and row.lease_id == lease.id


async def finish_sweep(
    connection: AsyncConnection, lease: Lease, *, began_at: datetime, again_at: datetime | None
) -> int | None:
    """Note that a sweep left nothing; again_at: when to look next, None for never.

    Returns how many objects to announce, or None when there is nothing to say: the lease was lost, or a later
    look found nothing new.
    """
    row = (
        await connection.execute(
            select(purges.c.objects, purges.c.swept_at)
            .where(purges.c.id == lease.purge_id, purges.c.lease_id == lease.id)
            .with_for_update()
        )
    ).one_or_none()
    if row is None:
        return None
    await connection.execute(
        update(purges)
        .where(purges.c.id == lease.purge_id)
        .values(
            swept_at=began_at,
            not_before=again_at or purges.c.not_before,
            done_at=None if again_at else began_at,
            attempts=0,
            last_error=None,
            objects=0,
            lease_id=None,
            leased_until=None,
        )
    )
    return row.objects if row.swept_at is None or row.objects else None


async def postpone(connection: AsyncConnection, lease: Lease, *, not_before: datetime, error: str) -> None:
    """Note a failed attempt and when to try again, unless the lease was lost."""
    await connection.execute(
        update(purges)
        .where(purges.c.id == lease.purge_id, purges.c.lease_id == lease.id)
        .values(
            attempts=purges.c.attempts + 1,
            last_error=error,
            not_before=not_before,
            lease_id=None,
            leased_until=None,
        )
    )


async def expedite(connection: AsyncConnection, *, at: datetime, now: datetime) -> int:
    """Make every unfinished purge that is due by `at` due now; returns how many."""
    result = await connection.execute(
        update(purges)
        .where(purges.c.done_at.is_(None), purges.c.not_before > now, purges.c.not_before <= at)
        .values(not_before=now)
    )
    return result.rowcount


async def expedite_item(connection: AsyncConnection, media_id: UUID, *, now: datetime) -> None:
    """Make the purges of folders that an item left, in whichever gallery, due now."""
    await connection.execute(
        update(purges)
        .where(purges.c.media_id == media_id, purges.c.done_at.is_(None), purges.c.not_before > now)
        .values(not_before=now)
    )


async def count_unfinished(connection: AsyncConnection, *, now: datetime) -> tuple[int, int]:
    """(overdue, failing) purges."""
    row = (
        await connection.execute(
            select(
                func.count().filter(purges.c.not_before <= now),
                func.count().filter(purges.c.attempts > 0),
            ).where(purges.c.done_at.is_(None))
        )
    ).one()
    return row[0], row[1]


# Ticks and forgetting


async def take_turn(connection: AsyncConnection, starts_at: datetime) -> bool:
    """Whether the timer's turn is ours: the first to insert it, over all replicas."""
    result = await connection.execute(insert(ticks).values(starts_at=starts_at).on_conflict_do_nothing())
    return bool(result.rowcount)


async def prune(
    connection: AsyncConnection,
    *,
    purges_before: datetime,
    tombstones_before: datetime,
    ticks_before: datetime,
    limit: int,
) -> bool:
    """Remove up to `limit` rows per table that nothing can ask for any more; True when there may be more."""
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
