"""Deletion of everything that an account owned in this service."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.inbox import record
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import CommentDeleted

from kappi_galleries import metrics
from kappi_galleries.repository.accounts import AccountRows
from kappi_galleries.repository.authors import tombstone_author
from kappi_galleries.repository.comments import take_some_of_author
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.repository.posts import PostRows
from kappi_galleries.use_cases.delete_gallery import Doomed, tombstone_galleries
from kappi_galleries.use_cases.posts import tombstone_post

PAGE = 100
COMMENT_PAGE = 500

_log = get_logger(__name__)


class DeleteAccountContent:
    """The handler of `AccountDeleted`. It uses a transaction for each page, so that none holds thousands of
    locks.

    After a crash, the work that was committed is not found again. The event is recorded with the last page.
    """

    def __init__(self, *, outbox: Outbox, clock: Clock, consumer: str, page: int = PAGE) -> None:
        """consumer: the name under which events are recorded. page: galleries per transaction."""
        self._outbox = outbox
        self._clock = clock
        self._consumer = consumer
        self._page = page

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """Returns False for a duplicate."""
        account_id: UUID = envelope.data.account_id
        async with self._outbox.begin() as unit:
            # Committed first: from then on the account gets no gallery and adds no post or comment.
            await AccountRows(unit.connection).tombstone(account_id, deleted_at=envelope.data.deleted_at)
            await tombstone_author(unit.connection, account_id, deleted_at=envelope.data.deleted_at)
        await self._delete_posts(account_id)
        await self._delete_comments(account_id)
        total = 0
        while True:
            async with self._outbox.begin() as unit:
                deleted = await self._delete_page(unit, account_id)
                is_last = deleted < self._page
                is_new = is_last and await record(
                    unit.connection, consumer=self._consumer, event_id=envelope.id
                )
            metrics.DELETED.labels("account_deleted").inc(deleted)
            total += deleted
            if is_last:
                _log.info("account.deleted", account_id=str(account_id), galleries=total)
                return is_new

    async def _delete_page(self, unit: UnitOfWork, account_id: UUID) -> int:
        now = self._clock()
        galleries = await GalleryRows(unit.connection).lock_some_of_owner(account_id, limit=self._page)
        for gallery in galleries:  # one by one, because a statement has a time limit and no limit of items
            await tombstone_galleries(unit, [Doomed(gallery)], reason="account_deleted", now=now)
        return len(galleries)

    async def _delete_posts(self, account_id: UUID) -> None:
        while True:
            async with self._outbox.begin() as unit:
                found = await PostRows(unit.connection).lock_some_of_author(account_id, limit=self._page)
                for post_id, version in found:
                    await tombstone_post(
                        unit,
                        post_id,
                        author_id=account_id,
                        version=version,
                        reason="account_deleted",
                        now=self._clock(),
                    )
            metrics.POSTS.labels("deleted").inc(len(found))
            if len(found) < self._page:
                return

    async def _delete_comments(self, account_id: UUID) -> None:
        while True:
            async with self._outbox.begin() as unit:
                taken, more = await take_some_of_author(unit.connection, account_id, limit=COMMENT_PAGE)
                for comment in taken:
                    if comment.sequence is not None:
                        event = CommentDeleted(
                            post_id=comment.post_id,
                            comment_id=comment.id,
                            author_id=account_id,
                            reason="account_deleted",
                            deleted_at=self._clock(),
                        )
                        await unit.publish(event, sequence=comment.sequence)
            metrics.COMMENTS.labels("deleted").inc(len(taken))
            if not more:
                return
