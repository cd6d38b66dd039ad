from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from kappi_chassis.bus import Processor
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.events import GalleryDeleted, JanitorTick
from kappi_media.repository.closing import MOST_ITEMS
from kappi_testkit.events import RecordingDeadLetters
from kappi_testkit.media.harness import (
    Client,
    Clock,
    Gallery,
    Published,
    Worker,
    redelivered,
)
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(64, 48), "JPEG")
FILE = {"filename": "a.jpg", "size": len(JPEG), "content_type": "image/jpeg"}
Publications = Callable[..., Awaitable[list[Published]]]


def deletion(gallery: Gallery, clock: Clock) -> GalleryDeleted:
    return GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="expired", deleted_at=clock())


def tick(clock: Clock) -> JanitorTick:
    return JanitorTick(schedule="hourly", at=clock(), origin="timer")


async def rows_of(database: Database, gallery: Gallery) -> dict[str, int]:
    """Returns how many rows each table has of a gallery."""
    counts = {
        table: await database.hot.fetchval(
            f"SELECT count(*) FROM {table} WHERE gallery_id = $1",
            gallery.id,
        )
        for table in ("contents", "uploads", "items", "deleted_media")
    }
    counts["renditions"] = await database.hot.fetchval(
        "SELECT count(*) FROM renditions JOIN items ON items.id = media_id WHERE gallery_id = $1", gallery.id
    )
    return counts


TOMBSTONE_ONLY = {"contents": 1, "uploads": 0, "items": 0, "deleted_media": 0, "renditions": 0}


async def test_nothing_of_a_deleted_gallery_is_left_but_its_tombstone(
    client: Client,
    gallery: Gallery,
    make_gallery: Callable[..., Gallery],
    processor: Processor,
    worker: Worker,
    record: Any,
    clock: Clock,
    database: Database,
    published: Publications,
) -> None:
    other = make_gallery(code="other")
    await client.upload(other, JPEG)
    await client.upload(gallery, JPEG)
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    gone = await client.upload(gallery, JPEG)
    await client.http("DELETE", f"/v1/media/{gone['id']}", grant=gallery.grant())
    await client.sign(gallery, FILE)
    before = len(await published())

    await processor.process(record(deletion(gallery, clock)))

    assert await rows_of(database, gallery) == TOMBSTONE_ONLY
    assert await rows_of(database, other) == {
        "contents": 1,
        "uploads": 1,
        "items": 1,
        "deleted_media": 0,
        "renditions": 1,
    }
    assert len(await published()) == before, "the janitor hears of the gallery from galleries"


async def test_a_duplicate_deletion_changes_nothing(
    client: Client, gallery: Gallery, processor: Processor, record: Any, clock: Clock, database: Database
) -> None:
    await client.upload(gallery, JPEG)
    first, again = deletion(gallery, clock), new_id()
    await processor.process(record(first, id=again))
    tombstone = await database.hot.fetchrow("SELECT * FROM contents")
    await processor.process(record(first, id=again))
    clock.pass_by(timedelta(hours=1))
    await processor.process(record(deletion(gallery, clock)))
    assert await database.hot.fetchrow("SELECT * FROM contents") == tombstone


async def test_a_gallery_deleted_before_its_first_upload_takes_none(
    client: Client, gallery: Gallery, processor: Processor, record: Any, clock: Clock, database: Database
) -> None:
    await processor.process(record(deletion(gallery, clock)))
    for headers in ({}, {"Idempotency-Key": "a-key-for-this"}):
        answer = await client.http(
            "POST",
            f"/v1/galleries/{gallery.id}/uploads",
            grant=gallery.grant(),
            body={"files": [FILE]},
            headers=headers,
        )
        assert (answer.status, answer.code) == (404, "gallery_not_found")
    assert await rows_of(database, gallery) == TOMBSTONE_ONLY
    assert await database.hot.fetchval("SELECT count(*) FROM idempotency") == 0


async def test_an_upload_under_way_when_its_gallery_is_deleted_ends_nowhere(
    client: Client, gallery: Gallery, processor: Processor, record: Any, clock: Clock, database: Database
) -> None:
    (promised,) = await client.sign(gallery, FILE)
    await processor.process(record(deletion(gallery, clock)))
    assert await client.put(promised, JPEG) == 200, "its URL still lives; the janitor sweeps a second time"
    answer = await client.complete(gallery, promised["id"])
    assert (answer.status, answer.code) == (404, "upload_not_found")
    assert await rows_of(database, gallery) == TOMBSTONE_ONLY


