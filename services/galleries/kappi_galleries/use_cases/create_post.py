"""Creating a post from an uploaded picture or from an item."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol
from uuid import UUID

from kappi_chassis.idempotency import IdempotentCall, StoredAnswer

from kappi_galleries.domain.posts import Caller, PostId
from kappi_galleries.media_client import Pictures
from kappi_galleries.use_cases.post_drafts import PostDrafts, Render

CallOf = Callable[[bytes], IdempotentCall]
"""Returns the idempotent call for a fingerprint of the request."""


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


class CreatePostFromUpload:
    """Creates a post whose picture is uploaded with the request."""

    def __init__(self, drafts: PostDrafts, *, pictures: Pictures) -> None:
        self._drafts = drafts
        self._pictures = pictures

    async def __call__(
        self, caller: Caller, upload: PictureUpload, *, call_of: CallOf | None, render: Render
    ) -> StoredAnswer:
        """Returns the rendered post, or the answer stored before.

        Raises what `PostDrafts.publish`, `Pictures` and the upload do.
        """
        content = _Hashed(upload.content())
        await content.begin()
        if call_of is not None and await self._drafts.is_known(call_of(b"")):
            async for _ in content:
                """Nothing is stored again: what is sent is only compared with the first time."""
            return await self._drafts.repeat(call_of(content.fingerprint(upload.caption())))

        async def store(post_id: PostId) -> tuple[str | None, IdempotentCall | None]:
            await self._pictures.store(
                post_id, caller.account_id, aiter(content), at_most_bytes=upload.at_most_bytes
            )
            caption = upload.caption()
            return caption, None if call_of is None else call_of(content.fingerprint(caption))

        return await self._drafts.publish(caller, store, render=render)


class CreatePostFromItem:
    """Creates a post with the picture of one of the caller's items."""

    def __init__(self, drafts: PostDrafts, *, pictures: Pictures) -> None:
        self._drafts = drafts
        self._pictures = pictures

    async def __call__(
        self,
        caller: Caller,
        media_id: UUID,
        *,
        caption: str | None,
        call: IdempotentCall | None,
        render: Render,
    ) -> StoredAnswer:
        """Returns the rendered post, or the answer stored before.

        Raises what `PostDrafts.publish` and `Pictures` do.
        """
        if call is not None and await self._drafts.is_known(call):
            return await self._drafts.repeat(call)

        async def store(post_id: PostId) -> tuple[str | None, IdempotentCall | None]:
            await self._pictures.use_item(post_id, caller.account_id, media_id)
            return caption, call

        return await self._drafts.publish(caller, store, render=render)
