"""Declared SHA-256 that nobody has compared with the content yet."""

from __future__ import annotations

from kappi_chassis.db import Database

from kappi_media.domain.media import MediaId

_UNVERIFIED = """
SELECT u.sha256 FROM items i JOIN uploads u ON u.id = i.upload_id
WHERE i.id = $1 AND i.sha256 IS NULL AND i.status = 'processing'
"""
_VERIFIED = "UPDATE items SET sha256 = $2 WHERE id = $1 AND sha256 IS NULL AND status = 'processing'"


class ChecksumQueries:
    """Single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unverified(self, media_id: MediaId) -> bytes | None:
        """The raw digest an item being processed was declared with, as long as it is not known to be true."""
        found: bytes | None = await self._database.hot.fetchval(_UNVERIFIED, media_id)
        return found

    async def verified(self, media_id: MediaId, sha256: bytes) -> None:
        """The item's version stays: becoming ready is what tells of it."""
        await self._database.hot.execute(_VERIFIED, media_id, sha256)
