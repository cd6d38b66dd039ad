"""Promise a batch of uploads: one statement, and a signed URL for each file."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer
from kappi_chassis.outbox import Outbox
from kappi_chassis.problems import FieldError
from kappi_chassis.storage import ContentBinding, UrlSigner
from kappi_chassis.storage.content_type import header_content_type
from kappi_chassis.storage.disposition import safe_filename
from kappi_contracts.keys import original_key
from msgspec.json import encode

from kappi_media import metrics
from kappi_media.domain import (
    AccountId,
    DeclaredUpload,
    Description,
    GalleryId,
    MediaId,
    Upload,
    UploadId,
    url_lifetime_left,
)
from kappi_media.errors import (
    FileTooLarge,
    GalleryKeyWrong,
    GalleryNotFound,
    QuotaExceeded,
    UnsupportedContentType,
)
from kappi_media.probing import ACCEPTED, format_of, is_supported
from kappi_media.repository.ownership import adopt
from kappi_media.repository.uploads import PromisedFiles, Refusal, UploadQueries, promise_within
from kappi_media.schemas import FileDeclaration, PromisedBatch, PromisedUpload, SignedUpload
from kappi_media.tiers import TierRules

CREATED = 201
_NO_DESCRIPTION = Description()
_plain_name = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9 _.()-]{0,198}[A-Za-z0-9_)-]").fullmatch


SINGLE_PUT_LIMIT_BYTES = 5 << 30
"""What S3 takes in one request, whatever a tier allows."""


class Batch(NamedTuple):
    """Files to promise to one gallery, under the rules of its tier. owner_id: None where anonymous."""

    gallery_id: GalleryId
    owner_id: AccountId | None
    rules: TierRules
    files: Sequence[FileDeclaration]


class UploadSigner:
    """Signed PUTs of pending uploads."""

    def __init__(self, signer: UrlSigner, *, lifetime: timedelta) -> None:
        self._signer = signer
        self._lifetime = lifetime

    def sign(self, upload: Upload, *, now: datetime) -> tuple[SignedUpload, datetime]:
        """The request that carries the upload out, and when it expires."""
        (signed,) = self.sign_all([upload], now=now)
        return signed

    def sign_all(
        self, uploads: Sequence[Upload], *, now: datetime
    ) -> Iterator[tuple[SignedUpload, datetime]]:
        """As `sign`, for uploads that expire together."""
        lifetime = url_lifetime_left(uploads[0].expires_at, now=now, lifetime=self._lifetime)
        for upload in uploads:
            signed = self._signer.sign_put(
                original_key(upload.gallery_id, upload.media_id),
                binding=ContentBinding(upload.content_type, upload.size_bytes, upload.sha256),
                now=now,
                lifetime=lifetime,
            )
            yield SignedUpload(url=signed.url, http_method="PUT", headers=signed.headers), signed.expires_at


class SignBatch:
    """lifetime: of a promise; a signed URL lives much shorter."""

    def __init__(
        self,
        uploads: UploadQueries,
        *,
        outbox: Outbox,
        signer: UploadSigner,
        lifetime: timedelta,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._uploads = uploads
        self._outbox = outbox
        self._signer = signer
        self._lifetime = lifetime
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, batch: Batch) -> bytes:
        """The encoded `PromisedBatch`. All or nothing.

        Raises FileTooLarge, UnsupportedContentType, QuotaExceeded, GalleryNotFound (deleted),
        GalleryKeyWrong (it has another owner by now).
        """
        files = self._files(batch)

        async def promise() -> bytes:
            _check_promised(batch, await self._uploads.promise(files))
            return self._answer(files.declared)

        return await self._of_its_owner(batch, promise)

    async def idempotently(self, batch: Batch, call: IdempotentCall) -> bytes:
        """As above, once per Idempotency-Key: a repetition gets the first answer."""
        files = self._files(batch)

        async def promise() -> bytes:
            async with self._outbox.begin() as unit:
                stored = await call.claim(unit.connection)
                if stored is not None:
                    return stored.body
                _check_promised(batch, await promise_within(unit.connection, files))
                answer = self._answer(files.declared)
                await call.store(unit.connection, StoredAnswer(CREATED, answer))
            return answer

        return await self._of_its_owner(batch, promise)

    async def _of_its_owner(self, batch: Batch, promise: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `promise` answers, after settling whose gallery it is where that is not known yet: the news
        of a claim, or of the account, may come later than its first upload."""
        try:
            return await promise()
        except _OwnerUnknown as unknown:
            async with self._outbox.begin() as unit:
                await adopt(unit.connection, batch.gallery_id, owner_id=unknown.owner_id)
            return await promise()

    def _files(self, batch: Batch) -> PromisedFiles:
        return PromisedFiles(
            self._declare(batch),
            batch.owner_id,
            # Nobody's galleries have no account that could be full.
            batch.rules.quota_bytes if batch.owner_id is not None else None,
        )

    def _declare(self, batch: Batch) -> list[DeclaredUpload]:
        _check(batch.rules, batch.files)
        now = self._clock()
        expires_at = now + self._lifetime
        return [
            DeclaredUpload(
                Upload(
                    id=UploadId(self._new_id()),
                    media_id=MediaId(self._new_id()),
                    gallery_id=batch.gallery_id,
                    filename=file.filename if _plain_name(file.filename) else safe_filename(file.filename),
                    content_type=file.content_type,
                    size_bytes=file.size,
                    sha256=bytes.fromhex(file.sha256) if file.sha256 is not None else None,
                    state="pending",
                    rejection_reason=None,
                    expires_at=expires_at,
                    created_at=now,
                ),
                _description(file),
            )
            for file in batch.files
        ]

    def _answer(self, declared: Sequence[DeclaredUpload]) -> bytes:
        now = self._clock()
        uploads = [one.upload for one in declared]
        promised = [
            PromisedUpload(
                id=upload.id,
                media_id=upload.media_id,
                method="single",
                expires_at=expires_at,
                single=single,
            )
            for upload, (single, expires_at) in zip(
                uploads, self._signer.sign_all(uploads, now=now), strict=True
            )
        ]
        metrics.UPLOADS_SIGNED.inc(len(promised))
        return encode(PromisedBatch(uploads=promised))


