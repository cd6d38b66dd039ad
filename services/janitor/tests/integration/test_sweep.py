"""A tick claims exactly what is due by its own time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_contracts.events import (
    GalleryCreated,
    GalleryDeleted,
    GalleryExpired,
    GalleryUpdated,
    JanitorTick,
    ObjectsPurged,
)
from kappi_janitor.repository import due_galleries, purges
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def tick(at: datetime) -> JanitorTick:
    return JanitorTick(schedule="hourly", at=at, origin="operator")


async def create(janitor: Any, expires_at: datetime | None) -> UUID:
    gallery_id = new_id()
    await janitor.hear(
        GalleryCreated(
            gallery_id=gallery_id,
            owner_id=None,
            visibility="shared",
            expires_at=expires_at,
            created_at=janitor.clock(),
        )
    )
    return gallery_id


async def claimed(janitor: Any) -> list[UUID]:
    return [each.event.gallery_id for each in await janitor.published(GalleryExpired)]


async def test_a_tick_from_the_future_claims_only_what_is_due_then(janitor: Any) -> None:
    now = janitor.clock()
    due = await create(janitor, now + 30 * DAY)
    exactly = await create(janitor, now + 31 * DAY)
    await create(janitor, now + 31 * DAY + MICROSECOND)
    await create(janitor, None)
    await janitor.hear(tick(now))
    assert await claimed(janitor) == []
    await janitor.hear(tick(now + 31 * DAY))
    assert set(await claimed(janitor)) == {due, exactly}
    for each in await janitor.published(GalleryExpired):
        assert each.event.as_of == now + 31 * DAY
        assert each.key == str(each.event.gallery_id)
        assert each.sequence == 1
    assert {each.event.expires_at for each in await janitor.published(GalleryExpired)} == {
        now + 30 * DAY,
        now + 31 * DAY,
    }


async def test_a_claimed_extended_or_deleted_gallery_is_left_alone(janitor: Any) -> None:
    now = janitor.clock()
    claimed_by_account, extended, deleted = [await create(janitor, now + DAY) for _ in range(3)]
    for gallery_id, deadline in ((claimed_by_account, None), (extended, now + 40 * DAY)):
        await janitor.hear(
            GalleryUpdated(
                gallery_id=gallery_id,
                owner_id=None,
                visibility="shared",
                expires_at=deadline,
                updated_at=now,
            ),
            sequence=2,
        )
    await janitor.hear(
        GalleryDeleted(gallery_id=deleted, owner_id=None, reason="requested", deleted_at=now), sequence=2
    )
    await janitor.hear(tick(now + 31 * DAY))
    assert await claimed(janitor) == []


async def test_more_than_a_page_is_claimed_once_each(janitor: Any) -> None:
    """The fixture's page is 3."""
    galleries = {await create(janitor, janitor.clock() + DAY) for _ in range(10)}
    await janitor.hear(tick(janitor.clock() + 2 * DAY))
    found = await claimed(janitor)
    assert len(found) == 10
    assert set(found) == galleries


async def test_a_page_is_never_larger_than_its_limit(janitor: Any) -> None:
    """With the statistics of one row PostgreSQL would run a subquery again for each row."""
    await create(janitor, janitor.clock() + DAY)
    async with janitor.deps.database.transaction() as connection:
        await connection.execute(text("ANALYZE due_galleries"))
    for _ in range(6):
        await create(janitor, janitor.clock() + DAY)
    async with janitor.deps.database.transaction() as connection:
        page = await due_galleries.expire_due(
            connection, at=janitor.clock() + 2 * DAY, tick_id=new_id(), limit=3
        )
    assert len(page) == 3


async def test_a_tick_delivered_again_claims_nothing_twice(janitor: Any) -> None:
    await create(janitor, janitor.clock() + DAY)
    first = await janitor.hear(tick(janitor.clock() + 2 * DAY))
    await janitor.hear(first.data, event_id=first.id)
    assert len(await claimed(janitor)) == 1


async def test_a_tick_interrupted_halfway_goes_on_where_it_was(
    janitor: Any, cancelled_in_call: Callable[[Any, str, int], None]
) -> None:
    galleries = {await create(janitor, janitor.clock() + DAY) for _ in range(7)}
    cancelled_in_call(due_galleries, "expire_due", 3)
    event_id = new_id()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(janitor.hear(tick(janitor.clock() + 2 * DAY), event_id=event_id))
    assert len(await claimed(janitor)) == 6
    await janitor.hear(tick(janitor.clock() + 2 * DAY), event_id=event_id)
    found = await claimed(janitor)
    assert len(found) == 7
    assert set(found) == galleries


