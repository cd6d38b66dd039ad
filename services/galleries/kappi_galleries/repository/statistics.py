"""SQL of the daily counters of accesses: adding, reading and removing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from kappi_chassis.db import Database
from kappi_contracts.events import MediaAccessed
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain.statistics import DailyCount, ItemCount
from kappi_galleries.models import buried_statistics

BURIED_AT_ONCE: Final = 500
"""Rows of each table that the deletion of a gallery removes itself."""
BURIED_TOGETHER: Final = 10_000
"""As BURIED_AT_ONCE, for all galleries that a transaction deletes."""

# Rows are added in the order of their keys, so that two transactions never wait for each other. They are
# summed, so that events may name the same key twice.
_ADD_KINDS: Final = """
INSERT INTO access_days AS d (gallery_id, day, kind, count)
SELECT gallery_id, day, kind, sum(count)
FROM unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[]) AS e (gallery_id, day, kind, count)
GROUP BY gallery_id, day, kind ORDER BY gallery_id, day, kind
ON CONFLICT (gallery_id, day, kind) DO UPDATE SET count = d.count + excluded.count
"""
_ADD_TRAITS: Final = """
INSERT INTO access_trait_days AS d (gallery_id, day, trait, value, count)
SELECT gallery_id, day, trait, value, sum(count)
FROM unnest($1::uuid[], $2::date[], $3::text[], $4::text[], $5::bigint[])
  AS e (gallery_id, day, trait, value, count)
GROUP BY gallery_id, day, trait, value ORDER BY gallery_id, day, trait, value
ON CONFLICT (gallery_id, day, trait, value) DO UPDATE SET count = d.count + excluded.count
"""
# A deleted item counts nothing any more, whatever the order of its events.
_ADD_ITEMS: Final = """
INSERT INTO access_item_days AS d (gallery_id, day, media_id, kind, count)
SELECT gallery_id, day, media_id, kind, sum(count)
FROM unnest($1::uuid[], $2::date[], $3::uuid[], $4::text[], $5::bigint[])
  AS e (gallery_id, day, media_id, kind, count)
