from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from kappi_chassis.db import Database
from kappi_contracts.events import JanitorTick
from kappi_contracts.keys import original_key
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(64, 48), "JPEG")
PNG = encode(quadrants(64, 48), "PNG")
EXECUTABLE = b"MZ\x90\x00" + b"\x00" * 200 + b"This program cannot be run in DOS mode."

Publications = Callable[..., Awaitable[list[Published]]]


def file(body: bytes, **more: Any) -> dict[str, Any]:
    return {"filename": "a.jpg", "size": len(body), "content_type": "image/jpeg", **more}


async def test_a_completed_upload_is_an_item_that_is_being_processed(
    client: Client, gallery: Gallery, published: Publications, database: Database
) -> None:
    said = {"caption": "At the top", "tags": ["alps"], "location": "Chamonix", "attributes": {"day": 3}}
    digest = hashlib.sha256(JPEG).hexdigest()
    (promised,) = await client.sign(gallery, file(JPEG, sha256=digest, **said))
    assert await client.put(promised, JPEG) == 200
    answer = await client.complete(gallery, promised["id"])

    assert answer.status == 200
    item = answer.json
    assert item["id"] == promised["media_id"]
    assert item["gallery_id"] == str(gallery.id)
    assert (item["status"], item["kind"], item["size"]) == ("processing", "image", len(JPEG))
    assert {name: item[name] for name in said} == said
    assert (item["width"], item["height"], item["renditions"]) == (None, None, {})
    assert item["original"]["url"].startswith("http")

    (event,) = await published()
    assert (event.topic, event.key, event.sequence) == ("UploadCompleted", item["id"], 1)
    assert event.data["size_bytes"] == len(JPEG)
    assert event.data["object_key"] == f"galleries/{gallery.id}/{item['id']}/original"
    kept = await database.hot.fetchrow("SELECT sha256, etag FROM items")
    assert kept["sha256"].hex() == digest
    assert kept["etag"]
    contents = await database.hot.fetchrow("SELECT version, item_count FROM contents")
    assert tuple(contents) == (1, 1)


@pytest.mark.parametrize(
    ("declared", "content", "found"),
    [("image/pjpeg", JPEG, "image/jpeg"), ("image/jpeg", PNG, "image/png"), ("image/heic", PNG, "image/png")],
)
async def test_item_and_event_name_the_type_of_the_content(
    client: Client, gallery: Gallery, published: Publications, declared: str, content: bytes, found: str
) -> None:
    (promised,) = await client.sign(gallery, file(content, content_type=declared))
    await client.put(promised, content)
    assert (await client.complete(gallery, promised["id"])).json["content_type"] == found
    (event,) = await published()
    assert event.data["content_type"] == found


async def test_completing_again_is_the_same_as_once(
    client: Client, gallery: Gallery, published: Publications, store: FaultyStore
) -> None:
    item = await client.upload(gallery, JPEG)
    (event,) = await published()
    upload_id = event.data["upload_id"]
    store.down = True  # the second time no look-up is needed
    again = await client.complete(gallery, upload_id)
    assert again.status == 200
    assert again.json["id"] == item["id"]
    assert len(await published()) == 1


