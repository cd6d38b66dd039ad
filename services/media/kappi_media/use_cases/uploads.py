"""Look at an upload, or give it up."""

from __future__ import annotations

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import MediaDeleted
from msgspec import UNSET

from kappi_media.domain import GalleryId, Upload, UploadId
from kappi_media.errors import UploadCompletedAlready, UploadNotFound
from kappi_media.repository.uploads import UploadQueries
from kappi_media.schemas import UploadStatus
from kappi_media.use_cases.sign_batch import UploadSigner


class LookAtUpload:
    def __init__(self, uploads: UploadQueries, *, signer: UploadSigner, clock: Clock) -> None:
        self._uploads = uploads
        self._signer = signer
        self._clock = clock

    async def __call__(self, upload_id: UploadId, gallery_id: GalleryId) -> UploadStatus:
        """State, and a fresh signed URL while bytes may still come. Raises UploadNotFound."""
        upload = await find_upload(self._uploads, upload_id, gallery_id)
        now = self._clock()
        single, expires_at = (
            self._signer.sign(upload, now=now) if upload.is_open(now) else (UNSET, upload.expires_at)
        )
        return UploadStatus(
            id=upload.id,
            media_id=upload.media_id,
            gallery_id=upload.gallery_id,
            state="expired" if upload.state == "pending" and not upload.is_open(now) else upload.state,
            method="single",
            filename=upload.filename,
            content_type=upload.content_type,
            size=upload.size_bytes,
            expires_at=expires_at,
            created_at=upload.created_at,
            single=single,
            rejection_reason=upload.rejection_reason or UNSET,
        )


class AbortUpload:
    def __init__(self, uploads: UploadQueries, *, outbox: Outbox, clock: Clock) -> None:
        self._uploads = uploads
        self._outbox = outbox
        self._clock = clock

    async def __call__(self, upload_id: UploadId, gallery_id: GalleryId) -> None:
        """Give up a pending upload; one that ended otherwise stays as it is.

        Bytes that came, or still come while the URL lives, are removed by the janitor.
        Raises UploadNotFound, UploadCompletedAlready.
        """
        upload = await find_upload(self._uploads, upload_id, gallery_id)
        event = self._outbox.row(
            MediaDeleted(
                media_id=upload.media_id,
                gallery_id=gallery_id,
                reason="requested",
                deleted_at=self._clock(),
            )
        )
        if upload.state == "pending" and await self._uploads.abort(upload, event=event):
            self._outbox.wake()
            return
        if (await find_upload(self._uploads, upload_id, gallery_id)).state == "completed":
            raise UploadCompletedAlready


async def find_upload(uploads: UploadQueries, upload_id: UploadId, gallery_id: GalleryId) -> Upload:
    """Raises UploadNotFound, also for an upload of another gallery."""
    upload = await uploads.find(upload_id, gallery_id)
    if upload is None:
        raise UploadNotFound
    return upload
