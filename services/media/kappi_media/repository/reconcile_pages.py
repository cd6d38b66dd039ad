"""Rows for the comparisons of other services, by id."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.db import Database
from kappi_contracts.reconciliation import HeldGallery, LinkDeadline, ReadyItem, StoredPicture

_ITEMS = """
SELECT id AS media_id, gallery_id, version, size_bytes, contributor_id, folder IS NOT NULL AS moved
FROM items WHERE id > $1 AND status = 'ready' ORDER BY id LIMIT $2
"""
_GALLERIES = """
SELECT c.gallery_id, c.deleted_at IS NOT NULL AS deleted, c.owner_id, c.location_free, c.closed,
  c.contributions_closed, c.face_version AS version,
  NOT EXISTS (SELECT FROM uploads u WHERE u.gallery_id = c.gallery_id AND u.created_at >= $3) AS settled
FROM contents c WHERE c.gallery_id > $1 ORDER BY c.gallery_id LIMIT $2
"""
_LINKS = "SELECT id AS link_id, media_id, expires_at FROM links WHERE id > $1 ORDER BY id LIMIT $2"
_PICTURES = """
SELECT post_id, account_id FROM post_pictures
WHERE post_id > $1 AND state = 'stored' ORDER BY post_id LIMIT $2
"""


class ReconcilePages:
    """Rows behind an id. longest_upload: see `HeldGallery.settled`."""

    def __init__(self, database: Database, *, longest_upload: timedelta, clock: Clock) -> None:
        self._database = database
        self._longest_upload = longest_upload
        self._clock = clock

    async def items(self, after: UUID, limit: int) -> list[ReadyItem]:
        return [ReadyItem(**row) for row in await self._database.hot.fetch(_ITEMS, after, limit)]

    async def galleries(self, after: UUID, limit: int) -> list[HeldGallery]:
        since: datetime = self._clock() - self._longest_upload
        rows = await self._database.hot.fetch(_GALLERIES, after, limit, since)
        return [HeldGallery(**row) for row in rows]

    async def links(self, after: UUID, limit: int) -> list[LinkDeadline]:
        return [LinkDeadline(**row) for row in await self._database.hot.fetch(_LINKS, after, limit)]

    async def pictures(self, after: UUID, limit: int) -> list[StoredPicture]:
        rows = await self._database.hot.fetch(_PICTURES, after, limit)
        # A post's id is a UUIDv7: its first 48 bits are the time of its creation, in milliseconds.
        since_ms = int((self._clock() - self._longest_upload).timestamp() * 1_000)
        return [StoredPicture(**row, settled=row["post_id"].int >> 80 < since_ms) for row in rows]