async def test_a_deletion_amid_signing_and_completing_leaves_nothing_behind(
    client: Client,
    make_gallery: Callable[..., Gallery],
    processor: Processor,
    record: Any,
    clock: Clock,
    database: Database,
    dead_letters: RecordingDeadLetters,
    published: Publications,
) -> None:
    for _ in range(8):
        gallery = make_gallery()
        promised = await client.sign(gallery, *([FILE] * 6))
        await asyncio.gather(*(client.put(one, JPEG) for one in promised))
        sign = client.http(
            "POST",
            f"/v1/galleries/{gallery.id}/uploads",
            grant=gallery.grant(),
            body={"files": [FILE] * 100},
        )
        deleting = asyncio.ensure_future(processor.process(record(deletion(gallery, clock))))
        signed, *completed = await asyncio.gather(
            sign, *(client.complete(gallery, one["id"]) for one in promised)
        )
        await deleting
        assert signed.status in {201, 404}
        assert {answer.status for answer in completed} <= {200, 404}
        assert await rows_of(database, gallery) == TOMBSTONE_ONLY
        told = {event.key for event in await published("UploadCompleted")}
        made = [answer.json["id"] for answer in completed if answer.status == 200]
        assert set(made) <= told
    assert dead_letters.letters == []


async def test_a_first_batch_and_a_deletion_at_once_leave_nothing_behind(
    client: Client,
    make_gallery: Callable[..., Gallery],
    processor: Processor,
    record: Any,
    clock: Clock,
    database: Database,
) -> None:
    for _ in range(10):
        gallery = make_gallery()
        path, body = f"/v1/galleries/{gallery.id}/uploads", {"files": [FILE] * 20}
        await asyncio.gather(
            *(client.http("POST", path, grant=gallery.grant(), body=body) for _ in range(3)),
            processor.process(record(deletion(gallery, clock))),
        )
        assert await rows_of(database, gallery) == TOMBSTONE_ONLY


async def test_first_batches_at_once_all_come_through(client: Client, gallery: Gallery) -> None:
    batches = await asyncio.gather(*(client.sign(gallery, FILE) for _ in range(20)))
    assert len({promised["id"] for (promised,) in batches}) == 20


async def test_a_tick_sweeps_what_nobody_completed(
    client: Client,
    gallery: Gallery,
    processor: Processor,
    record: Any,
    clock: Clock,
    database: Database,
    published: Publications,
) -> None:
    (abandoned,) = await client.sign(gallery, FILE)
    (aborted,) = await client.sign(gallery, FILE)
    await client.http("DELETE", f"/v1/uploads/{aborted['id']}", grant=gallery.grant())
    item = await client.upload(gallery, JPEG)
    clock.pass_by(timedelta(hours=23))
    (young,) = await client.sign(gallery, FILE)

    await processor.process(record(tick(clock)))
    assert await database.hot.fetchval("SELECT count(*) FROM uploads") == 4, "not due yet"

    clock.pass_by(timedelta(hours=2))
    for _ in range(2):
        await processor.process(record(tick(clock)))
    left = await database.hot.fetch("SELECT media_id FROM uploads")
    assert {str(row["media_id"]) for row in left} == {item["id"], young["media_id"]}
    told = [event for event in await published("MediaDeleted") if event.data["reason"] == "abandoned"]
    assert [(event.key, event.sequence) for event in told] == [(abandoned["media_id"], 1)]
    answer = await client.complete(gallery, abandoned["id"])
    assert (answer.status, answer.code) == (404, "upload_not_found")
    assert [shown["id"] for shown in (await client.view(gallery)).json["items"]] == [item["id"]]


async def test_a_sweep_goes_on_in_batches_and_side_by_side(
    client: Client,
    gallery: Gallery,
    processor: Processor,
    record: Any,
    clock: Clock,
    database: Database,
    published: Publications,
) -> None:
    for _ in range(11):
        await client.sign(gallery, *([FILE] * 100))
    clock.pass_by(timedelta(hours=25))
    await asyncio.gather(*(processor.process(record(tick(clock))) for _ in range(3)))
    assert await database.hot.fetchval("SELECT count(*) FROM uploads") == 0
    told = [event.key for event in await published("MediaDeleted")]
    assert len(told) == len(set(told)) == 1_100


async def test_galleries_of_too_many_items_are_left_for_one_by_one(
    make_gallery: Callable[..., Gallery],
    client: Client,
    processor: Processor,
    record: Any,
    clock: Clock,
    database: Database,
) -> None:
    two = [make_gallery(code=code) for code in "ab"]
    for each in two:
        await client.upload(each, JPEG)
    await database.hot.execute("UPDATE contents SET item_count = $1", MOST_ITEMS // 2 + 1)
    deletions = [record(deletion(each, clock)) for each in two]

    assert await processor.process_together(deletions) == [False, False]

    assert [(await rows_of(database, each))["items"] for each in two] == [1, 1]
    for each in deletions:
        await processor.process(each)
    assert [await rows_of(database, each) for each in two] == [TOMBSTONE_ONLY] * 2
