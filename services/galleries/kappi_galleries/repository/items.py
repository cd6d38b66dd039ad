"""The counted items of galleries."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain import CountedItem, CounterChange, GalleryId, MediaId
from kappi_galleries.models import galleries, gallery_items


class ItemRows:
    """The counted items of a gallery that is locked in the same transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, media_id: MediaId) -> CountedItem | None:
        columns = gallery_items.c
        found = await self._connection.execute(
            select(columns.sequence, columns.state, columns.size_bytes).where(columns.media_id == media_id)
        )
        row = found.one_or_none()
        return None if row is None else CountedItem(**row._mapping)

    async def write(
        self, item: CountedItem, *, media_id: MediaId, gallery_id: GalleryId, change: CounterChange
    ) -> None:
        """Store an item's newest state and move its gallery's counters by `change`."""
        state = {"sequence": item.sequence, "state": item.state, "size_bytes": item.size_bytes}
        await self._connection.execute(
            insert(gallery_items)
            .values(media_id=media_id, gallery_id=gallery_id, **state)
            .on_conflict_do_update(index_elements=["media_id"], set_=state)
        )
        await self._connection.execute(
            update(galleries)
            .where(galleries.c.id == gallery_id)
            .values(
                item_count=galleries.c.item_count + change.items,
                size_bytes=galleries.c.size_bytes + change.size_bytes,
            )
        )
