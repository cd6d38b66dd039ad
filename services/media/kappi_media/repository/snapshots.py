from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.outbox.snapshot import Snapshot
from kappi_contracts.events import MediaSnapshotTaken

_PAGE = """
SELECT id, version, gallery_id, kind, content_type, size_bytes, width, height, duration_ms, contributor_id
FROM items WHERE id > $1 AND status = 'ready' ORDER BY id LIMIT $2
"""


async def media_after(connection: Any, after: UUID, limit: int, now: datetime) -> list[Snapshot]:
    """Returns the snapshots of the ready items after an id, in order of ids. Source: `ReadPage`."""
    return [
        Snapshot(
            row["id"],
            row["version"],
            MediaSnapshotTaken(
                media_id=row["id"],
                gallery_id=row["gallery_id"],
                kind=row["kind"],
                content_type=row["content_type"],
                size_bytes=row["size_bytes"],
                width=row["width"],
                height=row["height"],
                duration_ms=row["duration_ms"],
                contributor_id=row["contributor_id"],
                taken_at=now,
            ),
        )
        for row in await connection.fetch(_PAGE, after, limit)
    ]
