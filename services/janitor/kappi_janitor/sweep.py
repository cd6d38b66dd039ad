"""Use case: a tick. Claim what is due, hurry what waits, forget what is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.db import Database
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryExpired, JanitorTick, LinkExpired

from kappi_janitor import metrics, repository

FORGET_BATCH = 5_000
TICK_RETENTION = timedelta(days=7)

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPolicy:
    """page: galleries or links claimed per transaction. Retentions: of finished purges; of deleted galleries
    and claimed links."""

    page: int
    purge_retention: timedelta
    tombstone_retention: timedelta


class Sweep:
    """Handles JanitorTick. What is due is judged by the tick's `at`, not by the wall clock.

    Needs no inbox: a gallery remembers the tick that claimed it, and a link that it was claimed, so a tick
    that is delivered again, after a crash halfway say, goes on with what it had not come to.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        *,
        policy: SweepPolicy,
        clock: Clock,
        wake_purger: Callable[[], None],
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._policy = policy
        self._clock = clock
        self._wake_purger = wake_purger

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """Always True: a tick that finds nothing to do was not in vain."""
        tick: JanitorTick = envelope.data
        galleries = await _page_by_page(lambda: self._expire_galleries(tick, envelope.id))
        links = await _page_by_page(lambda: self._expire_links(tick))
        hurried = await self._hurry(tick)
        await self._forget()
        _log.info(
            "tick.swept",
            at=tick.at,
            origin=tick.origin,
            claimed=galleries,
            links_claimed=links,
            purges_hurried=hurried,
        )
        return True

    async def _expire_galleries(self, tick: JanitorTick, tick_id: UUID) -> int:
        async with self._outbox.begin() as unit:
            page = await repository.expire_due(
                unit.connection, at=tick.at, tick_id=tick_id, limit=self._policy.page
            )
            for gallery in page:
                claim = GalleryExpired(
                    gallery_id=gallery.gallery_id,
                    expires_at=gallery.expires_at,
                    as_of=tick.at,
                    origin=tick.origin,
                )
                await unit.publish(claim, sequence=gallery.published)
        metrics.GALLERIES_CLAIMED.inc(len(page))
        return len(page)

    async def _expire_links(self, tick: JanitorTick) -> int:
        async with self._outbox.begin() as unit:
            page = await repository.expire_due_links(
                unit.connection, at=tick.at, now=self._clock(), limit=self._policy.page
            )
            for link in page:
                claim = LinkExpired(
                    link_id=link.link_id,
                    media_id=link.media_id,
                    expires_at=link.expires_at,
                    as_of=tick.at,
                    origin=tick.origin,
                )
                await unit.publish(claim, sequence=link.sequence + 1)
        metrics.LINKS_CLAIMED.inc(len(page))
        return len(page)

    async def _hurry(self, tick: JanitorTick) -> int:
        now = self._clock()
        async with self._database.transaction() as connection:
            hurried = await repository.expedite(connection, at=tick.at, now=now)
            overdue, failing = await repository.count_unfinished(connection, now=now)
        metrics.PURGES_OVERDUE.set(overdue)
        metrics.PURGE_FAILING.set(failing)
        self._wake_purger()
        return hurried

    async def _forget(self) -> None:
        # By the wall clock: a tick from the future must not take tombstones away before their time.
        now = self._clock()
        more = True
        while more:
            async with self._database.transaction() as connection:
                more = await repository.prune(
                    connection,
                    purges_before=now - self._policy.purge_retention,
                    tombstones_before=now - self._policy.tombstone_retention,
                    ticks_before=now - TICK_RETENTION,
                    limit=FORGET_BATCH,
                )


async def _page_by_page(claim: Callable[[], Awaitable[int]]) -> int:
    claimed = 0
    while page := await claim():
        claimed += page
    return claimed
