"""Reserves a batch of uploads in one statement, and signs a URL for each file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.storage import ContentBinding, ObjectStore, UrlSigner
from kappi_chassis.time_left import seconds_left
from msgspec import UNSET, UnsetType, structs
from msgspec.json import decode, encode

from kappi_media import metrics
from kappi_media.domain.media import (
    DeclaredUpload,
    Upload,
    UploadId,
    url_lifetime_left,
)
from kappi_media.domain.upload_plan import MultipartUpload, PromisedUpload, SignedUpload
from kappi_media.errors import (
    UploadNotFound,
)
from kappi_media.repository.contributions import contribution_of
from kappi_media.repository.uploads import (
    FilesToReserve,
    SameFiles,
    UploadQueries,
    digests_of,
    reserve_within,
)
from kappi_media.use_cases.declare_uploads import Batch, ReservationTerms, declare_uploads
from kappi_media.use_cases.multipart import (
    MAX_SIGNED_PARTS,
    Multiparts,
    PartSigner,
    missing_parts,
    plan_of,
)
from kappi_media.use_cases.quota_reservation import QuotaReservation, check_reserved
from kappi_media.use_cases.room import check_room

CREATED = 201
SIGNED_PARTS_PER_BATCH = 500
"""The number of part URLs in the answer to one batch, divided among its uploads: each adds some 500 bytes to
the answer.
"""


class _Promised(NamedTuple):
    """Reserved uploads. same: those of their files that the gallery has already."""

    uploads: Sequence[Upload]
    same: SameFiles


class UploadSigner:
    """Signs the PUTs of pending uploads."""

    def __init__(self, signer: UrlSigner, *, lifetime: timedelta) -> None:
        self._signer = signer
        self._lifetime = lifetime

    def sign(self, upload: Upload, *, now: datetime) -> tuple[SignedUpload, datetime]:
        """Returns the request that carries out the upload, and when it expires."""
        (signed,), expires_at = self.sign_all([upload], now=now)
        return signed, expires_at

    def sign_all(self, uploads: Sequence[Upload], *, now: datetime) -> tuple[list[SignedUpload], datetime]:
        """As `sign`, for one or more uploads that expire at the same time."""
        lifetime = url_lifetime_left(uploads[0].expires_at, now=now, lifetime=self._lifetime)
        signed = [
            self._signer.sign_put(
                upload.key,
                binding=ContentBinding(upload.content_type, upload.size_bytes, upload.sha256),
                now=now,
                lifetime=lifetime,
            )
            for upload in uploads
        ]
        requests = [SignedUpload(url=one.url, http_method="PUT", headers=one.headers) for one in signed]
        return requests, signed[0].expires_at


class SignBatch:
    """Reserves uploads, begins those in parts, and signs them all."""

    def __init__(
        self,
        uploads: UploadQueries,
        *,
        multiparts: Multiparts,
        store: ObjectStore,
        outbox: Outbox,
        quota_reservation: QuotaReservation,
        signer: UploadSigner,
        part_signer: PartSigner,
        terms: ReservationTerms,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._uploads = uploads
        self._multiparts = multiparts
        self._store = store
        self._outbox = outbox
        self._quota_reservation = quota_reservation
        self._signer = signer
        self._part_signer = part_signer
        self._terms = terms
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, batch: Batch, call: IdempotentCall | None = None) -> list[PromisedUpload]:
        """Returns an upload for each file, in their order. All files are reserved, or none.

        call: a repetition of it gets the same uploads, signed anew. Raises FileTooLarge,
        UnsupportedContentType, QuotaExceeded, ReservationBudgetExceeded, ContributionLimitExceeded,
        ContributionsClosed, ContributorKeyWrong (it was removed), GalleryNotFound (deleted),
        GalleryKeyWrong (it has another owner by now), UploadNotFound (those of the first call were removed),
        IdempotencyKeyReused, InsufficientStorage, StoreUnavailable.
        """
        declared = declare_uploads(batch, self._terms, now=self._clock(), new_id=self._new_id)
        files, uploads = await self._files(batch, declared.uploads), declared.in_order
        reserve = partial(self._reserve, files, uploads)
        if call is not None:
            reserve = partial(self._reserve_once, files, uploads, call)
        return await self._answer(await self._quota_reservation(files, reserve))

    async def _reserve(self, files: FilesToReserve, uploads: Sequence[Upload]) -> _Promised:
        return _Promised(uploads, check_reserved(files, await self._uploads.reserve(files)))

    async def _reserve_once(
        self, files: FilesToReserve, uploads: Sequence[Upload], call: IdempotentCall
    ) -> _Promised:
        same: SameFiles = {}

        async def act(unit: UnitOfWork) -> StoredAnswer:
            same.update(check_reserved(files, await reserve_within(unit.connection, files)))
            return StoredAnswer(CREATED, encode([upload.id for upload in uploads]))

        answer = await answer_once(self._outbox, call, act)
        ids = [UploadId(each) for each in decode(answer.body, type=list[UUID])]
        if ids == [upload.id for upload in uploads]:
            return _Promised(uploads, same)
        return await self._reserved_before(ids, files)

    async def _reserved_before(self, ids: Sequence[UploadId], files: FilesToReserve) -> _Promised:
        gallery_id = files.declared[0].upload.gallery_id
        by = None if files.contribution is None else files.contribution.by
        uploads = await self._uploads.find_all(ids, gallery_id)
        if len(uploads) != len(ids):
            raise UploadNotFound("These uploads were not completed and are removed: declare the files again.")
        return _Promised(uploads, await self._uploads.same_files(gallery_id, digests_of(uploads), by=by))

    async def _files(self, batch: Batch, declared: Sequence[DeclaredUpload]) -> FilesToReserve:
        await check_room(self._store, sum(file.size for file in batch.files))
        return FilesToReserve(
            declared,
            batch.owner_id,
            # An anonymous gallery has no account and so no quota.
            batch.rules.quota_bytes if batch.owner_id is not None else None,
            batch.address_id,
            self._terms.budgets if batch.owner_id is None else None,
            contribution=contribution_of(batch.contributor, self._terms.contribution_limits),
        )

    async def _answer(self, batch: _Promised) -> list[PromisedUpload]:
        uploads = await self._begun(batch.uploads)
        now = self._clock()
        in_parts = sum(upload.part_size_bytes is not None for upload in uploads)
        parts_each = min(MAX_SIGNED_PARTS, SIGNED_PARTS_PER_BATCH // in_parts) if in_parts else 0
        in_one = self._in_one(
            [upload for upload in uploads if upload.part_size_bytes is None and upload.is_open(now)], now=now
        )
        promised = [
            _ended(upload, now=now)
            if not upload.is_open(now)
            else next(in_one)
            if upload.part_size_bytes is None
            else self._in_parts(upload, parts_each, now=now)
            for upload in uploads
        ]
        metrics.UPLOADS_SIGNED.inc(len(promised))
        return _with_duplicates(promised, batch) if batch.same else promised

    async def _begun(self, uploads: Sequence[Upload]) -> Sequence[Upload]:
        """Returns the uploads. Those in parts are begun as far as the store is available."""
        now = self._clock()
        due = [
            upload
            for upload in uploads
            if upload.part_size_bytes is not None and upload.multipart_id is None and upload.is_open(now)
        ]
        if not due:
            return uploads
        begun = await self._multiparts.begin_all(due)
        return [
            upload if upload.id not in begun else upload._replace(multipart_id=begun[upload.id])
            for upload in uploads
        ]

    def _in_one(self, uploads: Sequence[Upload], *, now: datetime) -> Iterator[PromisedUpload]:
        """Yields the signed requests of `uploads`, which are open and of one PUT each."""
        if not uploads:
            return
        signed, expires_at = self._signer.sign_all(uploads, now=now)
        expires_in = seconds_left(expires_at, now=now)
        for upload, single in zip(uploads, signed, strict=True):
            yield PromisedUpload(
                id=upload.id,
                media_id=upload.media_id,
                method="single",
                expires_at=expires_at,
                expires_in=expires_in,
                single=single,
                sidecar=_sidecar(upload),
            )

    def _in_parts(self, upload: Upload, limit: int, *, now: datetime) -> PromisedUpload:
        plan = plan_of(upload)
        parts, expires_at = (
            self._part_signer.sign(upload, missing_parts(plan, (), limit=limit), now=now)
            if upload.multipart_id is not None
            else ([], upload.expires_at)
        )
        return PromisedUpload(
            id=upload.id,
            media_id=upload.media_id,
            method="multipart",
            expires_at=expires_at,
            expires_in=seconds_left(expires_at, now=now),
            multipart=MultipartUpload(part_size=plan.part_size_bytes, part_count=plan.count, parts=parts),
        )


def _with_duplicates(promised: list[PromisedUpload], batch: _Promised) -> list[PromisedUpload]:
    """Returns the uploads; those whose file the gallery has already name the existing item."""
    same = [None if upload.sha256 is None else batch.same.get(upload.sha256) for upload in batch.uploads]
    return [
        one if media_id in (None, one.media_id) else structs.replace(one, duplicate_of=media_id)
        for one, media_id in zip(promised, same, strict=True)
    ]


def _ended(upload: Upload, *, now: datetime) -> PromisedUpload:
    return PromisedUpload(
        id=upload.id,
        media_id=upload.media_id,
        method="single" if upload.part_size_bytes is None else "multipart",
        expires_at=upload.expires_at,
        expires_in=seconds_left(upload.expires_at, now=now),
        state="expired" if upload.state == "pending" else upload.state,
        sidecar=_sidecar(upload),
    )


def _sidecar(upload: Upload) -> bool | UnsetType:
    return upload.role == "sidecar" or UNSET
