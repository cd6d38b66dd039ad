"""Due dates for comparisons with their owners, and purges that are not done."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.db import Database

_GALLERIES = """
SELECT gallery_id, expires_at FROM due_galleries
WHERE gallery_id > $1 AND expires_at IS NOT NULL AND deleted_at IS NULL ORDER BY gallery_id LIMIT $2
"""
# The owner decides, whatever the sequence: one of them went back in time.
_SET_GALLERY = """
INSERT INTO due_galleries (gallery_id, sequence, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (gallery_id) DO UPDATE SET sequence = excluded.sequence, expires_at = excluded.expires_at
WHERE due_galleries.deleted_at IS NULL AND due_galleries.expires_at IS DISTINCT FROM excluded.expires_at
RETURNING true
"""
_UNSET_GALLERY = """
UPDATE due_galleries SET expires_at = NULL
WHERE gallery_id = $1 AND expires_at IS NOT NULL AND deleted_at IS NULL RETURNING true
"""
_LINKS = """
SELECT link_id, expires_at FROM due_links WHERE link_id > $1 AND claimed_at IS NULL ORDER BY link_id LIMIT $2
"""
_SET_LINK = """
INSERT INTO due_links (link_id, sequence, media_id, expires_at) VALUES ($1, 1, $2, $3)
ON CONFLICT (link_id) DO UPDATE SET claimed_at = NULL, expires_at = excluded.expires_at
WHERE due_links.claimed_at IS NOT NULL OR due_links.expires_at <> excluded.expires_at RETURNING true
"""
_UNSET_LINK = """
UPDATE due_links SET claimed_at = $2 WHERE link_id = $1 AND claimed_at IS NULL RETURNING true
"""
_OVERDUE = """
SELECT prefix FROM purges WHERE prefix > $1 AND done_at IS NULL AND not_before < $2 ORDER BY prefix LIMIT $3
"""
_HURRY = """
UPDATE purges SET not_before = $2, lease_id = NULL, leased_until = NULL, attempts = 0
WHERE prefix = $1 AND done_at IS NULL AND not_before < $2 RETURNING true
"""


class ReconcileQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def galleries(self, after: UUID, *, limit: int) -> dict[UUID, datetime]:
        """Returns the deadlines of living galleries."""
        return dict(await self._fetch(_GALLERIES, after, limit))

    async def set_gallery(self, gallery_id: UUID, *, version: int, expires_at: datetime) -> bool:
        """Stores a deadline. Returns False when it was known, or the gallery is deleted."""
        return bool(await self._fetch(_SET_GALLERY, gallery_id, version, expires_at))

    async def unset_gallery(self, gallery_id: UUID) -> bool:
        """Removes the deadline of a gallery that has none."""
        return bool(await self._fetch(_UNSET_GALLERY, gallery_id))

    async def links(self, after: UUID, *, limit: int) -> dict[UUID, datetime]:
        """Returns the deadlines of links that are not claimed."""
        return dict(await self._fetch(_LINKS, after, limit))

    async def set_link(self, link_id: UUID, *, media_id: UUID, expires_at: datetime) -> bool:
        return bool(await self._fetch(_SET_LINK, link_id, media_id, expires_at))

    async def unset_link(self, link_id: UUID, *, now: datetime) -> bool:
        """Marks a link that does not exist as claimed."""
        return bool(await self._fetch(_UNSET_LINK, link_id, now))

    async def overdue_purges(self, after: str, *, before: datetime, limit: int) -> list[str]:
        """Returns prefixes whose purge was due before an instant and is not done."""
        return [row["prefix"] for row in await self._fetch(_OVERDUE, after, before, limit)]

    async def hurry_purge(self, prefix: str, *, now: datetime) -> bool:
        return bool(await self._fetch(_HURRY, prefix, now))

    async def _fetch(self, statement: str, *values: Any) -> list[Any]:
        records: list[Any] = await self._database.hot.fetch(statement, *values)
        return records
