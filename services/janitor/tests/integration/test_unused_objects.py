"""Folders of moved items: purged when their owner said, not before, and nothing beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import msgspec
import pytest
from kappi_chassis.bus import Poison, Record
from kappi_chassis.clock import new_id
from kappi_contracts.events import (
    GalleryDeleted,
    JanitorTick,
    MediaDeleted,
    ObjectsPurged,
    ObjectsUnused,
)
from kappi_contracts.keys import folder_prefix, gallery_prefix, media_prefix, original_key
from kappi_janitor import metrics
from kappi_janitor.repository import purges
from kappi_janitor.use_cases.watch_overdue import WatchOverdue

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
GALLERY_ID, MEDIA_ID = new_id(), new_id()


def unused(janitor: Any, *, folder: int | None = None, after: timedelta = HOUR) -> ObjectsUnused:
    return ObjectsUnused(
        media_id=MEDIA_ID, gallery_id=GALLERY_ID, folder=folder, purge_after=janitor.clock() + after
    )


async def put(janitor: Any, *folders: int | None, media_id: UUID = MEDIA_ID) -> None:
    for folder in folders:
        key = original_key(GALLERY_ID, media_id, folder)
        await janitor.store.real.put(key, b"x", content_type="image/jpeg")


async def stored(janitor: Any) -> set[str]:
    page = await janitor.store.real.list_page(gallery_prefix(GALLERY_ID))
    return {found.key for found in page.objects}


async def tick(janitor: Any, *, at: timedelta = timedelta(0)) -> None:
    event = JanitorTick(schedule="hourly", at=janitor.clock() + at, origin="operator")
    await janitor.hear(event)


@pytest.mark.parametrize("folder", [None, 17])
async def test_a_folder_goes_when_it_is_due_and_nothing_beside_it(
    make_janitor: Any, every_store: Any, folder: int | None
) -> None:
    janitor = make_janitor(every_store)
    await put(janitor, None, 1, 17, 170)
    await put(janitor, None, 17, media_id=new_id())
    before = await stored(janitor)
    unfinished = original_key(GALLERY_ID, MEDIA_ID, 1)
    upload = await every_store.create_multipart(unfinished, content_type="video/mp4")
    await janitor.hear(unused(janitor, folder=folder), sequence=3)

    janitor.clock.pass_by(HOUR - timedelta(microseconds=1))
    await tick(janitor)
    assert await janitor.work() == 0
    assert await stored(janitor) == before

    janitor.clock.pass_by(timedelta(microseconds=1))
    assert await janitor.work() == 1
    assert before - await stored(janitor) == {original_key(GALLERY_ID, MEDIA_ID, folder)}
    assert await every_store.list_parts(unfinished, upload_id=upload) == ()
    (purged,) = await janitor.published(ObjectsPurged)
    assert (purged.event.media_id, purged.event.objects) == (MEDIA_ID, 1)
    assert purged.event.prefix == folder_prefix(GALLERY_ID, MEDIA_ID, folder)


async def test_a_deleted_item_is_not_kept_where_it_was(janitor: Any) -> None:
    elsewhere = new_id()
    await put(janitor, None, 17)
    await put(janitor, None, media_id=elsewhere)
    await janitor.hear(unused(janitor))
    await janitor.hear(unused(janitor, folder=17))
    await janitor.hear(
        ObjectsUnused(
            media_id=elsewhere, gallery_id=GALLERY_ID, folder=None, purge_after=janitor.clock() + HOUR
        )
    )
    await janitor.hear(
        MediaDeleted(media_id=MEDIA_ID, gallery_id=new_id(), reason="requested", deleted_at=janitor.clock())
    )
    await janitor.work()
    assert await stored(janitor) == {original_key(GALLERY_ID, elsewhere)}


async def test_what_lands_in_the_folder_later_is_found_by_the_looks_that_remain(janitor: Any) -> None:
    await janitor.hear(unused(janitor))
    janitor.clock.pass_by(HOUR)
    assert await janitor.work() == 1
    await put(janitor, None)
    janitor.clock.pass_by(22 * HOUR)
    assert await janitor.work() == 0, "a look after 20 minutes would have been before the first one"
    janitor.clock.pass_by(HOUR)
    assert await janitor.work() == 1, "a day after it was asked for"
    assert await stored(janitor) == set()
    assert [row.done_at for row in await janitor.query("SELECT done_at FROM purges")] == [janitor.clock()]


async def test_a_first_look_after_all_others_is_the_last(janitor: Any) -> None:
    await janitor.hear(unused(janitor, after=2 * DAY))
    janitor.clock.pass_by(2 * DAY)
    assert await janitor.work() == 1
    assert [row.done_at for row in await janitor.query("SELECT done_at FROM purges")] == [janitor.clock()]


async def test_one_that_comes_after_its_time_is_due_at_once(janitor: Any) -> None:
    await put(janitor, None)
    await janitor.hear(unused(janitor, after=-HOUR))
    assert await janitor.work() == 1
    assert await stored(janitor) == set()


async def test_a_record_delivered_again_after_a_crash_asks_once(janitor: Any) -> None:
    # Committed, but the offset was not: the broker hands over the very same record.
    event = unused(janitor)
    heard = await janitor.hear(event)
    janitor.clock.pass_by(HOUR)
    await janitor.work()
    await janitor.hear(event, event_id=heard.id)
    assert await janitor.work() == 0
    assert len(await janitor.published(ObjectsPurged)) == 1


async def test_a_crash_before_the_commit_asks_for_nothing_and_repeats(
    janitor: Any, cancelled_in_call: Callable[[Any, str, int], None]
) -> None:
    cancelled_in_call(purges, "request_purge", 1)
    event, event_id = unused(janitor), new_id()
    crashing = asyncio.create_task(janitor.hear(event, event_id=event_id))
    await asyncio.wait([crashing])
    assert crashing.cancelled()
    assert await janitor.query("SELECT * FROM purges") == []

    await janitor.hear(event, event_id=event_id)
    assert len(await janitor.query("SELECT * FROM purges")) == 1


async def test_a_replay_under_another_id_keeps_to_the_time(janitor: Any) -> None:
    await put(janitor, None)
    event = unused(janitor)
    await janitor.hear(event)
    janitor.clock.pass_by(HOUR / 2)
    await janitor.hear(event)
    assert await janitor.work() == 0
    janitor.clock.pass_by(HOUR / 2)
    assert await janitor.work() == 1
    await janitor.hear(event)
    assert await janitor.work() == 1
    assert await stored(janitor) == set()
    assert [each.event.objects for each in await janitor.published(ObjectsPurged)] == [1, 0]


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_any_order_with_deletions_leaves_nothing(janitor: Any, order: tuple[int, ...]) -> None:
    await put(janitor, None, 1, 17)
    now = janitor.clock()
    events = [
        (unused(janitor), 3),
        (
            MediaDeleted(media_id=MEDIA_ID, gallery_id=GALLERY_ID, reason="requested", deleted_at=now),
            4,
        ),
        (GalleryDeleted(gallery_id=GALLERY_ID, owner_id=None, reason="requested", deleted_at=now), 2),
    ]
    for index in order:
        event, sequence = events[index]
        await janitor.hear(event, sequence=sequence)
        await janitor.work()
    assert await stored(janitor) == set()
    janitor.clock.pass_by(HOUR)
    await janitor.work()
    purged = {each.event.prefix: each.event.objects for each in await janitor.published(ObjectsPurged)}
    assert purged.keys() == {
        folder_prefix(GALLERY_ID, MEDIA_ID),
        media_prefix(GALLERY_ID, MEDIA_ID),
        gallery_prefix(GALLERY_ID),
    }
    # Two purges at once may both have removed an object.
    assert 3 <= sum(purged.values()) <= 4


async def test_a_purge_that_is_not_due_is_not_overdue(janitor: Any) -> None:
    await janitor.hear(unused(janitor))
    watch = WatchOverdue(janitor.deps.database, clock=janitor.clock)
    await watch()
    assert metrics.OVERDUE.labels("purge")._value.get() == 0
    janitor.clock.pass_by(2 * HOUR)
    await watch()
    assert metrics.OVERDUE.labels("purge")._value.get() == 1
    assert metrics.OVERDUE_SECONDS.labels("purge")._value.get() == HOUR.total_seconds()


async def test_a_tick_from_the_future_brings_it_forward(janitor: Any) -> None:
    await put(janitor, None)
    await janitor.hear(unused(janitor))
    await tick(janitor, at=HOUR - timedelta(seconds=1))
    assert await janitor.work() == 0
    await tick(janitor, at=HOUR)
    assert await janitor.work() == 1
    assert await stored(janitor) == set()


async def test_poison_becomes_a_dead_letter_and_the_next_record_is_handled(janitor: Any) -> None:
    await janitor.hear(unused(janitor, folder=-1))
    good = await janitor.hear(unused(janitor, folder=1))
    value = msgspec.json.encode({"media_id": 7})
    broken = Record("ObjectsUnused", 0, 9, b"k", value, good.headers())
    await janitor.processor.process(broken)
    await janitor.hear(unused(janitor, folder=2))

    (_, refused), (record, _) = janitor.dead_letters.letters
    assert isinstance(refused, Poison)
    assert record == broken
    rows = await janitor.query("SELECT prefix FROM purges ORDER BY prefix")
    assert [row.prefix for row in rows] == [folder_prefix(GALLERY_ID, MEDIA_ID, number) for number in (1, 2)]
