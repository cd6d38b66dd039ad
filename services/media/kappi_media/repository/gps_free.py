"""Records copies of originals without their place: the lease of making one, and the finished copy.

The leases are rows of `rendition_claims` under a size that no rendition has: while a process makes the copy,
and for a while after a failure, with its reason. The instant until which a lease is held also identifies its
holder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from kappi_contracts.grants import PublicGallery
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.contributions import ContributorId
from kappi_media.domain.media import GalleryId, MediaId

_NOTE_FACE = """
UPDATE contents SET location_free = $2, closed = $3, face_version = $5,
  contributions_closed = coalesce($4, contributions_closed)
WHERE gallery_id = $1 AND face_version < $5
"""
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
# The item's version grows because its viewers see something else now.
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
WHERE i.gallery_id = $1 AND i.status = 'ready' AND ($3::uuid IS NULL OR i.contributor_id = $3)
  AND NOT EXISTS (SELECT 1 FROM location_free_copies c WHERE c.media_id = i.id)
  AND NOT EXISTS (SELECT 1 FROM rendition_claims r WHERE r.media_id = i.id AND r.size = 'location-free'
                  AND r.failure IS NOT NULL AND r.held_until > $2)
ORDER BY i.id
"""


class KeptCopy(NamedTuple):
    """A stored copy. crc32: None when it was not computed. unchanged: the original contains no place and is
    served itself.
    """

    size_bytes: int
    etag: str
    crc32: int | None
    unchanged: bool


@dataclass(frozen=True, slots=True)
class CopyState:
    """The state of an item's copy.

    folder: of the item's objects. tells_place: the original contains a place, as read from its headers.
    held_until: the caller is to make the copy, and its lease ends then. failure: why a recent attempt failed.
    Neither of them, and no copy: another process is making it.
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
        """Lease the making of a copy, unless it exists or is leased. Returns None when there is no such ready
        item.

        lease_of: the duration of the lease, by the size of the original.
        """
        state = await self._state(media_id, gallery_id, held_until=None)
        if state is None or state.copy is not None:
            return state
        until = now + lease_of(state.size_bytes)
        mine = bool(await self._database.hot.fetchval(_CLAIM, media_id, gallery_id, now, until))
        # Read after the lease: its last holder may have stored the copy just before.
        state = await self._state(media_id, gallery_id, held_until=until if mine else None)
        if mine and state is not None and state.copy is not None:
            await self.release(media_id, held=until)
        return state

    async def release(self, media_id: MediaId, *, held: datetime) -> None:
        """End a lease, so that another process may try. held: here and below, the instant until which the
        caller's lease is held.
        """
        await self._database.hot.execute(_RELEASE, media_id, held)

    async def leave(self, media_id: MediaId, *, held: datetime, until: datetime, failure: str | None) -> None:
        """Keep a lease until an instant, so that no process tries before. failure: why the copy cannot be
        made; None when it may be made after the instant.
        """
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
        """Serve a copy that is stored in this folder from now on. Returns False when its item is deleted or
        moved.
        """
        kept = await self._database.hot.fetchval(_KEEP, media_id, gallery_id, folder, *copy, held)
        return kept is not None

    async def made(self, media_ids: Sequence[UUID]) -> dict[UUID, bool]:
        """Returns those of these items that have a copy, and whether it is the original itself."""
        records = await self._database.hot.fetch(_MADE, list(media_ids))
        return dict(records)

    async def impossible(self, media_ids: Sequence[UUID]) -> set[UUID]:
        """Returns those of these items whose copy could not be made."""
        return {record["media_id"] for record in await self._database.hot.fetch(_IMPOSSIBLE, list(media_ids))}

    async def waiting(
        self, gallery_id: GalleryId, *, only_of: ContributorId | None, now: datetime
    ) -> list[MediaId]:
        """Returns the ready items whose copy is still to be made, without those that failed recently.
        only_of: the contributor whose items alone are wanted; None for all items.
        """
        records = await self._database.hot.fetch(_WAITING, gallery_id, now, only_of)
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


async def note_granted(connection: AsyncConnection, gallery_id: GalleryId, gallery: PublicGallery) -> None:
    """As `note_face`, from a grant; a closed gallery gets none."""
    await note_face(
        connection,
        gallery_id,
        location_free=gallery.location_free,
        closed=False,
        contributions_closed=gallery.contributions == "closed",
        version=gallery.version,
    )


async def note_face(
    connection: AsyncConnection,
    gallery_id: GalleryId,
    *,
    location_free: bool,
    closed: bool,
    contributions_closed: bool | None,
    version: int,
) -> None:
    """Record what a gallery's viewers get, as of a version of the gallery; an older version changes nothing.
    contributions_closed: None leaves it as it is.

    Nothing is recorded for a gallery that holds nothing yet: links read it, whose creation records it again,
    and uploads of contributors, whose grant tells it, too.
    """
    values = (gallery_id, location_free, closed, contributions_closed, version)
    await connection.exec_driver_sql(_NOTE_FACE, values)
