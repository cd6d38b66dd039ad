"""Renditions by size: made on the first request, stored, and from then on served by their URL."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.storage import ObjectMissing, ObjectStore, StorageUnavailable
from kappi_contracts.keys import original_key
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_mediameta.probing import Rejected, RejectReason

from kappi_media import metrics
from kappi_media.domain.media import AddressId, GalleryId, Item, MediaId
from kappi_media.domain.shares import Party, Share, address_party
from kappi_media.domain.tiers import TierRules
from kappi_media.domain.upload_plan import SignedUrl
from kappi_media.errors import (
    MediaNotFound,
    MediaNotReady,
    RenditionImpossible,
    RenditionNotInTier,
    RenditionsBusy,
    RenditionUrlInvalid,
)
from kappi_media.rendering.failures import DecoderKilled, DecoderStalled, DecoderUnavailable
from kappi_media.rendition_urls import RenditionUrls
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.renditions import RenditionQueries, RenditionState
from kappi_media.signed_urls import DownloadUrls
from kappi_media.single_flight import SingleFlight
from kappi_media.stored_renditions import KeptRendition, RenditionMaker, WantedRendition
from kappi_media.stored_source import StoredSource
from kappi_media.use_cases.lease import renewing
from kappi_media.use_cases.repurge import purge_again
from kappi_media.use_cases.room import store_problem

LEASE = timedelta(seconds=45)
"""The time that other replicas wait for one that died. Two that make the same rendition do no harm."""
RENEW_EVERY_S = 15.0
"""The interval of renewing the lease: waiting for a decoder, decoding and reading from the store have no
fixed limit.
"""
FAILURE_KEPT = timedelta(minutes=10)
LIMIT_KEPT = timedelta(days=365)
KILLS = 6
"""Attempts whose decoder, or whose process, was killed or stalled. After them no other attempt is made."""
REST = timedelta(minutes=1)
"""The pause for a picture whose decoder was killed, or stalled."""
ANSWER_WITHIN_S = 25.0
"""The time within which a waiting caller gets an answer: less than the gateway's timeout. The making
goes on.
"""
TIMEOUT_S = 15.0
"""The time to wait for another replica."""
POLL_S = 0.1

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WaitingBounds:
    """Bounds of the different renditions that one process makes or waits for.

    of_one: those of one account or anonymous gallery, and those requested by one client.
    """

    in_all: int = 256
    of_one: int = 32


DEFAULT_BOUNDS = WaitingBounds()


class MakeRendition:
    """Makes a rendition once, for any number of concurrent requests and replicas."""

    def __init__(
        self,
        renditions: RenditionQueries,
        *,
        maker: RenditionMaker,
        store: ObjectStore,
        outbox: Outbox,
        clock: Clock,
        bounds: WaitingBounds = DEFAULT_BOUNDS,
    ) -> None:
        self._renditions = renditions
        self._maker = maker
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._bounds = bounds
        self._under_way: SingleFlight[WantedRendition, None] = SingleFlight()
        self._of_parties: Counter[Party] = Counter()

    async def __call__(self, wanted: WantedRendition, share: Share) -> None:
        """Returns when the rendition of a ready item is stored. A caller that leaves does not stop the
        making.

        Raises MediaNotFound, RenditionImpossible, RenditionsBusy, InsufficientStorage, StoreUnavailable.
        """
        if wanted not in self._under_way and self._is_full_for(share):
            metrics.RENDITIONS.labels("busy").inc()
            raise RenditionsBusy(retry_after_s=1)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S) as deadline:
                await self._under_way(wanted, lambda: self._counted(wanted, share))
        except TimeoutError as late:
            if not deadline.expired():
                raise
            raise RenditionsBusy("It is being made.", retry_after_s=2) from late

    async def close(self) -> None:
        """Cancel what is under way, so that its decoders and connections can be closed."""
        await self._under_way.close()

    def _is_full_for(self, share: Share) -> bool:
        of_one = max(self._of_parties[party] for party in share.parties)
        return len(self._under_way) >= self._bounds.in_all or of_one >= self._bounds.of_one

    async def _counted(self, wanted: WantedRendition, share: Share) -> None:
        self._of_parties.update(share.parties)
        try:
            await self._see_to_it(wanted, share)
        finally:
            self._of_parties.subtract(share.parties)
            self._of_parties += Counter()  # removes parties without a rendition under way

    async def _see_to_it(self, wanted: WantedRendition, share: Share) -> None:
        give_up_at = time.monotonic() + TIMEOUT_S
        while True:
            now = self._clock()
            state = await self._renditions.lease(wanted, now=now, until=now + LEASE)
            if state is None:
                raise MediaNotFound
            if state.stored:
                return None
            if state.mine:
                return await self._make(wanted, state, share=share, held=[now + LEASE])
            if state.failure is not None:
                raise _impossible(state.failure)
            if time.monotonic() > give_up_at:
                raise RenditionsBusy(retry_after_s=2)
            await asyncio.sleep(POLL_S)

    def _renewing(self, wanted: WantedRendition, held: list[datetime]) -> AbstractAsyncContextManager[None]:
        """Renew the lease while the body runs. held: the instants until which it may be held; each renewal
        adds one.
        """

        async def renew() -> bool:
            until = self._clock() + LEASE
            held.append(until)  # before the renewal, because it may be cancelled half-way
            return await self._renditions.renew(wanted, held=held, until=until)

        return renewing("rendition", renew, every_s=RENEW_EVERY_S)

    async def _make(
        self, wanted: WantedRendition, state: RenditionState, *, share: Share, held: list[datetime]
    ) -> None:
        settled = False
        try:
            if state.kills >= KILLS:
                raise Rejected(RejectReason.TOO_COMPLEX, "ended its decoder each time")  # noqa: TRY301
            async with self._renewing(wanted, held):
                made = await self._render(wanted, state, share)
            kept = await self._renditions.keep(wanted, held=held, rendition=made)
            settled = True
        except Rejected as rejected:
            await self._record_failure(wanted, rejected, held)
            settled = True
            raise _impossible(rejected.reason.value) from rejected
        except ObjectMissing as missing:
            raise MediaNotFound from missing
        except StorageUnavailable as away:
            raise store_problem(away) from away
        except DecoderUnavailable as unavailable:
            _log.warning(
                "rendition.no_decoder", error=str(unavailable), error_type=type(unavailable).__name__
            )
            if isinstance(unavailable, (DecoderKilled, DecoderStalled)):
                # The file may be the cause: a retry must not start it again at once, and not without end.
                await self._renditions.renew(wanted, held=held, until=self._clock() + REST)
                settled = True
            raise RenditionsBusy("Try again in a moment.", retry_after_s=2) from unavailable
        finally:
            if not settled:
                await self._renditions.release(wanted, held=held)
        if not kept:
            await purge_again(self._outbox, wanted.media_id, wanted.gallery_id, now=self._clock())
            metrics.RENDITIONS.labels("gone").inc()
            raise MediaNotFound
        metrics.RENDITIONS.labels("made").inc()

    async def _record_failure(
        self, wanted: WantedRendition, rejected: Rejected, held: Sequence[datetime]
    ) -> None:
        _log.warning(
            "rendition.impossible",
            media_id=str(wanted.media_id),
            size=wanted.size,
            format=wanted.fmt,
            detail=rejected.detail,
        )
        # A picture that exceeded its limits would do so again.
        kept_for = LIMIT_KEPT if rejected.reason is RejectReason.TOO_COMPLEX else FAILURE_KEPT
        until = self._clock() + kept_for
        await self._renditions.failed(wanted, held=held, failure=rejected.reason.value, until=until)
        metrics.RENDITIONS.labels("impossible").inc()

    async def _render(self, wanted: WantedRendition, state: RenditionState, share: Share) -> KeptRendition:
        started = time.perf_counter()
        key = original_key(wanted.gallery_id, wanted.media_id, wanted.folder)
        source = StoredSource(self._store, key, size_bytes=state.size_bytes)
        made = await self._maker.make(source, state.probe, wanted, share=share)
        metrics.RENDITION_SECONDS.labels(state.probe.kind).observe(time.perf_counter() - started)
        return made


class Renditions:
    """Returns the URL of an item's rendition, which is made if needed."""

    def __init__(
        self,
        items: ItemQueries,
        *,
        stored: RenditionQueries,
        make: MakeRendition,
        urls: DownloadUrls,
        on_request: RenditionUrls,
        clock: Clock,
    ) -> None:
        self._items = items
        self._on_request = on_request
        self._clock = clock
        self._stored = stored
        self._make = make
        self._urls = urls

    async def __call__(
        self,
        media_id: MediaId,
        gallery_id: GalleryId,
        *,
        size: str,
        fmt: RenditionFormat,
        rules: TierRules,
        share: Share,
    ) -> SignedUrl:
        """Returns the signed URL of a rendition. share: the party that the decoder time is counted for.

        Raises MediaNotFound, RenditionNotInTier, MediaNotReady, and what `MakeRendition` raises.
        """
        item = await self._items.find(media_id, gallery_id)
        if item is None or item.status == "rejected":
            raise MediaNotFound
        if not rules.allows(size):
            raise RenditionNotInTier(f"Sizes to be had here: {rules.size_list}.")
        return await self._of(item, size=size, fmt=fmt, share=share, as_of=self._urls.as_of())

    async def signed(
        self, media_id: MediaId, *, size: str, expires: str, signature: str, address_id: AddressId
    ) -> tuple[SignedUrl, GalleryId]:
        """Returns the rendition that a signed URL requests, and the item's gallery. It is the JPEG, which is
        listed from then on.

        address_id: of the client. Raises RenditionUrlInvalid, and what `MakeRendition` raises.
        """
        found = await self._items.find_with_owner(media_id)
        if found is None:
            raise RenditionUrlInvalid("It was not signed for this rendition. Get the item again.")
        item, owner_id = found
        ends_at = self._on_request.check(item, size, expires=expires, signature=signature, now=self._clock())
        share = Share(owner_id or item.gallery_id, address_party(address_id), anonymous=owner_id is None)
        # The new URL needs no credential, so it must not outlive the URL that led to it.
        as_of = self._urls.as_of_end(ends_at)
        return await self._of(item, size=size, fmt="jpeg", share=share, as_of=as_of), item.gallery_id

    async def _of(
        self, item: Item, *, size: str, fmt: RenditionFormat, share: Share, as_of: datetime
    ) -> SignedUrl:
        wanted = WantedRendition(item.id, item.gallery_id, size, fmt, item.folder)
        if not await self._is_stored(wanted, item):
            if item.status != "ready":
                raise MediaNotReady("Try again in a moment.")
            await self._make(wanted, share)
        return self._urls.rendition(item, size, as_of=as_of, fmt=fmt)

    async def _is_stored(self, wanted: WantedRendition, item: Item) -> bool:
        if wanted.fmt == "jpeg":
            return wanted.size in item.renditions
        return await self._stored.stored(wanted)


def _impossible(reason: str) -> RenditionImpossible:
    return RenditionImpossible(f"The original cannot be shown at this size. ({reason})")
