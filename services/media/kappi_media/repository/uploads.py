"""Promising uploads, looking them up, refusing and aborting them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from kappi_chassis.db import Database
from kappi_chassis.outbox import OutboxRow
from msgspec.json import encode
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain import DeclaredUpload, Description, GalleryId, Upload, UploadId

_COLUMNS = """
id, media_id, gallery_id, filename, content_type, size_bytes, sha256, state, rejection_reason,
expires_at, created_at
"""

# `made` for a gallery's first upload, `home` for all others. The share lock lets batches go side by side, and
# makes the deletion of the gallery wait for them: it must see every row it has to remove.
_PROMISE = """
WITH made AS (
  INSERT INTO contents (gallery_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING gallery_id),
home AS MATERIALIZED (
  SELECT gallery_id FROM contents WHERE gallery_id = $1 AND deleted_at IS NULL FOR SHARE),
open AS (SELECT gallery_id FROM made UNION ALL SELECT gallery_id FROM home)
INSERT INTO uploads (
  id, media_id, gallery_id, filename, content_type, size_bytes, sha256, description, expires_at, created_at)
SELECT f.id, f.media_id, open.gallery_id, f.filename, f.content_type, f.size_bytes, decode(f.sha256, 'hex'),
       f.description, $2, $3
FROM open, jsonb_to_recordset($4::text::jsonb) AS f (
  id uuid, media_id uuid, filename text, content_type text, size_bytes bigint, sha256 text, description jsonb)
"""
_DELETED = "SELECT deleted_at IS NOT NULL FROM contents WHERE gallery_id = $1"
_FIND = f"SELECT {_COLUMNS} FROM uploads WHERE id = $1 AND gallery_id = $2"  # noqa: S608 - column names
_END = """
WITH ended AS (
  UPDATE uploads SET state = $2, rejection_reason = $3 WHERE id = $1 AND state = 'pending' RETURNING 1)
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT $4, $5, $6, $7, $8, $9, 1 FROM ended
RETURNING sequence
"""
_ATTEMPTS = 3


class _Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One JSON document for a whole batch: asyncpg would take longer to encode seven arrays."""

    id: UUID
    media_id: UUID
    filename: str
    content_type: str
    size_bytes: int
    sha256: str | None = None
    description: Description | None = None


class UploadQueries:
    """Single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def promise(self, declared: Sequence[DeclaredUpload]) -> bool:
        """Record a batch of one gallery in one statement; False when the gallery is deleted."""
        return await _promise(self._database.hot, declared)

    async def find(self, upload_id: UploadId, gallery_id: GalleryId) -> Upload | None:
        record = await self._database.hot.fetchrow(_FIND, upload_id, gallery_id)
        return Upload._make(record) if record is not None else None

    async def reject(self, upload_id: UploadId, *, reason: str, event: OutboxRow) -> bool:
        """Refuse a pending upload and tell so; False when it is not pending any more."""
        return await self._end(upload_id, "rejected", reason, event)

    async def abort(self, upload_id: UploadId, *, event: OutboxRow) -> bool:
        """Abort a pending upload and tell so; False when it is not pending any more."""
        return await self._end(upload_id, "aborted", None, event)

    async def _end(self, upload_id: UploadId, state: str, reason: str | None, event: OutboxRow) -> bool:
        sequence = await self._database.hot.fetchval(_END, upload_id, state, reason, *event)
        return sequence is not None


async def promise_within(connection: AsyncConnection, declared: Sequence[DeclaredUpload]) -> bool:
    """`UploadQueries.promise` as part of a transaction that has already begun."""
    raw = await connection.get_raw_connection()
    return await _promise(raw.driver_connection, declared)


async def _promise(asyncpg: Any, declared: Sequence[DeclaredUpload]) -> bool:
    first = declared[0].upload
    rows = encode([_row(one) for one in declared]).decode()
    for _ in range(_ATTEMPTS):
        status = await asyncpg.execute(_PROMISE, first.gallery_id, first.expires_at, first.created_at, rows)
        if status != "INSERT 0 0":
            return True
        # Nothing open: deleted, or somebody made the row after this statement took its snapshot.
        if await asyncpg.fetchval(_DELETED, first.gallery_id):
            return False
    return False


def _row(one: DeclaredUpload) -> _Row:
    upload, description = one
    return _Row(
        id=upload.id,
        media_id=upload.media_id,
        filename=upload.filename,
        content_type=upload.content_type,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256.hex() if upload.sha256 is not None else None,
        description=None if description.is_empty else description,
    )