async def test_twenty_at_once_make_one_item_and_one_event(
    client: Client, gallery: Gallery, published: Publications, database: Database
) -> None:
    (promised,) = await client.sign(gallery, file(JPEG))
    await client.put(promised, JPEG)
    answers = await asyncio.gather(*(client.complete(gallery, promised["id"]) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert {answer.json["id"] for answer in answers} == {promised["media_id"]}
    assert [event.topic for event in await published()] == ["UploadCompleted"]
    assert tuple(await database.hot.fetchrow("SELECT version, item_count FROM contents")) == (1, 1)
    assert await database.hot.fetchval("SELECT count(*) FROM items") == 1


async def test_many_files_of_one_gallery_complete_side_by_side(
    client: Client, gallery: Gallery, published: Publications, database: Database
) -> None:
    promised = await client.sign(gallery, *([file(JPEG)] * 30))
    await asyncio.gather(*(client.put(one, JPEG) for one in promised))
    answers = await asyncio.gather(*(client.complete(gallery, one["id"]) for one in promised))
    assert {answer.status for answer in answers} == {200}
    assert len(await published("UploadCompleted")) == 30
    assert tuple(await database.hot.fetchrow("SELECT version, item_count FROM contents")) == (30, 30)


async def test_without_bytes_it_is_incomplete_and_can_still_be_completed(
    client: Client, gallery: Gallery, published: Publications
) -> None:
    (promised,) = await client.sign(gallery, file(JPEG))
    early = await client.complete(gallery, promised["id"])
    assert (early.status, early.code) == (409, "upload_incomplete")
    await client.put(promised, JPEG)
    assert (await client.complete(gallery, promised["id"])).status == 200
    assert len(await published()) == 1


@pytest.mark.parametrize(
    ("declared", "content", "reason"),
    [
        (file(JPEG, size=2048), JPEG * 3, "size_mismatch"),
        (file(PNG, content_type="image/png"), PNG[:-1], "size_mismatch"),
        (file(EXECUTABLE, content_type="image/png", filename="a.png"), EXECUTABLE, "type_mismatch"),
        (file(PNG, content_type="video/mp4", filename="a.mp4"), PNG, "type_mismatch"),
        (file(JPEG, sha256="0" * 64), JPEG, "checksum_mismatch"),
        (file(b"<html>" * 9, content_type="video/mp4"), b"<html>" * 9, "type_mismatch"),
    ],
)
async def test_content_that_is_not_what_was_declared_ends_the_upload(
    client: Client,
    gallery: Gallery,
    store: FaultyStore,
    database: Database,
    published: Publications,
    declared: dict[str, Any],
    content: bytes,
    reason: str,
) -> None:
    (promised,) = await client.sign(gallery, declared)
    # Straight into the store, as with one that does not enforce what was signed.
    key = original_key(gallery.id, promised["media_id"])
    await store.put(key, content, content_type=declared["content_type"])

    for _ in range(2):
        answer = await client.complete(gallery, promised["id"])
        assert (answer.status, answer.code) == (422, "content_mismatch")
        assert reason in answer.json["detail"]
    (event,) = await published()
    assert (event.topic, event.key, event.sequence) == ("MediaRejected", promised["media_id"], 1)
    assert event.data["reason"] == reason
    assert await database.hot.fetchval("SELECT count(*) FROM items") == 0
    state = await client.http("GET", f"/v1/uploads/{promised['id']}", grant=gallery.grant())
    assert (state.json["state"], state.json["rejection_reason"]) == ("rejected", reason)


@pytest.mark.parametrize("truth", [True, False])
async def test_a_checksum_the_store_does_not_know_is_computed(
    client: Client, gallery: Gallery, store: FaultyStore, truth: bool
) -> None:
    store.forgets_checksums = True
    digest = hashlib.sha256(JPEG if truth else PNG).hexdigest()
    (promised,) = await client.sign(gallery, file(JPEG, sha256=digest))
    await store.put(original_key(gallery.id, promised["media_id"]), JPEG, content_type="image/jpeg")
    answer = await client.complete(gallery, promised["id"])
    assert answer.status == (200 if truth else 422)
    assert store.streams == 1


async def test_a_store_that_is_away_is_said_so_and_nothing_is_lost(
    client: Client, gallery: Gallery, store: FaultyStore
) -> None:
    (promised,) = await client.sign(gallery, file(JPEG))
    await client.put(promised, JPEG)
    store.down = True
    answer = await client.complete(gallery, promised["id"])
    assert (answer.status, answer.code) == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "1"
    store.down = False
    assert (await client.complete(gallery, promised["id"])).status == 200


async def test_an_upload_that_is_swept_while_it_is_completed_is_not_there(
    client: Client,
    gallery: Gallery,
    store: FaultyStore,
    clock: Clock,
    tell: Teller,
    monkeypatch: pytest.MonkeyPatch,
    published: Publications,
) -> None:
    (promised,) = await client.sign(gallery, file(JPEG))
    await client.put(promised, JPEG)
    read = store.read

    async def read_and_sweep(key: str, **given: Any) -> Any:
        found = await read(key, **given)
        await tell(JanitorTick(schedule="hourly", at=clock() + timedelta(hours=25), origin="operator"))
        return found

    monkeypatch.setattr(store, "read", read_and_sweep)
    answer = await client.complete(gallery, promised["id"])
    assert (answer.status, answer.code) == (404, "upload_not_found")
    assert [event.topic for event in await published()] == ["MediaDeleted"]


async def test_the_checks_cost_one_read_of_the_store(
    client: Client, gallery: Gallery, store: FaultyStore
) -> None:
    await client.upload(gallery, JPEG)
    assert (store.reads, store.streams) == (1, 0)


async def test_an_upload_completed_while_it_is_aborted_is_one_of_both(
    client: Client, gallery: Gallery, published: Publications, database: Database
) -> None:
    for _ in range(10):
        (promised,) = await client.sign(gallery, file(JPEG))
        await client.put(promised, JPEG)
        path = f"/v1/uploads/{promised['id']}"
        completed, aborted = await asyncio.gather(
            client.complete(gallery, promised["id"]),
            client.http("DELETE", path, grant=gallery.grant()),
        )
        assert (completed.status, aborted.status) in {(200, 409), (409, 204)}
        told = [event.topic for event in await published() if event.key == promised["media_id"]]
        assert told == (["UploadCompleted"] if completed.status == 200 else ["MediaDeleted"])
    items = await database.hot.fetchval("SELECT count(*) FROM items")
    assert items == await database.hot.fetchval("SELECT item_count FROM contents")


async def test_what_may_be_left_out_may_be_null(client: Client, gallery: Gallery, http: Http) -> None:
    """Some generated clients send null for optional fields."""
    nothing = dict.fromkeys(("sha256", "caption", "tags", "location", "attributes"))
    path = f"/v1/galleries/{gallery.id}/uploads"
    declared = {"files": [file(JPEG, **nothing)], "connection": None}
    signed = await http("POST", path, grant=gallery.grant("contribute"), body=declared)
    assert signed.status == 201, signed.body
    (promised,) = signed.json["uploads"]
    assert await client.put(promised, JPEG) == 200
    path = f"/v1/uploads/{promised['id']}/complete"
    for raw in (b"null", b'{"parts": null}'):
        answer = await http("POST", path, grant=gallery.grant("contribute"), raw=raw)
        assert (answer.status, answer.json["tags"], answer.json["attributes"]) == (200, [], {})
