"""What a gallery's page is made of."""

from __future__ import annotations

from uuid import UUID

from kappi_chassis.db import Database

from kappi_media.domain import NO_CONTENTS, GalleryContents, GalleryId, Item
from kappi_media.repository.item_columns import ITEM

_CONTENTS = "SELECT version, item_count, deleted_at IS NOT NULL FROM contents WHERE gallery_id = $1"
_FIRST_PAGE = f"""
SELECT {ITEM} FROM items i WHERE i.gallery_id = $1 AND i.status <> 'rejected' ORDER BY i.id LIMIT $2
"""  # noqa: S608 - column names
_LATER_PAGE = f"""
SELECT {ITEM} FROM items i
WHERE i.gallery_id = $1 AND i.id > $3 AND i.status <> 'rejected' ORDER BY i.id LIMIT $2
"""  # noqa: S608 - column names


class ViewQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def contents(self, gallery_id: GalleryId) -> GalleryContents:
        """One row: whether the gallery is still there, and which version of it."""
        record = await self._database.hot.fetchrow(_CONTENTS, gallery_id)
        return GalleryContents(*record) if record is not None else NO_CONTENTS

    async def page(self, gallery_id: GalleryId, *, after: UUID | None, limit: int) -> list[Item]:
        """Up to `limit` visible items with ids greater than `after`, in order of id."""
        if after is None:
            records = await self._database.hot.fetch(_FIRST_PAGE, gallery_id, limit)
        else:
            records = await self._database.hot.fetch(_LATER_PAGE, gallery_id, limit, after)
        return [Item(*record) for record in records]
