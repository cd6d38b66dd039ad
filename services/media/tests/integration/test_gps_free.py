"""A gallery that tells no places: whoever comes by the code gets copies, whichever way they ask."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from kappi_chassis.db import Database
from kappi_contracts.events import GalleryUpdated
from kappi_contracts.keys import gps_free_key, original_key
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_copies
from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.settings import MediaSettings
from kappi_media.use_cases import gps_free
from kappi_media.use_cases.gps_free import GpsFreeCopies
from kappi_media.use_cases.renditions import MakeRendition
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing import BytesSource
from kappi_testkit.asgi import Answer
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller
from kappi_testkit.media.samples import Shot, encode, quadrants

PLACED = encode(quadrants(64, 48), "JPEG", shot=Shot(place=(48.8577, 2.295, 35.0)))
PLAIN = encode(quadrants(64, 48), "PNG")
BROKEN = PLACED[:2] + b"\xff\xe1\x00\x01" + PLACED[2:]
"""A segment whose length is impossible: nobody can tell what it holds."""

Publications = Callable[..., Awaitable[list[Published]]]
Upload = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def gallery(make_gallery: Callable[..., Gallery]) -> Gallery:
    return make_gallery(location_free=True)


@pytest.fixture
async def copies(deps: Dependencies) -> AsyncIterator[GpsFreeCopies]:
    copies = build_copies(deps)
    yield copies
    await copies.close()


@pytest.fixture
def http(
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    make_rendition: MakeRendition,
    copies: GpsFreeCopies,
) -> Http:
    return Http(build_app(deps, make_settings(), make_rendition, copies=copies))


@pytest.fixture
def upload(client: Client, gallery: Gallery, database: Database) -> Upload:
    """`await upload(PLACED)`: a ready item, as the worker leaves it, place and all."""

    async def uploaded(
        body: bytes, *, gps: bool = True, to: Gallery = gallery, **declared: Any
    ) -> dict[str, Any]:
        kind = "image/png" if body.startswith(b"\x89PNG") else "image/jpeg"
        item = await client.upload(to, body, content_type=kind, **declared)
        place = '{"latitude": 48.8577, "longitude": 2.295, "altitude": null}'
        await database.hot.execute(
            "UPDATE items SET status = 'ready', kind = 'image', width = 64, height = 48,"
            " version = version + 1, gps = CASE WHEN $2 THEN $3::text::jsonb END WHERE id = $1",
            item["id"],
            gps and body != PLAIN,
            place,
        )
        await database.hot.execute("UPDATE contents SET version = version + 1")
        return item

    return uploaded


async def fetched(url: str) -> tuple[bytes, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.read(), answer.headers["Content-Disposition"]


async def tells_place(body: bytes) -> bool:
    return bool(await find_location(BytesSource(body)))


def scan_of(jpeg: bytes) -> bytes:
    return jpeg[jpeg.index(b"\xff\xda") :]


async def download(http: Http, gallery: Gallery, item: dict[str, Any], right: Any = "view") -> Answer:
    return await http("GET", f"/v1/media/{item['id']}/download", grant=gallery.grant(right))


async def test_a_viewer_downloads_a_copy_and_the_manager_the_original(
    http: Http, gallery: Gallery, upload: Upload, store: FaultyStore
) -> None:
    assert await tells_place(PLACED)
    item = await upload(PLACED, filename="Tour Eiffel.jpg")
    for right in ("view", "contribute"):
        answer = await download(http, gallery, item, right)
        assert answer.status == 200, answer.body
        body, disposition = await fetched(answer.json["url"])
        assert not await tells_place(body)
        assert (len(body), scan_of(body)) == (len(PLACED), scan_of(PLACED))
        assert "Tour Eiffel.jpg" in disposition
    managed, _ = await fetched((await download(http, gallery, item, "manage")).json["url"])
    assert managed == PLACED
    copy = await store.head(gps_free_key(gallery.id, item["id"]))
    assert (copy.size_bytes, copy.content_type) == (len(PLACED), "image/jpeg")


async def test_the_page_gives_nothing_until_the_copy_is_there_then_the_copy(
    client: Client, http: Http, gallery: Gallery, upload: Upload
) -> None:
    item = await upload(PLACED)
    first = await client.view(gallery)
    (shown,) = first.json["items"]
    assert first.json["gallery"]["location_free"] is True
    told = (shown["status"], shown["original"], shown["sha256"], shown["gps"])
    assert told == ("processing", None, None, None), "what viewers get is not there yet"

    async def page_that_changed() -> Answer:
        page = await client.view(gallery, if_none_match=first.headers["etag"])
        assert page.status == 200
        return page

    page = await eventually(page_that_changed)
    assert page.json["items"][0]["status"] == "ready"
    url = page.json["items"][0]["original"]["url"]
    body, _ = await fetched(url)
    assert not await tells_place(body)
    assert len(body) == len(PLACED)
    (shown,) = (await client.view(gallery)).json["items"]
    assert (shown["sha256"], shown["gps"], shown["size"]) == (None, None, len(PLACED))
    alone = await http("GET", f"/v1/media/{item['id']}", grant=gallery.grant("view"))
    assert (alone.json["original"]["url"], alone.json["gps"]) == (url, None)


async def test_the_manager_sees_everything(http: Http, gallery: Gallery, upload: Upload) -> None:
    item = await upload(PLACED)
    shown = (await http("GET", f"/v1/media/{item['id']}", grant=gallery.grant("manage"))).json
    assert shown["gps"]["latitude"] == 48.8577
    assert (await fetched(shown["original"]["url"]))[0] == PLACED


async def test_looking_at_an_item_has_its_copy_made(http: Http, gallery: Gallery, upload: Upload) -> None:
    item = await upload(PLACED)

    async def original() -> Any:
        return (await http("GET", f"/v1/media/{item['id']}", grant=gallery.grant("view"))).json["original"]

    async def made() -> Any:
        found = await original()
        assert found is not None
        return found

    assert await original() is None
    assert not await tells_place((await fetched((await eventually(made))["url"]))[0])


async def test_an_original_without_a_place_is_its_own_copy(
    http: Http, client: Client, gallery: Gallery, upload: Upload, store: FaultyStore, database: Database
) -> None:
    item = await upload(PLAIN)
    body, _ = await fetched((await download(http, gallery, item)).json["url"])
    assert body == PLAIN
    page = await store.list_page(f"galleries/{gallery.id}/{item['id']}/")
    assert [kept.key for kept in page.objects] == [original_key(gallery.id, item["id"])]
    assert await database.hot.fetchval("SELECT unchanged FROM location_free_copies") is True
    (shown,) = (await client.view(gallery)).json["items"]
    assert shown["original"] is not None


async def test_the_setting_changes_what_a_page_shows_at_once(
    client: Client, gallery: Gallery, upload: Upload, http: Http
) -> None:
    item = await upload(PLACED)
    await download(http, gallery, item)
    free = await client.view(gallery)
    told = gallery.changed(location_free=False, version=2)
    full = await client.view(told)
    again = await client.view(gallery.changed(version=3))
    urls = [page.json["items"][0]["original"]["url"] for page in (free, full, again)]
    assert ["/location-free" in url for url in urls] == [True, False, True]
    assert [page.json["items"][0]["gps"] is None for page in (free, full, again)] == [True, False, True]
    assert len({page.headers["etag"] for page in (free, full, again)}) == 3


async def test_fifty_who_ask_at_once_get_one_copy(
    http: Http, gallery: Gallery, upload: Upload, store: FaultyStore
) -> None:
    item = await upload(PLACED)
    answers = await asyncio.gather(*(download(http, gallery, item) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert store.streams == 1


async def test_two_replicas_make_one_copy(
    http: Http, gallery: Gallery, upload: Upload, store: FaultyStore, deps: Dependencies
) -> None:
    item = await upload(PLACED)
    other = build_copies(deps)
    handed, answer = await asyncio.gather(
        other(MediaId(UUID(item["id"])), GalleryId(gallery.id)), download(http, gallery, item)
    )
    assert answer.status == 200
    assert store.streams == 1
    assert (handed.key, handed.size_bytes) == (gps_free_key(gallery.id, item["id"]), len(PLACED))
    body, _ = await fetched(answer.json["url"])
    assert handed.crc32 == zlib.crc32(body)
    await other.close()


async def test_what_cannot_be_cleaned_is_never_given_out(
    http: Http, client: Client, gallery: Gallery, upload: Upload, copies: GpsFreeCopies
) -> None:
    item = await upload(BROKEN)
    for _ in range(2):
        refused = await download(http, gallery, item)
        assert (refused.status, refused.code) == (422, "location_not_removable")
    (shown,) = (await client.view(gallery)).json["items"]
    assert (shown["status"], shown["original"]) == ("ready", None), "nothing more will come"
    assert (await fetched((await download(http, gallery, item, "manage")).json["url"]))[0] == BROKEN


async def test_a_place_the_prober_saw_and_nobody_finds_again_is_not_given_out(
    http: Http, gallery: Gallery, upload: Upload, database: Database
) -> None:
    item = await upload(PLAIN)
    await database.hot.execute('UPDATE items SET gps = \'{"latitude": 1, "longitude": 2}\'')
    refused = await download(http, gallery, item)
    assert (refused.status, refused.code) == (422, "location_not_removable")


async def test_an_item_in_work_has_no_copy_yet(http: Http, client: Client, gallery: Gallery) -> None:
    item = await client.upload(gallery, PLACED)
    early = await download(http, gallery, item)
    assert (early.status, early.code) == (409, "media_not_ready")
    (shown,) = (await client.view(gallery)).json["items"]
    assert shown["original"] is None


async def test_a_store_that_is_away_is_said_so_and_it_works_again_later(
    http: Http, gallery: Gallery, upload: Upload, store: FaultyStore
) -> None:
    item = await upload(PLACED)
    store.down = True
    refused = await download(http, gallery, item)
    assert (refused.status, refused.code) == (503, "store_unavailable")
    store.down, store.full = False, True
    refused = await download(http, gallery, item)
    assert (refused.status, refused.code) == (507, "storage_full")
    store.full = False
    assert (await download(http, gallery, item)).status == 200


async def test_who_waits_too_long_is_told_to_come_back(
    http: Http, gallery: Gallery, upload: Upload, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = await upload(PLACED)
    monkeypatch.setattr(gps_free, "TIMEOUT_S", 0.05)
    held = asyncio.Event()
    stream = store.stream

    async def held_back(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        await held.wait()
        async for chunk in stream(*args, **kwargs):
            yield chunk

    monkeypatch.setattr(store, "stream", held_back)
    refused = await download(http, gallery, item)
    assert (refused.status, refused.code) == (503, "location_free_pending")
    archive = await http("GET", f"/v1/g/{gallery.public.code}/archive", grant=gallery.grant("view"))
    assert (archive.status, archive.code) == (503, "location_free_pending")
    held.set()

    async def there() -> None:
        assert (await download(http, gallery, item)).status == 200

    await eventually(there)


async def test_an_item_deleted_meanwhile_is_purged_again(
    http: Http,
    gallery: Gallery,
    upload: Upload,
    store: FaultyStore,
    published: Publications,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    item = await upload(PLACED)
    put = store.put_stream

    async def put_after_deletion(*args: Any, **kwargs: Any) -> Any:
        deleted = await http("DELETE", f"/v1/media/{item['id']}", grant=gallery.grant())
        assert deleted.status == 204
        return await put(*args, **kwargs)

    monkeypatch.setattr(store, "put_stream", put_after_deletion)
    refused = await download(http, gallery, item)
    assert (refused.status, refused.code) == (404, "media_not_found")
    assert [event.sequence for event in await published("MediaDeleted")] == [3, 4]


async def archive(http: Http, gallery: Gallery) -> Answer:
    return await http("GET", f"/v1/g/{gallery.public.code}/archive", grant=gallery.grant("view"))


async def test_the_archive_is_made_of_copies(http: Http, gallery: Gallery, upload: Upload) -> None:
    await upload(PLACED, filename="placed.jpg")
    await upload(PLAIN, filename="plain.png")
    await upload(BROKEN, filename="broken.jpg")
    answer = await archive(http, gallery)
    assert answer.status == 200, answer.body
    with zipfile.ZipFile(io.BytesIO(answer.body)) as opened:
        assert opened.namelist() == ["placed.jpg", "plain.png"]
        assert opened.testzip() is None
        assert not await tells_place(opened.read("placed.jpg"))
        assert opened.read("plain.png") == PLAIN
    full = await archive(http, gallery.changed(location_free=False, version=2))
    with zipfile.ZipFile(io.BytesIO(full.body)) as opened:
        assert opened.read("placed.jpg") == PLACED
    assert full.headers["etag"] != answer.headers["etag"]


async def make_link(http: Http, gallery: Gallery, item: dict[str, Any]) -> str:
    answer = await http(
        "POST", f"/v1/media/{item['id']}/links", grant=gallery.grant(), body={"valid_for": 300}
    )
    assert answer.status == 201, answer.body
    return "/v1/l/" + str(answer.json["link"]).rpartition("/")[2]


@pytest.fixture
def linking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links for everybody, whatever their tier."""
    from kappi_media.use_cases import links

    monkeypatch.setattr(links, "_check", lambda rules: None)


