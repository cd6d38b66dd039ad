"""All SQL of the galleries service. Hot statements go straight to asyncpg: one statement, one round trip."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from kappi_chassis.db import Database
from kappi_chassis.outbox import OutboxRow
from sqlalchemy import CursorResult, Row, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain import CountedItem, CounterChange, Gallery, GalleryId, MediaId
from kappi_galleries.models import galleries, gallery_items

_COLUMNS = """
id, code, owner_id, visibility, title, password_hash IS NOT NULL AS password_protected, expires_at,
created_at, updated_at, deleted_at, version, item_count, size_bytes
"""
_CREATE = """
WITH created AS (
  INSERT INTO galleries (id, code, owner_id, visibility, title, access_key_hash, expires_at, created_at,
    updated_at)
  VALUES ($1, $2, NULL, 'shared', $3, $4, $5, $6, $6)
  ON CONFLICT (code) DO NOTHING
  RETURNING version)
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT $7, $8, $9, $10, $11, $12, version FROM created
RETURNING sequence
"""
# A protected gallery stays shut here: this statement hands out what its password would have to open.
_OPEN_BY_CODE = f"""
SELECT {_COLUMNS} FROM galleries
WHERE code = $1 AND visibility = 'shared' AND password_hash IS NULL
  AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
"""  # noqa: S608 - column names, not input
_BY_KEY = f"SELECT {_COLUMNS} FROM galleries WHERE access_key_hash = $1"  # noqa: S608 - as above

_columns = (
    *(
        galleries.c[name]
        for name in (
            *("id", "code", "owner_id", "visibility", "title", "expires_at", "created_at", "updated_at"),
            *("deleted_at", "version", "item_count", "size_bytes"),
        )
    ),
    galleries.c.password_hash.is_not(None).label("password_protected"),
)


class GalleryQueries:
    """Single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, gallery: Gallery, *, access_key_hash: bytes, event: OutboxRow) -> bool:
        """Insert an anonymous, shared gallery and its event; False when the code is taken."""
        sequence = await self._database.hot.fetchval(
            _CREATE,
            gallery.id,
            gallery.code,
            gallery.title,
            access_key_hash,
            gallery.expires_at,
            gallery.created_at,
            *event,
        )
        return sequence is not None

    async def open_by_code(self, code: str, *, now: datetime) -> Gallery | None:
        """The gallery this code opens at `now` (UTC); the code as stored."""
        return _from_record(await self._database.hot.fetchrow(_OPEN_BY_CODE, code, now))

    async def by_access_key(self, key_hash: bytes) -> Gallery | None:
        """The gallery of this key, tombstones included."""
        return _from_record(await self._database.hot.fetchrow(_BY_KEY, key_hash))


class GalleryRows:
    """Galleries within one transaction. Lock first, then decide, then write."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, gallery: Gallery, *, access_key_hash: bytes) -> bool:
        """False when the code is taken; the transaction stays usable."""
        values = {
            "id": gallery.id,
            "code": gallery.code,
            "owner_id": gallery.owner_id,
            "visibility": gallery.visibility,
            "title": gallery.title,
            "access_key_hash": access_key_hash,
            "expires_at": gallery.expires_at,
            "created_at": gallery.created_at,
            "updated_at": gallery.updated_at,
        }
        return await self._changed(
            insert(galleries).values(**values).on_conflict_do_nothing(index_elements=["code"])
        )

    async def lock_by_access_key(self, key_hash: bytes) -> Gallery | None:
        """The gallery of this key, tombstones included; nobody else changes it until the commit."""
        return await self._lock(galleries.c.access_key_hash == key_hash)

    async def lock(self, gallery_id: UUID) -> Gallery | None:
        """The gallery, tombstones included; nobody else changes it until the commit."""
        return await self._lock(galleries.c.id == gallery_id)

    async def update(self, gallery: Gallery) -> None:
        """Write the public face, the deadline and the version of a locked gallery."""
        await self._connection.execute(
            update(galleries)
            .where(galleries.c.id == gallery.id)
            .values(
                title=gallery.title,
                expires_at=gallery.expires_at,
                updated_at=gallery.updated_at,
                version=gallery.version,
            )
        )

    async def bury(self, gallery_id: GalleryId, *, deleted_at: datetime, version: int) -> None:
        """Leave a tombstone of a locked gallery: its content and its items' rows go."""
        await self._connection.execute(
            update(galleries)
            .where(galleries.c.id == gallery_id)
            .values(
                title=None,
                password_hash=None,
                item_count=0,
                size_bytes=0,
                updated_at=deleted_at,
                deleted_at=deleted_at,
                version=version,
            )
        )
        await self._connection.execute(delete(gallery_items).where(gallery_items.c.gallery_id == gallery_id))

    async def _lock(self, condition: Any) -> Gallery | None:
        found = await self._connection.execute(select(*_columns).where(condition).with_for_update())
        return _from_row(found.one_or_none())

    async def _changed(self, statement: Any) -> bool:
        result: CursorResult[Any] = await self._connection.execute(statement)
        return bool(result.rowcount)


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


def _from_row(row: Row[Any] | None) -> Gallery | None:
    return None if row is None else Gallery(**row._mapping)


def _from_record(record: Mapping[str, Any] | None) -> Gallery | None:
    return None if record is None else Gallery(**record)
