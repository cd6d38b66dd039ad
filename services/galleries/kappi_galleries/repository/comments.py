"""Comments, and the exact number of them that each post stores.

A comment and its post's count change in one transaction. A deletion of comments locks their posts first, in
the order of their ids, so that no two transactions wait for each other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kappi_chassis.db import Database, driver_of
from kappi_chassis.outbox import OutboxRow
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain.posts import Author, Caller, Comment, CommentId, DeletableComment, PostId
from kappi_galleries.models import comments, posts
from kappi_galleries.repository.authors import HOLD, held, note_author
from kappi_galleries.repository.posts import SHOWN

_ADD = f"""
WITH author AS MATERIALIZED ({HOLD}),
counted AS (
  UPDATE posts p SET comment_count = p.comment_count + 1, version = p.version + 1 FROM author
  WHERE p.id = $4 AND {SHOWN}
  RETURNING p.version),
added AS (
  INSERT INTO comments (id, post_id, author_id, text, created_at) SELECT $5, $4, $1, $6, $7 FROM counted)
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT $8, $9, $10, $11, $12, $13, version FROM counted
RETURNING true
"""  # noqa: S608 - a constant, not input
# Records the fall of a post's count for readers of the list (ADR-0022).
_DROP = """
  dropped_from = CASE WHEN p.dropped_at > now() - interval '1 day'
    THEN greatest(p.dropped_from, p.comment_count) ELSE p.comment_count END,
  dropped_at = now(), dropped_xid = pg_current_xact_id()::text::bigint"""
_DELETE = f"""
WITH post AS MATERIALIZED (SELECT id FROM posts WHERE id = $1 AND state = 'live' FOR UPDATE),
gone AS (DELETE FROM comments c USING post WHERE c.id = $2 AND c.post_id = post.id RETURNING c.post_id),
counted AS (
  UPDATE posts p SET comment_count = p.comment_count - 1, version = p.version + 1, {_DROP}
  FROM gone WHERE p.id = gone.post_id
  RETURNING p.version)
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT $3, $4, $5, $6, $7, $8, version FROM counted
RETURNING true
"""  # noqa: S608 - as above
_DELETABLE = """
SELECT c.post_id, c.author_id, p.author_id AS post_author_id
FROM comments c JOIN posts p ON p.id = c.post_id
WHERE c.id = $1 AND p.state = 'live'
"""
_PAGE = f"""
SELECT p.id AS post_id, c.id, c.author_id, a.display_name, c.text, c.created_at
FROM posts p
LEFT JOIN LATERAL (
  SELECT id, author_id, text, created_at FROM comments
  WHERE post_id = p.id AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3) c ON true
LEFT JOIN authors a ON a.account_id = c.author_id
WHERE p.id = $1 AND {SHOWN}
ORDER BY c.id DESC
"""  # noqa: S608 - as above
# Reads counts and comments in one snapshot, so that a concurrent change is not taken for a wrong count.
_MISCOUNTED = """
SELECT id, comment_count = counted AS exact FROM (
  SELECT p.id, p.comment_count, (SELECT count(*) FROM comments c WHERE c.post_id = p.id) AS counted
  FROM posts p WHERE p.state = 'live' AND ($1::uuid IS NULL OR p.id > $1) ORDER BY p.id LIMIT $2) AS checked
ORDER BY id
"""
_MEND = f"""
WITH counted AS (SELECT count(*) AS comments FROM comments WHERE post_id = $1)
UPDATE posts p SET comment_count = counted.comments, version = p.version + 1, {_DROP}
FROM counted WHERE p.id = $1 AND p.state = 'live' AND p.comment_count <> counted.comments
RETURNING p.comment_count
"""  # noqa: S608 - as above

_COUNT_OUT = f"""
UPDATE posts p SET comment_count = p.comment_count - fallen.by, version = p.version + fallen.by, {_DROP}
FROM unnest($1::uuid[], $2::bigint[]) AS fallen (id, by) WHERE p.id = fallen.id
"""  # noqa: S608 - as above


@dataclass(frozen=True, slots=True)
class CheckedPosts:
    """The result of a check. last: the id after which to continue; None after the last post."""

    checked: int
    miscounted: list[PostId]
    last: PostId | None


class CommentQueries:
    """Single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, caller: Caller, comment: Comment, *, event: OutboxRow) -> bool:
        """Add a comment, count it and publish its event.

        Returns False when its post or the account is gone.
        """
        return await _add(self._database.hot, caller, comment, event=event)

    async def delete(self, comment_id: CommentId, post_id: PostId, *, event: OutboxRow) -> bool:
        """Delete a comment, subtract it from the count and publish its event.

        Returns False when it is gone already.
        """
        return bool(await self._database.hot.fetchval(_DELETE, post_id, comment_id, *event))

    async def deletable(self, comment_id: CommentId) -> DeletableComment | None:
        record = await self._database.hot.fetchrow(_DELETABLE, comment_id)
        return None if record is None else DeletableComment(PostId(record[0]), record[1], record[2])

    async def page(self, post_id: PostId, *, before: UUID | None, limit: int) -> list[Comment] | None:
        """Returns comments of a post, the newest first; None where there is no such post."""
        records = await self._database.hot.fetch(_PAGE, post_id, before, limit)
        if not records:
            return None
        return [
            Comment(
                CommentId(record["id"]),
                post_id,
                Author(record["author_id"], record["display_name"]),
                record["text"],
                record["created_at"],
            )
            for record in records
            if record["id"] is not None
        ]

    async def check(self, *, after: PostId | None, limit: int) -> CheckedPosts:
        """Compare the counts of some posts with their comments, in the order of the posts' ids."""
        records = await self._database.hot.fetch(_MISCOUNTED, after, limit)
        return CheckedPosts(
            checked=len(records),
            miscounted=[PostId(record["id"]) for record in records if not record["exact"]],
            last=PostId(records[-1]["id"]) if len(records) == limit else None,
        )


