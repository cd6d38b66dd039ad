"""The purge ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_janitor.domain import GalleryScope, Lease, PostScope, Scope
from kappi_janitor.models import purges

# In order of the prefixes, so that two transactions never wait for each other.
_REQUEST: Final = """
INSERT INTO purges (id, prefix, gallery_id, media_id, post_id, requested_at, not_before, traceparent)
SELECT id, prefix, gallery_id, media_id, post_id, $1, not_before, traceparent
FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::timestamptz[], $8::text[])
  AS e (id, prefix, gallery_id, media_id, post_id, not_before, traceparent)
ORDER BY prefix
ON CONFLICT (prefix) DO UPDATE SET
  requested_at = excluded.requested_at, not_before = excluded.not_before, traceparent = excluded.traceparent,
  attempts = 0, last_error = NULL, lease_id = NULL, leased_until = NULL, swept_at = NULL, done_at = NULL
"""
_NOTE_PROGRESS: Final = """
UPDATE purges SET objects = objects + $3,
  leased_until = CASE WHEN lease_id = $2 THEN $4 ELSE leased_until END
WHERE id = $1 RETURNING lease_id = $2
"""
_LOCK: Final = "SELECT FROM purges WHERE id = ANY($1::uuid[]) ORDER BY prefix FOR UPDATE"
_FINISH_SWEEPS: Final = """
UPDATE purges p SET
  swept_at = e.began_at, not_before = coalesce(e.again_at, p.not_before),
  done_at = CASE WHEN e.again_at IS NULL THEN e.began_at END,
  attempts = 0, last_error = NULL, objects = 0, lease_id = NULL, leased_until = NULL
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[])
  AS e (id, lease_id, began_at, again_at)
WHERE p.id = e.id AND p.lease_id = e.lease_id RETURNING p.id, old.objects, old.swept_at
"""
_NEXT_OF_POSTS: Final = """
UPDATE purges SET published = published + 1 WHERE id = ANY($1::uuid[]) RETURNING id, published
"""
_EXPEDITE_ITEMS: Final = """
UPDATE purges SET not_before = $2 WHERE id IN (
  SELECT id FROM purges WHERE media_id = ANY($1::uuid[]) AND done_at IS NULL AND not_before > $2
  ORDER BY prefix FOR UPDATE)
"""


@dataclass(frozen=True, slots=True)
class PurgeRequest:
    """A prefix whose owner deleted it. not_before: when the first sweep is due. traceparent: of the event."""

    id: UUID
    scope: Scope
    not_before: datetime
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep that left nothing. again_at: when the next one is due; None for never. traceparent: of the
    sweep.
    """

    lease: Lease
    began_at: datetime
    again_at: datetime | None
    traceparent: str | None = None


Objects = Mapping[UUID, int]
"""Numbers of removed objects by purge."""


async def request_purge(driver: Any, requests: Sequence[PurgeRequest], *, now: datetime) -> None:
    """Add prefixes to the ledger, in one statement. One that is in the ledger starts again, because its owner
    deleted it again. Later sweeps than the first are counted from `now`.

    driver: an asyncpg connection in a transaction.
    """
    last = {each.scope.prefix: each for each in requests}
    columns = zip(*(_values(each) for each in last.values()), strict=True)
    await driver.execute(_REQUEST, now, *map(list, columns))


async def lease_purges(
    connection: AsyncConnection, *, lease_id: UUID, now: datetime, until: datetime, limit: int
) -> list[Lease]:
    """Lease up to `limit` purges that are due and have no lease, the longest due first."""
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
        .cte("due")  # evaluated once: a subquery may run again for each row, and claim more than the limit
    )
    rows = await connection.execute(
        update(purges)
        .where(purges.c.id.in_(select(due.c.id)))
        .values(lease_id=lease_id, leased_until=until)
        .returning(
            purges.c.id,
            purges.c.gallery_id,
            purges.c.media_id,
            purges.c.post_id,
            purges.c.prefix,
            purges.c.requested_at,
            purges.c.attempts,
            purges.c.traceparent,
        )
    )
    return [
        Lease(lease_id, row.id, until, _scope(row), row.requested_at, row.attempts, row.traceparent)
        for row in rows
    ]


async def note_progress(database: Database, lease: Lease, *, objects: int, until: datetime) -> bool:
    """Add the removed objects to the count, even without the lease. Returns False when the lease was lost."""
    return bool(await database.hot.fetchval(_NOTE_PROGRESS, lease.purge_id, lease.id, objects, until))


async def finish_sweeps(driver: Any, sweeps: Sequence[Sweep]) -> Objects:
    """Record sweeps of different purges that left nothing.

    Returns the numbers of objects to publish by purge, without purges whose lease was lost and later sweeps
    that found none. driver: an asyncpg connection in a transaction.
    """
    ids = [each.lease.purge_id for each in sweeps]
    await driver.execute(_LOCK, ids)
    leases, began, again = zip(
        *((each.lease.id, each.began_at, each.again_at) for each in sweeps), strict=True
    )
    rows = await driver.fetch(_FINISH_SWEEPS, ids, leases, began, again)
    return {row["id"]: row["objects"] for row in rows if row["swept_at"] is None or row["objects"]}


async def postpone(connection: AsyncConnection, lease: Lease, *, not_before: datetime, error: str) -> None:
    """Record a failed attempt and the time of the next one, unless the lease was lost."""
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


async def expedite(connection: AsyncConnection, *, at: datetime, now: datetime, limit: int) -> int:
    """Make up to `limit` unfinished purges that are due by `at` due now, the first due first. Returns their
    number.
    """
    due = (
        select(purges.c.id)
        .where(purges.c.done_at.is_(None), purges.c.not_before > now, purges.c.not_before <= at)
        .order_by(purges.c.not_before)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    result = await connection.execute(
        update(purges).where(purges.c.id.in_(select(due.c.id))).values(not_before=now)
    )
    return result.rowcount


async def expedite_items(driver: Any, media_ids: Sequence[UUID], *, now: datetime) -> None:
    """Make the purges of the folders that items left, in all galleries, due now. driver: as above."""
    await driver.execute(_EXPEDITE_ITEMS, media_ids, now)


async def count_failing(connection: AsyncConnection, *, limit: int) -> int:
    """Returns the number of unfinished purges whose last attempt failed; at most `limit`."""
    failing = select(purges.c.id).where(purges.c.done_at.is_(None), purges.c.attempts > 0).limit(limit)
    number: int = (
        await connection.execute(select(func.count()).select_from(failing.subquery()))
    ).scalar_one()
    return number


async def next_post_publications(driver: Any, purge_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Returns the sequences of the next events about purges of posts. driver: as above."""
    return {row["id"]: row["published"] for row in await driver.fetch(_NEXT_OF_POSTS, purge_ids)}


def _values(request: PurgeRequest) -> tuple[Any, ...]:
    scope = request.scope
    if isinstance(scope, PostScope):
        owner: tuple[UUID | None, ...] = (None, None, scope.post_id)
    else:
        owner = (scope.gallery_id, scope.media_id, None)
    return (request.id, scope.prefix, *owner, request.not_before, request.traceparent)


def _scope(row: Row[Any]) -> Scope:
    if row.post_id is not None:
        return PostScope(post_id=row.post_id, prefix=row.prefix)
    return GalleryScope(gallery_id=row.gallery_id, media_id=row.media_id, prefix=row.prefix)
