"""Reads what the database knows about stored objects, and removes rows whose object is missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from kappi_contracts.rendition_formats import StoredFormat

from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.repository.sidecars import SidecarQueries

_COLUMNS = """
SELECT i.gallery_id, i.id, i.folder, i.status,
  ARRAY(SELECT ARRAY[r.size, r.format] FROM renditions r WHERE r.media_id = i.id) AS renditions,
  EXISTS (SELECT FROM location_free_copies l WHERE l.media_id = i.id AND NOT l.unchanged) AS location_free,
  i.sidecar_bytes > 0 AS may_have_sidecar, i.sidecar_filename IS NOT NULL AS has_sidecar,
  coalesce((SELECT p.pieces FROM playbacks p
    WHERE p.media_id = i.id AND p.folder IS NOT DISTINCT FROM i.folder), '{}') AS pieces
FROM items i
"""
_ITEMS = f"{_COLUMNS} WHERE (i.gallery_id, i.id) > ($1, $2) ORDER BY i.gallery_id, i.id LIMIT $3"
_ITEM = f"{_COLUMNS} WHERE i.gallery_id = $1 AND i.id = $2 AND i.status <> 'rejected'"
# Beside items, objects are named by uploads under way, by moves under way or recent, whose old folder is kept
# for some hours, and by recent deletions, whose purge is under way.
_NAMED = """
SELECT media_id FROM uploads WHERE media_id = ANY($1) AND state = 'pending'
UNION SELECT media_id FROM moves WHERE media_id = ANY($1) AND (done_at IS NULL OR done_at > $2)
UNION SELECT media_id FROM deleted_media WHERE media_id = ANY($1) AND deleted_at > $2
"""
_CLOSED_LATELY = "SELECT gallery_id FROM contents WHERE gallery_id = ANY($1) AND deleted_at > $2"
_IS_NAMED = """
SELECT EXISTS (SELECT FROM items WHERE id = $1 AND gallery_id = $2 AND folder IS NOT DISTINCT FROM $3::bigint
  AND status <> 'rejected')
"""
_FORGET_RENDITION = "DELETE FROM renditions WHERE media_id = $1 AND size = $2 AND format = $3 RETURNING true"
_FORGET_COPY = "DELETE FROM location_free_copies WHERE media_id = $1 AND NOT unchanged RETURNING true"
_PICTURES = """
SELECT post_id, state FROM post_pictures WHERE post_id > $1 AND state <> 'deleted' ORDER BY post_id LIMIT $2
"""
_PICTURE_STATE = "SELECT state FROM post_pictures WHERE post_id = $1"


class StoredItem(NamedTuple):
    """An item and the objects that its rows name. renditions: (size, format). pieces: of a film that is being
    made playable, by their names. may_have_sidecar: one is declared, so it may be stored any moment.
    """

    gallery_id: UUID
    media_id: UUID
    folder: int | None
    status: str
    renditions: Sequence[tuple[str, StoredFormat]]
    location_free: bool
    has_sidecar: bool = False
    may_have_sidecar: bool = False
    pieces: Sequence[str] = ()


class ObjectQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def items(self, after: tuple[UUID, UUID], *, limit: int) -> list[StoredItem]:
        """Returns items by gallery and id, behind a gallery and an id."""
        return [_item(record) for record in await self._database.hot.fetch(_ITEMS, *after, limit)]

    async def item(self, gallery_id: UUID, media_id: UUID) -> StoredItem | None:
        """Returns an item, unless it is rejected."""
        record = await self._database.hot.fetchrow(_ITEM, gallery_id, media_id)
        return None if record is None else _item(record)

    async def named(
        self, media_ids: Collection[UUID], gallery_ids: Collection[UUID], *, since: datetime
    ) -> tuple[set[UUID], set[UUID]]:
        """Returns those items and galleries whose objects may still be used, or are being purged. since: of
        moves and deletions.
        """
        if not media_ids:
            return set(), set()
        hot = self._database.hot
        items = await hot.fetch(_NAMED, list(media_ids), since)
        galleries = await hot.fetch(_CLOSED_LATELY, list(gallery_ids), since)
        return {row["media_id"] for row in items}, {row["gallery_id"] for row in galleries}

    async def is_folder_of_item(self, gallery_id: UUID, media_id: UUID, folder: int | None) -> bool:
        return bool(await self._database.hot.fetchval(_IS_NAMED, media_id, gallery_id, folder))

    async def forget_rendition(self, media_id: UUID, size: str, fmt: str) -> bool:
        """Removes the row of a rendition, which is made again on request."""
        return bool(await self._database.hot.fetchval(_FORGET_RENDITION, media_id, size, fmt))

    async def forget_sidecar(self, media_id: UUID, gallery_id: UUID) -> bool:
        """Removes what is recorded of a sidecar, and releases its bytes."""
        sidecars = SidecarQueries(self._database)
        return await sidecars.end(
            MediaId(media_id), GalleryId(gallery_id), state="rejected", reason="missing", was="completed"
        )

    async def forget_copy(self, media_id: UUID) -> bool:
        """Removes the row of a copy without the place, which is made again on request."""
        return bool(await self._database.hot.fetchval(_FORGET_COPY, media_id))

    async def pictures(self, after: UUID, *, limit: int) -> dict[UUID, str]:
        """Returns the states of posts' pictures that are pending or stored, by post."""
        return dict(await self._database.hot.fetch(_PICTURES, after, limit))

    async def picture_state(self, post_id: UUID) -> str | None:
        state: str | None = await self._database.hot.fetchval(_PICTURE_STATE, post_id)
        return state


def _item(record: Any) -> StoredItem:
    return StoredItem(
        record["gallery_id"],
        record["id"],
        record["folder"],
        record["status"],
        [(size, fmt) for size, fmt in record["renditions"]],
        record["location_free"],
        record["has_sidecar"],
        record["may_have_sidecar"],
        record["pieces"],
    )
