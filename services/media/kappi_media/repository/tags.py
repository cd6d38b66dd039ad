"""Finds items without facts, and fills those whose object's tags contain them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.db import Database

from kappi_media.domain.media import GalleryId, Kind, MediaId
from kappi_media.domain.object_tags import TaggedFacts

# Another transaction that holds one of the rows is about to fill it, or is looking it up.
_CLAIM = """
UPDATE items i SET tags_missed_at = $2 FROM (
  SELECT id FROM items
  WHERE id = ANY($1) AND status = 'processing' AND width IS NULL
    AND (tags_missed_at IS NULL OR tags_missed_at < $3)
  ORDER BY id FOR UPDATE SKIP LOCKED) AS free
WHERE i.id = free.id
RETURNING i.id, i.gallery_id
"""
# The worker's facts take precedence: what it recorded is left unchanged, and it overwrites what is recorded
# here.
_FILL = """
WITH home AS MATERIALIZED (
  SELECT gallery_id FROM contents WHERE gallery_id = $1 AND deleted_at IS NULL FOR UPDATE),
told AS (
  SELECT * FROM unnest($2::uuid[], $3::text[], $4::int[], $5::int[], $6::bigint[])
    AS t (id, kind, width, height, duration_ms)),
filled AS (
  UPDATE items i SET
    kind = told.kind, width = told.width, height = told.height, duration_ms = told.duration_ms,
    version = i.version + 1
  FROM home, told
  WHERE i.id = told.id AND i.gallery_id = home.gallery_id AND i.status = 'processing' AND i.width IS NULL
    AND (i.kind IS NULL OR i.kind = told.kind)
  RETURNING i.id, i.gallery_id),
bumped AS (
  UPDATE contents c SET version = c.version + 1
  WHERE c.gallery_id IN (SELECT gallery_id FROM filled))
SELECT id FROM filled
"""
# By id, which begins with its creation time. `_WAITING` uses the condition of ix_items_unprobed.
_WAITING = """
SELECT id FROM items WHERE id > $1 AND status = 'processing' AND width IS NULL ORDER BY id LIMIT $2
"""
_KNOWN = """
SELECT id, gallery_id, kind, width, height, duration_ms, folder FROM items
WHERE id > $1 AND status = 'ready' ORDER BY id LIMIT $2
"""
_PAGE = 200


class KnownItem(NamedTuple):
    id: MediaId
    gallery_id: GalleryId
    kind: Kind
    width: int
    height: int
    duration_ms: int | None
    folder: int | None


class TagQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def lease(
        self, media_ids: Sequence[MediaId], *, now: datetime, missed_before: datetime
    ) -> list[tuple[MediaId, GalleryId]]:
        """Lease the items without facts that were not looked up since `missed_before`. They count as looked
        up.
        """
        records = await self._database.hot.fetch(_CLAIM, list(media_ids), now, missed_before)
        return [(media_id, gallery_id) for media_id, gallery_id in records]

    async def fill(self, gallery_id: GalleryId, facts: Mapping[MediaId, TaggedFacts]) -> set[MediaId]:
        """Fill the facts of items that still have none, all of one gallery. Returns the filled items."""
        told = list(facts.values())
        records = await self._database.hot.fetch(
            _FILL,
            gallery_id,
            list(facts),
            [one.kind for one in told],
            [one.width for one in told],
            [one.height for one in told],
            [one.duration_ms for one in told],
        )
        return {record["id"] for record in records}

    async def waiting(self, *, since: datetime | None) -> AsyncIterator[list[MediaId]]:
        """Yields pages of ids of items without facts that were reserved since the instant, or of all."""
        after = _least_id_of(since)
        while records := await self._database.hot.fetch(_WAITING, after, _PAGE):
            after = records[-1]["id"]
            yield [record["id"] for record in records]

    async def known(self, *, since: datetime | None) -> AsyncIterator[list[KnownItem]]:
        """Yields pages of ready items that were reserved since the instant, or of all."""
        after = _least_id_of(since)
        while records := await self._database.hot.fetch(_KNOWN, after, _PAGE):
            after = records[-1]["id"]
            yield [KnownItem._make(record) for record in records]


def _least_id_of(since: datetime | None) -> UUID:
    """Returns a lower bound of every UUIDv7 made since the instant (RFC 9562, 5.7)."""
    return UUID(int=0) if since is None else UUID(int=int(since.timestamp() * 1000) << 80)
