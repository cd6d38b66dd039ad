"""Finds uploads for the store's notifications, and uploads whose notification may have been lost.

Uploads posted through the API are left out: while their bytes arrive, only that request has their
declaration.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.db import Database

from kappi_media.domain.media import GalleryId, UploadId, UploadRole, UploadState

_BY_MEDIA = """
SELECT id, gallery_id, media_id, state, expires_at, 'original' AS role FROM uploads
WHERE media_id = ANY($1) AND NOT posted
UNION ALL
SELECT s.id, u.gallery_id, s.media_id, s.state, s.expires_at, 'sidecar'
FROM sidecars s JOIN uploads u ON u.media_id = s.media_id WHERE s.media_id = ANY($1)
"""
# `<> 'completed'` is the condition of the partial index on expires_at.
_PENDING = """
(SELECT id, gallery_id, media_id, state, expires_at, 'original' AS role FROM uploads
WHERE state = 'pending' AND state <> 'completed' AND NOT posted AND created_at < $1
  AND (expires_at, id) > ($2, $3)
ORDER BY expires_at, id LIMIT $4)
UNION ALL
(SELECT s.id, u.gallery_id, s.media_id, s.state, s.expires_at, 'sidecar'
FROM sidecars s JOIN uploads u ON u.media_id = s.media_id
WHERE s.state = 'pending' AND u.created_at < $1 AND (s.expires_at, s.id) > ($2, $3)
ORDER BY s.expires_at, s.id LIMIT $4)
ORDER BY expires_at, id LIMIT $4
"""
_PAGE = 500
_FIRST = (datetime.min.replace(tzinfo=UTC), UUID(int=0))


class KnownUpload(NamedTuple):
    id: UploadId
    gallery_id: GalleryId
    media_id: UUID
    state: UploadState
    expires_at: datetime
    role: UploadRole


class ArrivalQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def uploads_of(self, media_ids: Collection[UUID]) -> list[KnownUpload]:
        """Returns the uploads of these items, in no particular order."""
        records = await self._database.hot.fetch(_BY_MEDIA, list(media_ids))
        return [KnownUpload._make(record) for record in records]

    async def pending_since_before(self, instant: datetime) -> AsyncIterator[list[KnownUpload]]:
        """Yields pages of the uploads that were reserved before the instant and have not ended."""
        expires_at, last_id = _FIRST
        while True:
            records = await self._database.hot.fetch(_PENDING, instant, expires_at, last_id, _PAGE)
            if not records:
                return
            expires_at, last_id = records[-1]["expires_at"], records[-1]["id"]
            yield [KnownUpload._make(record) for record in records]
