"""SQL of posts: drafts, the list, one post, deletion."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from kappi_chassis.db import Database, driver_of
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain.posts import (
    LAST_COMMENTS,
    Author,
    Caller,
    Comment,
    CommentId,
    ListPosition,
    Post,
    PostId,
)
from kappi_galleries.models import posts
from kappi_galleries.repository.authors import HOLD, held, note_author

_DRAFT = f"""
WITH author AS MATERIALIZED ({HOLD})
INSERT INTO posts (id, author_id, state, created_at) SELECT $4, account_id, 'draft', $5 FROM author
RETURNING true
"""  # noqa: S608 - a constant, not input
# The CTE locks the author's row first. The update then finds the post only if it is still a draft, whatever
# the statement's snapshot shows.
_PUBLISH = f"""
WITH author AS MATERIALIZED ({HOLD})
UPDATE posts p SET state = 'live', caption = $5, version = 1 FROM author
WHERE p.id = $4 AND p.author_id = author.account_id AND p.state = 'draft'
RETURNING true
"""  # noqa: S608 - as above
_SHOWN = f"""
SELECT p.id, p.author_id, a.display_name, p.caption, p.comment_count, p.created_at,
       c.id AS comment_id, c.author_id AS comment_author_id, ca.display_name AS comment_author_name,
       c.text AS comment_text, c.created_at AS commented_at, p.snapshot
FROM page p
LEFT JOIN authors a ON a.account_id = p.author_id
LEFT JOIN LATERAL (
  SELECT id, author_id, text, created_at FROM comments
  WHERE post_id = p.id ORDER BY id DESC LIMIT {LAST_COMMENTS}) c ON true
LEFT JOIN authors ca ON ca.account_id = c.author_id
ORDER BY p.comment_count DESC, p.id DESC, c.id DESC
"""  # noqa: S608 - as above
SHOWN = """p.state = 'live'
    AND NOT EXISTS (SELECT FROM suspended_accounts s WHERE s.account_id = p.author_id AND s.suspended)"""
"""The condition that a post `p` is visible. A suspended account's posts are hidden until it is reinstated."""
_PAGE_COLUMNS = "id, author_id, caption, comment_count, created_at"
_FIRST_PAGE = f"""
WITH page AS MATERIALIZED (
  SELECT {_PAGE_COLUMNS}, pg_current_snapshot()::text AS snapshot FROM posts p
  WHERE {SHOWN} ORDER BY comment_count DESC, id DESC LIMIT $1)
{_SHOWN}
"""  # noqa: S608 - as above
# Leaves out posts that stood at or before the place where the last page ended and fell behind it since the
# first page was read, because the reader has seen them.
_NEXT_PAGE = f"""
WITH page AS MATERIALIZED (
  SELECT {_PAGE_COLUMNS}, $4::text AS snapshot FROM posts p
  WHERE {SHOWN} AND (comment_count, id) < ($2, $3)
    AND (dropped_xid IS NULL OR dropped_at < now() - interval '1 day' OR (dropped_from, id) < ($2, $3)
         OR pg_visible_in_snapshot(dropped_xid::text::xid8, $4::text::pg_snapshot))
  ORDER BY comment_count DESC, id DESC LIMIT $1)
{_SHOWN}
"""  # noqa: S608 - as above
_ONE = f"""
WITH page AS MATERIALIZED (
  SELECT {_PAGE_COLUMNS}, NULL AS snapshot FROM posts p WHERE id = $1 AND {SHOWN})
{_SHOWN}
"""  # noqa: S608 - as above
_AUTHOR = f"SELECT author_id FROM posts p WHERE id = $1 AND {SHOWN}"  # noqa: S608 - as above


