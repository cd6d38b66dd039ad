"""Puts the items of a gallery into another order.

The gallery's row is locked first, so two orders never mix, and a new item waits for the end of the
transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import GalleryId
from kappi_media.domain.order import FIRST_MOMENT, Sorting
from kappi_media.repository.item_columns import SORT_KEY

_HOLD = "SELECT item_count, deleted_at IS NOT NULL FROM contents WHERE gallery_id = $1 FOR UPDATE"
_VISIBLE = "SELECT id FROM items WHERE gallery_id = $1 AND id = ANY($2::uuid[]) AND status <> 'rejected'"
_SORT_KEY_OF = f"""
SELECT {SORT_KEY} FROM items i WHERE i.gallery_id = $1 AND i.id = $2 AND i.status <> 'rejected'
"""  # noqa: S608 - column names
_LAST = f"""
SELECT i.id, {SORT_KEY} FROM items i WHERE i.gallery_id = $1 ORDER BY {SORT_KEY} DESC LIMIT $2
"""  # noqa: S608 - as above
_LAST_BEFORE = f"""
SELECT i.id, {SORT_KEY} FROM items i WHERE i.gallery_id = $1 AND {SORT_KEY} < $3
ORDER BY {SORT_KEY} DESC LIMIT $2
"""  # noqa: S608 - as above
_PUT = """
UPDATE items i SET position = t.position
FROM unnest($2::uuid[], $3::bytea[]) AS t (id, position) WHERE i.id = t.id AND i.gallery_id = $1
"""
_PUT_BACK = "UPDATE items SET position = NULL WHERE gallery_id = $1 AND position IS NOT NULL"
_SORT = """
UPDATE items i SET position = sorted.position
FROM (SELECT s.id, substring(int8send($2 + row_number() OVER (ORDER BY {by}, s.id)) FROM 3) AS position
  FROM items s WHERE s.gallery_id = $1) AS sorted
WHERE i.id = sorted.id AND i.position IS DISTINCT FROM sorted.position
"""
# Numbers in names count as numbers: each is written with twenty digits.
_NAME = r"""
regexp_replace(
  regexp_replace(library_fold(s.filename), '(\d+)', '00000000000000000000\1', 'g'),
  '\d*(\d{20})', '\1', 'g') COLLATE "C"
"""
_BY: Final[Mapping[Sorting, str]] = MappingProxyType({"taken": "s.taken_at NULLS LAST", "filename": _NAME})
_BUMP = "UPDATE contents SET version = version + 1 WHERE gallery_id = $1 RETURNING version"


class HeldGallery(NamedTuple):
    """A gallery that is locked until the end of the transaction. item_count: of visible items."""

    item_count: int
    deleted: bool


class Neighbour(NamedTuple):
    id: UUID
    sort_key: bytes


class OrderRows:
    """The items of one gallery within one transaction."""

    def __init__(self, connection: AsyncConnection, gallery_id: GalleryId) -> None:
        self._connection = connection
        self._gallery_id = gallery_id

    async def hold(self) -> HeldGallery | None:
        """Lock the gallery. Returns None for one that never had an upload."""
        row = (await self._connection.exec_driver_sql(_HOLD, (self._gallery_id,))).one_or_none()
        return None if row is None else HeldGallery._make(row)

    async def visible(self, media_ids: Collection[UUID]) -> set[UUID]:
        """Returns those of the items that are in the gallery and not rejected."""
        found = await self._connection.exec_driver_sql(_VISIBLE, (self._gallery_id, list(media_ids)))
        return set(found.scalars())

    async def sort_key_of(self, media_id: UUID) -> bytes | None:
        """Returns the sort key of an item; None for an item that is not visible in the gallery."""
        found = await self._connection.exec_driver_sql(_SORT_KEY_OF, (self._gallery_id, media_id))
        sort_key: bytes | None = found.scalar_one_or_none()
        return sort_key

    async def last_before(self, sort_key: bytes | None, *, limit: int) -> list[Neighbour]:
        """Returns up to `limit` items before a sort key, the last first. sort_key: None for the end."""
        if sort_key is None:
            found = await self._connection.exec_driver_sql(_LAST, (self._gallery_id, limit))
        else:
            found = await self._connection.exec_driver_sql(_LAST_BEFORE, (self._gallery_id, limit, sort_key))
        return [Neighbour._make(row) for row in found]

    async def put(self, sort_keys: Mapping[UUID, bytes]) -> None:
        values = (self._gallery_id, list(sort_keys), list(sort_keys.values()))
        await self._connection.exec_driver_sql(_PUT, values)

    async def sort(self, by: Sorting) -> bool:
        """Put all items into an order at once. Returns whether any of them changed."""
        if by == "added":
            changed = await self._connection.exec_driver_sql(_PUT_BACK, (self._gallery_id,))
        else:
            statement = _SORT.format(by=_BY[by])
            changed = await self._connection.exec_driver_sql(statement, (self._gallery_id, FIRST_MOMENT))
        return changed.rowcount > 0

    async def bump(self) -> int:
        """Count a change of the gallery's content. Returns its version."""
        return int((await self._connection.exec_driver_sql(_BUMP, (self._gallery_id,))).scalar_one())
