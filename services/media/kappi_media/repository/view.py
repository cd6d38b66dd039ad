"""Reads the items of a gallery's page."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from kappi_chassis.db import Database

from kappi_media.domain.contributions import ContributorId
from kappi_media.domain.media import NO_CONTENTS, GalleryContents, GalleryId, Item
from kappi_media.repository.item_columns import ITEM

_CONTENTS = "SELECT version, item_count, deleted_at IS NOT NULL FROM contents WHERE gallery_id = $1"
_PAGE = """
SELECT id, version FROM items
WHERE gallery_id = $1 AND id > $2 AND status <> 'rejected' ORDER BY id LIMIT $3
"""
_PAGE_OF_CONTRIBUTOR = _PAGE.replace("status", "contributor_id = $4 AND status")
_COUNT_OF_CONTRIBUTOR = """
SELECT count(*) FROM items WHERE gallery_id = $1 AND contributor_id = $2 AND status <> 'rejected'
"""
_ITEMS = f"SELECT {ITEM} FROM items i WHERE i.id = ANY($1) AND i.status <> 'rejected'"  # noqa: S608 - column names
_HAS_ITEM = "SELECT true FROM items WHERE gallery_id = $1 AND id = $2"
_BEFORE_ALL = UUID(int=0)


class ViewQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def contents(self, gallery_id: GalleryId) -> GalleryContents:
        """Returns whether the gallery still exists, its version and its number of items. It reads one row."""
        record = await self._database.hot.fetchrow(_CONTENTS, gallery_id)
        return GalleryContents(*record) if record is not None else NO_CONTENTS

    async def page(self, gallery_id: GalleryId, *, after: UUID | None, limit: int) -> list[tuple[UUID, int]]:
        """Returns id and version of up to `limit` visible items with ids greater than `after`, in order of
        id.
        """
        records = await self._database.hot.fetch(_PAGE, gallery_id, after or _BEFORE_ALL, limit)
        return [(media_id, version) for media_id, version in records]

    async def page_of(
        self, contributor_id: ContributorId, gallery_id: GalleryId, *, after: UUID | None, limit: int
    ) -> list[tuple[UUID, int]]:
        """As `page`, of the items that a contributor added."""
        records = await self._database.hot.fetch(
            _PAGE_OF_CONTRIBUTOR, gallery_id, after or _BEFORE_ALL, limit, contributor_id
        )
        return [(media_id, version) for media_id, version in records]

    async def count_of(self, contributor_id: ContributorId, gallery_id: GalleryId) -> int:
        """Returns the number of visible items that a contributor added."""
        count: int = await self._database.hot.fetchval(_COUNT_OF_CONTRIBUTOR, gallery_id, contributor_id)
        return count

    async def has_item(self, gallery_id: GalleryId, media_id: UUID) -> bool:
        return bool(await self._database.hot.fetchval(_HAS_ITEM, gallery_id, media_id))

    async def items(self, media_ids: Sequence[UUID]) -> list[Item]:
        """Returns those of the items that still exist and are visible."""
        return [Item._make(record) for record in await self._database.hot.fetch(_ITEMS, media_ids)]
