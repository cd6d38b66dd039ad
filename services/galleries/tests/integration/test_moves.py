"""MediaMoved moves an item from one gallery's counters to another's, whatever the order of its events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_contracts.events import (
    Event,
    ItemCount,
    KindCount,
    MediaAccessed,
    MediaDeleted,
    MediaMoved,
    MediaReady,
)
from kappi_testkit.eventually import eventually

pytestmark = pytest.mark.integration

THEN = datetime(2026, 5, 1, tzinfo=UTC)
NOTHING = (0, 0)
ONE = (1, 100)


@dataclass(frozen=True)
class Item:
    """The events of an item. Galleries are given as the API returns them."""

    id: UUID = field(default_factory=uuid4)

    def ready(self, gallery: Any) -> MediaReady:
        return MediaReady(
            media_id=self.id,
            gallery_id=UUID(gallery["id"]),
            kind="image",
            content_type="image/jpeg",
            size_bytes=100,
            width=4,
            height=3,
            duration_ms=None,
            ready_at=THEN,
        )

    def moved(self, source: Any, target: Any) -> MediaMoved:
        return MediaMoved(
            media_id=self.id,
            gallery_id=UUID(target["id"]),
            from_gallery_id=UUID(source["id"]),
            size_bytes=100,
            moved_at=THEN,
        )

    def deleted(self, gallery: Any) -> MediaDeleted:
        return MediaDeleted(
            media_id=self.id, gallery_id=UUID(gallery["id"]), reason="requested", deleted_at=THEN
        )

    def downloaded(self, gallery: Any) -> MediaAccessed:
        return MediaAccessed(
            gallery_id=UUID(gallery["id"]),
            day=date(2026, 5, 1),
            kinds=(KindCount(kind="download", count=1),),
            traits=(),
            items=(ItemCount(media_id=self.id, kind="download", count=1),),
        )


@pytest.fixture
def item() -> Item:
    return Item()


@pytest.fixture
def new_gallery(http: Any, account: Any) -> Callable[[], Awaitable[Any]]:
    async def create() -> Any:
        return (await http("POST", "/v1/galleries", token=account.token)).json

    return create


@pytest.fixture
async def source(new_gallery: Any) -> Any:
    return await new_gallery()


@pytest.fixture
async def target(new_gallery: Any) -> Any:
    return await new_gallery()


@pytest.fixture
def counters(http: Any, account: Any) -> Callable[..., Awaitable[list[tuple[int, int]]]]:
    async def read(*galleries: Any) -> list[tuple[int, int]]:
        answers = [
            await http("GET", f"/v1/galleries/{each['id']}", token=account.token) for each in galleries
        ]
        return [(answer.json["item_count"], answer.json["size_bytes"]) for answer in answers]

    return read


@pytest.fixture
def remove(http: Any, account: Any) -> Callable[[Any], Awaitable[None]]:
    async def delete(gallery: Any) -> None:
        answer = await http("DELETE", f"/v1/galleries/{gallery['id']}", token=account.token)
        assert answer.status == 204

    return delete


@pytest.fixture
def hear(processor: Any, record: Any) -> Callable[..., Awaitable[None]]:
    """Returns `hear(event, sequence)`."""

    async def process(event: Event, sequence: int) -> None:
        await processor.process(record(event, sequence=sequence))

    return process


async def test_a_moved_item_counts_in_its_new_gallery(
    hear: Any, item: Item, source: Any, target: Any, counters: Any, database: Any
) -> None:
    stays = Item()
    await hear(stays.ready(source), 1)
    await hear(item.ready(source), 1)
    assert await counters(source, target) == [(2, 200), NOTHING]

    await hear(item.moved(source, target), 2)
    assert await counters(source, target) == [ONE, ONE]
    versions = await database.hot.fetch("SELECT version FROM galleries")
    assert {row["version"] for row in versions} == {1}, "items do not change a gallery itself"

    await hear(item.deleted(target), 3)
    assert await counters(source, target) == [ONE, NOTHING]


async def test_a_record_delivered_again_after_a_crash_moves_once(
    processor: Any, record: Any, hear: Any, item: Item, source: Any, target: Any, counters: Any, database: Any
) -> None:
    await hear(item.ready(source), 1)
    # The effect was committed, but the offset was not: the broker delivers the same record again.
    again = record(item.moved(source, target), sequence=2)
    await processor.process(again)
    await processor.process(again)
    await hear(item.moved(source, target), 2)  # replayed under another id: only the sequence shows it

    assert await counters(source, target) == [NOTHING, ONE]
    assert await database.hot.fetchval("SELECT count(*) FROM inbox") == 3


async def test_a_crash_before_the_commit_leaves_both_galleries_as_they_were_and_repeats(
    processor: Any, record: Any, hear: Any, item: Item, source: Any, target: Any, counters: Any, database: Any
) -> None:
    await hear(item.ready(source), 1)
    # The transaction waits in the middle: its item is written, and one of the two galleries is not.
    await database.hot.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(CASE WHEN new.item_count > old.item_count THEN 60 ELSE 0 END);"
        " RETURN new; END $$;"
        "CREATE TRIGGER wait BEFORE UPDATE ON galleries FOR EACH ROW EXECUTE FUNCTION wait()"
    )
    moved = record(item.moved(source, target), sequence=2)
    handling = asyncio.create_task(processor.process(moved))
    await asyncio.wait([handling], timeout=0.3)
    handling.cancel()
    await asyncio.wait([handling])
    await database.hot.execute("DROP TRIGGER wait ON galleries; DROP FUNCTION wait")
    assert await counters(source, target) == [ONE, NOTHING]

    await processor.process(moved)
    assert await counters(source, target) == [NOTHING, ONE]


def _life(item: Item, source: Any, target: Any) -> list[tuple[Event, int]]:
    return [(item.ready(source), 1), (item.moved(source, target), 2), (item.deleted(target), 3)]


@pytest.mark.parametrize("length", [2, 3], ids=["moved", "deleted"])
async def test_every_order_with_duplicates_ends_the_same(
    hear: Any, new_gallery: Any, counters: Any, dead_letters: Any, length: int
) -> None:
    for order in permutations(range(length)):
        source, target = await new_gallery(), await new_gallery()
        life = _life(Item(), source, target)
        for index in (*order, *order):
            await hear(*life[index])
        end = ONE if length == 2 else NOTHING
        assert await counters(source, target) == [NOTHING, end], order
    assert not dead_letters.letters


@pytest.mark.parametrize("gone", ["source", "target"])
@pytest.mark.parametrize("length", [2, 3], ids=["moved", "deleted"])
async def test_every_order_ends_the_same_when_a_gallery_is_deleted_meanwhile(
    hear: Any,
    new_gallery: Any,
    remove: Any,
    counters: Any,
    dead_letters: Any,
    database: Any,
    gone: str,
    length: int,
) -> None:
    for order in permutations(range(length + 1)):
        source, target = await new_gallery(), await new_gallery()
        deleted, kept = (source, target) if gone == "source" else (target, source)
        life = _life(Item(), source, target)
        for index in order:
            if index == length:
                await remove(deleted)
            else:
                await hear(*life[index])
        end = ONE if gone == "source" and length == 2 else NOTHING
        assert await counters(kept) == [end], order
        tombstone = await database.hot.fetchrow(
            "SELECT item_count, size_bytes FROM galleries WHERE id = $1", UUID(deleted["id"])
        )
        assert tuple(tombstone) == NOTHING
    assert not dead_letters.letters


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_an_item_that_is_moved_back_counts_where_it_began(
    hear: Any, item: Item, source: Any, target: Any, counters: Any, order: Sequence[int]
) -> None:
    life = [(item.ready(source), 1), (item.moved(source, target), 2), (item.moved(target, source), 3)]
    for index in order:
        await hear(*life[index])
    assert await counters(source, target) == [ONE, NOTHING]


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_an_item_that_was_moved_on_outlives_the_gallery_between(
    hear: Any,
    item: Item,
    source: Any,
    target: Any,
    new_gallery: Any,
    remove: Any,
    counters: Any,
    order: Sequence[int],
) -> None:
    """The gallery between is deleted here before the event of the second move arrives, or after."""
    last = await new_gallery()
    life = [(item.ready(source), 1), (item.moved(source, target), 2), (item.moved(target, last), 3)]
    for index in order:
        if index == 3:
            await remove(target)
        else:
            await hear(*life[index])
    assert await counters(source, last) == [NOTHING, ONE]


@pytest.mark.parametrize("unknown", ["source", "target"])
async def test_a_gallery_that_is_unknown_here_changes_nothing(
    hear: Any, item: Item, source: Any, counters: Any, dead_letters: Any, unknown: str
) -> None:
    await hear(item.ready(source), 1)
    nowhere = {"id": str(uuid4())}
    await hear(item.moved(nowhere, source) if unknown == "source" else item.moved(source, nowhere), 2)

    assert dead_letters.letters == []
    assert await counters(source) == [ONE]
    await hear(item.deleted(source), 3)
    assert await counters(source) == [NOTHING]


async def test_two_events_of_one_item_at_once_are_applied_one_after_the_other(
    hear: Any, new_gallery: Any, counters: Any, dead_letters: Any
) -> None:
    """They name different galleries, so that no gallery's lock separates them."""
    source, target, last = [await new_gallery() for _ in range(3)]
    items = [Item() for _ in range(20)]
    events: list[tuple[Event, int]] = []
    for item in items:
        events += [(item.ready(source), 1), (item.moved(source, target), 2), (item.moved(target, last), 3)]
    for item in items[::2]:
        events.append((item.deleted(last), 4))
    await asyncio.gather(*(hear(*each) for each in (*events, *events[::-1])))

    assert await counters(source, target, last) == [NOTHING, NOTHING, (10, 1_000)]
    assert not dead_letters.letters


