"""Creating a post: a draft, then its picture, then its publication.

The media service is called between two transactions. The post is visible after the second one. A draft that
is left behind, for example by a killed process, is swept after its lifetime together with its picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.problems import Problem, Unavailable
from kappi_contracts.events import PostCreated, PostDeleted

from kappi_galleries import metrics
from kappi_galleries.domain.posts import Caller, Post, PostId
from kappi_galleries.errors import PicturesUnavailable
from kappi_galleries.media_client import MediaRefused, Pictures
from kappi_galleries.repository.posts import PostQueries, PostRows, publish_draft

CallOf = Callable[[bytes], IdempotentCall]
"""Returns the idempotent call for a fingerprint of the request."""
Render = Callable[[Post], StoredAnswer]
_FIRST_SEQUENCE = 1


class PictureUpload(Protocol):
    """A picture that is being received, with a caption before or after it."""

    at_most_bytes: int | None

    def content(self) -> AsyncIterator[bytes]:
        """Yields the picture. It is iterated once, to its end."""
        ...

    def caption(self) -> str | None:
        """Returns the caption, known after the content has arrived.

        Raises ValidationFailed, MalformedForm.
        """
        ...


class _Hashed:
    """Content that is hashed while it passes through."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._digest = hashlib.sha256()
        self._first = b""

    async def begin(self) -> None:
        """Wait for the first piece, so that a request without a picture ends before a draft is created."""
        self._first = await anext(self._pieces, b"")
        self._digest.update(self._first)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._first:
            yield self._first
        async for piece in self._pieces:
            self._digest.update(piece)
            yield piece

    def fingerprint(self, caption: str | None) -> bytes:
        """Returns the fingerprint of picture and caption.

        The raw body is not hashed, since a repeated form has another boundary.
        """
        return self._digest.digest() + (b"" if caption is None else b"caption" + caption.encode())


@dataclass(frozen=True, slots=True)
class _Draft:
    post_id: PostId
    created_at: datetime


class CreatePost:
    """Creates posts.

    Every method raises AccessTokenInvalid for an account that was deleted or is suspended.
    """

    def __init__(
        self,
        queries: PostQueries,
        *,
        pictures: Pictures,
        outbox: Outbox,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._queries = queries
        self._pictures = pictures
        self._outbox = outbox
        self._clock = clock
        self._new_id = new_id

    async def from_upload(
        self, caller: Caller, upload: PictureUpload, *, call_of: CallOf | None, render: Render
    ) -> StoredAnswer:
        """Returns the rendered post, or the answer stored before.

        Raises what `Pictures` and the upload do, IdempotencyKeyReused.
        """
        content = _Hashed(upload.content())
        await content.begin()
        if call_of is not None and await self._is_known(call_of(b"")):
            async for _ in content:
                """Nothing is stored again: what is sent is only compared with the first time."""
            return await self._repeat(call_of(content.fingerprint(upload.caption())))

        async def store(post_id: PostId) -> tuple[str | None, IdempotentCall | None]:
            await self._pictures.store(
                post_id, caller.account_id, aiter(content), at_most_bytes=upload.at_most_bytes
            )
            caption = upload.caption()
            return caption, None if call_of is None else call_of(content.fingerprint(caption))

        return await self._create(caller, store, render=render)

    async def from_item(
        self,
        caller: Caller,
        media_id: UUID,
        *,
        caption: str | None,
        call: IdempotentCall | None,
        render: Render,
    ) -> StoredAnswer:
        """As `from_upload`, with the picture of one of the caller's items."""
        if call is not None and await self._is_known(call):
            return await self._repeat(call)

        async def store(post_id: PostId) -> tuple[str | None, IdempotentCall | None]:
            await self._pictures.use_item(post_id, caller.account_id, media_id)
            return caption, call

        return await self._create(caller, store, render=render)

    async def _create(
        self,
        caller: Caller,
        store: Callable[[PostId], Awaitable[tuple[str | None, IdempotentCall | None]]],
        *,
        render: Render,
    ) -> StoredAnswer:
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

    async def _is_known(self, call: IdempotentCall) -> bool:
        async with self._outbox.begin() as unit:
            return await call.is_known(unit.connection)

    async def _repeat(self, call: IdempotentCall) -> StoredAnswer:
        async with self._outbox.begin() as unit:
            known = await call.begin(unit.connection)
            if known is None:  # it expired after `_is_known` found it
                raise Unavailable("Send it again.", retry_after_s=1)
        return known
