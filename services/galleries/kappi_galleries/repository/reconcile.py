"""Rows for comparisons, in the order of their ids, and counters with what they count."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from kappi_contracts.reconciliation import GalleryDeadline, Named

COUNTED_PAGE: Final = 200

_ITEMS = """
SELECT i.media_id, i.gallery_id, i.size_bytes FROM gallery_items i JOIN galleries g ON g.id = i.gallery_id
WHERE i.media_id > $1 AND i.state = 'ready' AND g.deleted_at IS NULL ORDER BY i.media_id LIMIT $2
"""
_ALIVE = "SELECT id FROM galleries WHERE id = ANY($1) AND deleted_at IS NULL"
_GALLERIES = """
SELECT id, version, owner_id, location_free, takedown_id IS NOT NULL OR owner_suspended AS closed,
  contributions = 'closed' AS contributions_closed, deleted_at
FROM galleries WHERE id > $1 ORDER BY id LIMIT $2
"""
_POSTS = "SELECT id, state FROM posts WHERE id > $1 ORDER BY id LIMIT $2"
_DEADLINES = """
SELECT id AS gallery_id, version, expires_at FROM galleries
WHERE id > $1 AND expires_at IS NOT NULL AND deleted_at IS NULL ORDER BY id LIMIT $2
"""
_TRUE_COUNTS = """
SELECT count(*) AS items, coalesce(sum(i.size_bytes), 0) AS size_bytes FROM gallery_items i
WHERE i.gallery_id = g.id AND i.state = 'ready'
"""
_WRONG_COUNTERS = f"""
SELECT g.id, g.deleted_at IS NULL AND (g.item_count <> t.items OR g.size_bytes <> t.size_bytes) AS wrong
FROM galleries g, LATERAL ({_TRUE_COUNTS}) t WHERE g.id > $1 ORDER BY g.id LIMIT $2
"""  # noqa: S608 - constants, not input
_HOLD = "SELECT 1 FROM galleries WHERE id = $1 FOR UPDATE"
_MEND = f"""
UPDATE galleries m SET item_count = t.items, size_bytes = t.size_bytes
FROM galleries g, LATERAL ({_TRUE_COUNTS}) t
WHERE m.id = $1 AND g.id = m.id AND m.deleted_at IS NULL
  AND (m.item_count <> t.items OR m.size_bytes <> t.size_bytes) RETURNING true
"""  # noqa: S608 - constants, not input
# A tombstone names nothing: what it once had may be removed.
_NAMED_ITEMS = """
SELECT i.gallery_id, i.media_id FROM gallery_items i JOIN galleries g ON g.id = i.gallery_id
JOIN unnest($1::uuid[], $2::uuid[]) AS asked (gallery_id, media_id) USING (gallery_id, media_id)
WHERE i.state = 'ready' AND g.deleted_at IS NULL
"""
_NAMED_POSTS = "SELECT id FROM posts WHERE id = ANY($1) AND state <> 'deleted'"


class CountedRow(NamedTuple):
    gallery_id: UUID
    size_bytes: int


class GalleryRow(NamedTuple):
    """What media should know about a gallery. deleted_at: of a tombstone."""

    version: int
    owner_id: UUID | None
    location_free: bool
    closed: bool
    contributions_closed: bool
    deleted_at: datetime | None


class ReconcileQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def items(self, after: UUID, *, limit: int) -> dict[UUID, CountedRow]:
        """Returns the counted items of living galleries."""
        return {row[0]: CountedRow(*row[1:]) for row in await self._fetch(_ITEMS, after, limit)}

    async def alive(self, gallery_ids: Collection[UUID]) -> set[UUID]:
        """Returns those of the galleries that are not deleted."""
        return {row["id"] for row in await self._fetch(_ALIVE, list(gallery_ids))}

    async def galleries(self, after: UUID, *, limit: int) -> dict[UUID, GalleryRow]:
        """Returns galleries, tombstones included."""
        return {row[0]: GalleryRow(*row[1:]) for row in await self._fetch(_GALLERIES, after, limit)}

    async def posts(self, after: UUID, *, limit: int) -> dict[UUID, str]:
        """Returns the states of posts, drafts and tombstones."""
        return dict(await self._fetch(_POSTS, after, limit))

    async def deadlines(self, after: UUID, limit: int) -> list[GalleryDeadline]:
        return [GalleryDeadline(**row) for row in await self._fetch(_DEADLINES, after, limit)]

    async def named(self, asked: Named) -> Named:
        """Returns those of the items and posts that are not deleted here."""
        galleries, items = [pair[0] for pair in asked.items], [pair[1] for pair in asked.items]
        found = await self._fetch(_NAMED_ITEMS, galleries, items) if items else ()
        posts = await self._fetch(_NAMED_POSTS, list(asked.post_ids)) if asked.post_ids else ()
        return Named(
            items=tuple((row["gallery_id"], row["media_id"]) for row in found),
            post_ids=tuple(row["id"] for row in posts),
        )

    async def wrong_counters(self, after: UUID) -> dict[UUID, bool]:
        """Returns, for the next galleries in order, whether their counters are wrong."""
        return dict(await self._fetch(_WRONG_COUNTERS, after, COUNTED_PAGE))

    async def mend_counters(self, gallery_id: UUID) -> bool:
        """Corrects the counters of a gallery. Returns False when they were right."""
        connection: Any
        async with self._database.hot.acquire() as connection, connection.transaction():
            # Every change of a counted item waits for the gallery's row.
            await connection.execute(_HOLD, gallery_id)
            return bool(await connection.fetchval(_MEND, gallery_id))

    async def _fetch(self, statement: str, *values: Any) -> list[Any]:
        records: list[Any] = await self._database.hot.fetch(statement, *values)
        return records
