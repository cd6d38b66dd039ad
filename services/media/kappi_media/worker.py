"""The media worker: what a completed upload shows, and its picture for the grid.

Every step may be repeated: the rendition has one key, and an item leaves `processing` a single time, in the
statement that also records the event and queues the next one. No network call happens inside it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from kappi_chassis.clock import Clock
from kappi_chassis.inbox import record
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.storage import ObjectMissing, ObjectStore
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import MediaDeleted, MediaReady, MediaRejected, UploadCompleted

from kappi_media import metrics
from kappi_media.domain import GalleryId, MediaId
from kappi_media.object_tags import TaggedFacts
from kappi_media.probing import DEFAULT_LIMITS, SNIFF_BYTES, Probe, ProbeLimits, Rejected, identify
from kappi_media.repository.processing import (
    CONSUMER,
    ProcessingQueries,
    item_exists,
    next_sequence_of_gone,
)
from kappi_media.scanning import ScanOriginal, ScanRefused
from kappi_media.stored_renditions import Decoding, KeptGridPicture, RenditionMaker, WantedRendition
from kappi_media.stored_source import StoredSource
from kappi_media.use_cases.checksums import ChecksumWrong, LateChecksum
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.tag_originals import TagOriginal

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    probe: Probe
    grid: KeptGridPicture


class ProcessUpload:
    """Handles UploadCompleted.

    concurrency: items at once, over all partitions together. limits: of what is taken. tag: writes an item's
    facts on its original. scan: asks a virus scanner first, where there is one. late_checksum: looks at what
    completing could not.
    """

    def __init__(
        self,
        processing: ProcessingQueries,
        *,
        outbox: Outbox,
        store: ObjectStore,
        decoding: Decoding,
        late_checksum: LateChecksum,
        tier: GoverningTier,
        clock: Clock,
        concurrency: int,
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
        self._late_checksum = late_checksum
        self._tier = tier
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrency)
        self._tag = tag
        self._scan = scan

    async def __call__(self, envelope: Envelope[UploadCompleted]) -> bool:
        """False for a duplicate. Raises StorageUnavailable, ScannerUnavailable, DecoderUnavailable: the
        record is tried again."""
        async with self._slots:
            event = envelope.data
            taken = await self._processing.take_up(
                MediaId(event.media_id), GalleryId(event.gallery_id), event_id=envelope.id
            )
            if taken.repeated:
                return False
            if not taken.waiting:
                return await self._nothing_to_do(envelope)
            try:
                rules = await self._tier(taken.owner_id)
                made = await self._make(event, grid_size=rules.grid_size)
            except Rejected as rejected:
                return await self._reject(envelope, reason=rejected.reason.value, detail=rejected.detail)
            except ChecksumWrong:
                return await self._reject(
                    envelope, reason="checksum_mismatch", detail="not the declared SHA-256"
                )
            except ScanRefused as refused:
                return await self._reject(envelope, reason=refused.reason, detail=refused.detail)
            except ObjectMissing:
                return await self._reject(envelope, reason="missing", detail="no original in the store")
            return await self._ready(envelope, made)

    async def _make(self, event: UploadCompleted, *, grid_size: str) -> _Made:
        started = time.perf_counter()
        source = StoredSource(self._store, event.object_key, size_bytes=event.size_bytes)
        fmt = identify(event.content_type, await source.read(0, SNIFF_BYTES))
        await self._late_checksum(MediaId(event.media_id), event.object_key)
        if self._scan is not None:
            await self._scan(event.object_key, size_bytes=event.size_bytes)
        facts = await self._decoding.probe(source, fmt, self._limits)
        wanted = WantedRendition(MediaId(event.media_id), GalleryId(event.gallery_id), grid_size)
        grid = await self._maker.make_grid(source, facts, wanted)
        metrics.PROCESSING_SECONDS.labels(facts.kind).observe(time.perf_counter() - started)
        return _Made(facts, grid)

    async def _ready(self, envelope: Envelope[UploadCompleted], made: _Made) -> bool:
        event, facts, now = envelope.data, made.probe, self._clock()
        ready = MediaReady(
            media_id=event.media_id,
            gallery_id=event.gallery_id,
            kind=facts.kind,
            content_type=facts.content_type,
            size_bytes=event.size_bytes,
            width=facts.width,
            height=facts.height,
            duration_ms=facts.duration_ms,
            ready_at=now,
        )
        done = await self._processing.ready(
            MediaId(event.media_id),
            GalleryId(event.gallery_id),
            event_id=envelope.id,
            probe=facts,
            grid=made.grid,
            event=self._outbox.row(ready),
        )
        if not done:
            return await self._nothing_to_do(envelope)
        self._outbox.wake()
        metrics.ITEMS_PROCESSED.labels("ready").inc()
        metrics.READY_SECONDS.observe(max(0.0, (now - event.completed_at).total_seconds()))
        if self._tag is not None:
            await self._tag(event.object_key, TaggedFacts.of(facts))
        return True

    async def _reject(self, envelope: Envelope[UploadCompleted], *, reason: str, detail: str) -> bool:
        event = envelope.data
        _log.info("media.rejected", media_id=str(event.media_id), reason=reason, detail=detail)
        rejected = MediaRejected(
            media_id=event.media_id,
            gallery_id=event.gallery_id,
            reason=reason,
            rejected_at=self._clock(),
        )
        done = await self._processing.rejected(
            MediaId(event.media_id),
            GalleryId(event.gallery_id),
            event_id=envelope.id,
            reason=reason,
            event=self._outbox.row(rejected),
        )
        if not done:
            return await self._nothing_to_do(envelope)
        self._outbox.wake()
        metrics.ITEMS_PROCESSED.labels("rejected").inc()
        return True

    async def _nothing_to_do(self, envelope: Envelope[UploadCompleted]) -> bool:
        """Done by somebody else, or gone. A gone item's rendition may have been put after its purge, by this
        attempt or by one that died: its prefix is to be purged once more."""
        event = envelope.data
        media_id = MediaId(event.media_id)
        async with self._outbox.begin() as unit:
            if not await record(unit.connection, consumer=CONSUMER, event_id=envelope.id):
                return False
            if await item_exists(unit.connection, media_id):
                metrics.ITEMS_PROCESSED.labels("repeated").inc()
                return False
            deleted = MediaDeleted(
                media_id=event.media_id,
                gallery_id=event.gallery_id,
                reason="requested",
                deleted_at=self._clock(),
            )
            await unit.publish(deleted, sequence=await next_sequence_of_gone(unit.connection, media_id))
        metrics.ITEMS_PROCESSED.labels("gone").inc()
        return True
