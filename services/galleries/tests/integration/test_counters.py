"""MediaReady and MediaDeleted change the counters exactly, whatever order and repetition the broker
delivers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.bus import Record
from kappi_chassis.clock import new_id
from kappi_contracts.events import Event, MediaDeleted, MediaReady
from kappi_galleries import metrics

pytestmark = pytest.mark.integration

OUTCOMES = ("counted", "outdated", "gallery_gone", "gallery_unknown")
THEN = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
async def gallery(http: Any) -> Any:
    return (await http("POST", "/v1/galleries")).json


@pytest.fixture
def counters(http: Any, gallery: Any) -> Callable[[], Any]:
    async def read() -> tuple[int, int]:
        answer = await http("GET", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"])
        return answer.json["item_count"], answer.json["size_bytes"]

    return read


def ready(gallery: Any, media_id: UUID, *, size_bytes: int = 100) -> MediaReady:
    return MediaReady(
        media_id=media_id,
        gallery_id=UUID(gallery["id"]),
        kind="image",
        content_type="image/jpeg",
        size_bytes=size_bytes,
        width=4,
        height=3,
        duration_ms=None,
        ready_at=THEN,
    )


def deleted(gallery: Any, media_id: UUID) -> MediaDeleted:
    return MediaDeleted(
        media_id=media_id, gallery_id=UUID(gallery["id"]), reason="requested", deleted_at=THEN
    )


async def test_items_are_counted_and_uncounted(
    processor: Any, record: Any, gallery: Any, counters: Any
) -> None:
    first, second = uuid4(), uuid4()
    await processor.process(record(ready(gallery, first, size_bytes=5)))
    await processor.process(record(ready(gallery, second, size_bytes=7)))
    assert await counters() == (2, 12)

    await processor.process(record(deleted(gallery, first), sequence=2))
    assert await counters() == (1, 7)


async def test_a_counter_does_not_move_the_gallerys_version(
    processor: Any, record: Any, gallery: Any, database: Any, published: Any
) -> None:
    await processor.process(record(ready(gallery, uuid4())))

    assert await database.hot.fetchval("SELECT version FROM galleries") == 1
    assert len(await published()) == 1


async def test_a_record_delivered_again_after_a_crash_counts_once(
    processor: Any, record: Any, gallery: Any, counters: Any, dead_letters: Any, database: Any
) -> None:
    # The effect was committed, but the offset was not: the broker delivers the same record again.
    again = record(ready(gallery, uuid4()))
    await processor.process(again)
    await processor.process(again)

    assert await counters() == (1, 100)
    assert await database.hot.fetchval("SELECT count(*) FROM inbox") == 1
    assert not dead_letters.letters


async def test_the_same_record_in_two_consumers_at_once_counts_once(
    processor: Any, record: Any, gallery: Any, counters: Any
) -> None:
    again = record(ready(gallery, uuid4()))
    await asyncio.gather(*(processor.process(again) for _ in range(6)))
    assert await counters() == (1, 100)


async def test_a_crash_before_the_commit_leaves_nothing_and_repeats(
    processor: Any, record: Any, gallery: Any, counters: Any, database: Any
) -> None:
    await database.hot.execute("ALTER TABLE gallery_items RENAME TO gallery_items_away")
    handling = asyncio.create_task(processor.process(record_ := record(ready(gallery, uuid4()))))
    await asyncio.wait([handling], timeout=0.3)
    handling.cancel()
    await asyncio.wait([handling])
    assert await database.hot.fetchval("SELECT count(*) FROM inbox") == 0

    await database.hot.execute("ALTER TABLE gallery_items_away RENAME TO gallery_items")
    await processor.process(record_)
    assert await counters() == (1, 100)


async def test_a_deletion_that_overtakes_its_item_wins(
    processor: Any, record: Any, gallery: Any, counters: Any
) -> None:
    media_id = uuid4()
    await processor.process(record(deleted(gallery, media_id), sequence=2))
    assert await counters() == (0, 0)
    await processor.process(record(ready(gallery, media_id), sequence=1))
    assert await counters() == (0, 0)


@pytest.mark.parametrize("seed", range(4))
async def test_counters_are_exact_under_duplicates_disorder_and_concurrency(
    processor: Any, record: Any, gallery: Any, counters: Any, dead_letters: Any, seed: int
) -> None:
    chance = random.Random(seed)
    records: list[Record] = []
    expected_items = expected_bytes = 0
    for number in range(40):
        media_id, size_bytes = uuid4(), 2**number
        history: list[Event] = [ready(gallery, media_id, size_bytes=size_bytes)]
        if number % 3 == 0:
            history.append(deleted(gallery, media_id))
        else:
            expected_items += 1
            expected_bytes += size_bytes
        for sequence, event in enumerate(history, 1):
            event_id = new_id()
            copies = chance.randint(1, 3)
            records += [record(event, sequence=sequence, id=event_id)] * copies
            if chance.random() < 0.3:  # replayed under another id: only the sequence shows it
                records.append(record(event, sequence=sequence))
    chance.shuffle(records)

    await asyncio.gather(*(processor.process(each) for each in records))

    assert await counters() == (expected_items, expected_bytes)
    assert not dead_letters.letters


async def test_a_batch_counts_as_its_events_would_one_by_one(
    processor: Any, record: Any, gallery: Any, counters: Any, http: Any, database: Any
) -> None:
    """Two galleries, an event twice, an outdated and an unknown one, and items of a deleted gallery."""
    gone = (await http("POST", "/v1/galleries")).json
    await http("DELETE", f"/v1/galleries/{gone['id']}", key=gone["access_key"])
    other = (await http("POST", "/v1/galleries")).json
    items = [uuid4() for _ in range(3)]
    fates = {name: metrics.ITEM_EVENTS.labels(name) for name in OUTCOMES}
    before = {name: counter._value.get() for name, counter in fates.items()}
    first = record(ready(gallery, items[0], size_bytes=1), sequence=2)
    batch = [
        first,
        record(ready(other, items[1], size_bytes=10), sequence=2),
        record(ready(gallery, items[2], size_bytes=100), sequence=2),
        first,
        record(ready(gallery, items[0], size_bytes=7), sequence=1),
        record(ready(gallery, items[2], size_bytes=200), sequence=3),
        record(ready(gone, uuid4()), sequence=2),
        record(ready({"id": str(uuid4())}, uuid4()), sequence=2),
    ]
    assert all(await processor.process_together(batch))
    assert await counters() == (2, 201)
    assert await database.hot.fetchrow(
        "SELECT item_count, size_bytes FROM galleries WHERE id = $1", UUID(other["id"])
    ) == (1, 10)
    assert {name: counter._value.get() - before[name] for name, counter in fates.items()} == {
        "counted": 4,
        "outdated": 1,
        "gallery_gone": 1,
        "gallery_unknown": 1,
    }

    deletions = [record(deleted(gallery, items[0]), sequence=4), record(deleted(other, items[1]), sequence=4)]
    assert all(await processor.process_together([*deletions, deletions[0]]))
    assert await counters() == (1, 200)
    assert await database.hot.fetchval("SELECT sum(item_count) FROM galleries") == 1


async def test_an_item_of_a_deleted_gallery_leaves_no_row(
    processor: Any, record: Any, gallery: Any, http: Any, database: Any, dead_letters: Any
) -> None:
    await processor.process(record(ready(gallery, uuid4())))
    await http("DELETE", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"])
    assert await database.hot.fetchval("SELECT count(*) FROM gallery_items") == 0

    await processor.process(record(ready(gallery, uuid4())))
    await processor.process(record(deleted(gallery, uuid4()), sequence=2))

    assert await database.hot.fetchval("SELECT count(*) FROM gallery_items") == 0
    assert await database.hot.fetchval("SELECT item_count FROM galleries") == 0
    assert not dead_letters.letters


async def test_poison_becomes_a_dead_letter_and_the_next_record_is_handled(
    processor: Any, record: Any, gallery: Any, counters: Any, dead_letters: Any
) -> None:
    good = record(ready(gallery, uuid4()))
    broken = Record(good.topic, 0, 1, good.key, b'{"media_id": 7}', good.headers)
    unknown = Record(good.topic, 0, 2, good.key, good.value, ())
    nowhere = record(ready({"id": str(uuid4())}, uuid4()))

    for each in (broken, unknown, nowhere, good):
        await processor.process(each)

    # A restored database may not know a gallery that others know: that is no fault of the event.
    assert [letters for letters, _ in dead_letters.letters] == [broken, unknown]
    assert await counters() == (1, 100)
