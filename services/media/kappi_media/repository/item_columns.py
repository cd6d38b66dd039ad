"""The columns from which an `Item` is read, in its order."""

from __future__ import annotations

from typing import Any

from kappi_media.domain.media import Item

_PLAIN = """
i.id, i.gallery_id, i.upload_id, i.filename, i.content_type, i.kind, i.status, i.rejection_reason,
i.size_bytes, i.sha256, i.width, i.height, i.duration_ms, i.taken_at, i.caption, i.tags, i.location,
i.attributes, i.placeholder, i.created_at, i.version,
"""
_READ_IN_FILE = (
    ", i.codec, i.taken_offset_minutes, i.camera, i.gps, i.live_partner_id, i.folder, i.told_by_file,"
    " i.contributor_id, i.contributor_name, i.details, i.raw_partner_id, i.sidecar_filename, i.sidecar_bytes"
)
ITEM = (
    _PLAIN  # noqa: S608 - column names
    + "ARRAY(SELECT r.size FROM renditions r WHERE r.media_id = i.id AND r.format = 'jpeg' ORDER BY r.size)"
    + _READ_IN_FILE
)
NEW_ITEM = _PLAIN + "'{}'::text[] AS renditions" + _READ_IN_FILE
"""The columns in a statement that creates the item."""

SORT_KEY = "coalesce(i.position, uuid_send(i.id))"
"""The key by which the items of a gallery are ordered, as its index has it."""


def item_of(record: Any) -> Item | None:
    """Returns an item. record: an asyncpg record of the columns above, or None."""
    return Item._make(record) if record is not None else None
