"""Finds items that are still to be entered in their account's library (ADR-0023)."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from kappi_chassis.db import Database

_CATCH_UP = "SELECT library_catch_up($1, $2)"
# Galleries without an owner, and deleted ones, lose their mark in the same statement.
_BEHIND = """
WITH marked AS MATERIALIZED (
  SELECT gallery_id, owner_id IS NULL OR deleted_at IS NOT NULL AS is_idle FROM contents
  WHERE library_after IS NOT NULL AND gallery_id > $1 ORDER BY gallery_id LIMIT $2),
idle AS MATERIALIZED (
  SELECT c.gallery_id FROM contents c
  WHERE c.gallery_id = ANY(ARRAY(SELECT gallery_id FROM marked WHERE is_idle))
    AND (c.owner_id IS NULL OR c.deleted_at IS NOT NULL)
  FOR UPDATE SKIP LOCKED),
cleared AS (
  UPDATE contents c SET library_after = NULL WHERE c.gallery_id = ANY(ARRAY(SELECT gallery_id FROM idle)))
SELECT gallery_id, is_idle FROM marked ORDER BY gallery_id
"""


class Behind(NamedTuple):
    """Galleries that are behind. last: where to go on; None when there are no more."""

    galleries: list[UUID]
    last: UUID | None


class CatchUpQueries:
    """Runs single statements."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def behind(self, *, after: UUID, limit: int) -> Behind:
        """Returns the next galleries with items that are still to be entered, in the order of their ids."""
        records = await self._database.hot.fetch(_BEHIND, after, limit)
        last = records[-1]["gallery_id"] if len(records) == limit else None
        return Behind([record["gallery_id"] for record in records if not record["is_idle"]], last)

    async def catch_up(self, gallery_id: UUID, *, most: int) -> bool | None:
        """Enter the next items of a gallery. Returns True when all are entered, None when another process is
        doing it.
        """
        is_done: bool | None = await self._database.hot.fetchval(_CATCH_UP, gallery_id, most)
        return is_done
