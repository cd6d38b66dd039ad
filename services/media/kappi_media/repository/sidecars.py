"""Completes and ends the sidecars of pictures, and puts what they say into the items.

Each transaction holds the gallery. So a sidecar and the item of its picture never miss each other, in which
order they come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec
from kappi_chassis.db import Database

from kappi_media.domain.declarations import MAX_TAGS
from kappi_media.domain.media import GalleryId, MediaId, Upload, UploadState
from kappi_media.rendering.wire import SidecarWords

SWEEP_BATCH: Final = 500

_HOLD = "SELECT owner_id FROM contents WHERE gallery_id = $1 FOR UPDATE"
# A moved item has left the place to which the sidecar was sent.
_COMPLETE = """
UPDATE sidecars s SET state = 'completed', etag = $3, crc32 = $4, words = $5 FROM uploads u
WHERE s.id = $1 AND s.state = 'pending' AND u.media_id = s.media_id AND u.gallery_id = $2
  AND u.state IN ('pending', 'completed')
  AND NOT EXISTS (SELECT FROM items i WHERE i.id = s.media_id AND i.folder IS NOT NULL)
RETURNING s.media_id
"""
_STATE = "SELECT state, rejection_reason FROM sidecars WHERE id = $1"
_SHOW = """
UPDATE items SET sidecar_filename = $2, version = version + 1 WHERE id = $1 AND status <> 'rejected'
RETURNING status
"""
_SHOW_WITH_ITEM = "UPDATE items SET sidecar_filename = $2 WHERE id = $1"
_BUMP = "UPDATE contents SET version = version + 1 WHERE gallery_id = $1"
_COMPLETED = "SELECT filename, words FROM sidecars WHERE media_id = $1 AND state = 'completed'"
# What the file itself says gives way to what its sidecar says; what people wrote stays.
_GIVE_WAY = """
UPDATE items i SET
  caption = CASE WHEN $2 AND (i.told_by_file->>'caption')::boolean THEN NULL ELSE i.caption END,
  tags = CASE WHEN $3 THEN (
    SELECT coalesce(jsonb_agg(had ORDER BY nth), '[]')
    FROM jsonb_array_elements(i.tags) WITH ORDINALITY AS t (had, nth)
    WHERE NOT coalesce(i.told_by_file->'tags' @> had, false)) ELSE i.tags END,
  told_by_file = i.told_by_file - $4::text[],
  details = CASE WHEN $5::jsonb = '{}' THEN i.details ELSE coalesce(i.details, '{}') || $5 END
WHERE i.id = $1
"""
# Texts that people wrote take precedence. Tags that differ only in case or accents count as one.
_DESCRIBE = """
UPDATE items i SET (caption, tags, told_by_file) = (
  SELECT coalesce(i.caption, $2), i.tags || added.tags, jsonb_build_object(
    'caption', coalesce((i.told_by_file->>'caption')::boolean, false)
      OR (i.caption IS NULL AND $2::text IS NOT NULL),
    'tags', coalesce(i.told_by_file->'tags', '[]') || added.tags)
  FROM (
    SELECT coalesce(jsonb_agg(tag ORDER BY nth), '[]') AS tags FROM (
      SELECT min(tag COLLATE "C") AS tag, min(nth) AS nth
      FROM unnest($3::text[]) WITH ORDINALITY AS k (tag, nth)
      WHERE library_fold(tag) <> ALL (
        SELECT library_fold(had) FROM jsonb_array_elements_text(i.tags) AS t (had))
      GROUP BY library_fold(tag) ORDER BY 2 LIMIT greatest(0, $4 - jsonb_array_length(i.tags))
    ) AS fitting
  ) AS added)
WHERE i.id = $1
"""
"""The item's own version has grown already in this transaction and was not shown."""
_END = """
UPDATE sidecars SET state = $2, rejection_reason = $3 WHERE media_id = $1 AND state = $4 RETURNING true
"""
_UNRESERVE = """
UPDATE uploads SET sidecar_bytes = 0 WHERE media_id = $1 AND state = 'pending'
RETURNING old.sidecar_bytes, address_id
"""
_UNUSE = """
UPDATE items SET sidecar_bytes = 0, sidecar_filename = NULL, version = version + 1
WHERE id = $1 AND status <> 'rejected' RETURNING old.sidecar_bytes
"""
_RELEASE = """
UPDATE accounts SET reserved_bytes = reserved_bytes - $2, used_bytes = used_bytes - $3 WHERE id = $1
"""
_FREE_BUDGETS = "SELECT free_promise_budgets(ARRAY[$1, $2]::uuid[], ARRAY[0, 0], ARRAY[$3, $3]::bigint[])"
_EXPIRED = """
SELECT s.media_id, u.gallery_id FROM sidecars s JOIN uploads u ON u.media_id = s.media_id
WHERE s.state = 'pending' AND s.expires_at < $1 ORDER BY s.expires_at LIMIT $2
"""


