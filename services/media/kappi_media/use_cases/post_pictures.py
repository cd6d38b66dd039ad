"""The pictures of posts: store one, make the JPEG that is shown, remove it with its post (ADR-0022).

The galleries service keeps the posts and requests their pictures. A post is not visible before its picture is
stored, so every step here may fail or be repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import UnitOfWork
from kappi_chassis.problems import Problem
from kappi_chassis.storage import ObjectMissing, ObjectStore, StorageUnavailable
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import PostDeleted
from kappi_contracts.keys import POST_PICTURE_SIZE, original_key, post_original_key, post_picture_key
from kappi_mediameta.probing import DEFAULT_LIMITS, MediaFormat, Probe, ProbeLimits, Rejected, sniff

from kappi_media import metrics
from kappi_media.domain.media import AccountId, MediaId, PostId
from kappi_media.domain.shares import Share
from kappi_media.errors import (
    FileTooLarge,
    MediaNotAPicture,
    MediaNotFound,
    MediaNotReady,
    PictureTypeNotTaken,
    PictureUnusable,
    PostNotFound,
    QuotaExceeded,
    RenditionsBusy,
    StoreUnavailable,
)
from kappi_media.rendering.failures import DecoderUnavailable
from kappi_media.rendering.sizes import RenditionSize
from kappi_media.repository.post_pictures import (
    NotReserved,
    PostPictureQueries,
    ShownPicture,
    tombstone_picture,
)
from kappi_media.stored_renditions import Decoding
from kappi_media.stored_source import StoredSource
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.measured_content import MeasuredContent
from kappi_media.use_cases.room import check_room, store_problem

TAKEN: Final = frozenset({MediaFormat.PNG, MediaFormat.JPEG, MediaFormat.BMP})
SHOWN_RESERVE_BYTES: Final = 1 << 20
"""The quota reserved for the JPEG before its size is known."""
RENDER_WITHIN_S: Final = 90.0
"""The timeout of rendering. The largest pictures take most of a minute, and others may be before them."""
_SHOWN_TYPE: Final = "image/jpeg"

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PictureOrder:
    """The order of a picture for a post. account_id: the author's, which is charged."""

    post_id: PostId
    account_id: AccountId


