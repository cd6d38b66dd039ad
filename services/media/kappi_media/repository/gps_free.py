"""Copies of originals that do not tell where they were made: who makes one, and that it is there.

Claims are those of renditions, under a size that no rendition has: a lease while somebody makes the copy,
afterwards, for a while, why it could not be made. Until when one is held says whose it is there, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.models import contents

_CLAIM = """
WITH found AS MATERIALIZED (
  SELECT id FROM items WHERE id = $1 AND gallery_id = $2 AND status = 'ready' FOR KEY SHARE)
INSERT INTO rendition_claims AS c (media_id, size, held_until)
SELECT id, 'location-free', $4 FROM found
ON CONFLICT (media_id, size, format) DO UPDATE SET held_until = $4, failure = NULL WHERE c.held_until <= $3
RETURNING true
"""
_STATE = """
SELECT i.folder, i.content_type, i.size_bytes, i.etag, i.crc32, i.gps IS NOT NULL AS tells_place,
  c.etag AS copy_etag, c.crc32 AS copy_crc32, c.unchanged,
  (SELECT r.failure FROM rendition_claims r WHERE r.media_id = i.id AND r.size = 'location-free') AS failure
FROM items i LEFT JOIN location_free_copies c ON c.media_id = i.id
WHERE i.id = $1 AND i.gallery_id = $2 AND i.status = 'ready'
"""
_RELEASE = "DELETE FROM rendition_claims WHERE media_id = $1 AND size = 'location-free' AND held_until = $2"
_LEAVE = """
UPDATE rendition_claims SET failure = $3, held_until = $4
WHERE media_id = $1 AND size = 'location-free' AND held_until = $2
"""
# The item's version moves on because whoever sees it sees something else now.
_KEEP = """
WITH home AS MATERIALIZED (
  SELECT gallery_id FROM contents WHERE gallery_id = $2 AND deleted_at IS NULL FOR UPDATE),
shown AS (
  UPDATE items i SET version = i.version + 1 FROM home
  WHERE i.id = $1 AND i.gallery_id = home.gallery_id AND i.folder IS NOT DISTINCT FROM $3::bigint
    AND i.status = 'ready'
  RETURNING i.id, i.gallery_id),
kept AS (
  INSERT INTO location_free_copies (media_id, size_bytes, etag, crc32, unchanged)
  SELECT id, $4, $5, $6, $7 FROM shown ON CONFLICT DO NOTHING),
released AS (
  DELETE FROM rendition_claims WHERE media_id = $1 AND size = 'location-free' AND held_until = $8),
bumped AS (
  UPDATE contents c SET version = c.version + 1 FROM shown WHERE c.gallery_id = shown.gallery_id)
SELECT id FROM shown
"""
_MADE = "SELECT media_id, unchanged FROM location_free_copies WHERE media_id = ANY($1)"
_IMPOSSIBLE = """
SELECT media_id FROM rendition_claims
WHERE media_id = ANY($1) AND size = 'location-free' AND failure IS NOT NULL
"""
_WAITING = """
SELECT i.id FROM items i
WHERE i.gallery_id = $1 AND i.status = 'ready'
  AND NOT EXISTS (SELECT 1 FROM location_free_copies c WHERE c.media_id = i.id)
  AND NOT EXISTS (SELECT 1 FROM rendition_claims r WHERE r.media_id = i.id AND r.size = 'location-free'
                  AND r.failure IS NOT NULL AND r.held_until > $2)
