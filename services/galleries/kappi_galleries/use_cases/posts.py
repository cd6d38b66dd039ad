"""Listing the visible posts and deleting one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.pagination import cut_page
from kappi_contracts.events import PostDeleted

from kappi_galleries import metrics
from kappi_galleries.domain.posts import Caller, ListPosition, Post, PostId
from kappi_galleries.errors import PostNotFound, PostNotYours
from kappi_galleries.repository.posts import PostQueries, PostRows


@dataclass(frozen=True, slots=True)
class PostPage:
    """Posts, the most commented first. after: the position from which to continue; None at the end."""

    posts: Sequence[Post]
    after: ListPosition | None


class ListPosts:
    """Lists posts ordered by number of comments, then the newest first."""

    def __init__(self, queries: PostQueries) -> None:
        self._queries = queries

    async def __call__(self, *, after: ListPosition | None, limit: int) -> PostPage:
        """Returns a page of posts.

        A reader that continues from page to page gets no post twice, and gets every post whose count did not
        change in the meantime (ADR-0022).
        """
        if after is None:
            found, snapshot = await self._queries.first_page(limit=limit + 1)
        else:
            found, snapshot = await self._queries.next_page(after, limit=limit + 1), after.snapshot
        page, last = cut_page(found, limit=limit)
        return PostPage(page, ListPosition(last.comment_count, last.id, snapshot) if last else None)


class DeletePost:
    """Deletes a post as its author or as an administrator."""

    def __init__(self, *, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def __call__(self, post_id: PostId, caller: Caller) -> None:
        """Delete a post.

        It is invisible at once; picture and comments follow. Raises PostNotFound, PostNotYours.
        """
        async with self._outbox.begin() as unit:
            locked = await PostRows(unit.connection).lock_live(post_id)
            if locked is None:
                raise PostNotFound
            author_id, version = locked
            if author_id != caller.account_id and not caller.is_admin:
                raise PostNotYours
            await tombstone_post(
                unit,
                post_id,
                author_id=author_id,
                version=version,
                reason="requested",
                now=self._clock(),
            )
        metrics.POSTS.labels("deleted").inc()


async def tombstone_post(
    unit: UnitOfWork,
    post_id: PostId,
    *,
    author_id: UUID,
    version: int,
    reason: Literal["requested", "account_deleted"],
    now: datetime,
) -> None:
    """Turn a post that is locked in this transaction into a tombstone, and publish its deletion. version:
    before the deletion.
    """
    await PostRows(unit.connection).tombstone(post_id, version=version + 1)
    event = PostDeleted(post_id=post_id, author_id=author_id, reason=reason, deleted_at=now)
    await unit.publish(event, sequence=version + 1)
