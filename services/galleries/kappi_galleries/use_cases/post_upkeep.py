"""Upkeep of posts: removes the comments of deleted posts, sweeps abandoned drafts and checks counts."""

from __future__ import annotations

from datetime import datetime, timedelta

from kappi_chassis.clock import Clock
from kappi_chassis.db import Database
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import JanitorTick, PostDeleted

from kappi_galleries import metrics
from kappi_galleries.domain.posts import PostId
from kappi_galleries.repository.comments import CommentQueries, mend_count, purge_some_of_post
from kappi_galleries.repository.posts import PostRows

PURGE_PAGE = 2_000
SWEEP_PAGE = 100
CHECK_PAGE = 200
CHECKED_PER_TICK = 20_000
"""Posts checked per tick; the next tick continues after them.

A consumer that works for minutes would lose its partition.
"""

_log = get_logger(__name__)


class PurgeComments:
    """Handles PostDeleted: removes the comments in a transaction per page, then the post's row.

    It needs no inbox: each step removes what still exists.
    """

    def __init__(self, outbox: Outbox, *, page: int = PURGE_PAGE) -> None:
        self._outbox = outbox
        self._page = page

    async def __call__(self, envelope: Envelope[PostDeleted]) -> bool:
        """Returns False when nothing was left to remove."""
        post_id = PostId(envelope.data.post_id)
        total = 0
        while True:
            async with self._outbox.begin() as unit:
                removed = await purge_some_of_post(unit.connection, post_id, limit=self._page)
                total += removed
                if removed < self._page:
                    is_news = await PostRows(unit.connection).remove(post_id)
                    break
        metrics.COMMENTS.labels("purged").inc(total)
        return is_news


class PostUpkeep:
    """Handles JanitorTick. draft_lifetime: the longest time that storing a picture may take.

    It needs no inbox: a repeated tick finds only the remaining work.
    """

    def __init__(
        self, database: Database, outbox: Outbox, *, draft_lifetime: timedelta, clock: Clock
    ) -> None:
        self._comments = CommentQueries(database)
        self._outbox = outbox
        self._draft_lifetime = draft_lifetime
        self._clock = clock
        self._checked_up_to: PostId | None = None

    async def __call__(self, envelope: Envelope[JanitorTick]) -> bool:
        """Returns True always: a tick counts as handled even if it finds nothing to do."""
        # The wall clock limits the instant: a tick from the future must not remove a draft whose picture is
        # being stored.
        at = min(envelope.data.at, self._clock())
        swept = await self.sweep_drafts(at)
        checked, mended = await self.check_counts()
        _log.info("posts.kept_up", drafts_swept=swept, posts_checked=checked, counts_mended=mended)
        return True

    async def sweep_drafts(self, at: datetime) -> int:
        """Delete drafts that are older than their lifetime. Returns how many were deleted."""
        total = 0
        while True:
            async with self._outbox.begin() as unit:
                rows = PostRows(unit.connection)
                drafts = await rows.lock_old_drafts(before=at - self._draft_lifetime, limit=SWEEP_PAGE)
                for post_id, author_id in drafts:
                    await rows.remove(post_id)
                    event = PostDeleted(
                        post_id=post_id, author_id=author_id, reason="abandoned", deleted_at=at
                    )
                    await unit.publish(event, sequence=1)
            total += len(drafts)
            metrics.POSTS.labels("abandoned").inc(len(drafts))
            if len(drafts) < SWEEP_PAGE:
                return total

    async def check_counts(self) -> tuple[int, int]:
        """Compare posts' counts with their comments and correct wrong ones. Returns (checked, corrected)."""
        checked = mended = 0
        while checked < CHECKED_PER_TICK:
            page = await self._comments.check(after=self._checked_up_to, limit=CHECK_PAGE)
            checked += page.checked
            for post_id in page.miscounted:
                async with self._outbox.begin() as unit:
                    count = await mend_count(unit.connection, post_id)
                if count is not None:
                    mended += 1
                    _log.warning("posts.count_mended", post_id=str(post_id), comment_count=count)
            self._checked_up_to = page.last
            if page.last is None:
                break
        metrics.COUNTS_MENDED.inc(mended)
        return checked, mended
