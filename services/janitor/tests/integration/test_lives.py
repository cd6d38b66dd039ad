"""Ten thousand simulated lives of galleries, with crashes: exactly the galleries that were due are gone.

The test plays the galleries service, which alone decides. Its events come to the janitor in any order, some
twice, and the janitor's work is interrupted at random moments, as by a kill between two statements.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.storage import DeleteReport, ObjectPage
from kappi_contracts.events import (
    Event,
    GalleryCreated,
    GalleryDeleted,
    GalleryExpired,
    GalleryUpdated,
    JanitorTick,
)
from kappi_contracts.keys import gallery_prefix
from kappi_janitor.settings import JanitorSettings

LIVES = int(os.environ.get("KAPPI_TEST_LIVES", "10000"))
DAYS = 40
DAY = timedelta(days=1)
_AT_ONCE = 4
_CRASHES = 0.03
_TWICE = 0.1

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]


class Objects:
    """A store in memory, with one object per gallery. is_deleted: returns whether an object may go."""

    def __init__(self, is_deleted: Callable[[str], bool]) -> None:
        self.prefixes: set[str] = set()
        self.removed_early: list[str] = []
        self._is_deleted = is_deleted

    async def abort_multipart_uploads(self, prefix: str) -> int:
        await asyncio.sleep(0)
        return 0

    async def list_page(self, prefix: str, **_: Any) -> ObjectPage:
        await asyncio.sleep(0)
        assert prefix not in self.prefixes
        return ObjectPage(objects=(), next_token=None)

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        await asyncio.sleep(0)
        if not self._is_deleted(prefix):
            self.removed_early.append(prefix)
        found = prefix in self.prefixes
        self.prefixes.discard(prefix)
        return DeleteReport(deleted=int(found), failed={})


class Galleries:
    """The galleries service of the test, and the news that it has not delivered yet."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.expires_at: dict[UUID, datetime | None] = {}
        self.versions: dict[UUID, int] = {}
        self.deleted: dict[UUID, str] = {}
        self.pending: list[tuple[Event, int]] = []

    def live_one_day(self, now: datetime, *, births: int) -> list[UUID]:
        """Creates galleries, and changes or deletes some others. Returns the new ones."""
        born = [self._create(now) for _ in range(births)]
        alive = [each for each in self.expires_at if each not in self.deleted]
        for gallery_id in self._rng.sample(alive, min(len(alive), births // 4)):
            choice = self._rng.random()
            if choice < 0.3:
                self.delete(gallery_id, now, reason="requested")
            else:  # claimed by an account, or extended
                until = None if choice < 0.5 else now + self._rng.randint(1, 20) * DAY
                self._update(gallery_id, until, now)
        return born

    def expire(self, event: GalleryExpired) -> None:
        """Deletes the gallery if it is truly due, as the galleries service does."""
        due = self.expires_at[event.gallery_id]
        if event.gallery_id not in self.deleted and due is not None and due <= event.as_of:
            self.delete(event.gallery_id, event.as_of, reason="expired")

    def delete(self, gallery_id: UUID, now: datetime, *, reason: str) -> None:
        self.deleted[gallery_id] = reason
        self._tell(
            gallery_id,
            GalleryDeleted(gallery_id=gallery_id, owner_id=None, reason=reason, deleted_at=now),  # type: ignore[arg-type]  # one of the two
        )

    def _create(self, now: datetime) -> UUID:
        gallery_id = new_id()
        expires_at = None if self._rng.random() < 0.1 else now + self._rng.randint(1, 15) * DAY
        self.expires_at[gallery_id] = expires_at
        self._tell(
            gallery_id,
            GalleryCreated(
                gallery_id=gallery_id,
                owner_id=None,
                visibility="shared",
                expires_at=expires_at,
                created_at=now,
            ),
        )
        return gallery_id

    def _update(self, gallery_id: UUID, expires_at: datetime | None, now: datetime) -> None:
        self.expires_at[gallery_id] = expires_at
        self._tell(
            gallery_id,
            GalleryUpdated(
                gallery_id=gallery_id,
                owner_id=None,
                visibility="shared",
                expires_at=expires_at,
                updated_at=now,
            ),
        )

    def _tell(self, gallery_id: UUID, event: Event) -> None:
        self.versions[gallery_id] = self.versions.get(gallery_id, 0) + 1
        self.pending.append((event, self.versions[gallery_id]))


@pytest.fixture
def settings(url: str) -> JanitorSettings:
    return JanitorSettings(database_url=url, purge_poll=timedelta(milliseconds=20), resweep_after=())  # type: ignore[arg-type]  # parsed


async def test_exactly_the_due_ones_are_gone(make_janitor: Callable[[Any], Any]) -> None:
    rng = random.Random(20261130)
    galleries = Galleries(rng)
    ids: dict[str, UUID] = {}
    objects = Objects(lambda prefix: ids.get(prefix) in galleries.deleted)
    janitor = make_janitor(objects)
    read_up_to = 0
    for day in range(DAYS + 20):
        now = janitor.clock()
        births = LIVES // DAYS if day < DAYS else 0
        for gallery_id in galleries.live_one_day(now, births=births):
            ids[gallery_prefix(gallery_id)] = gallery_id
            objects.prefixes.add(gallery_prefix(gallery_id))
        await _deliver(janitor, galleries, rng)
        tick = JanitorTick(schedule="hourly", at=now, origin="timer")
        await _until_done(janitor, tick, int(now.timestamp()), rng)
        read_up_to = await _expire(janitor, galleries, after=read_up_to)
        await _deliver(janitor, galleries, rng)
        await _purge(janitor, rng)
        janitor.clock.pass_by(DAY)

    expected = {
        each
        for each, due in galleries.expires_at.items()
        if galleries.deleted.get(each) == "requested" or (due is not None and due <= now)
    }
    assert len(galleries.expires_at) == LIVES // DAYS * DAYS
    assert set(galleries.deleted) == expected
    assert objects.removed_early == []
    assert objects.prefixes == {gallery_prefix(each) for each in galleries.expires_at.keys() - expected}
    assert janitor.dead_letters.letters == []
    rows = await janitor.query("SELECT count(*) AS n FROM purges WHERE done_at IS NULL")
    assert rows[0].n == 0


async def _deliver(janitor: Any, galleries: Galleries, rng: random.Random) -> None:
    """Delivers all news, in any order, some of it twice."""
    news, galleries.pending = galleries.pending, []
    news += rng.sample(news, int(len(news) * _TWICE))
    rng.shuffle(news)
    places = asyncio.Semaphore(_AT_ONCE)

    async def deliver(event: Event, sequence: int) -> None:
        async with places:
            await _until_done(janitor, event, sequence, rng)

    await asyncio.gather(*(deliver(event, sequence) for event, sequence in news))


async def _until_done(janitor: Any, event: Event, sequence: int, rng: random.Random) -> None:
    """Delivers one record again and again until its work is not interrupted."""
    event_id = new_id()
    while await _is_interrupted(janitor.hear(event, sequence=sequence, event_id=event_id), rng):
        pass


async def _purge(janitor: Any, rng: random.Random) -> None:
    while await _is_interrupted(janitor.work(), rng):
        janitor.clock.pass_by(timedelta(minutes=1))  # longer than a lease


async def _is_interrupted(work: Coroutine[Any, Any, Any], rng: random.Random) -> bool:
    """Runs the work, or a part of it."""
    task = asyncio.ensure_future(work)
    if rng.random() < _CRASHES:
        await asyncio.wait([task], timeout=rng.uniform(0, 0.01))
        task.cancel()
    await asyncio.wait([task])
    if task.cancelled():
        return True
    task.result()
    return False


async def _expire(janitor: Any, galleries: Galleries, *, after: int) -> int:
    """Takes the janitor's new GalleryExpired. Returns the position of the last one."""
    rows = await janitor.query(
        "SELECT id, payload FROM outbox WHERE topic = 'GalleryExpired' AND id > :after ORDER BY id",
        after=after,
    )
    for row in rows:
        galleries.expire(msgspec.json.decode(row.payload, type=GalleryExpired))
    return rows[-1].id if rows else after
