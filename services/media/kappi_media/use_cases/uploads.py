"""Shows, signs and aborts an upload."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox
from kappi_chassis.problems import FieldError, ValidationFailed
from kappi_chassis.storage import ObjectStore, StorageUnavailable
from kappi_contracts.events import MediaDeleted

from kappi_media.domain.media import GalleryId, Upload, UploadId
from kappi_media.domain.upload_plan import MultipartUpload, PresentPart, SignedPart, SignedUpload
from kappi_media.errors import (
    StoreUnavailable,
    UploadAborted,
    UploadCompletedAlready,
    UploadExpired,
    UploadNotFound,
    UploadNotMultipart,
)
from kappi_media.repository.uploads import UploadQueries
from kappi_media.use_cases.multipart import (
    MAX_SIGNED_PARTS,
    Multiparts,
    PartSigner,
    missing_parts,
    plan_of,
)
from kappi_media.use_cases.room import check_room
from kappi_media.use_cases.sidecars import EndSidecars
from kappi_media.use_cases.sign_batch import UploadSigner


class UploadInProgress(NamedTuple):
    """The current state of an upload. single, multipart: the requests that carry it out, only while it is
    open.

    expires_at: of these requests while it is open, else of the upload. seen_at: the time of the answer.
    """

    upload: Upload
    expires_at: datetime
    seen_at: datetime
    single: SignedUpload | None = None
    multipart: MultipartUpload | None = None


class PartRequests(NamedTuple):
    """Signed PUTs of parts, in the requested order."""

    parts: list[SignedPart]
    expires_at: datetime
    signed_at: datetime


class LookAtUpload:
    def __init__(
        self,
        uploads: UploadQueries,
        *,
        multiparts: Multiparts,
        signer: UploadSigner,
        part_signer: PartSigner,
        clock: Clock,
    ) -> None:
        self._uploads = uploads
        self._multiparts = multiparts
        self._signer = signer
        self._part_signer = part_signer
        self._clock = clock

    async def __call__(self, upload_id: UploadId, gallery_id: GalleryId) -> UploadInProgress:
        """Returns the state, and new signed URLs while bytes may still arrive.

        Raises UploadNotFound, StoreUnavailable (parts only).
        """
        upload = await find_upload(self._uploads, upload_id, gallery_id)
        now = self._clock()
        if not upload.is_open(now):
            return UploadInProgress(upload, upload.expires_at, now)
        if upload.part_size_bytes is None:
            single, expires_at = self._signer.sign(upload, now=now)
            return UploadInProgress(upload, expires_at, now, single=single)
        multipart, expires_at = await self._parts(upload, now=now)
        return UploadInProgress(upload, expires_at, now, multipart=multipart)

    async def _parts(self, upload: Upload, *, now: datetime) -> tuple[MultipartUpload, datetime]:
        try:
            upload, present = await self._multiparts.parts(upload)
        except StorageUnavailable as error:
            raise StoreUnavailable(retry_after_s=1) from error
        plan = plan_of(upload)
        missing = missing_parts(plan, present, limit=MAX_SIGNED_PARTS)
        parts, expires_at = self._part_signer.sign(upload, missing, now=now)
        shown = MultipartUpload(
            part_size=plan.part_size_bytes,
            part_count=plan.count,
            present=[
                PresentPart(number=part.number, size=part.size_bytes, etag=part.etag)
                for part in present.values()
            ],
            parts=parts,
        )
        return shown, expires_at


class SignParts:
    def __init__(
        self,
        uploads: UploadQueries,
        *,
        multiparts: Multiparts,
        store: ObjectStore,
        part_signer: PartSigner,
        clock: Clock,
    ) -> None:
        self._uploads = uploads
        self._multiparts = multiparts
        self._store = store
        self._part_signer = part_signer
        self._clock = clock

    async def __call__(
        self, upload_id: UploadId, gallery_id: GalleryId, numbers: Sequence[int]
    ) -> PartRequests:
        """Returns new URLs of these parts, present or not: a part that is sent again replaces the earlier
        one.

        Once the upload has begun, the store is asked only for its free room. Raises UploadNotFound,
        UploadNotMultipart, UploadCompletedAlready, UploadAborted, UploadExpired, ValidationFailed (a number
        twice or beyond the last), InsufficientStorage, StoreUnavailable.
        """
        upload = await find_upload(self._uploads, upload_id, gallery_id)
        now = self._clock()
        _check_open(upload, now=now)
        plan = plan_of(upload)
        _check_numbers(numbers, count=plan.count)
        await check_room(self._store, sum(plan.length(number) for number in numbers))
        try:
            upload = await self._multiparts.begun(upload)
        except StorageUnavailable as error:
            raise StoreUnavailable(retry_after_s=1) from error
        parts, expires_at = self._part_signer.sign(upload, numbers, now=now)
        return PartRequests(parts, expires_at, now)


class AbortUpload:
    def __init__(
        self,
        uploads: UploadQueries,
        *,
        multiparts: Multiparts,
        sidecars: EndSidecars,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._uploads = uploads
        self._multiparts = multiparts
        self._sidecars = sidecars
        self._outbox = outbox
        self._clock = clock

    async def __call__(self, upload_id: UploadId, gallery_id: GalleryId) -> None:
        """Abort a pending upload; one that ended otherwise stays as it is.

        The janitor removes bytes that arrived, or that still arrive while the URL is valid. Raises
        UploadNotFound, UploadCompletedAlready.
        """
        upload = await find_upload(self._uploads, upload_id, gallery_id)
        now = self._clock()
        event = self._outbox.row(
            MediaDeleted(media_id=upload.media_id, gallery_id=gallery_id, reason="requested", deleted_at=now)
        )
        if upload.role == "sidecar":
            if upload.state == "pending" and await self._sidecars.abort(upload):
                return
        elif upload.state == "pending" and await self._uploads.abort(upload, event=event, now=now):
            self._outbox.wake()
            await self._multiparts.abort(upload)
            return
        if (await find_upload(self._uploads, upload_id, gallery_id)).state == "completed":
            raise UploadCompletedAlready


async def find_upload(uploads: UploadQueries, upload_id: UploadId, gallery_id: GalleryId) -> Upload:
    """Returns an upload. Raises UploadNotFound, also for an upload of another gallery."""
    upload = await uploads.find(upload_id, gallery_id)
    if upload is None:
        raise UploadNotFound
    return upload


def _check_open(upload: Upload, *, now: datetime) -> None:
    if upload.part_size_bytes is None:
        raise UploadNotMultipart("Send the file to the one signed URL that `GET` of the upload shows.")
    if upload.state == "completed":
        raise UploadCompletedAlready
    if not upload.is_open(now):
        over = UploadExpired if upload.state == "pending" else UploadAborted
        raise over("Declare the file again to upload it.")


def _check_numbers(numbers: Sequence[int], *, count: int) -> None:
    faults = [
        FieldError(field=f"numbers.{at}", code="invalid", message=f"parts are 1 to {count}, each once")
        for at, number in enumerate(numbers)
        if number > count or number in numbers[:at]
    ]
    if faults:
        raise ValidationFailed(f"The upload has {count} parts.", errors=tuple(faults))