class ReadSidecar(NamedTuple):
    """A sidecar as it is in the store. crc32: of its content."""

    etag: str
    crc32: int
    words: SidecarWords


class SidecarQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def complete(self, upload: Upload, read: ReadSidecar) -> tuple[UploadState, str | None]:
        """Record a sidecar as stored, and change its item if there is one. Returns its state and the reason
        of a rejection: it may have ended before, and stays pending where its picture cannot have one.
        """
        async with self._holding(upload.gallery_id) as (connection, _):
            values = upload.id, upload.gallery_id, read.etag, read.crc32, read.words
            if await connection.fetchval(_COMPLETE, *values) is None:
                return tuple(await connection.fetchrow(_STATE, upload.id) or ("aborted", None))
            status = await connection.fetchval(_SHOW, upload.media_id, upload.filename)
            if status == "ready":
                await _take_words(connection, upload.media_id, read.words)
            if status is not None:
                await connection.execute(_BUMP, upload.gallery_id)
        return "completed", None

    async def end(
        self,
        media_id: MediaId,
        gallery_id: GalleryId,
        *,
        state: Literal["aborted", "rejected"],
        reason: str | None = None,
        was: Literal["pending", "completed"] = "pending",
    ) -> bool:
        """End a picture's sidecar, and release its bytes. Returns False when it is in another state."""
        async with self._holding(gallery_id) as (connection, owner_id):
            if not await connection.fetchval(_END, media_id, state, reason, was):
                return False
            reserved = await connection.fetchrow(_UNRESERVE, media_id)
            used = await connection.fetchval(_UNUSE, media_id) if reserved is None else None
            if used:
                await connection.execute(_BUMP, gallery_id)
            promised, address_id = (0, None) if reserved is None else reserved
            if owner_id is not None:
                await connection.execute(_RELEASE, owner_id, promised, used or 0)
            if address_id is not None:
                await connection.execute(_FREE_BUDGETS, address_id, gallery_id, promised)
        return True

    async def expired(self, before: datetime) -> list[tuple[MediaId, GalleryId]]:
        """Returns the pictures of sidecars that did not come in time."""
        records = await self._database.hot.fetch(_EXPIRED, before, SWEEP_BATCH)
        return [(media_id, gallery_id) for media_id, gallery_id in records]

    @asynccontextmanager
    async def _holding(self, gallery_id: GalleryId) -> AsyncIterator[tuple[Any, UUID | None]]:
        """Yields a connection in a transaction that holds the gallery, and the gallery's owner."""
        async with self._database.hot.acquire() as connection, connection.transaction():
            yield connection, await connection.fetchval(_HOLD, gallery_id)


async def describe_by_file(
    connection: Any, media_id: MediaId, *, caption: str | None, keywords: tuple[str, ...]
) -> None:
    """Adds a caption and keywords that were read from a file, as far as texts written by people leave room.

    connection: an asyncpg connection in a transaction that holds the gallery.
    """
    await connection.execute(_DESCRIBE, media_id, caption, list(keywords), MAX_TAGS)


async def take_sidecar(connection: Any, media_id: MediaId) -> None:
    """Shows the sidecar of an item that has just become ready, if it is stored. connection: as above."""
    record = await connection.fetchrow(_COMPLETED, media_id)
    if record is not None:
        await connection.execute(_SHOW_WITH_ITEM, media_id, record["filename"])
        await _take_words(connection, media_id, msgspec.convert(record["words"], SidecarWords))


async def _take_words(connection: Any, media_id: MediaId, words: SidecarWords) -> None:
    said = {"caption": words.caption is not None, "tags": bool(words.keywords)}
    details: Mapping[str, Any] = {
        name: value for name in ("rating", "title") if (value := getattr(words, name)) is not None
    }
    gone = [name for name, is_said in said.items() if is_said]
    await connection.execute(_GIVE_WAY, media_id, said["caption"], said["tags"], gone, details)
    if gone:
        await describe_by_file(connection, media_id, caption=words.caption, keywords=words.keywords)