WHERE NOT EXISTS (SELECT FROM gallery_items i WHERE i.media_id = e.media_id AND i.state = 'deleted')
GROUP BY gallery_id, day, media_id, kind ORDER BY gallery_id, day, media_id, kind
ON CONFLICT (gallery_id, day, media_id, kind) DO UPDATE SET count = d.count + excluded.count
"""
# Events of all galleries update these rows, so this is the last statement of its transaction.
_ADD_TOTALS: Final = """
INSERT INTO access_total_days AS d (day, trait, value, count)
SELECT day, trait, value, sum(count)
FROM unnest($1::date[], $2::text[], $3::text[], $4::bigint[]) AS e (day, trait, value, count)
GROUP BY day, trait, value ORDER BY day, trait, value
ON CONFLICT (day, trait, value) DO UPDATE SET count = d.count + excluded.count
"""
_OF_GALLERY = """
SELECT day, 'kind' AS trait, kind AS value, count FROM access_days
WHERE gallery_id = $1 AND day BETWEEN $2 AND $3
UNION ALL
SELECT day, trait, value, count FROM access_trait_days WHERE gallery_id = $1 AND day BETWEEN $2 AND $3
ORDER BY day, trait, value
"""
_ITEMS_OF_GALLERY = """
WITH counted AS (
  SELECT media_id, kind, sum(count)::bigint AS count FROM access_item_days
  WHERE gallery_id = $1 AND day BETWEEN $2 AND $3 GROUP BY media_id, kind
), first AS (
  SELECT media_id, sum(count) AS total FROM counted GROUP BY media_id
  ORDER BY total DESC, media_id LIMIT $4
)
SELECT c.media_id, c.kind, c.count FROM counted c JOIN first f USING (media_id)
ORDER BY f.total DESC, c.media_id, c.kind
"""
_OF_ALL = """
SELECT day, trait, value, count FROM access_total_days
WHERE day BETWEEN $1 AND $2 ORDER BY day, trait, value
"""
# The order in which every transaction locks rows of these tables, when adding and when removing. Within a
# table both removing statements take rows in physical order.
_OF_A_GALLERY: Final = ("access_days", "access_trait_days", "access_item_days")
_TABLES: Final = (*_OF_A_GALLERY, "access_total_days")
_FORGET = {
    table: text(
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - the names above
        f"SELECT ctid FROM {table} WHERE day < :before ORDER BY day LIMIT :limit))"
    )
    for table in _TABLES
}
_CLEAR = {
    table: text(
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - the names above
        f"SELECT ctid FROM {table} WHERE gallery_id = :gallery_id LIMIT :limit))"
    )
    for table in _OF_A_GALLERY
}
# The same order as above: of the tables, and of the rows of each.
_CLEAR_MANY: Final = tuple(
    f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - the names above
    "SELECT found.ctid FROM unnest($1::uuid[]) AS g (id) CROSS JOIN LATERAL ("
    f"SELECT ctid FROM {table} WHERE gallery_id = g.id LIMIT $2) AS found LIMIT $3))"
    for table in _OF_A_GALLERY
)
_LEAVE_TO_TICK: Final = f"""
INSERT INTO buried_statistics (gallery_id) SELECT id FROM unnest($1::uuid[]) AS g (id)
WHERE {" OR ".join(f"EXISTS (SELECT FROM {table} WHERE gallery_id = g.id)" for table in _OF_A_GALLERY)}
ORDER BY id ON CONFLICT DO NOTHING
"""  # noqa: S608 - the names above


async def tombstone_statistics(driver: Any, gallery_ids: Sequence[UUID]) -> None:
    """Remove the counters of deleted galleries, which are locked; where there are many, most of them are left
    to a tick.

    driver: an asyncpg connection in a transaction.
    """
    for statement in _CLEAR_MANY:
        await driver.execute(statement, gallery_ids, BURIED_AT_ONCE, BURIED_TOGETHER)
    await driver.execute(_LEAVE_TO_TICK, gallery_ids)


async def forget_items(driver: Any, media_ids: Sequence[UUID]) -> None:
    """Remove the counters of deleted items; the counters of their galleries stay.

    driver: an asyncpg connection in a transaction.
    """
    await driver.execute("DELETE FROM access_item_days WHERE media_id = ANY($1::uuid[])", media_ids)


async def add_accesses(driver: Any, events: Iterable[MediaAccessed]) -> None:
    """Add the counts of events, with one statement for each table that they concern.

    driver: an asyncpg connection in a transaction, which also holds the locks of the events' galleries.
    """
    kinds, traits, items = [], [], []
    for event in events:
        whose = event.gallery_id, event.day
        kinds += [(*whose, each.kind, each.count) for each in event.kinds]
        traits += [(*whose, each.trait, each.value, each.count) for each in event.traits]
        items += [(*whose, each.media_id, each.kind, each.count) for each in event.items]
    totals = [(day, "kind", kind, count) for _, day, kind, count in kinds]
    totals += [row[1:] for row in traits]
    for statement, rows in (
        (_ADD_KINDS, kinds),
        (_ADD_TRAITS, traits),
        (_ADD_ITEMS, items),
        (_ADD_TOTALS, totals),
    ):
        if rows:
            await driver.execute(statement, *map(list, zip(*rows, strict=True)))


class StatisticsRows:
    """Removal of old counters within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def clear_tombstoned(self, *, limit: int) -> bool:
        """Remove up to `limit` rows of each table of one deleted gallery.

        Returns False when no gallery is left that is not locked by another transaction.
        """
        gallery_id = await self._connection.scalar(
            select(buried_statistics.c.gallery_id).limit(1).with_for_update(skip_locked=True)
        )
        if gallery_id is None:
            return False
        if await self._clear(gallery_id, limit=limit) < limit:
            await self._connection.execute(
                delete(buried_statistics).where(buried_statistics.c.gallery_id == gallery_id)
            )
        return True

    async def forget(self, *, before: date, limit: int) -> int:
        """Remove up to `limit` rows of each table for days before that one. Returns how many were removed."""
        removed = 0
        for statement in _FORGET.values():
            result = await self._connection.execute(statement, {"before": before, "limit": limit})
            removed += result.rowcount
        return removed

    async def _clear(self, gallery_id: UUID, *, limit: int) -> int:
        """Returns the number of rows removed from the table that lost the most."""
        most = 0
        for statement in _CLEAR.values():
            result = await self._connection.execute(statement, {"gallery_id": gallery_id, "limit": limit})
            most = max(most, result.rowcount)
        return most


class StatisticsQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_gallery(self, gallery_id: UUID, *, first: date, last: date) -> Sequence[DailyCount]:
        """Returns the counts of a gallery in the order of days, both ends included."""
        records = await self._database.hot.fetch(_OF_GALLERY, gallery_id, first, last)
        return [DailyCount._make(record) for record in records]

    async def items_of_gallery(
        self, gallery_id: UUID, *, first: date, last: date, limit: int
    ) -> Sequence[ItemCount]:
        """Returns the counts of the `limit` most accessed items, the most accessed first."""
        records = await self._database.hot.fetch(_ITEMS_OF_GALLERY, gallery_id, first, last, limit)
        return [ItemCount._make(record) for record in records]

    async def of_all(self, *, first: date, last: date) -> Sequence[DailyCount]:
        """Returns the counts over all galleries, in the order of days."""
        records = await self._database.hot.fetch(_OF_ALL, first, last)
        return [DailyCount._make(record) for record in records]
