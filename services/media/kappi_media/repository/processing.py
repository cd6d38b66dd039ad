"""Records the worker's results: an item became ready, was rejected, or was deleted before it was
processed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from kappi_chassis.outbox import OutboxRow
from kappi_mediameta.probing import Probe
from kappi_mediameta.probing.facts import NO_DETAILS
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.content_types import is_camera_raw_type
from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.models.item import items
from kappi_media.models.upload import upload_jobs
from kappi_media.repository.raw_pairs import may_pair, pair_raw
from kappi_media.repository.sidecars import describe_by_file, take_sidecar
from kappi_media.stored_renditions import KeptGridPicture

FIRST_SEQUENCE_AFTER_COMPLETION = 2

_TAKE_UP = """
SELECT CASE WHEN i.sha256 IS NULL THEN u.sha256 END, i.contributor_id, c.owner_id,
  coalesce(c.has_camera_raw, false), i.sidecar_bytes > 0
FROM items i LEFT JOIN contents c ON c.gallery_id = i.gallery_id LEFT JOIN uploads u ON u.id = i.upload_id
WHERE i.id = $1 AND i.gallery_id = $2 AND i.status = 'processing'
"""
_VERIFIED = "UPDATE items SET sha256 = $2 WHERE id = $1 AND sha256 IS NULL AND status = 'processing'"
_NEXT_OF_GONE = "UPDATE deleted_media SET version = version + 1 WHERE media_id = $1 RETURNING version"
# `done` makes the effect happen once: an item leaves `processing` a single time.
_READY = """
WITH home AS MATERIALIZED (
  SELECT gallery_id, has_camera_raw FROM contents
  WHERE gallery_id = $2 AND deleted_at IS NULL FOR UPDATE),
done AS (
  UPDATE items i SET
    status = 'ready', kind = $3, content_type = $4, width = $5, height = $6, orientation = $7,
    duration_ms = $8, codec = $9, taken_at = $10, camera = $11, gps = $12, placeholder = $23,
    taken_offset_minutes = $24, live_id = $25, details = $26, version = i.version + 1
  FROM home WHERE i.id = $1 AND i.gallery_id = home.gallery_id AND i.status = 'processing'
  RETURNING i.id, i.gallery_id, i.version),
finished AS (
  DELETE FROM upload_jobs USING done WHERE media_id = done.id),
kept AS (
  INSERT INTO renditions (media_id, size, width, height, size_bytes) SELECT id, $13, $14, $15, $16 FROM done),
bumped AS (
  UPDATE contents c SET version = c.version + 1 FROM done WHERE c.gallery_id = done.gallery_id)
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT $17, $18, $19, $20, $21, $22, version FROM done
RETURNING (SELECT has_camera_raw FROM home)
"""
_HOLD_GALLERY = "SELECT 1 FROM contents WHERE gallery_id = $1 FOR UPDATE"
PAIR = """
WITH me AS (SELECT id, gallery_id, kind, live_id, contributor_id FROM items WHERE id = $1),
partner AS (
  SELECT p.id FROM items p JOIN me ON p.gallery_id = me.gallery_id AND p.live_id = me.live_id
    AND p.contributor_id IS NOT DISTINCT FROM me.contributor_id
  WHERE p.kind <> me.kind AND p.status = 'ready' AND p.live_partner_id IS NULL ORDER BY p.id LIMIT 1)
UPDATE items i SET
  live_partner_id = CASE WHEN i.id = me.id THEN partner.id ELSE me.id END,
  version = i.version + CASE WHEN i.id = me.id THEN 0 ELSE 1 END
FROM me, partner WHERE i.id IN (me.id, partner.id)
"""
"""Pairs an item with its Live Photo partner in its gallery. Both were added by the same contributor, or by
the manager, because a file may name any pair. Its own version has grown already in this transaction and was
not shown.
"""
_REJECTED = """
WITH home AS MATERIALIZED (
  SELECT gallery_id, owner_id FROM contents WHERE gallery_id = $2 AND deleted_at IS NULL FOR UPDATE),
done AS (
  UPDATE items i SET status = 'rejected', rejection_reason = $3, version = i.version + 1
  FROM home WHERE i.id = $1 AND i.gallery_id = home.gallery_id AND i.status = 'processing'
  RETURNING i.id, i.gallery_id, i.version, i.charged_bytes, home.owner_id),
released AS (
  INSERT INTO accounts AS a (id) SELECT owner_id FROM done WHERE owner_id IS NOT NULL
  ON CONFLICT (id) DO UPDATE SET used_bytes = a.used_bytes - (SELECT charged_bytes FROM done)),
refused AS (
  UPDATE uploads u SET state = 'rejected', rejection_reason = $3 FROM done WHERE u.media_id = done.id),
finished AS (
  DELETE FROM upload_jobs USING done WHERE media_id = done.id),
