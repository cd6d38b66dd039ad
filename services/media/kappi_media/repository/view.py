"""Reads the items of a gallery's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.db import Database

from kappi_media.domain.contributions import ContributorId
from kappi_media.domain.media import NO_CONTENTS, GalleryContents, GalleryId, Item, MediaId
from kappi_media.repository.item_columns import ITEM, SORT_KEY

_CONTENTS = "SELECT version, item_count, deleted_at IS NOT NULL FROM contents WHERE gallery_id = $1"
_PAGE = f"""
SELECT i.id, i.version, i.position FROM items i
WHERE i.gallery_id = $1 AND {SORT_KEY} > $2 AND i.status <> 'rejected' ORDER BY {SORT_KEY} LIMIT $3
"""  # noqa: S608 - column names
_PAGE_OF_CONTRIBUTOR = _PAGE.replace("i.status", "i.contributor_id = $4 AND i.status")
_COUNT_OF_CONTRIBUTOR = """
SELECT count(*) FROM items WHERE gallery_id = $1 AND contributor_id = $2 AND status <> 'rejected'
"""
_ITEMS = f"""
SELECT {ITEM} FROM items i WHERE i.gallery_id = $1 AND i.id = ANY($2) AND i.status <> 'rejected'
"""  # noqa: S608 - column names
_HAS_ITEM_WITH = f"""
SELECT true FROM items i WHERE i.gallery_id = $1 AND {SORT_KEY} = $2 AND i.status <> 'rejected'
"""  # noqa: S608 - as above
_FIRST_READY = f"""
SELECT i.id FROM items i WHERE i.gallery_id = $1 AND i.status = 'ready' ORDER BY {SORT_KEY} LIMIT 1
"""  # noqa: S608 - as above
_BEFORE_ALL = b""


class OrderedItem(NamedTuple):
    """An item of a page. position: where it was put; None if it never was."""

    id: UUID
    version: int
    position: bytes | None

    @property
    def sort_key(self) -> bytes:
        """Returns the key of its place among the others (see `domain.order`)."""
        return self.position or self.id.bytes


class ViewQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def contents(self, gallery_id: GalleryId) -> GalleryContents:
        """Returns whether the gallery still exists, its version and its number of items. It reads one row."""
        record = await self._database.hot.fetchrow(_CONTENTS, gallery_id)
        return GalleryContents(*record) if record is not None else NO_CONTENTS

    async def page(self, gallery_id: GalleryId, *, after: bytes | None, limit: int) -> list[OrderedItem]:
        """Returns up to `limit` visible items after a sort key, in the order of the gallery."""
        records = await self._database.hot.fetch(_PAGE, gallery_id, after or _BEFORE_ALL, limit)
        return [OrderedItem(*record) for record in records]

    async def page_of(
        self, contributor_id: ContributorId, gallery_id: GalleryId, *, after: bytes | None, limit: int
    ) -> list[OrderedItem]:
        """As `page`, of the items that a contributor added."""
        records = await self._database.hot.fetch(
            _PAGE_OF_CONTRIBUTOR, gallery_id, after or _BEFORE_ALL, limit, contributor_id
        )
        return [OrderedItem(*record) for record in records]

    async def count_of(self, contributor_id: ContributorId, gallery_id: GalleryId) -> int:
        """Returns the number of visible items that a contributor added."""
        count: int = await self._database.hot.fetchval(_COUNT_OF_CONTRIBUTOR, gallery_id, contributor_id)
        return count

    async def has_item_with(self, gallery_id: GalleryId, sort_key: bytes) -> bool:
        """Returns whether a visible item has this sort key."""
        return bool(await self._database.hot.fetchval(_HAS_ITEM_WITH, gallery_id, sort_key))

    async def first_ready(self, gallery_id: GalleryId) -> MediaId | None:
        """Returns the first item of the gallery that is ready."""
        media_id: MediaId | None = await self._database.hot.fetchval(_FIRST_READY, gallery_id)
        return media_id

    async def items(self, gallery_id: GalleryId, media_ids: Sequence[UUID]) -> list[Item]:
        """Returns those of the items that the gallery still has and that are visible."""
        return [
            Item._make(record) for record in await self._database.hot.fetch(_ITEMS, gallery_id, media_ids)
        ]
