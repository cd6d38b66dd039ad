"""Reads, changes and deletes single items."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from kappi_chassis.db import Database
from kappi_chassis.outbox import OutboxRow

from kappi_media.domain.media import AccountId, Description, GalleryId, Item, MediaId
from kappi_media.repository.item_columns import ITEM, item_of

_FIND = f"SELECT {ITEM} FROM items i WHERE i.id = $1 AND i.gallery_id = $2"  # noqa: S608 - column names
_FIND_WITH_OWNER = f"""
SELECT c.owner_id, {ITEM} FROM items i JOIN contents c ON c.gallery_id = i.gallery_id
WHERE i.id = $1 AND c.deleted_at IS NULL AND NOT c.closed
"""  # noqa: S608 - column names
_DESCRIBE = f"""
WITH home AS MATERIALIZED (
  SELECT gallery_id FROM contents WHERE gallery_id = $2 AND deleted_at IS NULL FOR UPDATE),
changed AS (
  UPDATE items i SET
    caption = CASE WHEN 'caption' = ANY($3::text[]) THEN $4 ELSE i.caption END,
    tags = CASE WHEN 'tags' = ANY($3) THEN $5 ELSE i.tags END,
    location = CASE WHEN 'location' = ANY($3) THEN $6 ELSE i.location END,
    attributes = CASE WHEN 'attributes' = ANY($3) THEN $7 ELSE i.attributes END,
    told_by_file = i.told_by_file - $3,
    filename = coalesce($8, i.filename),
    version = i.version + 1
  FROM home WHERE i.id = $1 AND i.gallery_id = home.gallery_id
  RETURNING i.*),
bumped AS (
  UPDATE contents c SET version = c.version + 1 FROM changed WHERE c.gallery_id = changed.gallery_id)
SELECT {ITEM} FROM changed i
"""  # noqa: S608 - column names
_DELETE = """
WITH home AS MATERIALIZED (
  SELECT gallery_id, owner_id FROM contents WHERE gallery_id = $2 AND deleted_at IS NULL FOR UPDATE),
gone AS (
  DELETE FROM items i USING home WHERE i.id = $1 AND i.gallery_id = home.gallery_id
  RETURNING i.id, i.gallery_id, i.version + 1 AS version, i.status, i.charged_bytes, i.live_partner_id,
    i.raw_partner_id, home.owner_id),
alone AS (
  UPDATE items p SET live_partner_id = nullif(p.live_partner_id, gone.id),
    raw_partner_id = nullif(p.raw_partner_id, gone.id), version = p.version + 1
  FROM gone WHERE p.id IN (gone.live_partner_id, gone.raw_partner_id)),
released AS (
  INSERT INTO accounts AS a (id) SELECT owner_id FROM gone WHERE owner_id IS NOT NULL AND status <> 'rejected'
  ON CONFLICT (id) DO UPDATE SET used_bytes = a.used_bytes - (SELECT charged_bytes FROM gone)),
marked AS (
  INSERT INTO deleted_media (media_id, gallery_id, version, deleted_at)
  SELECT id, gallery_id, version, $3 FROM gone),
forgotten AS (
  DELETE FROM uploads u USING gone WHERE u.media_id = gone.id RETURNING u.traceparent),
bumped AS (
  UPDATE contents c SET version = c.version + 1,
    item_count = c.item_count - CASE WHEN gone.status = 'rejected' THEN 0 ELSE 1 END
  FROM gone WHERE c.gallery_id = gone.gallery_id)
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT $4, $5, $6, $7, $8, coalesce((SELECT traceparent FROM forgotten), $9), version FROM gone
RETURNING traceparent
"""


class DeletedItem(NamedTuple):
    """traceparent: of the trace of its upload; of the deletion if that is not known."""

    traceparent: str | None


class ItemQueries:
    """Runs single statements outside any other transaction. Each is limited to the caller's gallery."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, media_id: MediaId, gallery_id: GalleryId) -> Item | None:
        return item_of(await self._database.hot.fetchrow(_FIND, media_id, gallery_id))

    async def find_with_owner(self, media_id: MediaId) -> tuple[Item, AccountId | None] | None:
        """Returns the item, in any gallery that is not closed, and the owner of that gallery."""
        record = await self._database.hot.fetchrow(_FIND_WITH_OWNER, media_id)
        return None if record is None else (Item._make(record[1:]), record["owner_id"])

    async def describe(
        self,
        media_id: MediaId,
        gallery_id: GalleryId,
        *,
        description: Description,
        filename: str | None = None,
        fields: frozenset[str],
    ) -> Item | None:
        """Replace the named fields of an item's description, and its name if one is given. Returns the
        changed item; None when there is none.
        """
        record = await self._database.hot.fetchrow(
            _DESCRIBE,
            media_id,
            gallery_id,
            list(fields),
            description.caption,
            description.tags,
            description.location,
            description.attributes,
            filename,
        )
        return item_of(record)

    async def delete(
        self, media_id: MediaId, gallery_id: GalleryId, *, now: datetime, event: OutboxRow
    ) -> DeletedItem | None:
        """Remove an item, its upload and its renditions, leave a tombstone, and publish it in the trace of
        the upload. Returns None when there was none.
        """
        record = await self._database.hot.fetchrow(_DELETE, media_id, gallery_id, now, *event)
        return None if record is None else DeletedItem._make(record)