ORDER BY i.id
"""


class KeptCopy(NamedTuple):
    """A copy that lies in the store. crc32: None where nobody has counted it. unchanged: the original tells
    no place, and is its own copy."""

    size_bytes: int
    etag: str
    crc32: int | None
    unchanged: bool


@dataclass(frozen=True, slots=True)
class CopyState:
    """How things stand with an item's copy.

    folder: of the item's objects. tells_place: the prober found one in the original. held_until: the caller
    is to make it, and its claim ends then. failure: why it could not be made, lately. Neither, and no copy:
    another process is making it.
    """

    folder: int | None
    content_type: str
    size_bytes: int
    etag: str
    crc32: int | None
    tells_place: bool
    copy: KeptCopy | None
    held_until: datetime | None
    failure: str | None


class GpsFreeQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def lease(
        self,
        media_id: MediaId,
        gallery_id: GalleryId,
        *,
        now: datetime,
        lease_of: Callable[[int], timedelta],
    ) -> CopyState | None:
        """Take the making of a copy on, unless it is there or taken. None: no such ready item.

        lease_of: how long that keeps others away, by the size of the original.
        """
        state = await self._state(media_id, gallery_id, held_until=None)
        if state is None or state.copy is not None:
            return state
        until = now + lease_of(state.size_bytes)
        mine = bool(await self._database.hot.fetchval(_CLAIM, media_id, gallery_id, now, until))
        # Read after the claim: whoever held it before us may have stored the copy just then.
        state = await self._state(media_id, gallery_id, held_until=until if mine else None)
        if mine and state is not None and state.copy is not None:
            await self.release(media_id, held=until)
        return state

    async def release(self, media_id: MediaId, *, held: datetime) -> None:
        """Let somebody else try. held: here and below, the instant until which the caller's claim is held."""
        await self._database.hot.execute(_RELEASE, media_id, held)

    async def leave(self, media_id: MediaId, *, held: datetime, until: datetime, failure: str | None) -> None:
        """Have nobody try before an instant. failure: why it cannot be made; None: it may be made then."""
        await self._database.hot.execute(_LEAVE, media_id, held, failure, until)

    async def keep(
        self,
        media_id: MediaId,
        gallery_id: GalleryId,
        *,
        folder: int | None,
        held: datetime,
        copy: KeptCopy,
    ) -> bool:
        """Hand out a copy that lies in this folder from now on; False when its item is gone, or moved."""
        kept = await self._database.hot.fetchval(_KEEP, media_id, gallery_id, folder, *copy, held)
        return kept is not None

    async def made(self, media_ids: Sequence[UUID]) -> dict[UUID, bool]:
        """Of these items, those that have a copy, and whether it is the original itself."""
        records = await self._database.hot.fetch(_MADE, list(media_ids))
        return dict(records)

    async def impossible(self, media_ids: Sequence[UUID]) -> set[UUID]:
        """Of these items, those whose copy could not be made."""
        return {record["media_id"] for record in await self._database.hot.fetch(_IMPOSSIBLE, list(media_ids))}

    async def waiting(self, gallery_id: GalleryId, *, now: datetime) -> list[MediaId]:
        """Ready items whose copy is still to be made; without those that failed lately."""
        records = await self._database.hot.fetch(_WAITING, gallery_id, now)
        return [record["id"] for record in records]

    async def _state(
        self, media_id: MediaId, gallery_id: GalleryId, *, held_until: datetime | None
    ) -> CopyState | None:
        record = await self._database.hot.fetchrow(_STATE, media_id, gallery_id)
        if record is None:
            return None
        copy = None
        if record["copy_etag"] is not None:
            copy = KeptCopy(
                record["size_bytes"], record["copy_etag"], record["copy_crc32"], record["unchanged"]
            )
        return CopyState(
            folder=record["folder"],
            content_type=record["content_type"],
            size_bytes=record["size_bytes"],
            etag=record["etag"],
            crc32=record["crc32"],
            tells_place=record["tells_place"],
            copy=copy,
            held_until=held_until if copy is None else None,
            failure=record["failure"],
        )


async def note_face(
    connection: AsyncConnection, gallery_id: GalleryId, *, location_free: bool, closed: bool, version: int
) -> None:
    """Remember what a gallery's viewers get, as of a version of the gallery; older news changes nothing.

    Of a gallery that holds nothing yet nothing is kept: only links ask, and whoever makes one says it again.
    """
    await connection.execute(
        update(contents)
        .where(contents.c.gallery_id == gallery_id, contents.c.face_version < version)
        .values(location_free=location_free, closed=closed, face_version=version)
    )
