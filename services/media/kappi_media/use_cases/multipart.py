"""Multipart uploads: begun in the store after their reservation is committed, and signed part by part.

Only the store records which parts have arrived; the row keeps only the store's id of the upload. After a
crash between the store's answer and the commit, or while the store is unavailable, the next request for the
upload repairs the state. An id that was not recorded has no parts, and is removed with its prefix or by the
store's own rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from kappi_chassis.clock import Clock
from kappi_chassis.problems import FieldError
from kappi_chassis.storage import (
    MultipartMissing,
    ObjectExistsAlready,
    ObjectHead,
    ObjectMissing,
    ObjectStore,
    StorageRefused,
    StorageUnavailable,
    StoredPart,
    UrlSigner,
)
from kappi_contracts.keys import original_key

from kappi_media import metrics
from kappi_media.domain.declarations import CompletedPart
from kappi_media.domain.media import Upload, UploadId, url_lifetime_left
from kappi_media.domain.parts import PartPlan
from kappi_media.domain.upload_plan import SignedPart
from kappi_media.errors import UploadIncomplete
from kappi_media.repository.multipart import MultipartQueries
from kappi_media.single_flight import SingleFlight
from kappi_media.use_cases.lease import renewing

MAX_SIGNED_PARTS = 100
"""The number of part URLs in one answer about one upload."""

JOIN_BYTES_PER_S = 20 << 20
"""The lowest assumed speed at which a store joins parts. A process that was killed renews nothing, so a join
that shows neither parts nor object counts as running for one minute and the time that its size takes at this
speed.
"""
RENEW_JOINING_EVERY_S = 20.0
"""The join itself has no timeout: one that waits for its turn, or for a slower store, is renewed while it
runs.
"""
POLL_S = 0.2

_SHOWN_NUMBERS = 20


class PartSigner:
    """Signs the URLs of parts. lifetime: of a part's URL."""

    def __init__(self, signer: UrlSigner, *, lifetime: timedelta) -> None:
        self._signer = signer
        self._lifetime = lifetime

    def sign(
        self, upload: Upload, numbers: Iterable[int], *, now: datetime
    ) -> tuple[list[SignedPart], datetime]:
        """Returns the URLs of these parts, and when they expire. The upload must have begun."""
        if upload.multipart_id is None:
            raise ValueError("An upload has no parts before it has begun")
        plan = plan_of(upload)
        key = original_key(upload.gallery_id, upload.media_id)
        lifetime = url_lifetime_left(upload.expires_at, now=now, lifetime=self._lifetime)
        signed = [
            SignedPart(
                number=number,
                url=self._signer.sign_part(
                    key,
                    upload_id=upload.multipart_id,
                    number=number,
                    size_bytes=plan.length(number),
                    now=now,
                    lifetime=lifetime,
                ).url,
                headers={},
            )
            for number in numbers
        ]
        metrics.PARTS_SIGNED.inc(len(signed))
        return signed, now + lifetime