async def test_an_unanswered_claim_is_made_again_by_the_next_tick(janitor: Any) -> None:
    await create(janitor, janitor.clock() + DAY)
    for days in (2, 3):
        await janitor.hear(tick(janitor.clock() + days * DAY))
    claims = await janitor.published(GalleryExpired)
    assert [claim.sequence for claim in claims] == [1, 2], "a newer claim is told from the older one"


async def test_two_ticks_at_once_share_the_work_without_deadlock(janitor: Any) -> None:
    galleries = {await create(janitor, janitor.clock() + DAY) for _ in range(30)}
    at = janitor.clock() + 2 * DAY
    await asyncio.gather(janitor.hear(tick(at)), janitor.hear(tick(at)))
    assert set(await claimed(janitor)) == galleries
    assert janitor.dead_letters.letters == []


async def test_old_rows_are_forgotten_by_the_wall_clock_not_by_the_tick(janitor: Any) -> None:
    now = janitor.clock()
    gallery_id = await create(janitor, now + DAY)
    await janitor.hear(
        GalleryDeleted(gallery_id=gallery_id, owner_id=None, reason="requested", deleted_at=now), sequence=2
    )
    live = await create(janitor, None)
    await janitor.purge((await janitor.purger.take(1))[0])
    await janitor.query("INSERT INTO ticks VALUES (:at) RETURNING 1", at=now)

    async def rows() -> tuple[int, int, int]:
        (row,) = await janitor.query(
            "SELECT (SELECT count(*) FROM due_galleries), (SELECT count(*) FROM purges),"
            " (SELECT count(*) FROM ticks)"
        )
        return tuple(row)

    await janitor.hear(tick(now + 400 * DAY))
    assert await rows() == (2, 1, 1)
    janitor.clock.pass_by(2 * DAY)  # past the last look
    await janitor.purge((await janitor.purger.take(1))[0])
    janitor.clock.pass_by(91 * DAY)
    await janitor.hear(tick(janitor.clock()))
    assert await rows() == (1, 0, 0)
    (row,) = await janitor.query("SELECT gallery_id FROM due_galleries")
    assert row.gallery_id == live
    assert len(await janitor.published(ObjectsPurged)) == 1


_MANY_DATES = """
INSERT INTO due_galleries (gallery_id, sequence, expires_at, claimed_by)
SELECT gen_random_uuid(), 1, CAST(:now AS timestamptz) + n * interval '1 second',
  CASE WHEN n <= 10000 THEN CAST(:tick AS uuid) END
FROM generate_series(1, 20000) AS n
"""
_MANY_PURGES = """
INSERT INTO purges (id, prefix, gallery_id, requested_at, not_before)
SELECT gallery_id, 'galleries/' || gallery_id || '/', gallery_id, CAST(:now AS timestamptz), expires_at
FROM due_galleries
"""


async def test_pages_of_due_dates_are_read_by_index(janitor: Any) -> None:
    """Also a page after many that this tick has claimed and no service has deleted yet."""
    now, tick_id = janitor.clock(), new_id()
    async with janitor.deps.database.transaction() as connection:
        await connection.execute(text(_MANY_DATES), {"now": now, "tick": tick_id})
        await connection.execute(text(_MANY_PURGES), {"now": now})
        await connection.execute(text("ANALYZE due_galleries, purges"))
        plans = _Plans(connection)
        middle = (now + timedelta(seconds=10_000), new_id())
        await due_galleries.expire_due(connection, at=now + DAY, tick_id=tick_id, limit=3, after=middle)
        await purges.expedite(connection, at=now + DAY, now=now, limit=3)
        await purges.lease_purges(connection, lease_id=new_id(), now=now + DAY, until=now + DAY, limit=3)
        galleries, *ledger = [await plans.of(each) for each in plans.statements()]
    assert re.search(
        r"Index Scan using ix_due_galleries_expires_at.*\n\s*Index Cond: .*expires_at <= .*ROW\(", galleries
    )
    assert len(ledger) == 2
    assert all("Index Scan using ix_purges_not_before" in plan for plan in ledger)
    assert "Seq Scan" not in "".join([galleries, *ledger])


class _Plans:
    """Notes the statements of a connection from now on, with their values."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._noted: list[tuple[str, Any]] = []
        event.listen(connection.sync_connection, "before_cursor_execute", self._note)

    def _note(self, *asked: Any) -> None:
        self._noted.append((asked[2], asked[3]))

    def statements(self) -> list[tuple[str, Any]]:
        return [*self._noted]

    async def of(self, statement: tuple[str, Any]) -> str:
        found = await self._connection.exec_driver_sql(f"EXPLAIN {statement[0]}", statement[1])
        return "\n".join(row[0] for row in found)
