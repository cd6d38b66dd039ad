"""Turns many galleries into tombstones: a number of statements that does not depend on how many they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from kappi_galleries.domain.galleries import DETAILS, Gallery
from kappi_galleries.repository.galleries import GALLERY_COLUMNS
from kappi_galleries.repository.statistics import tombstone_statistics

_EMPTIED: Final = ", ".join(f"{name} = NULL" for name, default in DETAILS.items() if default is None)
# In order of the ids, so that two transactions never wait for each other.
_LOCK: Final = f"SELECT {GALLERY_COLUMNS} FROM galleries WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"  # noqa: S608 - column names, not input
_TOMBSTONE: Final = f"""
UPDATE galleries SET {_EMPTIED}, password_hash = NULL, takedown_id = NULL, takedown_reason = NULL,
  item_count = 0, size_bytes = 0, updated_at = $2, deleted_at = $2, version = version + 1
WHERE id = ANY($1::uuid[])
"""  # noqa: S608 - column names, not input
_REMOVE: Final = (
    "DELETE FROM standing_takedowns WHERE gallery_id = ANY($1::uuid[])",
    # The rows of moved items stay (see `is_kept`).
    "DELETE FROM gallery_items WHERE gallery_id = ANY($1::uuid[]) AND NOT moved",
    "DELETE FROM contributors WHERE gallery_id = ANY($1::uuid[])",
)


async def lock_galleries(driver: Any, gallery_ids: Sequence[UUID]) -> dict[UUID, Gallery]:
    """Returns the galleries that exist, tombstones included. No other transaction changes them until the
    commit.

    driver: an asyncpg connection in a transaction.
    """
    return {row["id"]: Gallery(**row) for row in await driver.fetch(_LOCK, gallery_ids)}


async def tombstone(driver: Any, gallery_ids: Sequence[UUID], *, deleted_at: datetime) -> None:
    """Turn locked, living galleries into tombstones of the next version, without their content.

    driver: as above.
    """
    await driver.execute(_TOMBSTONE, gallery_ids, deleted_at)
    for statement in _REMOVE:
        await driver.execute(statement, gallery_ids)
    await tombstone_statistics(driver, gallery_ids)
