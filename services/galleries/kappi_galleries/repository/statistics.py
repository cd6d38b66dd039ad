"""SQL of the daily counters of accesses: adding, reading and removing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from kappi_chassis.db import Database
from kappi_contracts.events import ItemCount as CountedItem
from kappi_contracts.events import KindCount, MediaAccessed, TraitCount
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain.statistics import DailyCount, ItemCount
from kappi_galleries.models import buried_statistics

BURIED_AT_ONCE: Final = 500
"""Rows of each table that the deletion of a gallery removes itself."""
BURIED_TOGETHER: Final = 10_000
"""As BURIED_AT_ONCE, for all galleries that a transaction deletes."""

# Rows are added in the order of their keys, so that two transactions never wait for each other. They are
# summed, so that an event may name the same key twice.
_ADD_KINDS = text("""
INSERT INTO access_days AS d (gallery_id, day, kind, count)
SELECT :gallery_id, :day, e.kind, sum(e.count)
FROM unnest(CAST(:kinds AS text[]), CAST(:counts AS bigint[])) AS e (kind, count)
GROUP BY e.kind ORDER BY e.kind
ON CONFLICT (gallery_id, day, kind) DO UPDATE SET count = d.count + excluded.count
""")
_ADD_TRAITS = text("""
INSERT INTO access_trait_days AS d (gallery_id, day, trait, value, count)
SELECT :gallery_id, :day, e.trait, e.value, sum(e.count)
FROM unnest(CAST(:traits AS text[]), CAST(:values AS text[]), CAST(:counts AS bigint[]))
  AS e (trait, value, count)
GROUP BY e.trait, e.value ORDER BY e.trait, e.value
ON CONFLICT (gallery_id, day, trait, value) DO UPDATE SET count = d.count + excluded.count
""")
# A deleted item counts nothing any more, whatever the order of its events.
_ADD_ITEMS = text("""
INSERT INTO access_item_days AS d (gallery_id, day, media_id, kind, count)
SELECT :gallery_id, :day, e.media_id, e.kind, sum(e.count)
FROM unnest(CAST(:media_ids AS uuid[]), CAST(:kinds AS text[]), CAST(:counts AS bigint[]))
  AS e (media_id, kind, count)
WHERE NOT EXISTS (SELECT FROM gallery_items i WHERE i.media_id = e.media_id AND i.state = 'deleted')
GROUP BY e.media_id, e.kind ORDER BY e.media_id, e.kind
ON CONFLICT (gallery_id, day, media_id, kind) DO UPDATE SET count = d.count + excluded.count
""")
# Events of all galleries update these rows, so this is the last statement of its transaction.
_ADD_TOTALS = text("""
INSERT INTO access_total_days AS d (day, trait, value, count)
SELECT :day, e.trait, e.value, sum(e.count)
FROM unnest(CAST(:traits AS text[]), CAST(:values AS text[]), CAST(:counts AS bigint[]))
  AS e (trait, value, count)
GROUP BY e.trait, e.value ORDER BY e.trait, e.value
ON CONFLICT (day, trait, value) DO UPDATE SET count = d.count + excluded.count
""")
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


class StatisticsRows:
    """Counters within one transaction, which also holds the lock of the counted gallery."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, event: MediaAccessed) -> None:
        """Add the counts of an event, with one statement for each table that they concern."""
        whose = {"gallery_id": event.gallery_id, "day": event.day}
        if event.kinds:
            await self._connection.execute(_ADD_KINDS, {**whose, **_kinds(event.kinds)})
        if event.traits:
            await self._connection.execute(_ADD_TRAITS, {**whose, **_traits(event.traits)})
        if event.items:
            await self._connection.execute(_ADD_ITEMS, {**whose, **_items(event.items)})
        totals = [("kind", kind.kind, kind.count) for kind in event.kinds]
        totals += [(trait.trait, trait.value, trait.count) for trait in event.traits]
        if totals:
            traits, values, counts = (list(column) for column in zip(*totals, strict=True))
            await self._connection.execute(
                _ADD_TOTALS, {"day": event.day, "traits": traits, "values": values, "counts": counts}
            )

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


def _kinds(counts: Sequence[KindCount | CountedItem]) -> dict[str, object]:
    return {"kinds": [each.kind for each in counts], "counts": [each.count for each in counts]}


def _traits(counts: Sequence[TraitCount]) -> dict[str, object]:
    return {
        "traits": [each.trait for each in counts],
        "values": [each.value for each in counts],
        "counts": [each.count for each in counts],
    }


def _items(counts: Sequence[CountedItem]) -> dict[str, object]:
    return {"media_ids": [each.media_id for each in counts], **_kinds(counts)}
