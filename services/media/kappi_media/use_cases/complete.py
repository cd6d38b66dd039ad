"""Completes an upload: checks the object in the store, then makes it an item."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.observability.tracing import joining
from kappi_chassis.outbox import Outbox
from kappi_chassis.storage import ObjectMissing, ObjectStore, StorageUnavailable
from kappi_contracts.events import MediaRejected, UploadCompleted
from kappi_contracts.keys import original_key
from kappi_mediameta.probing import SNIFF_BYTES, MediaFormat, ProbeRejected, identify

from kappi_media import metrics
from kappi_media.domain.declarations import CompletedPart
from kappi_media.domain.media import GalleryId, Item, Upload, UploadId
from kappi_media.domain.shares import NO_SHARE, Share
from kappi_media.errors import (
    ContentMismatch,
    GalleryNotFound,
    MediaNotFound,
    StoreUnavailable,
    UploadAborted,
    UploadIncomplete,
    UploadNotFound,
)
from kappi_media.repository.completion import CompletionQueries
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.uploads import UploadQueries
from kappi_media.single_flight import SingleFlight
from kappi_media.use_cases.checksums import sha256_in_time
from kappi_media.use_cases.multipart import Multiparts
from kappi_media.use_cases.room import store_problem
from kappi_media.use_cases.sidecars import CompleteSidecar
from kappi_media.use_cases.uploads import find_upload

# This limit and `checksums.INLINE_TIMEOUT_S`, which may follow it, together stay below the gateway's timeout.
_JOIN_TIMEOUT_S = 12.0

_log = get_logger(__name__)

_WHY = {
    "size_mismatch": "The size in the store is not the one declared.",
    "checksum_mismatch": "The SHA-256 of the content is not the one declared.",
    "type_mismatch": "The first bytes of the content are not those of the declared type.",
}


class _Mismatch(Exception):
    """The object does not match the declaration. reason: stable, as in `MediaRejected`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StoredContent(NamedTuple):
    """An uploaded object as it is in the store. head: its first bytes. sha256: raw digest, where known."""

    size_bytes: int
    etag: str
    sha256: bytes | None
    head: bytes


