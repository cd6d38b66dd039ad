"""Completes and ends XMP sidecars, which belong to pictures of the same batch (ADR-0080)."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.problems import Unavailable
from kappi_chassis.storage import ObjectMissing, ObjectStore, StorageUnavailable
from kappi_mediameta.probing import Rejected

from kappi_media import metrics
from kappi_media.domain.media import GalleryId, Item, MediaId, Upload
from kappi_media.domain.shares import NO_SHARE, Share
from kappi_media.errors import ContentMismatch, StoreUnavailable, UploadAborted, UploadIncomplete
from kappi_media.rendering.failures import DecoderUnavailable
from kappi_media.rendering.wire import SidecarWords
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.sidecars import SWEEP_BATCH, ReadSidecar, SidecarQueries
from kappi_media.scanning import ScanOriginal, ScanRefused

AT_ONCE: Final = 16
"""Sidecars that a process holds in memory at the same time, of 1 MiB at most each."""
_RETRY_AFTER_S: Final = 2
_WHY = {
    "size_mismatch": "The size in the store is not the one declared.",
    "checksum_mismatch": "The SHA-256 of the content is not the one declared.",
    "type_mismatch": "It is no XMP.",
}


class SidecarReading(Protocol):
    """Reads sidecars off the event loop, bounded in memory and time."""

    async def read_sidecar(self, body: bytes, *, share: Share = NO_SHARE) -> SidecarWords:
        """Raises Rejected when the file is the cause, DecoderUnavailable."""
        ...


class _Refused(Exception):
    """The sidecar cannot be taken. reason: stable, as for originals."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CompleteSidecar:
    """Checks a sidecar in the store, reads it, and changes the item of its picture. A sidecar that cannot be
    taken leaves its picture as it is.
    """

    def __init__(
        self,
        sidecars: SidecarQueries,
        *,
        items: ItemQueries,
        store: ObjectStore,
        reading: SidecarReading,
        scan: ScanOriginal | None,
    ) -> None:
        self._sidecars = sidecars
        self._items = items
        self._store = store
        self._reading = reading
        self._scan = scan
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, upload: Upload, *, share: Share = NO_SHARE) -> Item | None:
        """Returns the picture's item; None as long as the picture is not completed. Repeated calls return the
        same.

        Raises UploadIncomplete, ContentMismatch (the sidecar is over, and removed), UploadAborted,
        StoreUnavailable, Unavailable.
        """
        state, reason = upload.state, upload.rejection_reason
        if state == "pending":
            try:
                async with self._turns:
                    read = await self._read(upload, share=share)
            except _Refused as refused:
                await self._end(upload, refused.reason)
                raise _mismatch(refused.reason) from refused
            state, reason = await self._sidecars.complete(upload, read)
        if state == "rejected":
            raise _mismatch(reason or "type_mismatch")
        if state != "completed":
            raise UploadAborted("Declare the picture again to upload it with a sidecar.")
        metrics.COMPLETIONS.labels("completed" if upload.state == "pending" else "repeated").inc()
        return await self._items.find(upload.media_id, upload.gallery_id)

    async def _read(self, upload: Upload, *, share: Share) -> ReadSidecar:
        try:
            found = await self._store.read(upload.key, length=upload.size_bytes)
            if self._scan is not None:
                await self._scan(upload.key, size_bytes=upload.size_bytes)
        except ObjectMissing as missing:
            metrics.COMPLETIONS.labels("incomplete").inc()
            raise UploadIncomplete("Send the bytes to the signed URL first, then complete.") from missing
        except StorageUnavailable as away:
            raise StoreUnavailable(retry_after_s=1) from away
        except ScanRefused as refused:
            raise _Refused(refused.reason) from refused
        except Exception as failure:
            if not is_transient(failure):
                raise
            raise Unavailable("Try again in a moment.", retry_after_s=_RETRY_AFTER_S) from failure
        if found.head.size_bytes != upload.size_bytes:
            raise _Refused("size_mismatch")
        if upload.sha256 is not None and hashlib.sha256(found.body).digest() != upload.sha256:
            raise _Refused("checksum_mismatch")
        return ReadSidecar(found.head.etag, zlib.crc32(found.body), await self._words(found.body, share))

    async def _words(self, body: bytes, share: Share) -> SidecarWords:
        try:
            return await self._reading.read_sidecar(body, share=share)
        except Rejected as rejected:
            raise _Refused("type_mismatch") from rejected
        except DecoderUnavailable as busy:
            raise Unavailable("Try again in a moment.", retry_after_s=_RETRY_AFTER_S) from busy

    async def _end(self, upload: Upload, reason: str) -> None:
        metrics.COMPLETIONS.labels("mismatch").inc()
        if await self._sidecars.end(upload.media_id, upload.gallery_id, state="rejected", reason=reason):
            await remove(self._store, upload)


class EndSidecars:
    """Ends sidecars that are not wanted any more, or did not come in time."""

    def __init__(self, sidecars: SidecarQueries, *, store: ObjectStore) -> None:
        self._sidecars = sidecars
        self._store = store

    async def abort(self, upload: Upload) -> bool:
        """Abort a pending sidecar. Returns False when it is not pending."""
        if not await self._sidecars.end(upload.media_id, upload.gallery_id, state="aborted"):
            return False
        await remove(self._store, upload)
        return True

    async def sweep(self, as_of: datetime) -> None:
        """Abort the sidecars that expired before `as_of`, the tick's instant."""
        more = True
        while more:
            expired = await self._sidecars.expired(as_of)
            ended = [await self._expire(*each) for each in expired]
            more = len(expired) == SWEEP_BATCH and any(ended)

    async def _expire(self, media_id: MediaId, gallery_id: GalleryId) -> bool:
        return await self._sidecars.end(media_id, gallery_id, state="aborted")


async def remove(store: ObjectStore, upload: Upload) -> None:
    """Remove the bytes of a sidecar that has ended; the comparison with the store finds what is left."""
    with suppress(StorageUnavailable):
        await store.delete_batch([upload.key])


def _mismatch(reason: str) -> ContentMismatch:
    return ContentMismatch(f"{_WHY.get(reason, 'The content cannot be taken.')} ({reason})")