bumped AS (
  UPDATE contents c SET version = c.version + 1, item_count = c.item_count - 1
  FROM done WHERE c.gallery_id = done.gallery_id)
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT $4, $5, $6, $7, $8, $9, version FROM done
RETURNING sequence
"""


class TakenUp(NamedTuple):
    """An item that is to be processed. unchecked_sha256: the declared raw digest, until it was compared with
    the content. contributor_id: the contributor that added it. owner_id: the account that owns its gallery.
    beside_raw: whether camera RAW is in the gallery.
    """

    unchecked_sha256: bytes | None
    contributor_id: UUID | None
    owner_id: UUID | None
    beside_raw: bool
    has_sidecar: bool


class ProcessingQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_up(self, media_id: MediaId, gallery_id: GalleryId) -> TakenUp | None:
        """Returns None for an item that is not in processing any more."""
        record = await self._database.hot.fetchrow(_TAKE_UP, media_id, gallery_id)
        return None if record is None else TakenUp._make(record)

    async def checksum_verified(self, media_id: MediaId, sha256: bytes) -> None:
        """Record a digest as compared. The item's version stays: viewers see the change when the item becomes
        ready.
        """
        await self._database.hot.execute(_VERIFIED, media_id, sha256)

    async def ready(
        self,
        media_id: MediaId,
        gallery_id: GalleryId,
        *,
        probe: Probe,
        grid: KeptGridPicture,
        event: OutboxRow,
        taken: TakenUp,
    ) -> bool:
        """Record an item's facts and first rendition. Returns False when it was no longer in processing.

        An item that is half of a Live Photo, or of a camera RAW and its picture, is paired with the other
        half in the same transaction. A caption and keywords in the file are added to the item, as far as
        texts written by people leave room; so is what its sidecar says. taken: the item as it was taken up.
        """
        values = media_id, gallery_id, *_ready_values(probe, grid, event)
        described = probe.caption is not None or bool(probe.keywords)
        may_be_half = may_pair(probe.content_type, probe.taken_at)
        looks = may_be_half and (taken.beside_raw or is_camera_raw_type(probe.content_type))
        if probe.live_id is None and not looks and not described and not taken.has_sidecar:
            # The gallery's row is locked, so this sees what a transaction has done for which it waited.
            got_raw: bool | None = await self._database.hot.fetchval(_READY, *values)
            if got_raw and may_be_half:
                async with self._holding(gallery_id) as connection:
                    await _pair(connection, media_id, gallery_id, probe)
            return got_raw is not None
        # Both halves may become ready at the same time. A transaction that waits for the gallery's row sees
        # in its next statement what the other has done; within one statement it would not.
        async with self._holding(gallery_id) as connection:
            done = await connection.fetchval(_READY, *values) is not None
            if done and described:
                await describe_by_file(connection, media_id, caption=probe.caption, keywords=probe.keywords)
            if done and taken.has_sidecar:
                await take_sidecar(connection, media_id)
            if done and probe.live_id is not None:
                await connection.execute(PAIR, media_id)
            if done:
                await _pair(connection, media_id, gallery_id, probe)
        return done

    @asynccontextmanager
    async def _holding(self, gallery_id: GalleryId) -> AsyncIterator[Any]:
        """Yields a connection in a transaction that holds the gallery."""
        async with self._database.hot.acquire() as connection, connection.transaction():
            await connection.execute(_HOLD_GALLERY, gallery_id)
            yield connection

    async def rejected(
        self, media_id: MediaId, gallery_id: GalleryId, *, reason: str, event: OutboxRow
    ) -> bool:
        """Record a rejection. Returns False when the item was no longer in processing."""
        sequence = await self._database.hot.fetchval(_REJECTED, media_id, gallery_id, reason, *event)
        return sequence is not None


async def _pair(connection: Any, media_id: MediaId, gallery_id: GalleryId, probe: Probe) -> None:
    await pair_raw(connection, media_id, gallery_id, content_type=probe.content_type, taken_at=probe.taken_at)


def _ready_values(probe: Probe, grid: KeptGridPicture, event: OutboxRow) -> tuple[Any, ...]:
    """Returns the parameters of `_READY` from $3 on."""
    return (
        probe.kind,
        probe.content_type,
        probe.width,
        probe.height,
        probe.orientation,
        probe.duration_ms,
        probe.codec,
        probe.taken_at,
        probe.camera,
        probe.location,
        *grid.rendition,
        *event,
        grid.placeholder,
        probe.taken_offset_minutes,
        probe.live_id,
        probe.details if probe.details != NO_DETAILS else None,
    )


async def forget_job(connection: AsyncConnection, media_id: MediaId) -> None:
    """Remove the job of an item that needs no processing."""
    await connection.execute(delete(upload_jobs).where(upload_jobs.c.media_id == media_id))


async def item_exists(connection: AsyncConnection, media_id: MediaId) -> bool:
    found = await connection.execute(select(items.c.id).where(items.c.id == media_id))
    return found.first() is not None


async def next_sequence_of_gone(driver: Any, media_id: MediaId) -> int:
    """Returns the sequence of one more event about an item that was deleted, alone or with its gallery.

    driver: an asyncpg connection in a transaction.
    """
    sequence: int | None = await driver.fetchval(_NEXT_OF_GONE, media_id)
    return FIRST_SEQUENCE_AFTER_COMPLETION if sequence is None else sequence