async def add_within(
    connection: AsyncConnection, caller: Caller, comment: Comment, *, event: OutboxRow
) -> bool:
    """`CommentQueries.add` within a transaction that has already begun."""
    return await _add(await driver_of(connection), caller, comment, event=event)


async def mend_count(connection: AsyncConnection, post_id: PostId) -> int | None:
    """Recount a post's comments under its lock. Returns the new count; None when the count is exact."""
    await connection.execute(select(posts.c.id).where(posts.c.id == post_id).with_for_update())
    driver = await driver_of(connection)
    mended: int | None = await driver.fetchval(_MEND, post_id)
    return mended


async def purge_some_of_post(connection: AsyncConnection, post_id: PostId, *, limit: int) -> int:
    """Remove up to `limit` comments of a post that has a tombstone. Returns how many were removed."""
    tombstoned = await connection.execute(
        select(posts.c.id).where(posts.c.id == post_id, posts.c.state == "deleted").with_for_update()
    )
    if tombstoned.one_or_none() is None:
        return 0
    some = select(comments.c.id).where(comments.c.post_id == post_id).limit(limit)
    result = await connection.execute(delete(comments).where(comments.c.id.in_(some)))
    return result.rowcount


@dataclass(frozen=True, slots=True)
class TakenComment:
    """A removed comment. sequence: its post's version after the removal; None when the post has a
    tombstone.
    """

    id: CommentId
    post_id: PostId
    sequence: int | None


async def take_some_of_author(
    connection: AsyncConnection, account_id: UUID, *, limit: int
) -> tuple[list[TakenComment], bool]:
    """Remove up to `limit` comments of an account and subtract each from its post's count.

    Returns the removed comments, and whether there may be more. Fewer may be removed than were found, because
    other transactions remove comments at the same time.
    """
    mine = await connection.execute(
        select(comments.c.id, comments.c.post_id)
        .where(comments.c.author_id == account_id)
        .order_by(comments.c.id)
        .limit(limit)
    )
    candidates = mine.all()
    versions = await _lock_posts(connection, {row.post_id for row in candidates})
    removed = await connection.execute(
        delete(comments)
        .where(comments.c.id.in_([row.id for row in candidates]))
        .returning(comments.c.id, comments.c.post_id)
    )
    taken = []
    for row in removed:
        version = versions.get(row.post_id)
        if version is not None:
            version += 1
            versions[row.post_id] = version
        taken.append(TakenComment(CommentId(row.id), PostId(row.post_id), version))
    await _count_out(connection, Counter(each.post_id for each in taken if each.sequence is not None))
    return taken, len(candidates) == limit


async def _lock_posts(connection: AsyncConnection, post_ids: set[UUID]) -> dict[UUID, int]:
    """Lock the posts. Returns the versions of the visible ones."""
    found = await connection.execute(
        select(posts.c.id, posts.c.version, posts.c.state)
        .where(posts.c.id.in_(post_ids))
        .order_by(posts.c.id)
        .with_for_update()
    )
    return {row.id: row.version for row in found if row.state == "live"}


async def _count_out(connection: AsyncConnection, by_post: Counter[PostId]) -> None:
    driver = await driver_of(connection)
    await driver.execute(_COUNT_OUT, list(by_post), list(by_post.values()))


async def _add(asyncpg: Any, caller: Caller, comment: Comment, *, event: OutboxRow) -> bool:
    arguments = (*held(caller), comment.post_id, comment.id, comment.text, comment.created_at, *event)
    if await asyncpg.fetchval(_ADD, *arguments):
        return True
    # This is the account's first comment, or the first under a new name; or there is no such post.
    return await note_author(asyncpg, caller) and bool(await asyncpg.fetchval(_ADD, *arguments))