class StorePostPicture:
    """Stores the picture of a post. max_bytes: the limit of an original, if the author's tier has no lower
    one.
    """

    def __init__(
        self,
        pictures: PostPictureQueries,
        *,
        store: ObjectStore,
        decoding: Decoding,
        tier: GoverningTier,
        max_bytes: int,
        limits: ProbeLimits = DEFAULT_LIMITS,
    ) -> None:
        self._pictures = pictures
        self._store = store
        self._decoding = decoding
        self._tier = tier
        self._max_bytes = max_bytes
        self._limits = limits

    async def from_file(
        self, order: PictureOrder, pieces: AsyncIterator[bytes], *, announced_bytes: int | None
    ) -> None:
        """Store an original as it arrives, and the JPEG made of it.

        announced_bytes: the largest possible size, if it is known. A failure leaves nothing. Raises
        FileTooLarge, PictureTypeNotTaken, PictureUnusable, QuotaExceeded, PostNotFound, RenditionsBusy,
        InsufficientStorage, StoreUnavailable, and what `pieces` raises.
        """
        rules = await self._tier(order.account_id)
        at_most_bytes = min(self._max_bytes, rules.max_file_bytes)
        if announced_bytes is not None:
            at_most_bytes = min(at_most_bytes, announced_bytes)
        content = MeasuredContent(pieces, at_most_bytes=at_most_bytes, too_large=FileTooLarge)
        fmt = sniff(await content.head())
        if fmt not in TAKEN or fmt is None:
            # The body is read to its end: a client that is still sending would not see the answer.
            await content.drain()
            if not content.size_bytes:
                raise PictureUnusable("The file has no bytes. (empty)")
            raise PictureTypeNotTaken
        await check_room(self._store, at_most_bytes)
        async with self._reserved(
            order, size_bytes=at_most_bytes + SHOWN_RESERVE_BYTES, quota_bytes=rules.quota_bytes
        ):
            key = post_original_key(order.post_id)
            async with aclosing(content.rest()) as chunks:
                await self._store.put_stream(key, chunks, content_type=fmt.content_type, replace=True)
            source = StoredSource(self._store, key, size_bytes=content.size_bytes)
            shown = await self._make(order, source, fmt=fmt)
            await self._settle(order, original_bytes=content.size_bytes, shown=shown)

    async def from_item(self, order: PictureOrder, media_id: MediaId) -> None:
        """Make the JPEG of one of the author's own items; the item keeps the original.

        Raises MediaNotFound, MediaNotReady, MediaNotAPicture, and as `from_file` does.
        """
        item = await self._pictures.own_item(media_id, order.account_id)
        if item is None:
            raise MediaNotFound
        if item.probe is None:
            raise MediaNotReady("Try again in a moment.")
        if item.probe.kind != "image":
            raise MediaNotAPicture("A post shows a picture, not a film.")
        rules = await self._tier(order.account_id)
        async with self._reserved(order, size_bytes=SHOWN_RESERVE_BYTES, quota_bytes=rules.quota_bytes):
            key = original_key(item.gallery_id, media_id, item.folder)
            source = StoredSource(self._store, key, size_bytes=item.size_bytes)
            shown = await self._render(order, source, item.probe)
            await self._settle(order, original_bytes=0, shown=shown)

    @asynccontextmanager
    async def _reserved(
        self, order: PictureOrder, *, size_bytes: int, quota_bytes: int | None
    ) -> AsyncIterator[None]:
        """Reserves quota for a picture. After a failure the quota is released and the stored objects are
        removed.
        """
        refusal = await self._pictures.reserve(
            order.post_id, order.account_id, size_bytes=size_bytes, quota_bytes=quota_bytes
        )
        if refusal is NotReserved.GONE:
            raise PostNotFound
        if refusal is NotReserved.OVER_QUOTA:
            raise QuotaExceeded(f"The account may hold {quota_bytes} bytes, pending uploads included.")
        settled = False
        try:
            try:
                yield
            except StorageUnavailable as error:
                raise store_problem(error) from error
            except ObjectMissing as error:
                raise MediaNotFound from error
            settled = True
        finally:
            if not settled:
                await self._give_up(order.post_id)

    async def _make(self, order: PictureOrder, source: StoredSource, *, fmt: MediaFormat) -> ShownPicture:
        try:
            probe = await self._decoding.probe(source, fmt, self._limits, share=Share(order.account_id))
        except Rejected as rejected:
            raise _unusable(order.post_id, rejected) from rejected
        except DecoderUnavailable as error:
            raise _no_decoder(error) from error
        return await self._render(order, source, probe)

    async def _render(self, order: PictureOrder, source: StoredSource, probe: Probe) -> ShownPicture:
        size = RenditionSize.parse(POST_PICTURE_SIZE)
        try:
            async with asyncio.timeout(RENDER_WITHIN_S) as deadline:
                (image,) = await self._decoding.render(source, probe, [size], share=Share(order.account_id))
        except Rejected as rejected:
            raise _unusable(order.post_id, rejected) from rejected
        except DecoderUnavailable as error:
            raise _no_decoder(error) from error
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise RenditionsBusy(retry_after_s=5) from error
        await self._store.put(post_picture_key(order.post_id), image.body, content_type=_SHOWN_TYPE)
        return ShownPicture(len(image.body), hashlib.sha256(image.body).hexdigest()[:32])

    async def _settle(self, order: PictureOrder, *, original_bytes: int, shown: ShownPicture) -> None:
        size_bytes = original_bytes + shown.size_bytes
        if not await self._pictures.settle(order.post_id, size_bytes=size_bytes, shown=shown):
            raise PostNotFound
        metrics.POST_PICTURES.labels("stored").inc()

    async def _give_up(self, post_id: PostId) -> None:
        """Remove the objects, then the row: while the row exists, the deletion of the post cleans up
        again.
        """
        metrics.POST_PICTURES.labels("given_up").inc()
        try:
            report = await self._store.delete_batch([post_original_key(post_id), post_picture_key(post_id)])
        except StorageUnavailable as error:
            raise StoreUnavailable(retry_after_s=1) from error
        if report.failed:
            raise StoreUnavailable(retry_after_s=1)
        await self._pictures.release(post_id)


class ShowPostPicture:
    """Shows the JPEG of a post."""

    def __init__(self, pictures: PostPictureQueries, *, store: ObjectStore) -> None:
        self._pictures = pictures
        self._store = store

    async def find(self, post_id: PostId) -> ShownPicture:
        """Returns the picture. Raises PostNotFound, also for a post whose picture is not stored yet."""
        shown = await self._pictures.find(post_id)
        if shown is None:
            raise PostNotFound
        return shown

    async def read(self, post_id: PostId, shown: ShownPicture) -> bytes:
        """Returns the bytes of the picture. Raises PostNotFound, StoreUnavailable."""
        try:
            read = await self._store.read(post_picture_key(post_id), length=shown.size_bytes)
        except ObjectMissing as error:  # its post was just deleted
            raise PostNotFound from error
        except StorageUnavailable as error:
            raise StoreUnavailable(retry_after_s=1) from error
        return read.body


async def forget_picture(unit: UnitOfWork, envelope: Envelope[PostDeleted]) -> None:
    """The inbox effect of PostDeleted: the picture is neither shown nor charged any more."""
    await tombstone_picture(unit.connection, PostId(envelope.data.post_id))


def _unusable(post_id: PostId, rejected: Rejected) -> Problem:
    _log.info(
        "post_picture.refused",
        post_id=str(post_id),
        reason=rejected.reason.value,
        detail=rejected.detail,
    )
    return PictureUnusable(f"It is damaged, or larger than can be decoded. ({rejected.reason.value})")


def _no_decoder(error: DecoderUnavailable) -> Problem:
    _log.warning("post_picture.no_decoder", error=str(error), error_type=type(error).__name__)
    return RenditionsBusy("Try again in a moment.", retry_after_s=2)