class PostQueries:
    """Single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def draft(self, post_id: PostId, caller: Caller, *, now: datetime) -> bool:
        """Create a draft. Returns False when the account was deleted or is suspended."""
        hot = self._database.hot
        if await hot.fetchval(_DRAFT, *held(caller), post_id, now):
            return True
        return await note_author(hot, caller) and bool(
            await hot.fetchval(_DRAFT, *held(caller), post_id, now)
        )

    async def find(self, post_id: PostId) -> Post | None:
        """Returns a visible post."""
        found = _posts(await self._database.hot.fetch(_ONE, post_id))
        return found[0] if found else None

    async def first_page(self, *, limit: int) -> tuple[list[Post], str]:
        """Returns the first posts of the list, and the snapshot in which they were read."""
        records = await self._database.hot.fetch(_FIRST_PAGE, limit)
        return _posts(records), records[0]["snapshot"] if records else ""

    async def next_page(self, after: ListPosition, *, limit: int) -> list[Post]:
        records = await self._database.hot.fetch(
            _NEXT_PAGE, limit, after.comment_count, after.post_id, after.snapshot
        )
        return _posts(records)

    async def author_of(self, post_id: PostId) -> UUID | None:
        """Returns the author of a visible post."""
        found: UUID | None = await self._database.hot.fetchval(_AUTHOR, post_id)
        return found


async def publish_draft(
    connection: AsyncConnection, post_id: PostId, caller: Caller, *, caption: str | None
) -> bool:
    """Make a draft visible.

    Returns False when it is no draft any more, or the account was deleted or is suspended.
    """
    asyncpg = await driver_of(connection)
    if await asyncpg.fetchval(_PUBLISH, *held(caller), post_id, caption):
        return True
    # Another request may have stored a name that differs from this one's.
    return await note_author(asyncpg, caller) and bool(
        await asyncpg.fetchval(_PUBLISH, *held(caller), post_id, caption)
    )


class PostRows:
    """Posts within one transaction: lock first, then decide, then write."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock_live(self, post_id: PostId) -> tuple[UUID, int] | None:
        """Returns author and version of a visible post, locked."""
        return await self._lock(post_id, state="live")

    async def lock_draft(self, post_id: PostId) -> tuple[UUID, int] | None:
        return await self._lock(post_id, state="draft")

    async def is_there(self, post_id: PostId) -> bool:
        """Whether a row exists: a post, a draft or a tombstone."""
        found = await self._connection.execute(select(posts.c.id).where(posts.c.id == post_id))
        return found.one_or_none() is not None

    async def lock_some_of_author(self, account_id: UUID, *, limit: int) -> list[tuple[PostId, int]]:
        """Returns ids and versions of drafts and posts of an account, locked."""
        found = await self._connection.execute(
            select(posts.c.id, posts.c.version)
            .where(posts.c.author_id == account_id, posts.c.state != "deleted")
            .order_by(posts.c.id)
            .limit(limit)
            .with_for_update()
        )
        return [(PostId(row.id), row.version) for row in found]

    async def lock_old_drafts(self, *, before: datetime, limit: int) -> list[tuple[PostId, UUID]]:
        """Returns ids and authors of drafts begun before the instant.

        Drafts locked by other transactions are skipped.
        """
        found = await self._connection.execute(
            select(posts.c.id, posts.c.author_id)
            .where(posts.c.state == "draft", posts.c.created_at < before)
            .order_by(posts.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return [(PostId(row.id), row.author_id) for row in found]

    async def tombstone(self, post_id: PostId, *, version: int) -> None:
        """Turn a locked post into a tombstone; its comments are removed later."""
        await self._connection.execute(
            update(posts)
            .where(posts.c.id == post_id)
            .values(state="deleted", caption=None, comment_count=0, version=version)
        )

    async def remove(self, post_id: PostId) -> bool:
        """Remove the row of a draft or a tombstone without comments. Returns False where there is none."""
        result = await self._connection.execute(
            delete(posts).where(posts.c.id == post_id, posts.c.state != "live")
        )
        return bool(result.rowcount)

    async def _lock(self, post_id: PostId, *, state: str) -> tuple[UUID, int] | None:
        found = await self._connection.execute(
            select(posts.c.author_id, posts.c.version)
            .where(posts.c.id == post_id, posts.c.state == state)
            .with_for_update()
        )
        row = found.one_or_none()
        return None if row is None else (row.author_id, row.version)


def _posts(records: Iterable[Any]) -> list[Post]:
    """Returns the posts in rows of `_SHOWN`: one row for each comment, or one for a post without comments."""
    return [_post(list(rows)) for _, rows in groupby(records, key=lambda record: record["id"])]


def _post(rows: list[Any]) -> Post:
    first = rows[0]
    post_id = PostId(first["id"])
    return Post(
        id=post_id,
        author=Author(first["author_id"], first["display_name"]),
        caption=first["caption"],
        comment_count=first["comment_count"],
        created_at=first["created_at"],
        last_comments=tuple(
            Comment(
                CommentId(row["comment_id"]),
                post_id,
                Author(row["comment_author_id"], row["comment_author_name"]),
                row["comment_text"],
                row["commented_at"],
            )
            for row in rows
            if row["comment_id"] is not None
        ),
    )