class Multiparts:
    """Performs the store's side of multipart uploads.

    joins: shared by the whole process, by the store's id. A join may occupy one of the store's few threads
    for minutes, however many callers wait for it, and goes on when they have left. begun_at_once: calls to
    the store in flight, over all requests. begin_timeout_s: how long the signing of a batch waits for the
    store; an upload that has not begun by then begins when it is next requested.
    """

    def __init__(
        self,
        queries: MultipartQueries,
        *,
        store: ObjectStore,
        joins: SingleFlight[str, ObjectHead],
        clock: Clock,
        begun_at_once: int = 16,
        begin_timeout_s: float = 5.0,
    ) -> None:
        self._queries = queries
        self._store = store
        self._joins = joins
        self._clock = clock
        self._slots = asyncio.Semaphore(begun_at_once)
        self._begin_timeout_s = begin_timeout_s

    async def begin_all(self, uploads: Sequence[Upload]) -> dict[UploadId, str]:
        """Begin reserved uploads. Returns the store's ids of the uploads that have begun, which may not be
        all.
        """
        made: dict[UploadId, str] = {}

        async def begin(upload: Upload) -> None:
            with suppress(StorageUnavailable, StorageRefused):
                made[upload.id] = await self._create(upload)

        with suppress(TimeoutError):
            async with asyncio.timeout(self._begin_timeout_s), asyncio.TaskGroup() as group:
                for upload in uploads:
                    group.create_task(begin(upload))
        metrics.MULTIPARTS_BEGUN.labels("signed").inc(len(made))
        return await self._record([upload for upload in uploads if upload.id in made], made)

    async def begun(self, upload: Upload) -> Upload:
        """Returns the upload, begun now if it was not. Raises StorageUnavailable."""
        return upload if upload.multipart_id is not None else await self._begin_instead(upload)

    async def parts(self, upload: Upload) -> tuple[Upload, Mapping[int, StoredPart]]:
        """Returns the upload and its parts that arrived with their planned size.

        The upload is begun (again) when the store has no record of it. If the object exists already, another
        process joined the parts and could not record it; then all of them are present. Raises
        StorageUnavailable, also while another process is joining them.
        """
        upload = await self.begun(upload)
        try:
            return upload, await self._present(upload)
        except MultipartMissing:
            joined = await self._joined(upload)
        if joined is not None:
            return upload, joined
        if await self._may_be_joining(upload):
            raise StorageUnavailable("the parts are being joined")
        upload = await self._begin_instead(upload)
        try:
            return upload, await self._present(upload)
        except MultipartMissing as error:  # it was aborted again at this time
            raise StorageUnavailable("the upload was aborted while it began") from error

    async def join(self, upload: Upload, claimed: Sequence[CompletedPart]) -> None:
        """Join the parts to an object; an object that exists already is a success.

        claimed: the parts that the client believes it sent, checked against those in the store. Waits for
        another process that is joining them. Raises UploadIncomplete, StorageUnavailable.
        """
        plan = plan_of(upload)
        if upload.multipart_id is None:
            raise _incomplete(range(1, plan.count + 1))
        try:
            present = await self._present(upload)
        except MultipartMissing:
            await self._until_settled(upload)
            return
        etags = {part.number: part.etag.strip('"') for part in claimed}
        wrong = [
            number
            for number in range(1, plan.count + 1)
            if number not in present or etags.get(number, present[number].etag) != present[number].etag
        ]
        if wrong:
            await self._expect_joined(upload, otherwise=_incomplete(wrong))
            return
        parts = [present[number] for number in range(1, plan.count + 1)]
        try:
            await self._joins(upload.multipart_id, partial(self._join, upload, upload.multipart_id, parts))
        except ObjectExistsAlready:
            return  # another process was faster
        except MultipartMissing:
            await self._until_settled(upload)
        except StorageRefused:
            again = UploadIncomplete("A part was sent again meanwhile: complete once more.")
            await self._expect_joined(upload, otherwise=again)

    async def _join(self, upload: Upload, multipart_id: str, parts: Sequence[StoredPart]) -> ObjectHead:
        takes = timedelta(minutes=1, seconds=upload.size_bytes / JOIN_BYTES_PER_S)

        async def record() -> bool:
            return await self._queries.record_joining(upload.id, until=self._clock() + takes)

        await record()
        key = original_key(upload.gallery_id, upload.media_id)
        async with renewing("joining", record, every_s=RENEW_JOINING_EVERY_S):
            return await self._store.complete_multipart(key, upload_id=multipart_id, parts=parts)

    async def _until_settled(self, upload: Upload) -> None:
        """Returns when the key shows either the joined object, or that the parts are gone."""
        while await self._may_be_joining(upload) and await self._joined(upload) is None:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(POLL_S)

    async def _may_be_joining(self, upload: Upload) -> bool:
        until = await self._queries.joining_until(upload.id)
        return until is not None and self._clock() < until

    async def _expect_joined(self, upload: Upload, *, otherwise: UploadIncomplete) -> None:
        """Raises `otherwise` if there is no object. Some stores join in several steps, so an object that
        another process joined may appear before its parts disappear.
        """
        if await self._joined(upload) is None:
            raise otherwise

    async def abort(self, upload: Upload) -> None:
        """Free the parts of an upload that is over. If that fails, the purge of its prefix removes them
        later.
        """
        if upload.multipart_id is None:
            return
        key = original_key(upload.gallery_id, upload.media_id)
        with suppress(StorageUnavailable, StorageRefused):
            await self._store.abort_multipart(key, upload_id=upload.multipart_id)

    async def _present(self, upload: Upload) -> Mapping[int, StoredPart]:
        """Returns the parts of the planned size, by number. Raises MultipartMissing, StorageUnavailable."""
        plan = plan_of(upload)
        found = await self._store.list_parts(
            original_key(upload.gallery_id, upload.media_id), upload_id=upload.multipart_id or ""
        )
        return {
            part.number: part
            for part in found
            if part.number <= plan.count and part.size_bytes == plan.length(part.number)
        }

    async def _joined(self, upload: Upload) -> Mapping[int, StoredPart] | None:
        """Returns all parts of an object that is already joined; None when there is no object."""
        try:
            head = await self._store.head(original_key(upload.gallery_id, upload.media_id))
        except ObjectMissing:
            return None
        plan = plan_of(upload)
        return {
            number: StoredPart(number=number, size_bytes=plan.length(number), etag=head.etag)
            for number in range(1, plan.count + 1)
        }

    async def _begin_instead(self, upload: Upload) -> Upload:
        """Begin an upload that has not begun, or whose parts the store has dropped."""
        try:
            made = await self._create(upload)
        except StorageRefused as error:
            raise StorageUnavailable("the store takes no such upload") from error
        metrics.MULTIPARTS_BEGUN.labels("looked").inc()
        recorded = await self._record([upload], {upload.id: made})
        if upload.id not in recorded:
            raise StorageUnavailable("the upload ended while it began")
        return upload._replace(multipart_id=recorded[upload.id])

    async def _create(self, upload: Upload) -> str:
        async with self._slots:
            return await self._store.create_multipart(
                original_key(upload.gallery_id, upload.media_id),
                content_type=upload.content_type,
                part_size_bytes=upload.part_size_bytes,
            )

    async def _record(self, uploads: Sequence[Upload], made: Mapping[UploadId, str]) -> dict[UploadId, str]:
        """Returns the recorded ids: those in `made`, or those that another process recorded first. Ids in
        `made` that were not recorded are aborted.
        """
        if not uploads:
            return {}
        standing = await self._queries.record_begun(uploads, made)
        for upload in uploads:
            if standing.get(upload.id) != made[upload.id]:
                await self.abort(upload._replace(multipart_id=made[upload.id]))
        return standing


def plan_of(upload: Upload) -> PartPlan:
    """Returns the plan of a multipart upload. Raises ValueError for an upload of one PUT."""
    if upload.part_size_bytes is None:
        raise ValueError("This upload has no parts")
    return PartPlan(upload.size_bytes, upload.part_size_bytes)


def missing_parts(plan: PartPlan, present: Collection[int], *, limit: int) -> list[int]:
    """Returns the first `limit` of the parts that have not arrived."""
    missing: list[int] = []
    for number in range(1, plan.count + 1):
        if len(missing) == limit:
            break
        if number not in present:
            missing.append(number)
    return missing


def _incomplete(numbers: Sequence[int]) -> UploadIncomplete:
    shown = ", ".join(str(number) for number in numbers[:_SHOWN_NUMBERS])
    more = f" and {len(numbers) - _SHOWN_NUMBERS} more" if len(numbers) > _SHOWN_NUMBERS else ""
    return UploadIncomplete(
        f"These parts are missing, or not what was sent: {shown}{more}.",
        errors=tuple(
            FieldError(field=f"parts.{number}", code="missing", message="not in the store")
            for number in numbers[:MAX_SIGNED_PARTS]
        ),
    )
