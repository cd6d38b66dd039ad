"""Takes a small file through the API: reserves it, streams it into the store, completes it.

The reservation comes first, so that after any failure a row names the object that may have been stored. For a
file that is not read whole before, it reserves the largest size that the file can have; the real size and the
declaration are recorded once the whole file has arrived. Then it is completed as any other upload.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import msgspec
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once, answered_before
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_chassis.problems import Problem, Unavailable
from kappi_chassis.storage import ObjectHead, ObjectStore, StorageUnavailable
from kappi_chassis.storage.disposition import safe_filename
from kappi_contracts.keys import original_key
from kappi_mediameta.probing import MediaFormat, is_supported, sniff

from kappi_media.domain.content_types import content_type_of, is_taken
from kappi_media.domain.contributions import ContributionLimits, Contributor
from kappi_media.domain.declarations import PostedFile
from kappi_media.domain.media import (
    AccountId,
    AddressId,
    DeclaredUpload,
    Description,
    GalleryId,
    Item,
    MediaId,
    ReservationBudgets,
    Upload,
    UploadId,
)
from kappi_media.domain.tiers import TierRules
from kappi_media.errors import (
    ContentMismatch,
    FileTooLarge,
    FileTypeNotTaken,
    GalleryNotFound,
    UploadCompletedAlready,
    UploadNotFound,
)
from kappi_media.repository.contributions import contribution_of
from kappi_media.repository.small_uploads import settle
from kappi_media.repository.uploads import FilesToReserve, UploadQueries
from kappi_media.use_cases.complete import CompleteUpload, StoredContent
from kappi_media.use_cases.measured_content import MeasuredContent
from kappi_media.use_cases.quota_reservation import QuotaReservation, check_reserved
from kappi_media.use_cases.room import check_room, store_problem
from kappi_media.use_cases.uploads import AbortUpload

CREATED = 201
READ_WHOLE_BYTES = 256 << 10
"""A file up to this size is read whole before it is reserved, which saves settling the reservation."""
CallOf = Callable[[bytes], IdempotentCall]
"""Returns the idempotent call for a fingerprint of its request."""


@dataclass(frozen=True, slots=True)
class FileOrder:
    """The order of a file for a gallery, under its tier's rules. address_id: of the client. at_most_bytes: as
    far as it is known beforehand. contributor: as of a `Batch`.
    """

    gallery_id: GalleryId
    owner_id: AccountId | None
    address_id: AddressId
    rules: TierRules
    at_most_bytes: int
    contributor: Contributor | None = None


@dataclass(frozen=True, slots=True)
class _Received:
    """A file that has arrived completely. digest: SHA-256."""

    size_bytes: int
    digest: bytes
    said: PostedFile

    @property
    def fingerprint(self) -> bytes:
        """Returns the fingerprint of the request. It does not cover the raw body, because a form that is sent
        again has another boundary.
        """
        return self.digest + msgspec.json.encode(self.said)


class PostedBody(Protocol):
    """The body of a request. `content` is iterated once; only then is the `declaration` complete, because
    fields may follow the file.
    """

    def content(self) -> AsyncIterator[bytes]:
        """Yields the file, decoded, in pieces of some 64 KiB. Raises Problem, ClientDisconnect."""
        ...

    def declaration(self) -> PostedFile:
        """Returns the declaration of the file. Raises ValidationFailed, MalformedJson, MalformedForm."""
        ...


class _Inflow:
    """The content of a body on its way into the store. Raises FileTooLarge as soon as the limit is
    exceeded.
    """

    def __init__(self, body: PostedBody, *, at_most_bytes: int) -> None:
        self._body = body
        self._content = MeasuredContent(body.content(), at_most_bytes=at_most_bytes, too_large=FileTooLarge)
        self.head = self._content.head
        self.rest = self._content.rest
        self._received: _Received | None = None

    async def whole(self) -> bytes | None:
        """Returns the file if it is small enough to be read whole."""
        return await self._content.whole(at_most_bytes=READ_WHOLE_BYTES)

    async def received(self) -> _Received:
        """Read the remaining bytes and return the received file. Raises what the body's declaration
        raises.
        """
        if self._received is None:
            await self._content.drain()
            size_bytes, digest = self._content.size_bytes, self._content.digest
            self._received = _Received(size_bytes, digest, self._body.declaration())
        return self._received


class PostFile:
    """Takes one file that is sent in the body of a request.

    lifetime: of a reservation whose file did not arrive completely, until it is swept. budgets,
    contribution_limits: as in `ReservationTerms`.
    """

    def __init__(
        self,
        uploads: UploadQueries,
        *,
        complete: CompleteUpload,
        abort: AbortUpload,
        store: ObjectStore,
        outbox: Outbox,
        quota_reservation: QuotaReservation,
        budgets: ReservationBudgets,
        contribution_limits: ContributionLimits,
        lifetime: timedelta,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._uploads = uploads
        self._complete = complete
        self._abort = abort
        self._store = store
        self._outbox = outbox
        self._quota_reservation = quota_reservation
        self._budgets = budgets
        self._contribution_limits = contribution_limits
        self._lifetime = lifetime
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, order: FileOrder, body: PostedBody, call_of: CallOf | None = None) -> Item:
        """Returns the new item; with `call_of`, the item that the first request of this call made.

        A failure leaves nothing: no item, no reservation, and the object is removed. Raises FileTooLarge,
        FileTypeNotTaken, ContentMismatch, QuotaExceeded, ReservationBudgetExceeded,
        ContributionLimitExceeded, ContributionsClosed, ContributorKeyWrong, GalleryNotFound, GalleryKeyWrong,
        InsufficientStorage, StoreUnavailable, IdempotencyKeyReused, UploadNotFound (the first one's item was
        deleted), and what the body raises.
        """
        inflow = _Inflow(body, at_most_bytes=order.at_most_bytes)
        if call_of is not None and await self._is_repeated(call_of(b"")):
            return await self._repeat(order, await inflow.received(), call_of)
        head = await inflow.head()
        fmt = sniff(head)
        if fmt is None or not is_supported(fmt):
            raise await _refusal(inflow, fmt)
        declared, whole = DeclaredUpload(self._upload(order, fmt), Description()), await inflow.whole()
        if whole is not None:
            declared = _declared(declared.upload, await inflow.received(), fmt=fmt)
        upload = declared.upload
        await check_room(self._store, upload.size_bytes)
        await self._reserve(order, declared, posted=whole is None)
        kept = False
        try:
            stored = await self._store_original(upload, inflow, fmt=fmt, whole=whole)
            received = await inflow.received()
            if whole is None:
                declared = _declared(upload, received, fmt=fmt)
            settled = await self._settle(declared, received, call_of, reserved=whole is not None)
            if settled == upload.id:
                # After a failure from here on, a repetition with the same key finds the upload and continues.
                kept = call_of is not None
                content = StoredContent(stored.size_bytes, stored.etag, received.digest, head)
                item = await self._complete.received(declared.upload, content)
                kept = True
                return item
        finally:
            if not kept:
                await self._give_up(upload.id, order.gallery_id)
        return await self._complete.posted(settled, order.gallery_id, sha256=received.digest)

    async def _is_repeated(self, call: IdempotentCall) -> bool:
        async with self._outbox.begin() as unit:
            return await call.is_known(unit.connection)

    async def _repeat(self, order: FileOrder, received: _Received, call_of: CallOf) -> Item:
        """Compare a repeated request with the first one. The file is not stored again."""
        stored = await answered_before(self._outbox, call_of(received.fingerprint))
        if stored is None:  # the stored answer expired and was removed at this time
            raise Unavailable("Send it again.", retry_after_s=1)
        return await self._complete.posted(_upload_id_in(stored), order.gallery_id, sha256=received.digest)

    def _upload(self, order: FileOrder, fmt: MediaFormat) -> Upload:
        """Returns the upload of a file of which only the first bytes are known."""
        now, lifetime = self._clock(), self._lifetime
        if order.contributor is not None:
            lifetime = min(lifetime, self._contribution_limits.pending_lifetime)
        return Upload(
            id=UploadId(self._new_id()),
            media_id=MediaId(self._new_id()),
            gallery_id=order.gallery_id,
            filename="upload" + fmt.value.extension,
            content_type=fmt.content_type,
            size_bytes=order.at_most_bytes,
            sha256=None,
            state="pending",
            rejection_reason=None,
            expires_at=now + lifetime,
            created_at=now,
        )

    async def _reserve(self, order: FileOrder, declared: DeclaredUpload, *, posted: bool) -> None:
        files = FilesToReserve(
            [declared],
            order.owner_id,
            order.rules.quota_bytes if order.owner_id is not None else None,
            order.address_id,
            self._budgets if order.owner_id is None else None,
            posted=posted,
            contribution=contribution_of(order.contributor, self._contribution_limits),
        )

        async def reserve() -> None:
            check_reserved(files, await self._uploads.reserve(files))

        await self._quota_reservation(files, reserve)

    async def _store_original(
        self, upload: Upload, inflow: _Inflow, *, fmt: MediaFormat, whole: bytes | None
    ) -> ObjectHead:
        key, content_type = original_key(upload.gallery_id, upload.media_id), fmt.content_type
        # No other request has this key. An object there is of an attempt of this request whose answer was
        # lost.
        try:
            if whole is not None:
                return await self._store.put(key, whole, content_type=content_type)
            async with aclosing(inflow.rest()) as chunks:
                return await self._store.put_stream(key, chunks, content_type=content_type, replace=True)
        except StorageUnavailable as error:
            raise store_problem(error) from error

    async def _settle(
        self, declared: DeclaredUpload, received: _Received, call_of: CallOf | None, *, reserved: bool
    ) -> UploadId:
        """Returns the upload to complete: another one if a request with the same key was faster.

        reserved: as it is declared, so only the call has to be recorded.
        """
        if reserved and call_of is None:
            return declared.upload.id

        async def act(unit: UnitOfWork) -> StoredAnswer:
            if not reserved and not await settle(unit.connection, declared):
                raise GalleryNotFound
            return StoredAnswer(CREATED, msgspec.json.encode(declared.upload.id))

        call = call_of(received.fingerprint) if call_of is not None else None
        return _upload_id_in(await answer_once(self._outbox, call, act))

    async def _give_up(self, upload_id: UploadId, gallery_id: GalleryId) -> None:
        # It may have ended otherwise: rejected, deleted with its gallery, or completed with a lost answer.
        with suppress(UploadCompletedAlready, UploadNotFound):
            await self._abort(upload_id, gallery_id)


def _declared(upload: Upload, received: _Received, *, fmt: MediaFormat) -> DeclaredUpload:
    """Returns the upload with its real size and declaration. Raises FileTypeNotTaken, ContentMismatch."""
    said = received.said
    content_type = content_type_of(said.content_type, filename=said.filename, found=fmt)
    if not is_taken(content_type):
        raise FileTypeNotTaken
    if said.sha256 is not None and bytes.fromhex(said.sha256) != received.digest:
        raise ContentMismatch("The SHA-256 of the content is not the one declared. (checksum_mismatch)")
    settled = upload._replace(
        filename=safe_filename(said.filename),
        content_type=content_type,
        size_bytes=received.size_bytes,
        sha256=received.digest if said.sha256 is not None else None,
    )
    return DeclaredUpload(
        settled, Description(said.caption, tuple(said.tags or ()), said.location, said.attributes or {})
    )


async def _refusal(inflow: _Inflow, found: MediaFormat | None) -> Problem:
    """Returns the reason why a file with these first bytes is refused. Nothing of it was stored."""
    received = await inflow.received()
    said = received.said
    if not received.size_bytes:
        return ContentMismatch("The file has no bytes. (empty)")
    if not is_taken(content_type_of(said.content_type, filename=said.filename, found=found)):
        return FileTypeNotTaken()
    return ContentMismatch(
        "The first bytes of the content are not those of the declared type. (type_mismatch)"
    )


def _upload_id_in(stored: StoredAnswer) -> UploadId:
    return UploadId(msgspec.json.decode(stored.body, type=UUID))
