"""Makes copies of originals that do not contain the place where they were made. A copy is made once, on the
first request for it.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.problems import Problem
from kappi_chassis.storage import ObjectMissing, ObjectStore, StorageUnavailable
from kappi_contracts.keys import gps_free_key, original_key
from kappi_mediameta.gps_free.edits import Patch, Unremovable
from kappi_mediameta.gps_free.patching import patched
from kappi_mediameta.probing import RangedSource

from kappi_media import metrics
from kappi_media.domain.contributions import ContributorId
from kappi_media.domain.media import GalleryId, MediaId, ServedVariant
from kappi_media.domain.shares import DecoderBudget, Share
from kappi_media.errors import (
    LocationFreePending,
    LocationNotRemovable,
    MediaNotFound,
    MediaNotReady,
)
from kappi_media.fair_places import FairPlaces
from kappi_media.rendering.failures import DecoderNotStarted, DecoderUnavailable
from kappi_media.repository.gps_free import CopyState, GpsFreeQueries, KeptCopy
from kappi_media.single_flight import SingleFlight
from kappi_media.stored_source import StoredSource
from kappi_media.use_cases.repurge import purge_again
from kappi_media.use_cases.room import store_problem

LEASE = timedelta(minutes=1)
LEASE_BYTES_PER_S = 2 << 20
"""The lowest assumed speed of copying. A copy's lease lasts one minute and the time that its size takes at
this speed; then another process may make the copy, because the first may have died. Two processes that make
the same copy do no harm.
"""
FAILURE_KEPT = timedelta(minutes=10)
REST = timedelta(minutes=1)
"""The pause after a decoder was killed, or stalled."""
AT_ONCE = 4
"""The number of copies that one process makes at the same time; one more place is for a gallery that has none
under way. Each copy streams a whole original through the process.
"""
MAX_WANTED = 2_000
"""The number of copies that may wait to be made because their items were viewed. Further ones are requested
again by the next view.
"""
TIMEOUT_S = 20.0
"""The time a caller waits for a copy. The making goes on after it."""
POLL_S = 0.2

FindLocation = Callable[[RangedSource], Awaitable[tuple[Patch, ...]]]
"""Returns the byte ranges of a file that have to be overwritten. Raises Unremovable, DecoderUnavailable;
errors of the source pass.
"""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServedCopy:
    """The copy that a viewer gets in place of an original. Size and content type are those of the original.

    crc32: None when it was not computed.
    """

    key: str
    size_bytes: int
    etag: str
    crc32: int | None


class GpsFreeCopies:
    """Makes a copy once, for any number of concurrent requests and replicas.

    find: reads untrusted files, so it must not run in the process that answers requests.
    """

    def __init__(
        self,
        copies: GpsFreeQueries,
        *,
        find: FindLocation,
        store: ObjectStore,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._copies = copies
        self._find = find
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._under_way: SingleFlight[MediaId, ServedCopy] = SingleFlight()
        self._places = FairPlaces(AT_ONCE, budget=DecoderBudget())
        self._wanted: dict[MediaId, GalleryId] = {}
        self._making: asyncio.Task[None] | None = None

    async def __call__(self, media_id: MediaId, gallery_id: GalleryId) -> ServedCopy:
        """Returns the copy to serve for a ready item, made if needed. A caller that leaves does not stop the
        making.

        Raises MediaNotReady, MediaNotFound, LocationNotRemovable, LocationFreePending, StoreUnavailable.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._under_way(media_id, lambda: self._see_to_it(media_id, gallery_id))
        except TimeoutError as error:
            raise _pending() from error

    async def variants(self, media_ids: Sequence[UUID]) -> Mapping[UUID, ServedVariant]:
        """Returns what is currently served for each of these items."""
        made = await self._copies.made(media_ids)
        missing = [media_id for media_id in media_ids if media_id not in made]
        impossible = await self._copies.impossible(missing) if missing else set()
        given = {True: ServedVariant.UNCHANGED, False: ServedVariant.LOCATION_FREE}
        return {
            media_id: given[made[media_id]]
            if media_id in made
            else ServedVariant.NOTHING
            if media_id in impossible
            else ServedVariant.NOTHING_YET
            for media_id in media_ids
        }

    def want(self, gallery_id: GalleryId, media_ids: Iterable[MediaId]) -> None:
        """Request the making of copies of ready items that were viewed. It happens in the background."""
        for media_id in media_ids:
            if len(self._wanted) < MAX_WANTED:
                self._wanted.setdefault(media_id, gallery_id)
        if self._wanted and (self._making is None or self._making.done()):
            self._making = asyncio.create_task(self._make_wanted(), name="location-free")
            self._making.add_done_callback(_note_interruption)

    async def all_of(self, gallery_id: GalleryId, *, only_of: ContributorId | None) -> None:
        """Returns when every ready item has its copy, except those whose place cannot be removed. only_of:
        the contributor whose items alone are meant; None for all items.

        Raises LocationFreePending, StoreUnavailable.
        """
        waiting = await self._copies.waiting(gallery_id, only_of=only_of, now=self._clock())
        if not waiting:
            return
        self.want(gallery_id, waiting)
        give_up_at = time.monotonic() + TIMEOUT_S
        while await self._copies.waiting(gallery_id, only_of=only_of, now=self._clock()):
            if time.monotonic() > give_up_at or self._making is None or self._making.done():
                raise _pending()
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Cancel what is under way, so that its connections can be closed."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.wait((self._making,))
        await self._under_way.close()

    async def _make_wanted(self) -> None:
        async def one(media_id: MediaId, gallery_id: GalleryId) -> None:
            try:
                await self._under_way(media_id, lambda: self._see_to_it(media_id, gallery_id))
            except Problem as problem:
                _log.info("location_free.not_made", media_id=str(media_id), code=problem.code)

        while self._wanted:
            batch = [self._wanted.popitem() for _ in range(min(AT_ONCE, len(self._wanted)))]
            async with asyncio.TaskGroup() as group:
                for media_id, gallery_id in batch:
                    group.create_task(one(media_id, gallery_id))

    async def _see_to_it(self, media_id: MediaId, gallery_id: GalleryId) -> ServedCopy:
        give_up_at = time.monotonic() + TIMEOUT_S
        while True:
            now = self._clock()
            state = await self._copies.lease(media_id, gallery_id, now=now, lease_of=_lease_of)
            if state is None:
                raise MediaNotReady("Try again in a moment.")
            if state.copy is not None:
                return _handed_out(media_id, gallery_id, state.folder, state.copy)
            if state.held_until is not None:
                async with self._places.held(Share(gallery_id)):
                    return await self._make(media_id, gallery_id, state, held=state.held_until)
            if state.failure is not None:
                raise _impossible()
            # the process that makes it may be dead, and other callers wait for this one
            if time.monotonic() > give_up_at:
                raise _pending()
            await asyncio.sleep(POLL_S)

    async def _make(
        self, media_id: MediaId, gallery_id: GalleryId, state: CopyState, *, held: datetime
    ) -> ServedCopy:
        settled = False
        try:
            copy = await self._copy(media_id, gallery_id, state)
            kept = await self._copies.keep(media_id, gallery_id, folder=state.folder, held=held, copy=copy)
            settled = True
        except Unremovable as unremovable:
            _log.warning("location_free.impossible", media_id=str(media_id), detail=str(unremovable))
            until = self._clock() + FAILURE_KEPT
            await self._copies.leave(media_id, held=held, until=until, failure=LocationNotRemovable.code)
            settled = True
            metrics.LOCATION_FREE_COPIES.labels("impossible").inc()
            raise _impossible() from unremovable
        except ObjectMissing as missing:
            raise MediaNotFound from missing
        except StorageUnavailable as away:
            raise store_problem(away) from away
        except DecoderUnavailable as unavailable:
            _log.warning("location_free.no_decoder", error=str(unavailable))
            if not isinstance(unavailable, DecoderNotStarted):
                # The file may be the cause. A retry must not start it again at once.
                await self._copies.leave(media_id, held=held, until=self._clock() + REST, failure=None)
                settled = True
            raise _pending() from unavailable
        finally:
            if not settled:
                await self._copies.release(media_id, held=held)
        if not kept:
            await purge_again(self._outbox, media_id, gallery_id, now=self._clock())
            metrics.LOCATION_FREE_COPIES.labels("gone").inc()
            raise MediaNotFound
        metrics.LOCATION_FREE_COPIES.labels("unchanged" if copy.unchanged else "made").inc()
        return _handed_out(media_id, gallery_id, state.folder, copy)

    async def _copy(self, media_id: MediaId, gallery_id: GalleryId, state: CopyState) -> KeptCopy:
        """Raises Unremovable, ObjectMissing, StorageUnavailable."""
        original_at = original_key(gallery_id, media_id, state.folder)
        original = StoredSource(self._store, original_at, size_bytes=state.size_bytes)
        patches = await self._find(original)
        if not patches:
            if state.tells_place:
                raise Unremovable("it contains a place that was not found again")
            return KeptCopy(state.size_bytes, state.etag, state.crc32, unchanged=True)
        key = gps_free_key(gallery_id, media_id, state.folder)
        counted = _Counted(self._edited(original_at, patches))
        async with aclosing(counted.chunks()) as chunks:
            head = await self._store.put_stream(key, chunks, content_type=state.content_type, replace=True)
        # The copy is checked as it was stored, because that is what is served.
        copy = StoredSource(self._store, key, size_bytes=head.size_bytes)
        if head.size_bytes != state.size_bytes or await self._find(copy):
            await self._store.delete_batch([key])
            raise Unremovable("the copy still contains it")
        return KeptCopy(head.size_bytes, head.etag, counted.crc32, unchanged=False)

    async def _edited(self, key: str, patches: Sequence[Patch]) -> AsyncIterator[bytes]:
        async with aclosing(self._store.stream(key)) as chunks:
            async for chunk in patched(chunks, patches):
                yield chunk


def _note_interruption(making: asyncio.Task[None]) -> None:
    """Log an interruption, such as a lost database connection. The copies still wanted are made after the
    next view.
    """
    if not making.cancelled() and (error := making.exception()) is not None:
        _log.warning("location_free.interrupted", error_type=type(error).__name__)


class _Counted:
    """Passes chunks on and computes their checksum."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.crc32 = 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        async for chunk in self._chunks:
            self.crc32 = zlib.crc32(chunk, self.crc32)
            yield chunk


def _handed_out(media_id: MediaId, gallery_id: GalleryId, folder: int | None, copy: KeptCopy) -> ServedCopy:
    key = original_key if copy.unchanged else gps_free_key
    return ServedCopy(key(gallery_id, media_id, folder), copy.size_bytes, copy.etag, copy.crc32)


def _impossible() -> LocationNotRemovable:
    return LocationNotRemovable("Ask the manager of the gallery for the original.")


def _pending() -> LocationFreePending:
    return LocationFreePending("Ask again in a moment.", retry_after_s=5)


def _lease_of(size_bytes: int) -> timedelta:
    return LEASE + timedelta(seconds=size_bytes / LEASE_BYTES_PER_S)
