"""Claims due galleries and links at a tick, expedites waiting purges, removes rows past their retention."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.db import Database
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryExpired, JanitorTick, LinkExpired

from kappi_janitor import metrics
from kappi_janitor.repository import due_galleries, due_links, purges
from kappi_janitor.repository.retention import prune

AfterSweep = Callable[[datetime], Awaitable[None]]

PRUNE_BATCH = 5_000
TICK_RETENTION = timedelta(days=7)

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPolicy:
    """page: galleries or links claimed per transaction. Retentions: of finished purges; of deleted galleries
    and claimed links."""

    page: int
    purge_retention: timedelta
    tombstone_retention: timedelta


class SweepDue:
    """The handler of JanitorTick. The tick's `at` decides what is due, not the wall clock.

    It needs no inbox: a gallery's row holds the tick that claimed it, and a link's row that it was claimed. A
    tick that is delivered again, after a crash for example, continues with the rest.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        *,
        policy: SweepPolicy,
        clock: Clock,
        wake_purger: Callable[[], None],
        then: AfterSweep | None = None,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._policy = policy
        self._clock = clock
        self._wake_purger = wake_purger
        self._then = then

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """Returns True always: a tick that finds nothing due is no duplicate."""
        tick: JanitorTick = envelope.data
        galleries = await self._expire_all_galleries(tick, envelope.id)
        links = await _page_by_page(lambda: self._expire_links(tick))
        expedited = await self._expedite_purges(tick.at)
        await self._prune()
        if self._then is not None:
            await self._then(tick.at)
        _log.info(
            "tick.swept",
            at=tick.at,
            origin=tick.origin,
            claimed=galleries,
            links_claimed=links,
            purges_expedited=expedited,
        )
        return True

    async def _expire_all_galleries(self, tick: JanitorTick, tick_id: UUID) -> int:
        """Returns the number of claimed galleries. It passes over them again until a pass finds none, because
        a page leaves out what another transaction has locked.
        """
        total = 0
        while True:
            claimed, after = 0, None
            while page := await self._expire_galleries(tick, tick_id, after):
                claimed += len(page)
                after = max((each.expires_at, each.gallery_id) for each in page)
            if not claimed:
                return total
            total += claimed

    async def _expire_galleries(
        self, tick: JanitorTick, tick_id: UUID, after: due_galleries.Position | None
    ) -> Sequence[due_galleries.DueGallery]:
        async with self._outbox.begin() as unit:
            page = await due_galleries.expire_due(
                unit.connection, at=tick.at, tick_id=tick_id, limit=self._policy.page, after=after
            )
            for gallery in page:
                expired = GalleryExpired(
                    gallery_id=gallery.gallery_id,
                    expires_at=gallery.expires_at,
                    as_of=tick.at,
                    origin=tick.origin,
                )
                await unit.publish(expired, sequence=gallery.published)
        metrics.GALLERIES_CLAIMED.inc(len(page))
        return page

    async def _expire_links(self, tick: JanitorTick) -> int:
        async with self._outbox.begin() as unit:
            page = await due_links.expire_due_links(
                unit.connection, at=tick.at, now=self._clock(), limit=self._policy.page
            )
            for link in page:
                expired = LinkExpired(
                    link_id=link.link_id,
                    media_id=link.media_id,
                    expires_at=link.expires_at,
                    as_of=tick.at,
                    origin=tick.origin,
                )
                await unit.publish(expired, sequence=link.sequence + 1)
        metrics.LINKS_CLAIMED.inc(len(page))
        return len(page)

    async def _expedite_purges(self, at: datetime) -> int:
        now = self._clock()

        async def expedite_page() -> int:
            async with self._database.transaction() as connection:
                return await purges.expedite(connection, at=at, now=now, limit=self._policy.page)

        expedited = await _page_by_page(expedite_page)
        self._wake_purger()
        return expedited

    async def _prune(self) -> None:
        # By the wall clock: a tick from the future must not remove tombstones before their time.
        now = self._clock()
        more = True
        while more:
            async with self._database.transaction() as connection:
                more = await prune(
                    connection,
                    purges_before=now - self._policy.purge_retention,
                    tombstones_before=now - self._policy.tombstone_retention,
                    ticks_before=now - TICK_RETENTION,
                    limit=PRUNE_BATCH,
                )


async def _page_by_page(expire: Callable[[], Awaitable[int]]) -> int:
    expired = 0
    while page := await expire():
        expired += page
    return expired
