"""SQL of the counted items of galleries."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain.galleries import CountedItem, CounterChange, GalleryId, MediaId
from kappi_galleries.models import galleries, gallery_items
from kappi_galleries.repository.advisory_locks import lock_of

_STATE = ("gallery_id", "sequence", "state", "size_bytes", "contributor_id", "moved")


class ItemRows:
    """Counted items within one transaction: lock the item, then its galleries, then read and write."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self, media_id: MediaId) -> None:
        """Keep every other event about the item waiting until the commit, whether or not the item
        has a row.
        """
        await self._connection.execute(select(func.pg_advisory_xact_lock(lock_of(media_id))))

    async def find(self, media_id: MediaId) -> CountedItem | None:
        found = await self._connection.execute(
            select(*(gallery_items.c[name] for name in _STATE)).where(gallery_items.c.media_id == media_id)
        )
        row = found.one_or_none()
        return None if row is None else CountedItem(**row._mapping)

    async def write(self, item: CountedItem, *, media_id: MediaId) -> None:
        """Store the state of an item that is locked in the same transaction."""
        state = {name: getattr(item, name) for name in _STATE}
        await self._connection.execute(
            insert(gallery_items)
            .values(media_id=media_id, **state)
            .on_conflict_do_update(index_elements=["media_id"], set_=state)
        )

    async def add(self, change: CounterChange, *, gallery_id: GalleryId) -> None:
        """Change the counters of a gallery that is locked in the same transaction."""
        await self._connection.execute(
            update(galleries)
            .where(galleries.c.id == gallery_id)
            .values(
                item_count=galleries.c.item_count + change.items,
                size_bytes=galleries.c.size_bytes + change.size_bytes,
            )
        )
