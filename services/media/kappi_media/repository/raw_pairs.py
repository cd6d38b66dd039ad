"""Pairs the camera RAW and the picture of one shot: the same name and the same second in one gallery."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from kappi_media.domain.content_types import is_camera_raw_type, partner_types_of
from kappi_media.models.item import NAME_STEM

_CANDIDATES: Final = 16
"""The limit of candidates that are read; more than one is rare."""
# Both were added by the same contributor, or by the manager, because a file may name any time. The item's own
# version has grown already in this transaction and was not shown.
_PAIR = f"""
WITH me AS (
  SELECT id, contributor_id, {NAME_STEM} AS stem FROM items
  WHERE id = $1 AND gallery_id = $2 AND status = 'ready' AND raw_partner_id IS NULL),
partner AS (
  SELECT p.id FROM me CROSS JOIN LATERAL (
    SELECT id, contributor_id FROM items
    WHERE gallery_id = $2 AND {NAME_STEM} = me.stem AND content_type = ANY($3)
      AND taken_at >= $4 AND taken_at < $5
      AND kind = 'image' AND status = 'ready' AND raw_partner_id IS NULL
    LIMIT {_CANDIDATES}) AS p
  WHERE p.contributor_id IS NOT DISTINCT FROM me.contributor_id ORDER BY p.id LIMIT 1)
UPDATE items i SET
  raw_partner_id = CASE WHEN i.id = me.id THEN partner.id ELSE me.id END,
  version = i.version + CASE WHEN i.id = me.id THEN 0 ELSE 1 END
FROM me, partner WHERE i.id IN (me.id, partner.id)
"""  # noqa: S608 - column names

_NOTE_CAMERA_RAW = "UPDATE contents SET has_camera_raw = true WHERE gallery_id = $1 AND NOT has_camera_raw"


def may_pair(content_type: str, taken_at: datetime | None) -> bool:
    """Returns whether a picture may be half of a pair."""
    return taken_at is not None and bool(partner_types_of(content_type))


async def pair_raw(
    connection: Any, media_id: UUID, gallery_id: UUID, *, content_type: str, taken_at: datetime | None
) -> None:
    """Pairs an item with the other half of its shot, if that is ready and alone.

    connection: an asyncpg connection in a transaction that holds the gallery. Not each program keeps the
    fractions of a second.
    """
    if taken_at is None or not may_pair(content_type, taken_at):
        return
    second = taken_at.replace(microsecond=0)
    until = second + timedelta(seconds=1)
    if is_camera_raw_type(content_type):
        await connection.execute(_NOTE_CAMERA_RAW, gallery_id)
    await connection.execute(_PAIR, media_id, gallery_id, partner_types_of(content_type), second, until)
