"""Reads what an account uses, from the counters of `items` by gallery, day and type."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.db import Database

from kappi_media.domain.media import AccountId

_USAGE = """
SELECT CASE WHEN u.day BETWEEN $2 AND $3 THEN u.day END AS shown_day, u.content_type,
       sum(u.item_count)::bigint, sum(u.size_bytes)::bigint
FROM contents c JOIN usage_days u ON u.gallery_id = c.gallery_id
WHERE c.owner_id = $1 AND c.deleted_at IS NULL
GROUP BY shown_day, u.content_type ORDER BY shown_day, u.content_type
"""
_BEHIND = "SELECT gallery_id FROM contents WHERE usage_behind ORDER BY gallery_id LIMIT 1"
# Every change of an item waits for the gallery's row, so nothing is counted twice or left out.
_HOLD = "SELECT usage_behind FROM contents WHERE gallery_id = $1 FOR UPDATE"
_COUNT = """
INSERT INTO usage_days (gallery_id, day, content_type, item_count, size_bytes)
SELECT gallery_id, (created_at AT TIME ZONE 'UTC')::date, content_type, count(*), sum(size_bytes)
FROM items WHERE gallery_id = $1 AND status <> 'rejected' GROUP BY 1, 2, 3
"""
_COUNTED = "UPDATE contents SET usage_behind = false WHERE gallery_id = $1"
_CHARGED = "SELECT used_bytes, reserved_bytes FROM accounts WHERE id = $1"


class UsageRow(NamedTuple):
    """The items of one type. day: UTC, of their upload; None for the sum of all days outside the range."""

    day: date | None
    content_type: str
    item_count: int
    size_bytes: int


class ChargedBytes(NamedTuple):
    """The bytes that count towards the quota: of items, and of uploads under way."""

    used_bytes: int
    reserved_bytes: int


class UsageQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_day(self, account_id: AccountId, *, first: date, last: date) -> Sequence[UsageRow]:
        """Returns what all galleries of the account hold, by day within the range."""
        records = await self._database.hot.fetch(_USAGE, account_id, first, last)
        return [UsageRow._make(record) for record in records]

    async def behind(self) -> UUID | None:
        """Returns a gallery whose items are still to be counted; None when there is none."""
        found: UUID | None = await self._database.hot.fetchval(_BEHIND)
        return found

    async def catch_up(self, gallery_id: UUID) -> None:
        """Count a gallery's items, if that is still to be done."""
        async with self._database.hot.acquire() as connection, connection.transaction():
            if await connection.fetchval(_HOLD, gallery_id):
                await connection.execute(_COUNT, gallery_id)
                await connection.execute(_COUNTED, gallery_id)

    async def charged(self, account_id: AccountId) -> ChargedBytes:
        """Returns the charged bytes; zeros for an account that never uploaded."""
        record = await self._database.hot.fetchrow(_CHARGED, account_id)
        return ChargedBytes(0, 0) if record is None else ChargedBytes._make(record)
