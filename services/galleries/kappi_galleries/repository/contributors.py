"""SQL of the contributors of galleries."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain.contributors import Contributor, ContributorId, ListedContributor
from kappi_galleries.domain.galleries import Gallery, GalleryId
from kappi_galleries.models import contributors, gallery_items
from kappi_galleries.repository.galleries import GALLERY_COLUMNS

_BY_KEY: Final = f"""
SELECT c.id AS contributor_id, c.name AS contributor_name, g.*
FROM contributors c JOIN LATERAL (
  SELECT {GALLERY_COLUMNS} FROM galleries WHERE id = c.gallery_id) AS g ON true
WHERE c.key_hash = $1
"""  # noqa: S608 - column names, not input
_PAGE: Final = """
WITH page AS (
  SELECT id, name, created_at FROM contributors
  WHERE gallery_id = $1 AND removed_at IS NULL AND ($2::uuid IS NULL OR id < $2)
  ORDER BY id DESC LIMIT $3)
SELECT page.id, page.name, page.created_at, count(i.media_id) AS item_count,
  coalesce(sum(i.size_bytes), 0)::bigint AS size_bytes
FROM page LEFT JOIN gallery_items i
  ON i.contributor_id = page.id AND i.gallery_id = $1 AND i.state = 'ready'
GROUP BY page.id, page.name, page.created_at ORDER BY page.id DESC
"""
_STORED: Final = ("id", "gallery_id", "name", "created_at", "removed_at", "version")


class FoundContributor(NamedTuple):
    """A contributor found by its key, and its gallery."""

    id: ContributorId
    name: str | None
    gallery: Gallery


class ContributorQueries:
    """Single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_key(self, key_hash: bytes) -> FoundContributor | None:
        """Returns the contributor that has this key, whether or not its gallery is open."""
        record = await self._database.hot.fetchrow(_BY_KEY, key_hash)
        if record is None:
            return None
        contributor_id, name, *_ = record
        return FoundContributor(contributor_id, name, Gallery(**dict(list(record.items())[2:])))

    async def page(self, gallery_id: UUID, *, before: UUID | None, limit: int) -> list[ListedContributor]:
        """Returns contributors of a gallery, the newest first. before: the last id of the page before."""
        records = await self._database.hot.fetch(_PAGE, gallery_id, before, limit)
        return [ListedContributor(**record) for record in records]


class ContributorRows:
    """Contributors within one transaction, whose gallery is locked first."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def count(self, gallery_id: GalleryId) -> int:
        """Returns the number of contributors that were not removed."""
        found = await self._connection.execute(
            select(func.count()).where(
                contributors.c.gallery_id == gallery_id, contributors.c.removed_at.is_(None)
            )
        )
        return found.scalar_one()

    async def insert(self, contributor: Contributor, *, key_hash: bytes) -> None:
        values = {name: getattr(contributor, name) for name in _STORED}
        await self._connection.execute(insert(contributors).values(**values, key_hash=key_hash))

    async def find(self, contributor_id: UUID, gallery_id: GalleryId) -> Contributor | None:
        """Returns a contributor of this gallery, removed ones included."""
        found = await self._connection.execute(
            select(*(contributors.c[name] for name in _STORED)).where(
                contributors.c.id == contributor_id, contributors.c.gallery_id == gallery_id
            )
        )
        row = found.one_or_none()
        return None if row is None else Contributor(**row._mapping)

    async def take_unused(self, gallery_id: GalleryId, *, before: datetime) -> Contributor | None:
        """Delete the oldest contributor that was added before the instant and added no item. Returns it.

        Its row does not stay: it has no items to delete later, and strangers could make any number of rows.
        """
        items = select(gallery_items.c.media_id).where(gallery_items.c.contributor_id == contributors.c.id)
        oldest = (
            select(contributors.c.id)
            .where(
                contributors.c.gallery_id == gallery_id,
                contributors.c.removed_at.is_(None),
                contributors.c.created_at < before,
                ~items.exists(),
            )
            .order_by(contributors.c.id)
            .limit(1)
        )
        taken = await self._connection.execute(
            delete(contributors)
            .where(contributors.c.id == oldest.scalar_subquery())
            .returning(*(contributors.c[name] for name in _STORED))
        )
        row = taken.one_or_none()
        return None if row is None else Contributor(**row._mapping)

    async def remove(self, contributor_id: ContributorId, *, removed_at: datetime, version: int) -> None:
        """Leave nothing of a contributor but its id."""
        await self._connection.execute(
            update(contributors)
            .where(contributors.c.id == contributor_id)
            .values(name=None, key_hash=None, removed_at=removed_at, version=version)
        )
