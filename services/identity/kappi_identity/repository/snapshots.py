from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.outbox.snapshot import Snapshot
from kappi_contracts.events import AccountSnapshotTaken

_PAGE = """
SELECT id, version, tier, suspended_at IS NOT NULL AS suspended, created_at
FROM accounts WHERE id > $1 AND deleted_at IS NULL ORDER BY id LIMIT $2
"""


async def accounts_after(connection: Any, after: UUID, limit: int, now: datetime) -> list[Snapshot]:
    """Returns the snapshots of the living accounts after an id, in order of ids. Source: `ReadPage`."""
    return [
        Snapshot(
            row["id"],
            row["version"],
            AccountSnapshotTaken(
                account_id=row["id"],
                tier=row["tier"],
                suspended=row["suspended"],
                created_at=row["created_at"],
                taken_at=now,
            ),
        )
        for row in await connection.fetch(_PAGE, after, limit)
    ]
