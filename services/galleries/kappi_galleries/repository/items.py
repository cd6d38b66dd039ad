"""SQL of the counted items of galleries."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain.galleries import CountedItem, CounterChange, Gallery, GalleryId, MediaId
from kappi_galleries.models import gallery_items
from kappi_galleries.repository.advisory_locks import lock_of
from kappi_galleries.repository.galleries import GALLERY_COLUMNS

_STATE: Final = ("gallery_id", "sequence", "state", "size_bytes", "contributor_id", "moved")
# Each statement takes its locks in one order, so that two transactions never wait for each other.
_LOCK: Final = "SELECT pg_advisory_xact_lock(number) FROM unnest($1::bigint[]) AS l (number)"
_LOCK_GALLERIES: Final = f"""
SELECT {GALLERY_COLUMNS} FROM galleries
WHERE id = ANY($1::uuid[]) OR id IN (SELECT gallery_id FROM gallery_items WHERE media_id = ANY($2::uuid[]))
ORDER BY id FOR UPDATE
"""  # noqa: S608 - column names, not input
_FIND: Final = f"SELECT media_id, {', '.join(_STATE)} FROM gallery_items WHERE media_id = ANY($1::uuid[])"  # noqa: S608 - as above
_WRITE: Final = """
INSERT INTO gallery_items (media_id, gallery_id, sequence, state, size_bytes, contributor_id, moved)
SELECT * FROM unnest(
  $1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[], $6::uuid[], $7::boolean[])
ON CONFLICT (media_id) DO UPDATE SET
  gallery_id = excluded.gallery_id, sequence = excluded.sequence, state = excluded.state,
  size_bytes = excluded.size_bytes, contributor_id = excluded.contributor_id, moved = excluded.moved
"""
_ADD: Final = """
UPDATE galleries g SET item_count = g.item_count + c.items, size_bytes = g.size_bytes + c.size_bytes
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS c (gallery_id, items, size_bytes)
WHERE g.id = c.gallery_id
"""
_DROP_COVERS: Final = """
UPDATE galleries g SET cover_media_id = NULL, version = c.version, updated_at = c.updated_at
FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS c (gallery_id, version, updated_at)
WHERE g.id = c.gallery_id
"""


async def find_item(connection: AsyncConnection, media_id: MediaId) -> CountedItem | None:
    """Returns the known state of an item."""
    found = await connection.execute(
        select(*(gallery_items.c[name] for name in _STATE)).where(gallery_items.c.media_id == media_id)
    )
    row = found.one_or_none()
    return None if row is None else CountedItem(**row._mapping)


class ItemRows:
    """Counted items within one transaction: lock items, then their galleries, then read and write.

    driver: an asyncpg connection in a transaction.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    async def lock(self, media_ids: Collection[MediaId]) -> None:
        """Keep every other event about these items waiting until the commit, whether or not they have
        rows.
        """
        await self._driver.execute(_LOCK, sorted(set(map(lock_of, media_ids))))

    async def lock_galleries(
        self, media_ids: Collection[MediaId], *, named: Collection[UUID]
    ) -> dict[GalleryId, Gallery]:
        """Returns the named galleries and those in which the items count, tombstones included. No other
        transaction changes them until the commit.
        """
        rows = await self._driver.fetch(_LOCK_GALLERIES, list(named), list(media_ids))
        return {row["id"]: Gallery(**row) for row in rows}

    async def find(self, media_ids: Collection[MediaId]) -> dict[MediaId, CountedItem]:
        """Returns the known states of items."""
        rows = await self._driver.fetch(_FIND, list(media_ids))
        return {row["media_id"]: CountedItem(**{name: row[name] for name in _STATE}) for row in rows}

    async def write(self, items: Mapping[MediaId, CountedItem]) -> None:
        """Store the states of items that are locked in the same transaction."""
        rows = ((media_id, *(getattr(item, name) for name in _STATE)) for media_id, item in items.items())
        await self._driver.execute(_WRITE, *map(list, zip(*rows, strict=True)))

    async def add(self, changes: Mapping[GalleryId, CounterChange]) -> None:
        """Change the counters of galleries that are locked in the same transaction."""
        rows = ((gallery_id, change.items, change.size_bytes) for gallery_id, change in changes.items())
        await self._driver.execute(_ADD, *map(list, zip(*rows, strict=True)))

    async def drop_covers(self, galleries: Collection[Gallery]) -> None:
        """Remove the covers of locked galleries. galleries: as they are after it."""
        rows = ((gallery.id, gallery.version, gallery.updated_at) for gallery in galleries)
        await self._driver.execute(_DROP_COVERS, *map(list, zip(*rows, strict=True)))
