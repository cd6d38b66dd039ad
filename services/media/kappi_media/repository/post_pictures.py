"""Pictures of posts: reserved before their bytes arrive, and charged to the author's account."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import asyncpg
from kappi_chassis.db import Database
from kappi_mediameta.probing import Probe
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import AccountId, Charge, GalleryId, MediaId, PostId
from kappi_media.models.account import post_pictures
from kappi_media.repository.ownership import charge
from kappi_media.repository.renditions import kept_probe

_KNOW_ACCOUNT = "INSERT INTO accounts (id) VALUES ($1) ON CONFLICT DO NOTHING"
_RESERVE = """
WITH charged AS (
  UPDATE accounts SET reserved_bytes = reserved_bytes + $3
  WHERE id = $2 AND deleted_at IS NULL
    AND ($4::bigint IS NULL OR reserved_bytes + used_bytes + $3 <= $4)
  RETURNING id)
INSERT INTO post_pictures (post_id, account_id, state, size_bytes)
SELECT $1, id, 'pending', $3 FROM charged
RETURNING true
"""
_ACCOUNT_IS_DELETED = "SELECT deleted_at IS NOT NULL FROM accounts WHERE id = $1"
_SETTLE = """
WITH was AS MATERIALIZED (
  SELECT post_id, account_id, size_bytes FROM post_pictures
  WHERE post_id = $1 AND state = 'pending' FOR UPDATE),
stored AS (
  UPDATE post_pictures p SET state = 'stored', size_bytes = $2, picture_bytes = $3, etag = $4
  FROM was WHERE p.post_id = was.post_id
  RETURNING p.post_id),
charged AS (
  UPDATE accounts a SET reserved_bytes = a.reserved_bytes - was.size_bytes, used_bytes = a.used_bytes + $2
  FROM was WHERE a.id = was.account_id)
SELECT true FROM stored
"""
_RELEASE = """
WITH gone AS (
  DELETE FROM post_pictures WHERE post_id = $1 AND state = 'pending' RETURNING account_id, size_bytes)
UPDATE accounts a SET reserved_bytes = a.reserved_bytes - gone.size_bytes FROM gone
WHERE a.id = gone.account_id
"""
_FIND = "SELECT picture_bytes, etag FROM post_pictures WHERE post_id = $1 AND state = 'stored'"
_ITEM = """
SELECT i.gallery_id, i.folder, i.status, i.size_bytes, i.kind, i.content_type, i.width, i.height,
       i.orientation, i.codec, i.duration_ms
FROM items i JOIN contents c ON c.gallery_id = i.gallery_id
WHERE i.id = $1 AND c.owner_id = $2 AND c.deleted_at IS NULL AND NOT c.closed AND i.status <> 'rejected'
"""


class NotReserved(Enum):
    """The reason why a picture is not reserved. GONE: its post, or its account, is deleted."""

    OVER_QUOTA = "over_quota"
    GONE = "gone"


class ShownPicture(NamedTuple):
    """The JPEG of a post. etag: without quotes."""

    size_bytes: int
    etag: str


class OwnItem(NamedTuple):
    """An item of the account itself. size_bytes: of its original. probe: None until it is ready."""

    gallery_id: GalleryId
    folder: int | None
    size_bytes: int
    probe: Probe | None


class PostPictureQueries:
    """Runs single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(
        self, post_id: PostId, account_id: AccountId, *, size_bytes: int, quota_bytes: int | None
    ) -> NotReserved | None:
        """Charge an account for a picture before it arrives. Returns None on success.

        size_bytes: the largest possible size. quota_bytes: of the account; None for no limit.
        """
        hot = self._database.hot
        # The event of the account may not have arrived yet.
        await hot.execute(_KNOW_ACCOUNT, account_id)
        try:
            if await hot.fetchval(_RESERVE, post_id, account_id, size_bytes, quota_bytes):
                return None
        except asyncpg.UniqueViolationError:
            return NotReserved.GONE
        deleted = await hot.fetchval(_ACCOUNT_IS_DELETED, account_id)
        return NotReserved.GONE if deleted else NotReserved.OVER_QUOTA

    async def settle(self, post_id: PostId, *, size_bytes: int, shown: ShownPicture) -> bool:
        """Record that the objects of a picture are stored. Returns False when its post was deleted meanwhile.

        size_bytes: the total size of its objects.
        """
        settled = await self._database.hot.fetchval(
            _SETTLE, post_id, size_bytes, shown.size_bytes, shown.etag
        )
        return bool(settled)

    async def release(self, post_id: PostId) -> None:
        """Remove the reservation of a picture that was not stored."""
        await self._database.hot.execute(_RELEASE, post_id)

    async def find(self, post_id: PostId) -> ShownPicture | None:
        record = await self._database.hot.fetchrow(_FIND, post_id)
        return None if record is None else ShownPicture(*record)

    async def own_item(self, media_id: MediaId, account_id: AccountId) -> OwnItem | None:
        """Returns an item in a gallery of the account; None for a rejected one."""
        record: Any = await self._database.hot.fetchrow(_ITEM, media_id, account_id)
        if record is None:
            return None
        probe = kept_probe(record) if record["status"] == "ready" else None
        return OwnItem(GalleryId(record["gallery_id"]), record["folder"], record["size_bytes"], probe)


async def tombstone_picture(connection: AsyncConnection, post_id: PostId) -> None:
    """Leave a tombstone, also if there was no row, and end the charge for the picture."""
    tombstone = insert(post_pictures).values(post_id=post_id, state="deleted", size_bytes=0)
    inserted = await connection.execute(tombstone.on_conflict_do_nothing().returning(post_pictures.c.post_id))
    if inserted.first() is not None:
        return
    here = post_pictures.c.post_id == post_id
    found = await connection.execute(
        select(post_pictures.c.state, post_pictures.c.account_id, post_pictures.c.size_bytes)
        .where(here)
        .with_for_update()
    )
    was = found.one_or_none()
    if was is None or was.state == "deleted":
        return
    await connection.execute(
        update(post_pictures)
        .where(here)
        .values(state="deleted", account_id=None, size_bytes=0, picture_bytes=None, etag=None)
    )
    held = Charge(was.size_bytes, 0) if was.state == "pending" else Charge(0, was.size_bytes)
    await charge(connection, was.account_id, Charge(-held.reserved_bytes, -held.used_bytes))
