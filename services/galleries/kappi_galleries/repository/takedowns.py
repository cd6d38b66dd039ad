"""Decisions by which galleries are down. A gallery shows the newest decision that stands."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain.galleries import GalleryId
from kappi_galleries.models import standing_takedowns


class TakedownRows:
    """Decisions within one transaction, which has locked the gallery."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, takedown_id: UUID, gallery_id: GalleryId, *, reason: str) -> None:
        """Store a decision. Repeating it has no further effect."""
        await self._connection.execute(
            insert(standing_takedowns)
            .values(takedown_id=takedown_id, gallery_id=gallery_id, reason=reason)
            .on_conflict_do_nothing()
        )

    async def remove(self, takedown_id: UUID) -> None:
        await self._connection.execute(
            delete(standing_takedowns).where(standing_takedowns.c.takedown_id == takedown_id)
        )

    async def newest_of(self, gallery_id: GalleryId) -> tuple[UUID | None, str | None]:
        """Returns id and reason of the newest decision; (None, None) without one."""
        found = await self._connection.execute(
            select(standing_takedowns.c.takedown_id, standing_takedowns.c.reason)
            .where(standing_takedowns.c.gallery_id == gallery_id)
            .order_by(standing_takedowns.c.takedown_id.desc())  # ids grow with time
            .limit(1)
        )
        row = found.one_or_none()
        return (None, None) if row is None else (row.takedown_id, row.reason)
