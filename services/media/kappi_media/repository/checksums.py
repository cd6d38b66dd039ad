"""Reads and records declared SHA-256 that have not been compared with the content yet."""

from __future__ import annotations

from kappi_chassis.db import Database

from kappi_media.domain.media import MediaId

_UNVERIFIED = """
SELECT u.sha256 FROM items i JOIN uploads u ON u.id = i.upload_id
WHERE i.id = $1 AND i.sha256 IS NULL AND i.status = 'processing'
"""
_VERIFIED = "UPDATE items SET sha256 = $2 WHERE id = $1 AND sha256 IS NULL AND status = 'processing'"


class ChecksumQueries:
    """Runs single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unverified(self, media_id: MediaId) -> bytes | None:
        """Returns the declared raw digest of an item in processing, as long as it has not been compared."""
        found: bytes | None = await self._database.hot.fetchval(_UNVERIFIED, media_id)
        return found

    async def verified(self, media_id: MediaId, sha256: bytes) -> None:
        """Record a digest as compared. The item's version stays: viewers see the change when the item becomes
        ready.
        """
        await self._database.hot.execute(_VERIFIED, media_id, sha256)
