"""Commenting on posts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.pagination import cut_page
from kappi_contracts.events import CommentAdded, CommentDeleted

from kappi_galleries import metrics
from kappi_galleries.domain.posts import Caller, Comment, CommentId, PostId
from kappi_galleries.errors import CommentNotFound, CommentNotYours, PostNotFound
from kappi_galleries.repository.comments import CommentQueries, add_within
from kappi_galleries.repository.posts import PostQueries

KEPT_AUTHORS = 10_000


@dataclass(frozen=True, slots=True)
class CommentPage:
    """Comments, the newest first. before: the id from which to continue; None at the end."""

    comments: Sequence[Comment]
    before: UUID | None


class Comments:
    """The comments of visible posts."""

    def __init__(
        self,
        comments: CommentQueries,
        *,
        posts: PostQueries,
        outbox: Outbox,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._comments = comments
        self._posts = posts
        self._outbox = outbox
        self._clock = clock
        self._new_id = new_id
        # The author of a post never changes. The statement itself checks that the post still exists.
        self._post_authors: OrderedDict[PostId, UUID] = OrderedDict()

    async def list(self, post_id: PostId, *, before: UUID | None, limit: int) -> CommentPage:
        """Returns a page of a post's comments. Raises PostNotFound."""
        found = await self._comments.page(post_id, before=before, limit=limit + 1)
        if found is None:
            raise PostNotFound
        page, last = cut_page(found, limit=limit)
        return CommentPage(page, last.id if last else None)

    async def add(self, caller: Caller, post_id: PostId, text: str) -> Comment:
        """Returns the new comment, which is counted.

        Raises PostNotFound, and AccessTokenInvalid for a deleted or suspended account.
        """
        comment = self._comment(caller, post_id, text)
        event = self._outbox.row(await self._added(comment))
        if not await self._comments.add(caller, comment, event=event):
            raise await self._why_not(post_id)
        self._outbox.wake()
        metrics.COMMENTS.labels("added").inc()
        return comment

    async def add_once(
        self,
        call: IdempotentCall,
        caller: Caller,
        post_id: PostId,
        text: str,
        *,
        render: Callable[[Comment], StoredAnswer],
    ) -> StoredAnswer:
        """Returns the rendered comment, or the answer stored before.

        Raises as `add` does, and IdempotencyKeyReused.
        """
        comment = self._comment(caller, post_id, text)
        added = await self._added(comment)

        async def act(unit: UnitOfWork) -> StoredAnswer:
            if not await add_within(unit.connection, caller, comment, event=self._outbox.row(added)):
                raise await self._why_not(post_id)
            unit.published = True
            metrics.COMMENTS.labels("added").inc()
            return render(comment)

        return await answer_once(self._outbox, call, act)

    async def delete(self, comment_id: CommentId, caller: Caller) -> None:
        """Delete a comment as its author, the author of its post, or an administrator.

        Raises CommentNotFound, CommentNotYours.
        """
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

    def _comment(self, caller: Caller, post_id: PostId, text: str) -> Comment:
        return Comment(CommentId(self._new_id()), post_id, caller.author, text, self._clock())

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