class CompleteUpload:
    """Makes items of uploads whose bytes are stored.

    hashing: shared by the whole process, by key, so that concurrent completions of one upload read it once.
    """

    def __init__(
        self,
        uploads: UploadQueries,
        *,
        completion: CompletionQueries,
        items: ItemQueries,
        multiparts: Multiparts,
        store: ObjectStore,
        hashing: SingleFlight[str, bytes | None],
        sidecars: CompleteSidecar,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._uploads = uploads
        self._multiparts = multiparts
        self._completion = completion
        self._items = items
        self._store = store
        self._hashing = hashing
        self._sidecars = sidecars
        self._outbox = outbox
        self._clock = clock

    async def __call__(
        self,
        upload_id: UploadId,
        gallery_id: GalleryId,
        *,
        parts: Sequence[CompletedPart] = (),
        share: Share = NO_SHARE,
    ) -> Item | None:
        """Returns the item; repeated and concurrent calls return the same one. None for a sidecar whose
        picture is not completed.

        parts: what the client believes it sent, if it says so.

        Raises UploadNotFound, UploadIncomplete, ContentMismatch (the upload is over, its bytes will be
        removed), UploadAborted, GalleryNotFound, MediaNotFound (the item was deleted since),
        InsufficientStorage (parts cannot be joined), StoreUnavailable.
        """
        upload = await find_upload(self._uploads, upload_id, gallery_id)
        if upload.role == "sidecar":
            return await self._sidecars(upload, share=share)
        if upload.state == "pending" and upload.part_size_bytes is not None:
            with joining(upload.traceparent, "join parts"):
                await self._join(upload, parts)
        return await self._take(upload)

    async def posted(self, upload_id: UploadId, gallery_id: GalleryId, *, sha256: bytes | None) -> Item:
        """As calling it, for content that passed this service on its way into the store. sha256: of it."""
        return await self._take(await find_upload(self._uploads, upload_id, gallery_id), sha256=sha256)

    async def received(self, upload: Upload, content: StoredContent) -> Item:
        """As calling it, for content that this service stored itself: nothing of it is read again.

        upload: as it was recorded last; it may have ended since.
        """
        return await self._take(upload, content)

    async def stored(self, upload_id: UploadId, gallery_id: GalleryId) -> Item | None:
        """As calling it, for content that is stored as one object. Parts that are not joined yet stay as they
        are.
        """
        upload = await find_upload(self._uploads, upload_id, gallery_id)
        return await (self._sidecars(upload) if upload.role == "sidecar" else self._take(upload))

    async def _take(
        self, upload: Upload, content: StoredContent | None = None, *, sha256: bytes | None = None
    ) -> Item:
        with joining(upload.traceparent, "complete upload"):
            return await self._outcome(upload, content, sha256=sha256)

    async def _outcome(self, upload: Upload, content: StoredContent | None, *, sha256: bytes | None) -> Item:
        if upload.state != "pending":
            return await self._ended(upload)
        try:
            content = content or await self._read(upload, sha256=sha256)
            fmt, sha256 = await self._check(upload, content)
        except ObjectMissing as error:
            metrics.COMPLETIONS.labels("incomplete").inc()
            raise UploadIncomplete("Send the bytes to the signed URLs first, then complete.") from error
        except StorageUnavailable as error:
            raise StoreUnavailable(retry_after_s=1) from error
        except _Mismatch as mismatch:
            await self._reject(upload, mismatch.reason)
            raise _mismatch(mismatch.reason) from mismatch
        return await self._accept(upload, fmt, etag=content.etag, sha256=sha256)

    async def _read(self, upload: Upload, *, sha256: bytes | None) -> StoredContent:
        key = original_key(upload.gallery_id, upload.media_id)
        found = await self._store.read(key, start=0, length=SNIFF_BYTES)
        return StoredContent(found.head.size_bytes, found.head.etag, sha256 or found.head.sha256, found.body)

    async def _join(self, upload: Upload, parts: Sequence[CompletedPart]) -> None:
        """Raises UploadIncomplete, InsufficientStorage, StoreUnavailable."""
        try:
            async with asyncio.timeout(_JOIN_TIMEOUT_S):
                await self._multiparts.join(upload, parts)
        except UploadIncomplete:
            metrics.COMPLETIONS.labels("incomplete").inc()
            raise
        except StorageUnavailable as error:
            raise store_problem(error) from error
        except TimeoutError as error:
            # The store goes on joining. A repeated call finds the object, or waits again.
            raise StoreUnavailable("The parts are still being joined.", retry_after_s=5) from error

    async def _check(self, upload: Upload, content: StoredContent) -> tuple[MediaFormat, bytes | None]:
        """Returns the format by its magic bytes, and the SHA-256 if it is known. Raises _Mismatch.

        A declared SHA-256 that cannot be computed in time is left to the worker (`ProcessUpload`).
        """
        if content.size_bytes != upload.size_bytes:
            raise _Mismatch("size_mismatch")
        try:
            fmt = identify(upload.content_type, content.head)
        except ProbeRejected as error:
            raise _Mismatch(error.reason.value) from error
        sha256 = content.sha256
        if upload.sha256 is not None:
            key = original_key(upload.gallery_id, upload.media_id)
            read = partial(sha256_in_time, self._store, key, size_bytes=upload.size_bytes)
            sha256 = sha256 or await self._hashing(key, read)
            if sha256 is not None and sha256 != upload.sha256:
                raise _Mismatch("checksum_mismatch")
        return fmt, sha256

    async def _accept(self, upload: Upload, fmt: MediaFormat, *, etag: str, sha256: bytes | None) -> Item:
        now = self._clock()
        event = UploadCompleted(
            media_id=upload.media_id,
            gallery_id=upload.gallery_id,
            upload_id=upload.id,
            object_key=original_key(upload.gallery_id, upload.media_id),
            # The worker relies on it: the object cannot be replaced, because all uploads are create-only.
            content_type=fmt.content_type,
            size_bytes=upload.size_bytes,
            completed_at=now,
        )
        item = await self._completion.complete(
            upload, fmt=fmt, etag=etag, sha256=sha256, now=now, event=self._outbox.row(event)
        )
        if item is None:
            return await self._overtaken(upload)
        self._outbox.wake()
        metrics.COMPLETIONS.labels("completed").inc()
        _log.debug("upload.completed", upload_id=str(upload.id), media_id=str(upload.media_id))
        metrics.UPLOADED_BYTES.inc(upload.size_bytes)
        return item

    async def _overtaken(self, upload: Upload) -> Item:
        """Returns or raises the outcome of an upload that ended while its object was checked."""
        current = await self._uploads.find(upload.id, upload.gallery_id)
        if current is None:  # swept, or deleted with its gallery
            raise UploadNotFound
        if current.state == "pending":
            raise GalleryNotFound
        return await self._ended(current)

    async def _ended(self, upload: Upload) -> Item:
        if upload.state == "aborted":
            raise UploadAborted("Declare the file again to upload it.")
        item = await self._items.find(upload.media_id, upload.gallery_id)
        if item is None and upload.state == "rejected":
            raise _mismatch(upload.rejection_reason or "type_mismatch")
        if item is None:
            raise MediaNotFound
        metrics.COMPLETIONS.labels("repeated").inc()
        return item

    async def _reject(self, upload: Upload, reason: str) -> None:
        metrics.COMPLETIONS.labels("mismatch").inc()
        now = self._clock()
        event = MediaRejected(
            media_id=upload.media_id, gallery_id=upload.gallery_id, reason=reason, rejected_at=now
        )
        if await self._uploads.reject(upload, reason=reason, event=self._outbox.row(event), now=now):
            self._outbox.wake()


def _mismatch(reason: str) -> ContentMismatch:
    return ContentMismatch(f"{_WHY.get(reason, 'The content cannot be taken.')} ({reason})")
