"""The use cases of comments: adding, deleting and purging them, and checking their counts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import CommentAdded, CommentDeleted, PostDeleted

from kappi_galleries import metrics
from kappi_galleries.domain.posts import Caller, Comment, CommentId, PostId
from kappi_galleries.errors import CommentNotFound, CommentNotYours, PostNotFound
from kappi_galleries.repository.comments import CommentQueries, add_within, mend_count, purge_some_of_post
from kappi_galleries.repository.posts import PostQueries, PostRows

KEPT_AUTHORS = 10_000
PURGE_PAGE = 2_000
CHECK_PAGE = 200
CHECKED_PER_TICK = 20_000
"""Posts checked per tick; the next tick continues after them.

A consumer that works for minutes would lose its partition.
"""

_log = get_logger(__name__)


class AddComment:
    """Adds comments to visible posts."""

    def __init__(
        self, comments: CommentQueries, *, posts: PostQueries, outbox: Outbox, clock: Clock, new_id: NewId
    ) -> None:
        self._comments = comments
        self._posts = posts
        self._outbox = outbox
        self._clock = clock
        self._new_id = new_id
        # The author of a post never changes. The statement itself checks that the post still exists.
        self._post_authors: OrderedDict[PostId, UUID] = OrderedDict()

    async def __call__(
        self,
        caller: Caller,
        post_id: PostId,
        text: str,
        *,
        call: IdempotentCall | None,
        render: Callable[[Comment], StoredAnswer],
    ) -> StoredAnswer:
        """Returns the rendered comment, which is counted, or the answer stored before.

        A call without a key is one statement. Raises PostNotFound, AccessTokenInvalid for a deleted or
        suspended account, IdempotencyKeyReused.
        """
        comment = Comment(CommentId(self._new_id()), post_id, caller.author, text, self._clock())
        event = self._outbox.row(await self._added(comment))

        async def act(unit: UnitOfWork) -> StoredAnswer:
            if not await add_within(unit.connection, caller, comment, event=event):
                raise await self._why_not(post_id)
            unit.published = True
            metrics.COMMENTS.labels("added").inc()
            return render(comment)

        if call is not None:
            return await answer_once(self._outbox, call, act)
        if not await self._comments.add(caller, comment, event=event):
            raise await self._why_not(post_id)
        self._outbox.wake()
        metrics.COMMENTS.labels("added").inc()
        return render(comment)

    async def _added(self, comment: Comment) -> CommentAdded:
        return CommentAdded(
            post_id=comment.post_id,
            comment_id=comment.id,
            author_id=comment.author.account_id,
            post_author_id=await self._post_author(comment.post_id),
            created_at=comment.created_at,
        )

    async def _post_author(self, post_id: PostId) -> UUID:
        known = self._post_authors.get(post_id)
        if known is not None:
            self._post_authors.move_to_end(post_id)
            return known
        found = await self._posts.author_of(post_id)
        if found is None:
            raise PostNotFound
        self._post_authors[post_id] = found
        if len(self._post_authors) > KEPT_AUTHORS:
            self._post_authors.popitem(last=False)
        return found

    async def _why_not(self, post_id: PostId) -> Exception:
        gone = await self._posts.author_of(post_id) is None
        return PostNotFound() if gone else AccessTokenInvalid()


class DeleteComment:
    """Deletes a comment as its author, as the author of its post, or as an administrator."""

    def __init__(self, comments: CommentQueries, *, outbox: Outbox, clock: Clock) -> None:
        self._comments = comments
        self._outbox = outbox
        self._clock = clock

    async def __call__(self, comment_id: CommentId, caller: Caller) -> None:
        """Delete the comment. Raises CommentNotFound, CommentNotYours."""
        found = await self._comments.deletable(comment_id)
        if found is None:
            raise CommentNotFound
        if not found.may_be_deleted_by(caller):
            raise CommentNotYours
        event = CommentDeleted(
            post_id=found.post_id,
            comment_id=comment_id,
            author_id=found.author_id,
            reason="requested",
            deleted_at=self._clock(),
        )
        if not await self._comments.delete(comment_id, found.post_id, event=self._outbox.row(event)):
            raise CommentNotFound
        self._outbox.wake()
        metrics.COMMENTS.labels("deleted").inc()


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


class CheckCommentCounts:
    """A step of `JanitorTick`: corrects wrong counts."""

    def __init__(self, comments: CommentQueries, *, outbox: Outbox) -> None:
        self._comments = comments
        self._outbox = outbox
        self._checked_up_to: PostId | None = None

    async def __call__(self, _: datetime) -> tuple[int, int]:
        """Returns how many posts were checked, and how many counts were corrected."""
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
        _log.info("posts.counts_checked", posts_checked=checked, counts_mended=mended)
        return checked, mended
