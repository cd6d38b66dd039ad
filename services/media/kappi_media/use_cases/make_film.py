"""Makes films playable, in the background (ADR-0077): lease one, make and store its pieces, join them.

A process that ends loses the piece that it was making. The next one continues after the last stored piece.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final, Protocol

from kappi_chassis.bus.processor import is_transient
from kappi_chassis.clock import Clock
from kappi_chassis.leased_work import LeasedWork
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_chassis.storage import ObjectMissing, ObjectStore
from kappi_contracts.keys import original_key, playback_pieces_prefix, rendition_key
from kappi_contracts.rendition_formats import STORED_FORMATS
from kappi_mediameta.probing import Probe, RangedSource, Rejected, RejectReason
from kappi_mediameta.probing.source import PartSource

from kappi_media import metrics
from kappi_media.domain.shares import DecoderBudget
from kappi_media.rendering.failures import DecoderKilled, DecoderStalled
from kappi_media.rendering.wire import Piece
from kappi_media.repository.playbacks import FilmSoFar, LeasedPlayback, PlaybackQueries, StoredFilm
from kappi_media.stored_source import StoredSource
from kappi_media.use_cases.film_pieces import FilmLayout, FilmPieces, Tables, layouts
from kappi_media.use_cases.lease import renewing
from kappi_media.use_cases.repurge import purge_again

ATTEMPTS: Final = 6
"""Attempts without a new piece whose decoder, or whose process, was killed or stalled."""
FAILURE_KEPT: Final = timedelta(days=1)
TURN: Final = timedelta(minutes=5)
"""The time after which a film lets others that wait go first."""
FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(minutes=5)
POLL: Final = timedelta(seconds=2)
LEASE: Final = timedelta(seconds=30)
RENEW_EVERY_S: Final = 10.0
LEAVE_WITHIN_S: Final = 2.0
_MP4: Final = STORED_FORMATS["mp4"].content_type

_log = get_logger(__name__)


class FilmMaking(Protocol):
    """Makes films off the event loop, bounded in memory and time."""

    def pieces(
        self,
        source: RangedSource,
        probe: Probe,
        *,
        max_seconds: int,
        ticks: int,
        sound_packets: int,
        two_sizes: bool = False,
    ) -> AsyncGenerator[Piece]:
        """Yields what is missing of a film. Raises Rejected when the film is the cause,
        DecoderUnavailable.
        """
        ...


class _TurnOver(Exception):
    """Other films wait."""


class _SourceMissing(Exception):
    """The original, or a piece, is not in the store."""


class _ItemGone(Exception):
    """The item is deleted or moved, or another process makes its film."""


class MakeFilm:
    """Makes one film playable; doing it twice has the effect of once."""

    def __init__(
        self,
        playbacks: PlaybackQueries,
        *,
        making: FilmMaking,
        store: ObjectStore,
        outbox: Outbox,
        budget: DecoderBudget,
        clock: Clock,
    ) -> None:
        self._playbacks = playbacks
        self._making = making
        self._store = store
        self._outbox = outbox
        self._budget = budget
        self._clock = clock

    async def __call__(self, lease: LeasedPlayback) -> None:
        """Make one film. Raises StorageUnavailable, DecoderUnavailable: it is to be retried."""
        film = await self._playbacks.begin(lease)
        if film is None:
            return await self._gone(lease)
        try:
            if lease.attempts > ATTEMPTS:
                raise Rejected(RejectReason.TOO_COMPLEX, "ended its decoder each time")  # noqa: TRY301
            await self._make(lease, film)
        except Rejected as rejected:
            await self._fail(lease, film, rejected)
        except _ItemGone:
            await self._gone(lease)
        except ObjectMissing as missing:  # of the original, or of a piece, which is made again
            await self._playbacks.restart(lease)
            raise _SourceMissing from missing
        except _TurnOver:
            await self._playbacks.postpone(lease, due_at=self._clock(), attempts=-1, failures=0)
        return None

    async def _make(self, lease: LeasedPlayback, film: FilmSoFar) -> None:
        pieces = self._pieces(lease, film)
        names = list(film.pieces)
        tables = [await pieces.tables(name) for name in names]
        if not tables or not tables[-1][0].last:
            async for name, made in self._missing(lease, film, number=len(names)):
                names.append(name)
                tables.append(made)
        stored = [
            await self._stored(lease, film, layout, pieces.joined(names, layout))
            for layout in await asyncio.to_thread(layouts, tables)
        ]
        if not await self._playbacks.keep(lease, film, stored):
            raise _ItemGone
        await pieces.remove()
        await self._playbacks.forget(lease)
        metrics.PLAYBACKS.labels("made").inc()

    def _pieces(self, lease: LeasedPlayback, film: FilmSoFar) -> FilmPieces:
        prefix = playback_pieces_prefix(film.gallery_id, lease.media_id, film.folder)
        return FilmPieces(self._store, prefix, two_sizes=film.two_sizes)

    async def _stored(
        self, lease: LeasedPlayback, film: FilmSoFar, layout: FilmLayout, body: AsyncGenerator[bytes]
    ) -> StoredFilm:
        key = rendition_key(film.gallery_id, lease.media_id, layout.size, "mp4", folder=film.folder)
        async with aclosing(body) as chunks:
            stored = await self._store.put_stream(key, chunks, content_type=_MP4, replace=True)
        first = layout.pieces[0]
        return StoredFilm(layout.size, first.width, first.height, stored.size_bytes, layout.stream)

    async def _missing(
        self, lease: LeasedPlayback, film: FilmSoFar, *, number: int
    ) -> AsyncIterator[tuple[str, Tables]]:
        """Yields the names and the tables of the pieces that it makes and stores."""
        source, probe = self._source(lease, film)
        stored = self._pieces(lease, film)
        begun = started = time.monotonic()
        pieces = self._making.pieces(
            source,
            probe,
            max_seconds=lease.max_seconds,
            ticks=film.ticks,
            sound_packets=film.sound_packets,
            two_sizes=film.two_sizes,
        )
        async with aclosing(pieces):
            async for piece in pieces:
                name = f"{number:05d}-{lease.lease_id.hex[:12]}"
                tables = await stored.put(name, piece)
                others_wait = await self._record(lease, name, piece)
                seconds = time.monotonic() - started
                self._budget.charge(lease.share, seconds)
                metrics.PLAYBACK_SECONDS.inc(seconds)
                yield name, tables
                started = time.monotonic()
                if others_wait and not piece.last and started - begun > TURN.total_seconds():
                    raise _TurnOver
                number += 1

    def _source(self, lease: LeasedPlayback, film: FilmSoFar) -> tuple[RangedSource, Probe]:
        """Returns the film's bytes, and what is known of it: of the film in a motion photo, the format."""
        key = original_key(film.gallery_id, lease.media_id, film.folder)
        original = StoredSource(self._store, key, size_bytes=film.size_bytes)
        if film.embedded is None:
            return original, film.probe
        probe = replace(
            film.probe, kind="video", content_type=_MP4, width=0, height=0, orientation=1, duration_ms=None
        )
        return PartSource(original, film.embedded.start, film.embedded.size_bytes), probe

    async def _record(self, lease: LeasedPlayback, name: str, piece: Piece) -> bool:
        now = self._clock()
        others_wait = await self._playbacks.record(
            lease,
            name,
            ticks=piece.ticks,
            sound_packets=piece.sound_packets,
            now=now,
            until=now + LEASE,
        )
        if others_wait is None:
            raise _ItemGone
        return others_wait

    async def _gone(self, lease: LeasedPlayback) -> None:
        """Forget a film whose item is deleted, or moved: its objects may have been stored after the purge."""
        if await self._playbacks.begin(lease) is not None:  # moved: from the beginning, in its new folder
            await self._playbacks.postpone(lease, due_at=self._clock(), attempts=-1, failures=0)
            return
        await purge_again(self._outbox, lease.media_id, lease.gallery_id, now=self._clock())
        await self._playbacks.forget(lease)
        metrics.PLAYBACKS.labels("gone").inc()

    async def _fail(self, lease: LeasedPlayback, film: FilmSoFar, rejected: Rejected) -> None:
        _log.warning("playback.impossible", media_id=str(lease.media_id), detail=rejected.detail)
        await self._pieces(lease, film).remove()
        until = self._clock() + FAILURE_KEPT
        await self._playbacks.fail(lease, rejected.reason.value, until=until)
        metrics.PLAYBACKS.labels("impossible").inc()