async def followed(http: Http, link: str) -> bytes:
    answer = await http("GET", link)
    assert answer.status == 302, answer.body
    return (await fetched(answer.headers["location"]))[0]


async def test_links_lead_to_what_the_gallerys_viewers_get(
    http: Http, gallery: Gallery, upload: Upload, linking: None, tell: Teller, clock: Clock
) -> None:
    item = await upload(PLACED)
    link = await make_link(http, gallery, item)
    assert not await tells_place(await followed(http, link))

    async def changed(gps_free: bool, version: int) -> None:
        event = GalleryUpdated(
            gallery_id=gallery.id,
            owner_id=None,
            visibility="shared",
            expires_at=None,
            updated_at=clock(),
            location_free=gps_free,
        )
        await tell(event, sequence=version)

    await changed(False, 3)
    assert await followed(http, link) == PLACED
    await changed(True, 2)  # older news, come late
    assert await followed(http, link) == PLACED
    await changed(True, 4)
    assert not await tells_place(await followed(http, link))


async def test_elsewhere_originals_are_bit_identical(
    http: Http, client: Client, make_gallery: Callable[..., Gallery], upload: Upload, store: FaultyStore
) -> None:
    plain = make_gallery(code="k7dn")
    item = await upload(PLACED, to=plain)
    body, _ = await fetched((await download(http, plain, item)).json["url"])
    assert hashlib.sha256(body).digest() == hashlib.sha256(PLACED).digest()
    (shown,) = (await client.view(plain)).json["items"]
    assert shown["gps"]["latitude"] == 48.8577
    assert store.streams == 0
