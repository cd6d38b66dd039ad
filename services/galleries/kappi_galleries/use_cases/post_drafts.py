"""Drafts of posts: a draft, then its picture, then its publication.

The media service is called between two transactions. The post is visible after the second one. A draft that
is left behind, for example by a killed process, is swept after its lifetime together with its picture.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.problems import Problem, Unavailable
from kappi_contracts.events import PostCreated, PostDeleted

from kappi_galleries import metrics
from kappi_galleries.domain.posts import Caller, Post, PostId
from kappi_galleries.errors import PicturesUnavailable
from kappi_galleries.media_client import MediaRefused
from kappi_galleries.repository.posts import PostQueries, PostRows, publish_draft

Render = Callable[[Post], StoredAnswer]
StorePicture = Callable[[PostId], Awaitable[tuple[str | None, IdempotentCall | None]]]
"""Stores a post's picture. Returns the caption and the idempotent call; both may be known only then."""
SWEEP_PAGE = 100
_FIRST_SEQUENCE = 1

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Draft:
    post_id: PostId
    created_at: datetime


class PostDrafts:
    """Creates drafts, and publishes or removes them."""

    def __init__(self, queries: PostQueries, *, outbox: Outbox, clock: Clock, new_id: NewId) -> None:
        self._queries = queries
        self._outbox = outbox
        self._clock = clock
        self._new_id = new_id

    async def publish(self, caller: Caller, store: StorePicture, *, render: Render) -> StoredAnswer:
        """Create a draft, store its picture and publish it. Returns the rendered post.

        Raises what `store` does, AccessTokenInvalid for an account that was deleted or is suspended,
        IdempotencyKeyReused.
        """
        draft = _Draft(PostId(self._new_id()), self._clock())
        if not await self._queries.draft(draft.post_id, caller, now=draft.created_at):
            raise AccessTokenInvalid
        settled = False
        try:
            caption, call = await store(draft.post_id)
            answer, settled = await self._publish(caller, draft, caption=caption, call=call, render=render)
        except MediaRefused as refused:
            await self._drop(draft.post_id)
            settled = True
            raise refused.problem from refused
        finally:
            if not settled:
                await self._abandon(draft.post_id, caller)
        return answer

    async def is_known(self, call: IdempotentCall) -> bool:
        """Whether the key of the call was used before, with any body."""
        async with self._outbox.begin() as unit:
            return await call.is_known(unit.connection)

    async def repeat(self, call: IdempotentCall) -> StoredAnswer:
        """Returns the answer stored before. Raises IdempotencyKeyReused."""
        async with self._outbox.begin() as unit:
            known = await call.begin(unit.connection)
            if known is None:  # it expired after `is_known` found it
                raise Unavailable("Send it again.", retry_after_s=1)
        return known

    async def _publish(
        self,
        caller: Caller,
        draft: _Draft,
        *,
        caption: str | None,
        call: IdempotentCall | None,
        render: Render,
    ) -> tuple[StoredAnswer, bool]:
        """Returns the answer, and whether it is about this draft; a request with the same key may have been
        first.
        """
        async with self._outbox.begin() as unit:
            known = None if call is None else await call.begin(unit.connection)
            if known is not None:
                return known, False
            if not await publish_draft(unit.connection, draft.post_id, caller, caption=caption):
                raise await self._why_not(unit, draft.post_id)
            event = PostCreated(
                post_id=draft.post_id, author_id=caller.account_id, created_at=draft.created_at
            )
            await unit.publish(event, sequence=_FIRST_SEQUENCE)
            post = Post(
                id=draft.post_id,
                author=caller.author,
                caption=caption,
                comment_count=0,
                created_at=draft.created_at,
            )
            answer = render(post)
            if call is not None:
                await call.store(unit.connection, answer)
        metrics.POSTS.labels("created").inc()
        return answer, True

    async def _why_not(self, unit: UnitOfWork, post_id: PostId) -> Problem:
        """Returns why a draft cannot be published: it was swept because it took too long, or its account may
        not post.
        """
        if await PostRows(unit.connection).is_there(post_id):
            return AccessTokenInvalid()
        return PicturesUnavailable("The picture took too long. Send it again.", retry_after_s=1)

    async def _drop(self, post_id: PostId) -> None:
        """Remove a draft whose picture was refused, of which nothing is stored."""
        async with self._outbox.begin() as unit:
            await PostRows(unit.connection).remove(post_id)
        metrics.POSTS.labels("refused").inc()

    async def _abandon(self, post_id: PostId, caller: Caller) -> None:
        """Remove a draft and publish its deletion, so that anything stored of it is removed, too."""
        async with self._outbox.begin() as unit:
            rows = PostRows(unit.connection)
            if await rows.lock_draft(post_id) is None:
                return
            await rows.remove(post_id)
            event = PostDeleted(
                post_id=post_id,
                author_id=caller.account_id,
                reason="abandoned",
                deleted_at=self._clock(),
            )
            await unit.publish(event, sequence=_FIRST_SEQUENCE)
        metrics.POSTS.labels("abandoned").inc()


class SweepDrafts:
    """A step of `JanitorTick`. lifetime: the longest time that storing a picture may take."""

    def __init__(self, outbox: Outbox, *, lifetime: timedelta, clock: Clock) -> None:
        self._outbox = outbox
        self._lifetime = lifetime
        self._clock = clock

    async def __call__(self, as_of: datetime) -> int:
        """Delete drafts that are older than their lifetime, in pages. Returns how many were deleted."""
        # The wall clock limits the instant: a tick from the future must not remove a draft whose picture is
        # being stored.
        at = min(as_of, self._clock())
        total, is_last = 0, False
        while not is_last:
            swept = await self._sweep_page(at)
            total += swept
            is_last = swept < SWEEP_PAGE
        _log.info("posts.drafts_swept", drafts_swept=total)
        return total

    async def _sweep_page(self, at: datetime) -> int:
        async with self._outbox.begin() as unit:
            rows = PostRows(unit.connection)
            drafts = await rows.lock_old_drafts(before=at - self._lifetime, limit=SWEEP_PAGE)
            for post_id, author_id in drafts:
                await rows.remove(post_id)
                event = PostDeleted(post_id=post_id, author_id=author_id, reason="abandoned", deleted_at=at)
                await unit.publish(event, sequence=_FIRST_SEQUENCE)
        metrics.POSTS.labels("abandoned").inc(len(drafts))
        return len(drafts)
