"""Expiring links. Only the hash of a link's token is kept; an item's links are deleted with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import GalleryId, ItemStatus, LinkId, MediaId
from kappi_media.models.gallery import contents
from kappi_media.models.item import items, links

_FOLLOW = """
SELECT l.id, i.gallery_id, l.media_id, i.folder, i.filename, i.content_type, i.status, c.location_free,
  l.expires_at, least(l.max_views, l.max_downloads) AS max_follows, l.follow_count
FROM links l JOIN items i ON i.id = l.media_id JOIN contents c ON c.gallery_id = i.gallery_id
WHERE l.token_hash = $1 AND i.status <> 'rejected' AND NOT c.closed
"""
# One statement checks the cap and counts, so that no number of concurrent requests can pass it.
_COUNT_FOLLOW = """
UPDATE links SET follow_count = follow_count + 1
WHERE id = $1 AND follow_count < least(max_views, max_downloads) RETURNING true
"""
_LIVE = """
SELECT id, media_id, gallery_id, valid_for_s, expires_at, created_at, max_views, max_downloads, follow_count
FROM links
WHERE media_id = $1 AND gallery_id = $2 AND expires_at > $3 AND id > $4 ORDER BY id LIMIT $5
"""
_REVOKE = "DELETE FROM links WHERE id = $1 AND gallery_id = $2 RETURNING true"
_BEFORE_ALL = UUID(int=0)


class Link(NamedTuple):
    """A link to an item's original. It works before `expires_at`, a whole second, and not from then on."""

    id: LinkId
    media_id: MediaId
    gallery_id: GalleryId
    valid_for_s: int
    expires_at: datetime
    created_at: datetime
    max_views: int | None = None
    max_downloads: int | None = None
    follow_count: int = 0


class LinkTarget(NamedTuple):
    """The target of a link, and when the link expires. max_follows: the smaller of its caps, None without
    one.
    """

    link_id: LinkId
    gallery_id: GalleryId
    media_id: MediaId
    folder: int | None
    filename: str
    content_type: str
    status: ItemStatus
    location_free: bool
    expires_at: datetime
    max_follows: int | None
    follow_count: int

    @property
    def is_used_up(self) -> bool:
        return self.max_follows is not None and self.follow_count >= self.max_follows


class LinkQueries:
    """Runs single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def target(self, token_hash: bytes) -> LinkTarget | None:
        record = await self._database.hot.fetchrow(_FOLLOW, token_hash)
        return LinkTarget._make(record) if record is not None else None

    async def count_follow(self, link_id: LinkId) -> bool:
        """Count a use of a link with a cap. Returns False when the cap is reached, and counts nothing
        then.
        """
        return bool(await self._database.hot.fetchval(_COUNT_FOLLOW, link_id))

    async def live(
        self, media_id: MediaId, gallery_id: GalleryId, *, now: datetime, after: UUID | None, limit: int
    ) -> Sequence[Link]:
        """Returns up to `limit` working links of an item, in the order in which they were made."""
        records: list[Any] = await self._database.hot.fetch(
            _LIVE, media_id, gallery_id, now, after or _BEFORE_ALL, limit
        )
        return [Link._make(record) for record in records]

    async def revoke(self, link_id: LinkId, gallery_id: GalleryId) -> bool:
        """Remove a link. Returns False when the gallery has no such link."""
        return bool(await self._database.hot.fetchval(_REVOKE, link_id, gallery_id))


async def hold_item(connection: AsyncConnection, media_id: MediaId, gallery_id: GalleryId) -> bool:
    """Returns whether there is such an item to link to, and locks it there until the transaction ends."""
    found = await connection.execute(
        select(items.c.id)
        .join_from(items, contents, contents.c.gallery_id == items.c.gallery_id)
        .where(
            items.c.id == media_id,
            items.c.gallery_id == gallery_id,
            items.c.status != "rejected",
            contents.c.deleted_at.is_(None),
        )
        .with_for_update(read=True, of=items)
    )
    return found.first() is not None


async def add_link(connection: AsyncConnection, link: Link, *, token_hash: bytes) -> None:
    await connection.execute(insert(links).values(token_hash=token_hash, **link._asdict()))


async def remove_if_over(connection: AsyncConnection, link_id: LinkId, *, as_of: datetime) -> None:
    """Remove a link unless it still works at that instant."""
    await connection.execute(delete(links).where(links.c.id == link_id, links.c.expires_at <= as_of))