async def test_an_event_waits_for_another_of_its_item_that_names_another_gallery(
    hear: Any, item: Item, source: Any, target: Any, counters: Any, database: Any
) -> None:
    async with database.hot.acquire() as connection, connection.transaction():
        # The first event has reached its gallery's lock.
        await connection.execute("SELECT FROM galleries WHERE id = $1 FOR UPDATE", UUID(source["id"]))
        first = asyncio.create_task(hear(item.ready(source), 1))
        await _until_waiting(database, "tuple", "transactionid")
        second = asyncio.create_task(hear(item.deleted(target), 3))
        await _until_waiting(database, "advisory")
        assert not second.done()
    await asyncio.gather(first, second)
    assert await counters(source, target) == [NOTHING, NOTHING]


async def _until_waiting(database: Any, *kinds: str) -> None:
    async def waits() -> None:
        assert await database.hot.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND wait_event = ANY($1)",
            list(kinds),
        )

    await eventually(waits)


async def test_accesses_are_counted_where_they_were_made_and_go_with_the_item(
    hear: Any, item: Item, source: Any, target: Any, http: Any, account: Any
) -> None:
    async def downloads(gallery: Any) -> list[int]:
        answer = await http("GET", f"/v1/galleries/{gallery['id']}/stats", token=account.token)
        return [each["count"] for each in answer.json["items"]]

    await hear(item.ready(source), 1)
    await hear(item.downloaded(source), 1)
    await hear(item.moved(source, target), 2)
    await hear(item.downloaded(target), 1)
    await hear(item.downloaded(target), 2)
    await hear(item.downloaded(source), 2)  # from before the move, counted late
    assert (await downloads(source), await downloads(target)) == ([2], [2])

    await hear(item.deleted(target), 3)
    assert (await downloads(source), await downloads(target)) == ([], [])
