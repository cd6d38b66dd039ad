"""Turns a pending upload into an item."""

from __future__ import annotations

from datetime import datetime

from kappi_chassis.db import Database
from kappi_chassis.outbox import OutboxRow
from kappi_mediameta.probing import MediaFormat

from kappi_media.domain.media import Item, Upload
from kappi_media.repository.item_columns import NEW_ITEM, item_of

# Of concurrent calls for one upload, the first finds it pending; the others wait for the lock, then find
# nothing.
_COMPLETE = f"""
WITH home AS MATERIALIZED (
  SELECT gallery_id, owner_id FROM contents WHERE gallery_id = $2 AND deleted_at IS NULL FOR UPDATE),
claimed AS (
  UPDATE uploads u SET state = 'completed', address_id = NULL FROM home
  WHERE u.id = $1 AND u.gallery_id = home.gallery_id AND u.state = 'pending'
  RETURNING u.*, old.address_id AS promised_to, home.owner_id),
settled AS (
  INSERT INTO accounts AS a (id) SELECT owner_id FROM claimed WHERE owner_id IS NOT NULL
  ON CONFLICT (id) DO UPDATE SET
    reserved_bytes = a.reserved_bytes - (SELECT charged_bytes FROM claimed),
    used_bytes = a.used_bytes + (SELECT charged_bytes FROM claimed)),
bumped AS (
  UPDATE contents c SET version = c.version + 1, item_count = c.item_count + 1
  FROM claimed WHERE c.gallery_id = claimed.gallery_id),
made AS (
  INSERT INTO items AS i (
    id, gallery_id, upload_id, filename, content_type, kind, size_bytes, sidecar_bytes, etag, sha256, caption,
    tags, location, attributes, created_at, contributor_id, contributor_name)
  SELECT media_id, gallery_id, id, filename, $13, $3, size_bytes, sidecar_bytes, $4, $5,
    description->>'caption', COALESCE(description->'tags', '[]'), description->>'location',
    COALESCE(description->'attributes', '{{}}'), $6, contributor_id, contributor_name
  FROM claimed
  RETURNING {NEW_ITEM}),
told AS (
  INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
  SELECT $7, $8, $9, $10, $11, $12, 1 FROM claimed),
freed AS MATERIALIZED (
  SELECT count(free_promise_budgets(
    ARRAY[promised_to, gallery_id], ARRAY[1, 1], ARRAY[charged_bytes, charged_bytes]))
  FROM claimed WHERE promised_to IS NOT NULL)
SELECT made.* FROM made, freed
"""  # noqa: S608 - column names


class CompletionQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def complete(
        self,
        upload: Upload,
        *,
        fmt: MediaFormat,
        etag: str,
        sha256: bytes | None,
        now: datetime,
        event: OutboxRow,
    ) -> Item | None:
        """Returns the new item; None when the upload was no longer pending or its gallery is deleted.

        fmt: what its content is. etag, sha256: of the object in the store; the raw digest where it is known.
        """
        return item_of(
            await self._database.hot.fetchrow(
                _COMPLETE,
                *(upload.id, upload.gallery_id, fmt.kind, etag, sha256, now),
                *event,
                fmt.content_type,
            )
        )
