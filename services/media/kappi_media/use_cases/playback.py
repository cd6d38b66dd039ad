"""Shows a film in a form that browsers play: its original, or a rendition that is made on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from kappi_chassis.clock import Clock
from kappi_chassis.storage import ObjectMissing, ObjectStore, StorageUnavailable
from kappi_contracts.keys import original_key
from kappi_contracts.rendition_formats import PLAYBACK_SIZE
from kappi_mediameta.probing import RangedSource, Rejected

from kappi_media import metrics
from kappi_media.domain.media import GalleryId, Item, MediaId
from kappi_media.domain.playback import Coding, PlaybackBounds, State, may_play, plays
from kappi_media.domain.shares import Share
from kappi_media.domain.tiers import TierRules
from kappi_media.domain.upload_plan import SignedUrl
from kappi_media.errors import (
    MediaNotAFilm,
    MediaNotFound,
    MediaNotReady,
    PlaybackImpossible,
    PlaybackNotInTier,
    PlaybacksBusy,
)
from kappi_media.rendering.failures import DecoderUnavailable
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.playbacks import PlaybackQueries, PlaybackState
from kappi_media.signed_urls import DownloadUrls
from kappi_media.stored_source import StoredSource
from kappi_media.use_cases.room import store_problem

_TICKS: Final = 90_000


class Looking(Protocol):
    """Finds how a film is coded, off the event loop."""

    async def look(self, source: RangedSource, content_type: str, *, share: Share) -> Coding:
        """Raises Rejected when the film is the cause, DecoderUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class PendingFilm:
    """A film that is not playable yet. progress: 0 to 1."""

    state: State
    progress: float


class ShowPlayback:
    """Returns where a film is in a form that browsers play, or how far it is made. wake: wakes the worker."""

    def __init__(
        self,
        items: ItemQueries,
        *,
        playbacks: PlaybackQueries,
        looking: Looking,
        store: ObjectStore,
        urls: DownloadUrls,
        bounds: PlaybackBounds,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._items = items
        self._playbacks = playbacks
        self._looking = looking
        self._store = store
        self._urls = urls
        self._bounds = bounds
        self._clock = clock
        self._wake = wake

    async def __call__(
        self,
        media_id: MediaId,
        gallery_id: GalleryId,
        *,
        rules: TierRules,
        share: Share,
    ) -> SignedUrl | PendingFilm | None:
        """Returns the signed URL of the film; None when browsers play the original, which the caller may get;
        otherwise the state of its making, which is requested.

        Raises MediaNotFound, MediaNotReady, MediaNotAFilm, PlaybackNotInTier, PlaybackImpossible,
        PlaybacksBusy, StoreUnavailable.
        """
        item = await self.film(media_id, gallery_id)
        state = await self._playbacks.state(media_id)
        if state.made and not (state.original and rules.original_access):
            metrics.PLAYBACK_REQUESTS.labels("film").inc()
            return self._urls.rendition(item, PLAYBACK_SIZE, as_of=self._urls.as_of(), fmt="mp4")
        if rules.original_access and (state.original or await self._plays(item, state, share)):
            metrics.PLAYBACK_REQUESTS.labels("original").inc()
            return None
        return await self._pending(item, state, rules=rules, share=share)

    async def film(self, media_id: MediaId, gallery_id: GalleryId) -> Item:
        """Raises MediaNotFound, MediaNotReady, MediaNotAFilm."""
        item = await self._items.find(media_id, gallery_id)
        if item is None or item.status == "rejected":
            raise MediaNotFound
        if item.status != "ready":
            raise MediaNotReady("Try again in a moment.")
        if item.kind != "video" and item.film is None:
            raise MediaNotAFilm("Its renditions are pictures.")
        return item

    def is_long(self, item: Item) -> bool:
        """Returns whether a film is made in two sizes."""
        return item.kind == "video" and (item.duration_ms or 0) > self._bounds.long_ms

    async def in_two_sizes(self, item: Item, *, rules: TierRules, share: Share) -> PendingFilm:
        """Returns how far a long film is made, which is requested, whether or not browsers play the original.
        Raises as a call does.
        """
        state = await self._playbacks.state(item.id)
        if rules.original_access and await self._plays(item, state, share):
            state = await self._playbacks.state(item.id)
        return await self._pending(item, state, rules=rules, share=share)

    async def _plays(self, item: Item, state: PlaybackState, share: Share) -> bool:
        """Returns whether browsers play the original, by its first frame. If so, it is recorded."""
        if state.known or not may_play(item.content_type, item.codec):
            return False
        key = original_key(item.gallery_id, item.id, item.folder)
        source = StoredSource(self._store, key, size_bytes=item.size_bytes)
        try:
            coding = await self._looking.look(source, item.content_type, share=share)
        except Rejected:
            return False  # the attempt to make it playable tells why
        except DecoderUnavailable as unavailable:
            raise PlaybacksBusy("Try again in a moment.", retry_after_s=2) from unavailable
        except ObjectMissing as missing:
            raise MediaNotFound from missing
        except StorageUnavailable as away:
            raise store_problem(away) from away
        if not plays(item.content_type, coding):
            return False
        await self._playbacks.keep_original(item.id, now=self._clock())
        return True

    async def _pending(
        self, item: Item, state: PlaybackState, *, rules: TierRules, share: Share
    ) -> PendingFilm:
        now = self._clock()
        if state.failure is not None and not _is_past(state.due_at, now):
            metrics.PLAYBACK_REQUESTS.labels("impossible").inc()
            raise PlaybackImpossible(f"The original can be downloaded. ({state.failure})")
        if not state.is_queued:
            await self._request(item, rules=rules, share=share, now=now)
            self._wake()
            state = await self._playbacks.state(item.id)
        metrics.PLAYBACK_REQUESTS.labels("pending").inc()
        duration = (item.duration_ms or 0) / 1000 * _TICKS
        progress = min(0.99, state.ticks / duration) if duration else 0.0
        return PendingFilm("making" if state.leased else "waiting", round(progress, 3))

    async def _request(self, item: Item, *, rules: TierRules, share: Share, now: datetime) -> None:
        minutes = self._bounds.minutes_of(rules.name)
        if (item.duration_ms or 0) > minutes * 60_000:
            raise PlaybackNotInTier(f"Up to {minutes} minutes. The original can be downloaded.")
        queued = await self._playbacks.request(
            item.id,
            item.gallery_id,
            share=share,
            # What a film says of its duration may be less than it has, by a little.
            max_seconds=minutes * 60 + 60,
            now=now,
            in_all=self._bounds.in_all,
            of_one=self._bounds.of_one,
            two_sizes=self.is_long(item),
        )
        if not queued and not (await self._playbacks.state(item.id)).is_queued:
            metrics.PLAYBACK_REQUESTS.labels("busy").inc()
            raise PlaybacksBusy(retry_after_s=30)


def _is_past(instant: datetime | None, now: datetime) -> bool:
    return instant is not None and instant <= now
