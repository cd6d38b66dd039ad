from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.outbox.snapshot import Snapshot
from kappi_contracts.events import GallerySnapshotTaken

_PAGE = """
SELECT id, version, owner_id, visibility, expires_at, location_free, contributions, created_at,
  takedown_id IS NOT NULL OR owner_suspended AS closed
FROM galleries WHERE id > $1 AND deleted_at IS NULL ORDER BY id LIMIT $2
"""


async def galleries_after(connection: Any, after: UUID, limit: int, now: datetime) -> list[Snapshot]:
    """Returns the snapshots of the living galleries after an id, in order of ids. Source: `ReadPage`."""
    return [
        Snapshot(
            row["id"],
            row["version"],
            GallerySnapshotTaken(
                gallery_id=row["id"],
                owner_id=row["owner_id"],
                visibility=row["visibility"],
                expires_at=row["expires_at"],
                location_free=row["location_free"],
                closed=row["closed"],
                contributions=row["contributions"],
                created_at=row["created_at"],
                taken_at=now,
            ),
        )
        for row in await connection.fetch(_PAGE, after, limit)
    ]