class FilmWorker:
    """Makes the films of the queue. Many replicas may run it: leases keep them apart."""

    def __init__(
        self,
        playbacks: PlaybackQueries,
        *,
        make: MakeFilm,
        budget: DecoderBudget,
        clock: Clock,
        at_once: int,
    ) -> None:
        self._playbacks = playbacks
        self._make = make
        self._budget = budget
        self._clock = clock
        self._work = LeasedWork("film", take=self._take, work=self._work_on, at_once=at_once, poll=POLL)

    def wake(self) -> None:
        """Wake the worker, because there may be a film to make. Polling covers a missed call."""
        self._work.wake()

    async def run(self) -> None:
        """Run until cancelled."""
        await self._work.run()

    async def _take(self, places: int) -> list[LeasedPlayback]:
        now = self._clock()
        metrics.PLAYBACKS_WAITING.set(await self._playbacks.waiting())
        return await self._playbacks.take(places, now=now, until=now + LEASE, spent=self._budget.levels())

    async def _work_on(self, lease: LeasedPlayback) -> None:
        try:
            async with renewing("film", lambda: self._renew(lease), every_s=RENEW_EVERY_S):
                await self._make(lease)
        except asyncio.CancelledError:
            # The next process need not wait for the end of the lease, and the film did not cause this end.
            with suppress(Exception):
                async with asyncio.timeout(LEAVE_WITHIN_S):
                    await self._playbacks.postpone(lease, due_at=self._clock(), attempts=-1, failures=0)
            raise
        except Exception as error:  # noqa: BLE001 - one film that hits a bug must not stop the others
            await self._postpone(lease, error)

    async def _renew(self, lease: LeasedPlayback) -> bool:
        return await self._playbacks.renew(lease, until=self._clock() + LEASE)

    async def _postpone(self, lease: LeasedPlayback, error: Exception) -> None:
        counted = 0 if isinstance(error, (DecoderKilled, DecoderStalled, _SourceMissing)) else -1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(lease.failures, 12))
        metrics.PLAYBACKS.labels("postponed").inc()
        _log.warning(
            "playback.postponed",
            media_id=str(lease.media_id),
            attempt=lease.attempts,
            retry_in_s=pause.total_seconds(),
            error=str(error),
            error_type=type(error).__name__,
        )
        try:
            await self._playbacks.postpone(lease, due_at=self._clock() + pause, attempts=counted)
        except Exception as failure:
            if not is_transient(failure):
                raise
            _log.warning("playback.lost_database", error=str(failure))  # its lease expires by itself
