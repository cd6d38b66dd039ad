from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import zstandard
from kappi_chassis.bus import Processor
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.events import GalleryDeleted
from kappi_media.repository.view import ViewQueries
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Worker, redelivered
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(64, 48), "JPEG")
# A GIF by its first bytes, without width and height: it passes completion and fails the probe.
HOLLOW_GIF = b"GIF89a" + bytes(20)
Publications = Callable[..., Awaitable[list[Published]]]


async def seed_items(database: Database, gallery: Gallery, count: int) -> list[str]:
    """Inserts items as if they had been completed. Returns their ids in order."""
    ids = [new_id() for _ in range(count)]
    await database.hot.execute(
        "INSERT INTO contents (gallery_id, version, item_count) VALUES ($1, $2, $2)", gallery.id, count
    )
    await database.hot.execute(
        "INSERT INTO items (id, gallery_id, upload_id, filename, content_type, size_bytes, etag, created_at) "
        "SELECT id, $1, id, 'a.jpg', 'image/jpeg', 1, 'e', now() FROM unnest($2::uuid[]) AS id",
        gallery.id,
        ids,
    )
    return [str(media_id) for media_id in ids]


@pytest.fixture
def page_reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Returns one entry per page read from the database."""
    reads: list[Any] = []
    read_page = ViewQueries.page

    async def counted(self: ViewQueries, *args: Any, **kwargs: Any) -> Any:
        reads.append(kwargs)
        return await read_page(self, *args, **kwargs)

    monkeypatch.setattr(ViewQueries, "page", counted)
    return reads


async def test_an_empty_gallery_is_a_page_without_items(client: Client, gallery: Gallery) -> None:
    answer = await client.view(gallery)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["vary"] == "Accept-Encoding"
    document = answer.json
    assert document["items"] == []
    assert document["next_cursor"] is None
    assert document["gallery"] == {
        "id": str(gallery.id),
        "code": "k7dm",
        "url": "https://kappi.example/g/k7dm",
        "title": "Alps",
        "visibility": "shared",
        "password_protected": False,
        "location_free": False,
        "expires_at": document["gallery"]["expires_at"],
        "expires_in": document["gallery"]["expires_in"],
        "created_at": document["gallery"]["created_at"],
        "cover_media_id": None,
        "item_count": 0,
        "contributions": "closed",
    }
    assert datetime.fromisoformat(document["gallery"]["expires_at"]) == gallery.public.expires_at


async def test_items_are_shown_as_they_are(
    client: Client, gallery: Gallery, worker: Worker, published: Publications
) -> None:
    first = await client.upload(gallery, JPEG, filename="first.jpg", caption="Hello")
    second = await client.upload(gallery, HOLLOW_GIF, content_type="image/gif")
    third = await client.upload(gallery, JPEG)
    events = await published("UploadCompleted")
    for event in events[:2]:
        await worker.process(redelivered(event))

    answer = await client.view(gallery)
    items = answer.json["items"]
    assert [item["id"] for item in items] == [first["id"], third["id"]]
    assert second["id"] not in answer.body.decode()
    ready, processing = items
    assert (ready["status"], ready["width"], ready["height"], ready["kind"]) == ("ready", 64, 48, "image")
    assert (ready["filename"], ready["caption"]) == ("first.jpg", "Hello")
    assert set(ready["renditions"]) == {"200", "400", "2048"}
    assert processing["status"] == "processing"
    assert answer.json["gallery"]["item_count"] == 2


async def test_every_change_shows_at_once(client: Client, http: Http, gallery: Gallery) -> None:
    async def shown() -> list[tuple[str, str | None]]:
        return [(item["id"], item["caption"]) for item in (await client.view(gallery)).json["items"]]

    assert await shown() == []
    item = (await client.upload(gallery, JPEG))["id"]
    assert await shown() == [(item, None)]
    await http("PATCH", f"/v1/media/{item}", grant=gallery.grant(), body={"caption": "new"})
    assert await shown() == [(item, "new")]
    await http("DELETE", f"/v1/media/{item}", grant=gallery.grant())
    assert await shown() == []
    renamed = gallery.changed(title="Pyrenees", version=2)
    assert (await client.view(renamed)).json["gallery"]["title"] == "Pyrenees"
    assert (await client.view(gallery)).json["gallery"]["title"] == "Alps"


async def test_an_unchanged_page_is_built_once(
    client: Client, gallery: Gallery, database: Database, page_reads: list[Any]
) -> None:
    await seed_items(database, gallery, 5)
    bodies = {(await client.view(gallery)).body for _ in range(5)}
    assert len(bodies) == len(page_reads) == 1


async def test_a_change_reads_only_the_item_that_changed(
    client: Client,
    http: Http,
    gallery: Gallery,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    read_items = ViewQueries.items

    async def counted(self: ViewQueries, gallery_id: Any, media_ids: Any) -> Any:
        read.append(len(media_ids))
        return await read_items(self, gallery_id, media_ids)

    monkeypatch.setattr(ViewQueries, "items", counted)
    ids = await seed_items(database, gallery, 30)
    before = (await client.view(gallery)).json["items"]
    await http("PATCH", f"/v1/media/{ids[7]}", grant=gallery.grant(), body={"caption": "new"})
    after = (await client.view(gallery)).json["items"]
    assert read == [30, 1]
    assert after[7]["caption"] == "new"
    assert after[:7] + after[8:] == before[:7] + before[8:]
    await http("DELETE", f"/v1/media/{ids[0]}", grant=gallery.grant())
    assert (await client.view(gallery)).json["items"] == after[1:]
    assert read == [30, 1]


async def test_an_item_deleted_while_its_page_is_read_is_left_out(
    client: Client,
    http: Http,
    gallery: Gallery,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = await seed_items(database, gallery, 3)
    read_items = ViewQueries.items

    async def overtaken(self: ViewQueries, gallery_id: Any, media_ids: Any) -> Any:
        await http("DELETE", f"/v1/media/{ids[1]}", grant=gallery.grant())
        return await read_items(self, gallery_id, media_ids)

    monkeypatch.setattr(ViewQueries, "items", overtaken)
    shown = (await client.view(gallery)).json["items"]
    assert [item["id"] for item in shown] == [ids[0], ids[2]]


async def test_a_burst_on_a_new_version_builds_once(
    client: Client, gallery: Gallery, database: Database, page_reads: list[Any]
) -> None:
    await seed_items(database, gallery, 100)
    answers = await asyncio.gather(*(client.view(gallery) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == len(page_reads) == 1


async def test_urls_always_have_ten_minutes_left(
    client: Client, gallery: Gallery, database: Database, clock: Clock
) -> None:
    await seed_items(database, gallery, 1)
    await database.hot.execute("UPDATE items SET status = 'ready', kind = 'image', width = 1, height = 1")
    tags = set()
    for _ in range(14):
        answer = await client.view(gallery)
        original = answer.json["items"][0]["original"]
        left = datetime.fromisoformat(original["expires_at"]) - clock()
        assert timedelta(minutes=10) <= left <= timedelta(minutes=15)
        # The page may be minutes old, so the value is never more than what is left.
        assert original["expires_in"] == 600
        gallery_ends = datetime.fromisoformat(answer.json["gallery"]["expires_at"])
        told = timedelta(seconds=answer.json["gallery"]["expires_in"])
        assert timedelta(0) <= gallery_ends - clock() - told <= timedelta(minutes=5, seconds=1)
        tags.add(answer.headers["etag"])
        clock.pass_by(timedelta(seconds=59))
    assert len(tags) in {3, 4}  # 13 minutes touch three or four buckets of five


async def test_urls_begin_where_the_client_came_in(
    client: Client, gallery: Gallery, database: Database, page_reads: list[Any]
) -> None:
    await seed_items(database, gallery, 2)
    await database.hot.execute("UPDATE items SET status = 'ready', kind = 'image', width = 1, height = 1")
    usual = await client.view(gallery)
    seen: dict[str, tuple[str, ...]] = {}
    for base_url in ("http://192.0.2.7:8000", "https://photos.lan/kappi") * 2:
        answer = await client.view(gallery, x_kappi_base_url=base_url, if_none_match=usual.headers["etag"])
        urls = [item["original"]["url"] for item in answer.json["items"]]
        assert all(url.startswith(f"{base_url}/store/galleries/") for url in urls)
        # A link that is passed on begins with a name that others can use.
        assert answer.json["gallery"]["url"] == "https://kappi.example/g/k7dm"
        assert seen.setdefault(base_url, (answer.headers["etag"], *urls)) == (answer.headers["etag"], *urls)
    assert len(page_reads) == 3, "each is kept"
    assert len({usual.headers["etag"], *(etag for etag, *_ in seen.values())}) == 3
    assert (await client.view(gallery)).body == usual.body


async def test_uploads_are_signed_for_where_the_client_came_in(client: Client, gallery: Gallery) -> None:
    declared = {"filename": "a.jpg", "size": 3, "content_type": "image/jpeg"}
    (promised,) = await client.sign(gallery, declared, headers={"x-kappi-base-url": "http://192.0.2.7:8000"})
    assert promised["single"]["url"].startswith("http://192.0.2.7:8000/store/galleries/")


async def test_a_client_with_the_right_copy_gets_none(
    client: Client, http: Http, gallery: Gallery, clock: Clock
) -> None:
    item = await client.upload(gallery, JPEG)
    etag = (await client.view(gallery)).headers["etag"]
    for known in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
        answer = await client.view(gallery, if_none_match=known)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == etag
    await http("PATCH", f"/v1/media/{item['id']}", grant=gallery.grant(), body={"caption": "new"})
    assert (await client.view(gallery, if_none_match=etag)).status == 200
    etag = (await client.view(gallery)).headers["etag"]
    clock.pass_by(timedelta(minutes=5))
    assert (await client.view(gallery, if_none_match=etag)).status == 200, "its URLs are running out"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("zstd, gzip, br", "zstd"),
        ("gzip, deflate", "gzip"),
        ("br", None),
        ("", None),
        ("zstd;q=0, gzip", "gzip"),
    ],
)
async def test_the_page_comes_compressed_as_the_client_likes(
    client: Client, gallery: Gallery, database: Database, accepted: str, coding: str | None
) -> None:
    await seed_items(database, gallery, 20)
    plain = await client.view(gallery)
    answer = await client.view(gallery, accept_encoding=accepted)
    assert answer.headers.get("content-encoding") == coding
    unpack: dict[str | None, Callable[[bytes], bytes]] = {
        "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
        "gzip": gzip.decompress,
        None: lambda body: body,
    }
    assert unpack[coding](answer.body) == plain.body
    assert int(answer.headers["content-length"]) == len(answer.body)
    if coding is not None:
        assert len(answer.body) < len(plain.body) / 2


async def test_paging_neither_skips_nor_repeats_while_items_come_and_go(
    client: Client, http: Http, gallery: Gallery, database: Database
) -> None:
    ids = await seed_items(database, gallery, 25)
    seen, query = [], "limit=4"
    while True:
        page = (await client.view(gallery, query)).json
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 4
        # The last item shown is removed, and one ahead; a new one is added at the end.
        for gone in (seen[-1], ids[-1 - len(seen) // 4]):
            await http("DELETE", f"/v1/media/{gone}", grant=gallery.grant())
        query = f"limit=4&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)
    left = [item["id"] for item in (await client.view(gallery)).json["items"]]
    assert set(left) <= set(seen)
    assert 0 < len(left) < len(seen)


async def test_a_last_page_that_is_full_has_no_cursor(
    client: Client, gallery: Gallery, database: Database
) -> None:
    await seed_items(database, gallery, 8)
    first = (await client.view(gallery, "limit=4")).json
    second = (await client.view(gallery, f"limit=4&cursor={first['next_cursor']}")).json
    assert len(second["items"]) == 4
    assert second["next_cursor"] is None


async def test_limits_are_bounded(client: Client, gallery: Gallery, database: Database) -> None:
    await seed_items(database, gallery, 501)
    assert len((await client.view(gallery)).json["items"]) == 100
    assert len((await client.view(gallery, "limit=9999")).json["items"]) == 500
    for faulty in ("limit=0", "limit=-1", "limit=ten", "limit=%D9%A1", "cursor=nonsense", "cursor=%FF"):
        answer = await client.view(gallery, faulty)
        assert (answer.status, answer.code) == (422, "validation_failed"), faulty


async def test_a_deleted_gallery_is_gone_for_every_grant_still_out(
    client: Client, gallery: Gallery, processor: Processor, record: Any, clock: Clock
) -> None:
    await client.upload(gallery, JPEG)
    etag = (await client.view(gallery)).headers["etag"]
    deleted = GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock())
    await processor.process(record(deleted))
    for headers in ({}, {"if_none_match": etag}):
        answer = await client.view(gallery, **headers)
        assert (answer.status, answer.code) == (404, "gallery_not_found")


async def test_the_code_is_read_as_people_type_it(http: Http, gallery: Gallery) -> None:
    assert (await http("GET", "/v1/g/ K7Dm ", grant=gallery.grant("view"))).status == 200
    assert (await http("GET", "/v1/g/k7d", grant=gallery.grant("view"))).code == "gallery_not_found"


async def test_a_page_is_valid_json_in_every_detail(client: Client, gallery: Gallery) -> None:
    await client.upload(
        gallery, JPEG, filename='a "quoted" \\ name.jpg', caption="l1\nl2\u2028", attributes={"ü": None}
    )
    item = json.loads((await client.view(gallery)).body)["items"][0]
    assert item["caption"] == "l1\nl2\u2028"
    assert item["attributes"] == {"ü": None}