class _OwnerUnknown(Exception):
    def __init__(self, owner_id: AccountId) -> None:
        super().__init__(owner_id)
        self.owner_id = owner_id


def _check_promised(batch: Batch, refusal: Refusal | None) -> None:
    """Raises what stood in the way, if anything did."""
    if refusal is Refusal.GALLERY_DELETED:
        raise GalleryNotFound
    if refusal is Refusal.OTHER_OWNER:
        raise GalleryKeyWrong("The gallery belongs to an account now.")
    if refusal is Refusal.OVER_QUOTA:
        raise QuotaExceeded(f"It may hold {batch.rules.quota_bytes} bytes, pending uploads included.")
    if refusal is Refusal.OWNER_UNKNOWN and batch.owner_id is not None:
        raise _OwnerUnknown(batch.owner_id)


def _check(rules: TierRules, files: Sequence[FileDeclaration]) -> None:
    limit = min(rules.max_file_bytes, SINGLE_PUT_LIMIT_BYTES)
    too_large = [number for number, file in enumerate(files) if file.size > limit]
    if too_large:
        raise FileTooLarge(
            f"The largest file allowed here has {limit} bytes.",
            errors=_errors(too_large, "size", "file_too_large"),
        )
    foreign = [number for number, file in enumerate(files) if not _is_taken(file.content_type)]
    if foreign:
        raise UnsupportedContentType(
            f"Send {ACCEPTED}.",
            errors=_errors(foreign, "content_type", "unsupported_content_type"),
        )


def _description(file: FileDeclaration) -> Description:
    if not (file.caption or file.tags or file.location or file.attributes):
        return _NO_DESCRIPTION
    return Description(file.caption, tuple(file.tags), file.location, file.attributes)


@lru_cache(maxsize=256)
def _is_taken(content_type: str) -> bool:
    fmt = format_of(content_type)
    if fmt is None or not is_supported(fmt):
        return False
    try:
        header_content_type(content_type)
    except ValueError:
        return False
    return True


def _errors(numbers: Sequence[int], field: str, code: str) -> tuple[FieldError, ...]:
    return tuple(
        FieldError(field=f"files.{number}.{field}", code=code, message="not taken") for number in numbers
    )
