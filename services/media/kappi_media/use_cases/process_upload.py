"""The media worker: reads the facts of a completed upload and makes its picture for the grid (ADR-0033).

The event only adds a job to a queue in the database. Jobs are leased in fair turns: a file that takes long
delays only what its own uploader sent after it. Every step may be repeated: the rendition has one key, and an
item leaves `processing` once, in the statement that also records the event and removes the job. That
statement contains no network call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.clock import Clock
from kappi_chassis.db import driver_of
from kappi_chassis.inbox import BatchEffect
from kappi_chassis.leased_work import LeasedWork
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.observability.tracing import Attributes, work_caused_by
from kappi_chassis.outbox import BatchUnit, Outbox
from kappi_chassis.storage import ObjectMissing, ObjectStore
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import MediaDeleted, MediaReady, MediaRejected, UploadCompleted
from kappi_mediameta.probing import (
    DEFAULT_LIMITS,
    Probe,
    ProbeLimits,
    Rejected,
    RejectReason,
    format_of,
)

from kappi_media import metrics
from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.domain.object_tags import TaggedFacts
from kappi_media.domain.shares import DecoderBudget
from kappi_media.domain.tiers import GRID_SIZE
from kappi_media.fair_places import SPARE
from kappi_media.rendering.failures import (
    DecoderKilled,
    DecoderStalled,
    DecoderUnavailable,
)
from kappi_media.repository.processing import (
    ProcessingQueries,
    TakenUp,
    forget_job,
    item_exists,
    next_sequence_of_gone,
)
from kappi_media.repository.upload_jobs import LeasedUpload, Room, UploadJobQueries, add_jobs
from kappi_media.scanning import ScanOriginal, ScanRefused
from kappi_media.stored_renditions import Decoding, KeptGridPicture, RenditionMaker, WantedRendition
from kappi_media.stored_source import StoredSource
from kappi_media.use_cases.checksums import sha256_of
from kappi_media.use_cases.lease import renewing
from kappi_media.use_cases.tag_originals import TagOriginal

ATTEMPTS: Final = 6
"""The attempts of a file that kills its decoder or the worker. With the pauses in between they last a minute:
longer than a machine is out of memory by accident.
"""
STALL_COUNTS: Final = 3
"""The attempts that a stall counts for, because a stall has occupied a decoder for minutes."""
FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(seconds=30)
"""The longest pause while the store, the scanner or the decoders are unavailable."""
LONGEST_FAULT_PAUSE: Final = timedelta(hours=1)
"""The longest pause after a fault in the software. Such a fault will be fixed, so no acknowledged upload is
given up because of it.
"""
POLL: Final = timedelta(seconds=1)
LEASE: Final = timedelta(seconds=20)
RENEW_EVERY_S: Final = 6.0
LEAVE_WITHIN_S: Final = 2.0

_log = get_logger(__name__)


class _ChecksumWrong(Exception):
    """The content does not have the declared SHA-256."""


@dataclass(frozen=True, slots=True)
class _Made:
    probe: Probe
    grid: KeptGridPicture


def queue_uploads(clock: Clock) -> BatchEffect:
    """The inbox effect of UploadCompleted: a job for the worker.

    If the item was deleted meanwhile, its deletion is published once more, because an attempt that died may
    have stored a rendition after the purge.
    """

    async def effect(unit: BatchUnit, envelopes: Sequence[Envelope[UploadCompleted]]) -> None:
        gone = await add_jobs(unit.driver, envelopes)
        for each in envelopes:
            media_id = MediaId(each.data.media_id)
            if media_id in gone:
                deleted = _deletion(media_id, GalleryId(each.data.gallery_id), clock)
                sequence = await next_sequence_of_gone(unit.driver, media_id)
                await unit.publish(deleted, sequence=sequence, traceparent=each.traceparent)
                metrics.ITEMS_PROCESSED.labels("gone").inc()

    return effect


class ProcessUpload:
    """Processes one completed upload.

    limits: of what is accepted. tag: writes an item's facts on its original. scan: a virus scan of the
    original, if there is a scanner.
    """

    def __init__(
        self,
        processing: ProcessingQueries,
        *,
        outbox: Outbox,
        store: ObjectStore,
        decoding: Decoding,
        clock: Clock,
        limits: ProbeLimits = DEFAULT_LIMITS,
        tag: TagOriginal | None = None,
        scan: ScanOriginal | None = None,
    ) -> None:
        self._processing = processing
        self._outbox = outbox
        self._store = store
        self._decoding = decoding
        self._limits = limits
        self._maker = RenditionMaker(rendering=decoding, store=store)
        self._clock = clock
        self._tag = tag
        self._scan = scan

    async def __call__(self, job: LeasedUpload) -> None:
        """Process one job. Raises StorageUnavailable, ScannerUnavailable, ScanFailed, DecoderUnavailable: the
        job is to be retried.
        """
        taken = await self._processing.take_up(job.media_id, job.gallery_id)
        if taken is None:
            return await self._nothing_to_do(job)
        if job.attempts > ATTEMPTS:
            reason = RejectReason.TOO_COMPLEX.value
            return await self._reject(
                job, reason=reason, detail="ended its decoder, or the worker, each time"
            )
        try:
            made = await self._make(job, unchecked_sha256=taken.unchecked_sha256)
        except Rejected as rejected:
            return await self._reject(job, reason=rejected.reason.value, detail=rejected.detail)
        except _ChecksumWrong:
            return await self._reject(job, reason="checksum_mismatch", detail="not the declared SHA-256")
        except ScanRefused as refused:
            return await self._reject(job, reason=refused.reason, detail=refused.detail)
        except ObjectMissing:
            return await self._reject(job, reason="missing", detail="no original in the store")
        return await self._ready(job, made, taken)

    async def _make(self, job: LeasedUpload, *, unchecked_sha256: bytes | None) -> _Made:
        started = time.perf_counter()
        fmt = format_of(job.content_type)
        if fmt is None:  # an older version of this software accepted it
            raise Rejected(RejectReason.UNSUPPORTED_TYPE, job.content_type)
        if unchecked_sha256 is not None:
            await self._check_sha256(job, unchecked_sha256)
        source = StoredSource(self._store, job.object_key, size_bytes=job.size_bytes)
        if self._scan is not None:
            await self._scan(job.object_key, size_bytes=job.size_bytes)
        # Kept, so it costs no read more. While the store is away, no decoder process is started in vain.
        await source.read(0, 1)
        facts = await self._decoding.probe(source, fmt, self._limits, share=job.share)
        wanted = WantedRendition(job.media_id, job.gallery_id, GRID_SIZE)
        grid = await self._maker.make_grid(source, facts, wanted, share=job.share)
        metrics.PROCESSING_SECONDS.labels(facts.kind).observe(time.perf_counter() - started)
        return _Made(facts, grid)

    async def _check_sha256(self, job: LeasedUpload, declared: bytes) -> None:
        """Check what completing the upload could not compute in time."""
        if await sha256_of(self._store, job.object_key) != declared:
            raise _ChecksumWrong
        await self._processing.checksum_verified(job.media_id, declared)

    async def _ready(self, job: LeasedUpload, made: _Made, taken: TakenUp) -> None:
        facts, now = made.probe, self._clock()
        ready = MediaReady(
            media_id=job.media_id,
            gallery_id=job.gallery_id,
            kind=facts.kind,
            content_type=facts.content_type,
            size_bytes=job.size_bytes,
            width=facts.width,
            height=facts.height,
            duration_ms=facts.duration_ms,
            ready_at=now,
            contributor_id=taken.contributor_id,
            owner_id=taken.owner_id,
        )
        done = await self._processing.ready(
            job.media_id,
            job.gallery_id,
            probe=facts,
            grid=made.grid,
            event=self._outbox.row(ready),
            taken=taken,
        )
        if not done:
            await self._nothing_to_do(job)
            return
        self._outbox.wake()
        _log.debug("media.ready", media_id=str(job.media_id))
        metrics.ITEMS_PROCESSED.labels("ready").inc()
        metrics.READY_SECONDS.observe(max(0.0, (now - job.completed_at).total_seconds()))
        if self._tag is not None:
            await self._tag(job.object_key, TaggedFacts.of(facts))

    async def _reject(self, job: LeasedUpload, *, reason: str, detail: str) -> None:
        _log.info("media.rejected", media_id=str(job.media_id), reason=reason, detail=detail)
        rejected = MediaRejected(
            media_id=job.media_id, gallery_id=job.gallery_id, reason=reason, rejected_at=self._clock()
        )
        done = await self._processing.rejected(
            job.media_id, job.gallery_id, reason=reason, event=self._outbox.row(rejected)
        )
        if not done:
            await self._nothing_to_do(job)
            return
        self._outbox.wake()
        metrics.ITEMS_PROCESSED.labels("rejected").inc()

    async def _nothing_to_do(self, job: LeasedUpload) -> None:
        """Remove a job whose item was processed by another worker, or deleted.

        A rendition of a deleted item may have been stored after its purge, by this attempt or by one that
        died, so its prefix is purged once more.
        """
        async with self._outbox.begin() as unit:
            await forget_job(unit.connection, job.media_id)
            if await item_exists(unit.connection, job.media_id):
                metrics.ITEMS_PROCESSED.labels("repeated").inc()
            else:
                driver = await driver_of(unit.connection)
                deleted = _deletion(job.media_id, job.gallery_id, self._clock)
                await unit.publish(deleted, sequence=await next_sequence_of_gone(driver, job.media_id))
                metrics.ITEMS_PROCESSED.labels("gone").inc()


class UploadWorker:
    """Processes uploads from the queue.

    Many replicas may run it: leases keep them apart, and doing the work twice has the effect of once.
    concurrency: items at the same time; one more place is for a gallery and a client of which no item is
    under work. budget: what anonymous galleries may use of the decoders; those above it leave one place to
    others.
    """

    def __init__(
        self,
        jobs: UploadJobQueries,
        *,
        process: ProcessUpload,
        budget: DecoderBudget,
        clock: Clock,
        concurrency: int,
    ) -> None:
        self._jobs = jobs
        self._process = process
        self._budget = budget
        self._clock = clock
        self._late_places = max(1, concurrency - 1)
        self._late = 0
        self._work = LeasedWork(
            "upload", take=self._take, work=self._work_on, at_once=concurrency + SPARE, poll=POLL
        )

    def wake(self) -> None:
        """Wake the worker, because there may be a job. Call it after the commit; polling covers a missed
        call.
        """
        self._work.wake()

    async def run(self) -> None:
        """Run until cancelled."""
        await self._work.run()

    async def _take(self, places: int) -> list[LeasedUpload]:
        now = self._clock()
        oldest = await self._jobs.oldest()
        metrics.UPLOAD_JOB_AGE_SECONDS.set(0.0 if oldest is None else (now - oldest).total_seconds())
        if oldest is None:
            return []
        room = Room(places, further=places - SPARE, late=min(places - SPARE, self._late_places - self._late))
        leased = await self._jobs.take(
            room,
            now=now,
            until=now + LEASE,
            spent=self._budget.levels(),
            budget_s=self._budget.seconds,
        )
        self._late += sum(job.late for job in leased)
        return leased

    async def _work_on(self, job: LeasedUpload) -> None:
        try:
            with work_caused_by(job.traceparent, "process upload", attributes=_named(job)):
                async with renewing("upload", lambda: self._renew(job), every_s=RENEW_EVERY_S):
                    await self._process(job)
        except asyncio.CancelledError:
            # The next worker need not wait for the end of the lease, and the file did not cause this end.
            with suppress(Exception):
                async with asyncio.timeout(LEAVE_WITHIN_S):
                    await self._jobs.postpone(job.media_id, due_at=self._clock(), attempts=-1, failures=0)
            raise
        except Exception as error:  # noqa: BLE001 - one file that hits a bug must not stop the others
            await self._postpone(job, error)
        finally:
            self._late -= job.late

    async def _renew(self, job: LeasedUpload) -> bool:
        return await self._jobs.renew(job.media_id, until=self._clock() + LEASE)

    async def _postpone(self, job: LeasedUpload, error: Exception) -> None:
        cause, attempts, longest = _meaning(error)
        metrics.UPLOAD_JOB_RETRIES.labels(cause).inc()
        pause = min(longest, FIRST_PAUSE * 2 ** min(job.failures, 12))
        _log.warning(
            "upload.postponed",
            media_id=str(job.media_id),
            cause=cause,
            attempt=job.attempts,
            retry_in_s=pause.total_seconds(),
            error=str(error),
            error_type=type(error).__name__,
        )
        try:
            await self._jobs.postpone(job.media_id, due_at=self._clock() + pause, attempts=attempts)
        except Exception as failure:
            if not is_transient(failure):
                raise
            _log.warning("upload.lost_database", error=str(failure))  # its lease expires by itself


def _named(job: LeasedUpload) -> Attributes:
    return {"kappi.media_id": str(job.media_id), "kappi.attempt": job.attempts}


def _meaning(error: Exception) -> tuple[str, int, timedelta]:
    """Returns the cause, the attempts to count in addition to this one, and the longest pause."""
    if isinstance(error, DecoderStalled):
        return "stalled", STALL_COUNTS - 1, LONGEST_PAUSE
    if isinstance(error, DecoderKilled):
        return "killed", 0, LONGEST_PAUSE
    if isinstance(error, DecoderUnavailable):
        return "decoder", -1, LONGEST_PAUSE
    if is_transient(error):
        return "away", -1, LONGEST_PAUSE
    return "failed", -1, LONGEST_FAULT_PAUSE


def _deletion(media_id: MediaId, gallery_id: GalleryId, clock: Clock) -> MediaDeleted:
    return MediaDeleted(media_id=media_id, gallery_id=gallery_id, reason="requested", deleted_at=clock())
