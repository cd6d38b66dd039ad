"""Items that are moved to another gallery of their owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import msgspec
import pytest
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_chassis.storage import ObjectHead, StorageRefused
from kappi_contracts.events import AccountCreated, GalleryDeleted, ObjectsUnused
from kappi_contracts.keys import folder_prefix, gps_free_key, original_key, rendition_key, sidecar_key
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_copies, build_mover, build_renditions, tick_steps
from kappi_media.domain.shares import NO_SHARE
from kappi_media.repository.links import add_link
from kappi_media.repository.moves import MoveQueries
from kappi_media.settings import MediaSettings
from kappi_media.stored_renditions import WantedRendition
from kappi_media.use_cases import links, move_items
from kappi_media.use_cases import mover as moving
from kappi_media.use_cases.move_items import KEPT_FOR
from kappi_media.use_cases.mover import LEASE, REMEMBERED_FOR, Mover
from kappi_testkit.asgi import Answer
from kappi_testkit.eventually import eventually
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.corpus.raws import RAW_SHOT, RAWS
from kappi_testkit.media.harness import (
    Client,
    Clock,
    Gallery,
    Http,
    Published,
    Teller,
    Worker,
    redelivered,
)
from kappi_testkit.media.live_photos import live_film, live_picture
from kappi_testkit.media.metadata_blocks import xmp_packet
from kappi_testkit.media.samples import Shot, encode, quadrants

PHOTO = encode(quadrants(640, 480), "JPEG", shot=Shot(place=(48.8577, 2.295, 35.0)))
Publications = Callable[..., Awaitable[list[Published]]]
Ready = Callable[..., Awaitable[str]]
Move = Callable[..., Coroutine[Any, Any, Answer]]
Deliver = Callable[[], Awaitable[None]]


@pytest.fixture
async def owner(tell: Teller, clock: Clock) -> UUID:
    """Returns an account whose tier has links."""
    owner_id = new_id()
    await tell(AccountCreated(account_id=owner_id, tier="Enterprise", created_at=clock()))
    return owner_id


@pytest.fixture
def home(make_gallery: Callable[..., Gallery], owner: UUID) -> Gallery:
    return make_gallery(owner_id=owner, code="h2me", expires_at=None)


@pytest.fixture
def album(make_gallery: Callable[..., Gallery], owner: UUID) -> Gallery:
    """Returns a gallery without any record in this service: it holds nothing yet."""
    return make_gallery(owner_id=owner, code="a2bm", expires_at=None)


@pytest.fixture
def ready(client: Client, worker: Worker, published: Publications) -> Ready:
    """`await ready(gallery)` returns the id of an item that was processed."""

    async def upload(gallery: Gallery, body: bytes = PHOTO, **declared: Any) -> str:
        item = await client.upload(gallery, body, **declared)
        await worker.process(redelivered((await published("UploadCompleted"))[-1]))
        return str(item["id"])

    return upload


@pytest.fixture
def move(
    http: Http, bearer: Callable[[UUID], dict[str, str]], owner: UUID, monkeypatch: pytest.MonkeyPatch
) -> Move:
    """`await move(gallery, id, …)` requests a move and does not wait for it."""
    monkeypatch.setattr(move_items, "WAIT_S", 0.0)

    async def asked(to: Gallery, *ids: str, key: str | None = None) -> Answer:
        headers = bearer(owner) | ({"Idempotency-Key": key} if key else {})
        body = {"ids": list(ids), "action": "move", "gallery_id": str(to.id)}
        return await http("POST", "/v1/media/bulk", grant=to.grant(), headers=headers, body=body)

    return asked


@pytest.fixture
def mover(deps: Dependencies) -> Mover:
    return build_mover(deps)


@pytest.fixture
def deliver(mover: Mover, database: Database) -> Deliver:
    """Carries out all requested moves."""

    async def nothing_is_pending() -> None:
        assert await database.hot.fetchval("SELECT count(*) FROM moves WHERE done_at IS NULL") == 0

    async def delivered() -> None:
        async with running(mover):
            await eventually(nothing_is_pending)

    return delivered


@asynccontextmanager
async def running(*movers: Mover) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(mover.run()) for mover in movers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def outcome(answer: Answer) -> tuple[str, ...]:
    """Returns the outcome of the one moved item."""
    assert answer.status == 200, answer.body
    (result,) = answer.json["results"]
    return tuple(result[name] for name in ("status", "code") if name in result)


async def pending_moves(database: Database) -> int:
    return int(await database.hot.fetchval("SELECT count(*) FROM moves WHERE done_at IS NULL"))


async def bulk_tag(http: Http, headers: dict[str, str], ids: list[str]) -> None:
    """Tags the items; all of them must exist, in any gallery."""
    body = {"ids": ids, "action": "tag", "tags": ["moving"]}
    answer = await http("POST", "/v1/media/bulk", headers=headers, body=body)
    assert answer.status == 200, answer.body
    refusals = [one for one in answer.json["results"] if one["status"] != "done"]
    assert {one["id"] for one in refusals} <= {ids[0]}, "deleted meanwhile"


async def fetched(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def look(http: Http, gallery: Gallery, media_id: str) -> Any:
    answer = await http("GET", f"/v1/media/{media_id}", grant=gallery.grant())
    assert answer.status == 200, answer.body
    return answer.json


async def shown(client: Client, gallery: Gallery) -> tuple[list[str], int]:
    page = (await client.view(gallery)).json
    return [item["id"] for item in page["items"]], page["gallery"]["item_count"]


def stored(item: Any) -> dict[str, str]:
    """Returns the URLs of stored objects, by size or "original"."""
    urls = {name: signed["url"] for name, signed in item["renditions"].items()}
    urls["original"] = item["original"]["url"]
    return {name: url for name, url in urls.items() if "/v1/media/" not in url}


async def test_an_item_moves_with_all_that_belongs_to_it(
    client: Client,
    http: Http,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    deps: Dependencies,
    database: Database,
    published: Publications,
    bearer: Callable[[UUID], dict[str, str]],
    owner: UUID,
    clock: Clock,
) -> None:
    media_id, stays = await ready(home, caption="Tower", tags=["Paris"]), await ready(home)
    copies = build_copies(deps)
    await copies(UUID(media_id), home.id)  # type: ignore[arg-type]
    await copies.close()
    link = (
        await http("POST", f"/v1/media/{media_id}/links", grant=home.grant(), body={"valid_for": 300})
    ).json
    before = await look(http, home, media_id)
    pages = [(await client.view(gallery)).headers["etag"] for gallery in (home, album)]

    assert outcome(await move(album, media_id)) == ("pending",)
    assert await shown(client, home) == ([media_id, stays], 2)
    await deliver()
    assert outcome(await move(album, media_id)) == ("done",)

    assert (await shown(client, home), await shown(client, album)) == (([stays], 1), ([media_id], 1))
    assert [(await client.view(gallery)).headers["etag"] for gallery in (home, album)] != pages
    assert (await http("GET", f"/v1/media/{media_id}", grant=home.grant())).status == 404
    after = await look(http, album, media_id)
    assert after["gallery_id"] == str(album.id)
    changing = ("gallery_id", "original", "renditions")
    assert {name: value for name, value in after.items() if name not in changing} == {
        name: value for name, value in before.items() if name not in changing
    }
    # URLs that were issued before lead to the same bytes.
    assert stored(after).keys() == stored(before).keys() == {"original", "400"}
    for name, new in stored(after).items():
        assert new != stored(before)[name]
        assert await fetched(new) == await fetched(stored(before)[name])
    assert await fetched(after["original"]["url"]) == PHOTO
    view = (await client.view(album.changed(location_free=True, version=2))).json
    assert "/location-free" in view["items"][0]["original"]["url"], "its copy came along"
    assert await fetched(view["items"][0]["original"]["url"]) != PHOTO

    followed = await http("GET", urlsplit(link["link"]).path)
    assert await fetched(followed.headers["location"]) == PHOTO
    links = (await http("GET", f"/v1/media/{media_id}/links", grant=album.grant())).json["items"]
    assert [one["id"] for one in links] == [link["id"]]
    upload_id = await database.hot.fetchval("SELECT upload_id FROM items WHERE id = $1", UUID(media_id))
    assert (await http("GET", f"/v1/uploads/{upload_id}", grant=album.grant())).status == 200
    archive = await http("GET", f"/v1/g/{album.public.code}/archive", grant=album.grant("view"))
    assert PHOTO in archive.body

    async def found(query: str) -> list[str]:
        answer = await http("GET", f"/v1/media?{query}", headers=bearer(owner))
        return [item["id"] for item in answer.json["items"]]

    assert await found(f"gallery_id={album.id}&tag=paris") == [media_id]
    assert await found(f"gallery_id={home.id}") == [stays]
    days = await database.hot.fetch("SELECT gallery_id, sum(item_count) FROM usage_days GROUP BY 1")
    assert dict(days) == {home.id: 1, album.id: 1}
    charged = await database.hot.fetchrow(
        "SELECT used_bytes, reserved_bytes FROM accounts WHERE id = $1", owner
    )
    assert tuple(charged) == (2 * len(PHOTO), 0)

    (moved,) = await published("MediaMoved")
    assert moved.data | {"moved_at": None} == {
        "media_id": media_id,
        "gallery_id": str(album.id),
        "from_gallery_id": str(home.id),
        "size_bytes": len(PHOTO),
        "moved_at": None,
    }
    (ready_event, *_) = await published("MediaReady")
    assert (moved.key, moved.sequence > ready_event.sequence) == (media_id, True)
    (unused,) = await published("ObjectsUnused")
    assert (unused.data["gallery_id"], unused.data["folder"]) == (str(home.id), None)
    kept = msgspec.convert(unused.data["purge_after"], type=type(clock()), strict=False) - clock()
    assert KEPT_FOR - timedelta(minutes=1) < kept <= KEPT_FOR


@pytest.mark.parametrize("meanwhile", ["nothing", "it is completed", "it is gone"])
async def test_a_sidecar_moves_with_its_picture(
    client: Client,
    http: Http,
    home: Gallery,
    album: Gallery,
    worker: Worker,
    published: Publications,
    move: Move,
    deliver: Deliver,
    store: FaultyStore,
    meanwhile: str,
) -> None:
    xmp = xmp_packet(attributes='xmp:Rating="4"')
    files = [
        {"filename": "a.jpg", "content_type": "image/jpeg", "size": len(PHOTO)},
        {"filename": "a.xmp", "content_type": "text/xml", "size": len(xmp)},
    ]
    picture, sidecar = await client.sign(home, *files)
    assert await client.put(picture, PHOTO) == await client.put(sidecar, xmp) == 200
    assert (await client.complete(home, picture["id"])).status == 200
    await worker.process(redelivered((await published("UploadCompleted"))[-1]))
    media_id = picture["media_id"]
    if meanwhile != "it is completed":
        assert (await client.complete(home, sidecar["id"])).status == 200
    if meanwhile == "it is gone":
        await store.delete_batch([sidecar_key(home.id, UUID(media_id))])
    assert outcome(await move(album, media_id)) == ("pending",)
    await deliver()
    moved = await look(http, album, media_id)
    if meanwhile == "it is completed":
        late = await client.complete(album, sidecar["id"])
        assert (late.status, late.json["code"]) == (409, "upload_aborted"), "it was sent to the old place"
        assert moved["sidecar"] is None
    else:
        assert (moved["rating"], moved["sidecar"]["filename"]) == (4, "a.xmp")
    if meanwhile == "nothing":
        assert await fetched(moved["sidecar"]["url"]) == xmp


async def test_there_and_back_again_uses_no_folder_twice(
    client: Client,
    http: Http,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    published: Publications,
    store: FaultyStore,
) -> None:
    media_id = await ready(home)
    for gallery in (album, home, album, home):
        await move(gallery, media_id)
        await deliver()
    assert await shown(client, home) == ([media_id], 1)
    assert await shown(client, album) == ([], 0)
    left = [(UUID(one.data["gallery_id"]), one.data["folder"]) for one in await published("ObjectsUnused")]
    assert len(set(left)) == 4
    # This is what the janitor does with them.
    for gallery_id, folder in left:
        await store.delete_versions_page(folder_prefix(gallery_id, UUID(media_id), folder))
    item = await look(http, home, media_id)
    assert await fetched(item["original"]["url"]) == PHOTO
    assert await fetched(stored(item)["400"])
    deleted = await http("DELETE", f"/v1/media/{media_id}", grant=home.grant())
    assert deleted.status == 204
    (told,) = await published("MediaDeleted")
    assert told.data["gallery_id"] == str(home.id)
    assert told.sequence > max(one.sequence for one in await published("MediaMoved"))


async def test_each_item_has_an_outcome(
    client: Client,
    home: Gallery,
    album: Gallery,
    make_gallery: Callable[..., Gallery],
    ready: Ready,
    move: Move,
    deliver: Deliver,
    worker: Worker,
    published: Publications,
    database: Database,
) -> None:
    strangers = await ready(make_gallery(owner_id=new_id(), code="f2rn"))
    moves, is_there = await ready(home), await ready(album)
    in_work = (await client.upload(home, PHOTO))["id"]
    hollow = await client.upload(home, b"GIF89a" + bytes(20), content_type="image/gif", filename="a.gif")
    await worker.process(redelivered((await published("UploadCompleted"))[-1]))
    unknown = str(new_id())
    ids = [moves, is_there, in_work, hollow["id"], strangers, unknown, moves]
    expected = [
        {"id": moves, "status": "pending"},
        {"id": is_there, "status": "done"},
        {"id": in_work, "status": "refused", "code": "media_not_ready"},
        {"id": hollow["id"], "status": "refused", "code": "media_not_found"},
        {"id": strangers, "status": "refused", "code": "media_not_found"},
        {"id": unknown, "status": "refused", "code": "media_not_found"},
    ]
    assert (await move(album, *ids, key="move-these")).json["results"] == expected
    assert (await move(album, *ids, key="move-these")).json["results"] == expected
    assert await pending_moves(database) == 1
    assert (await move(album, *ids[:2], key="move-these")).code == "idempotency_key_reused"
    await deliver()
    expected[0]["status"] = "done"
    assert (await move(album, *ids, key="move-these")).json["results"] == expected
    assert await shown(client, album) == (sorted([moves, is_there]), 2)


async def test_a_call_waits_for_its_moves(
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
) -> None:
    media_id = await ready(home)
    monkeypatch.setattr(move_items, "WAIT_S", 20.0)
    asked = asyncio.create_task(move(album, media_id))

    async def is_requested() -> None:
        assert await pending_moves(database) == 1

    await eventually(is_requested)
    await deliver()
    assert outcome(await asked) == ("done",)


async def test_few_calls_of_an_account_wait_at_once(
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
) -> None:
    media_id = await ready(home)
    monkeypatch.setattr(move_items, "WAIT_S", 60.0)
    monkeypatch.setattr(move_items, "MAX_WAITING_OF_ACCOUNT", 1)
    waits = asyncio.create_task(move(album, media_id))

    async def is_requested() -> None:
        assert await pending_moves(database) == 1

    await eventually(is_requested)
    assert outcome(await move(album, media_id)) == ("pending",)
    assert not waits.done()
    waits.cancel()


async def test_who_may_not_move_there(
    http: Http,
    home: Gallery,
    album: Gallery,
    make_gallery: Callable[..., Gallery],
    ready: Ready,
    move: Move,
    tell: Teller,
    clock: Clock,
    bearer: Callable[[UUID], dict[str, str]],
    owner: UUID,
) -> None:
    media_id = await ready(home)
    body = {"ids": [media_id], "action": "move", "gallery_id": str(album.id)}

    async def asked(grant: str | None, **changed: Any) -> Answer:
        return await http("POST", "/v1/media/bulk", grant=grant, headers=bearer(owner), body=body | changed)

    assert (await asked(None)).code == "credentials_missing"
    assert (await asked(album.grant("view"))).status == 403
    assert (await asked(home.grant())).code == "gallery_key_wrong"
    stranger = make_gallery(owner_id=new_id())
    answer = await asked(stranger.grant(), gallery_id=str(stranger.id))
    assert (answer.status, answer.code) == (404, "gallery_not_found")
    anonymous = make_gallery()
    assert (await asked(anonymous.grant(), gallery_id=str(anonymous.id))).code == "gallery_not_found"
    await ready(album)
    await tell(GalleryDeleted(gallery_id=album.id, owner_id=owner, reason="requested", deleted_at=clock()))
    assert (await move(album, media_id)).code == "gallery_not_found"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "move"}, "gallery_id"),
        ({"action": "move", "gallery_id": str(new_id()), "tags": ["a"]}, "tags"),
        ({"action": "tag", "tags": ["a"], "gallery_id": str(new_id())}, "gallery_id"),
        ({"action": "move", "gallery_id": "here"}, "gallery_id"),
    ],
)
async def test_what_means_nothing_is_refused(
    http: Http, bearer: Callable[[UUID], dict[str, str]], body: dict[str, Any], field: str
) -> None:
    asked = {"ids": [str(new_id())], **body}
    answer = await http("POST", "/v1/media/bulk", headers=bearer(new_id()), body=asked)
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_the_latest_request_wins(
    client: Client,
    home: Gallery,
    album: Gallery,
    make_gallery: Callable[..., Gallery],
    owner: UUID,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    published: Publications,
) -> None:
    third = make_gallery(owner_id=owner, code="t2rd", expires_at=None)
    media_id = await ready(home)
    await move(album, media_id)
    await move(third, media_id)
    await deliver()
    assert await shown(client, third) == ([media_id], 1)
    assert await shown(client, album) == ([], 0)
    given_up, left = await published("ObjectsUnused")
    assert (given_up.data["gallery_id"], given_up.data["folder"]) == (str(album.id), 1)
    assert (left.data["gallery_id"], left.data["folder"]) == (str(home.id), None)


@pytest.mark.parametrize("meanwhile", ["another request", "given up"])
async def test_a_switch_waits_for_what_ends_its_move(
    client: Client,
    database: Database,
    home: Gallery,
    album: Gallery,
    make_gallery: Callable[..., Gallery],
    owner: UUID,
    ready: Ready,
    move: Move,
    deps: Dependencies,
    published: Publications,
    store: FaultyStore,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: str,
) -> None:
    """In either order, no folder that contains an item is published as unused."""
    third = make_gallery(owner_id=owner, code="t2rd", expires_at=None)
    media_id = await ready(home)
    await move(album, media_id)
    copied, go = asyncio.Event(), asyncio.Event()
    copy = store.copy

    async def slow(source: str, target: str) -> ObjectHead:
        head = await copy(source, target)
        copied.set()
        await go.wait()
        return head

    with monkeypatch.context() as patched:
        patched.setattr(store, "copy", slow)
        async with running(build_mover(deps)):
            await copied.wait()
            if meanwhile == "another request":
                await move(third, media_id)
            else:
                unused = deps.outbox.row(
                    ObjectsUnused(
                        media_id=UUID(media_id), gallery_id=album.id, folder=1, purge_after=utc_now()
                    )
                )
                assert await MoveQueries(database).give_up(1, unused=unused, now=utc_now())
            go.set()

            async def is_where_it_should_be() -> None:
                gallery = third if meanwhile == "another request" else home
                assert await shown(client, gallery) == ([media_id], 1)

            await eventually(is_where_it_should_be)
    told = {(one.data["gallery_id"], one.data["folder"]) for one in await published("ObjectsUnused")}
    row = await database.hot.fetchrow("SELECT gallery_id, folder FROM items WHERE id = $1", UUID(media_id))
    assert (str(album.id), 1) in told
    assert (str(row["gallery_id"]), row["folder"]) not in told


async def test_a_request_to_stay_ends_an_earlier_one(
    client: Client, home: Gallery, album: Gallery, ready: Ready, move: Move, deliver: Deliver
) -> None:
    media_id = await ready(home)
    await move(album, media_id)
    assert outcome(await move(home, media_id)) == ("done",)
    await deliver()
    assert await shown(client, home) == ([media_id], 1)


async def test_an_item_that_is_deleted_meanwhile_leaves_nothing(
    http: Http,
    client: Client,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    published: Publications,
) -> None:
    media_id = await ready(home)
    await move(album, media_id)
    assert (await http("DELETE", f"/v1/media/{media_id}", grant=home.grant())).status == 204
    await deliver()
    assert await published("MediaMoved") == []
    (unused,) = await published("ObjectsUnused")
    assert unused.data["gallery_id"] == str(album.id)
    assert await shown(client, album) == ([], 0)
    assert outcome(await move(album, media_id)) == ("refused", "media_not_found")


@pytest.mark.parametrize("deleted", ["home", "album"])
async def test_a_gallery_that_is_deleted_meanwhile(
    client: Client,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    tell: Teller,
    clock: Clock,
    published: Publications,
    database: Database,
    deleted: str,
    owner: UUID,
) -> None:
    media_id, stays = await ready(home), await ready(album)
    await move(album, media_id)
    gone = {"home": home, "album": album}[deleted]
    await tell(GalleryDeleted(gallery_id=gone.id, owner_id=owner, reason="requested", deleted_at=clock()))
    await deliver()
    assert await published("MediaMoved") == []
    (unused,) = await published("ObjectsUnused")
    assert unused.data["gallery_id"] == str(album.id)
    left = {"home": (album, [stays]), "album": (home, [media_id])}[deleted]
    assert await shown(client, left[0]) == (left[1], 1)
    used = await database.hot.fetchval("SELECT used_bytes FROM accounts WHERE id = $1", owner)
    assert used == len(PHOTO)


@pytest.mark.parametrize("closed", ["home", "album"])
async def test_a_gallery_that_is_closed_meanwhile_keeps_what_it_has(
    client: Client,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    tell: Teller,
    clock: Clock,
    closed: str,
) -> None:
    media_id, stays = await ready(home), await ready(album)
    await move(album, media_id)
    await tell({"home": home, "album": album}[closed].updated(clock(), closed=True), sequence=2)
    await deliver()
    assert await shown(client, home) == ([media_id], 1)
    assert await shown(client, album) == ([stays], 1)


async def test_a_store_that_is_away_is_tried_again(
    client: Client,
    deps: Dependencies,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    store: FaultyStore,
    mover: Mover,
    published: Publications,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    media_id = await ready(home)
    await move(album, media_id)
    store.down = True

    def was_asked_twice() -> None:
        assert store.refusals > 1

    monkeypatch.setattr(moving, "FIRST_PAUSE", timedelta(0))
    monkeypatch.setattr(moving, "ATTEMPTS", 1_000_000)  # however long this test has to wait

    async def is_moved() -> None:
        assert await shown(client, album) == ([media_id], 1)

    async with running(mover):
        await eventually(was_asked_twice)
        store.down = False
        await eventually(is_moved)
    assert await shown(client, album) == ([media_id], 1)


async def test_a_mover_that_is_killed_before_the_switch_is_made_up_for(
    client: Client,
    deps: Dependencies,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    mover: Mover,
    published: Publications,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
) -> None:
    media_id = await ready(home)
    await move(album, media_id)

    reached = asyncio.Event()

    async def never_ends(*args: Any, **more: Any) -> bool:
        reached.set()
        return await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(MoveQueries, "switch", never_ends)
        async with running(mover):
            await reached.wait()
    assert await shown(client, home) == ([media_id], 1)
    assert outcome(await move(album, media_id)) == ("pending",)
    clock.pass_by(LEASE)
    await deliver()
    assert (await shown(client, home), await shown(client, album)) == (([], 0), ([media_id], 1))
    assert (len(await published("MediaMoved")), len(await published("ObjectsUnused"))) == (1, 1)


async def test_what_cannot_be_copied_stays(
    client: Client,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    store: FaultyStore,
    published: Publications,
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
) -> None:
    gone, refused = await ready(home), await ready(home)
    await store.delete_batch([original_key(home.id, UUID(gone))])
    await move(album, gone)
    await deliver()

    async def refuses(source: str, target: str) -> None:
        raise StorageRefused("never")

    monkeypatch.setattr(store, "copy", refuses)
    monkeypatch.setattr(moving, "FIRST_PAUSE", timedelta(0))
    await move(album, refused)
    await deliver()
    assert await shown(client, home) == ([gone, refused], 2)
    assert await published("MediaMoved") == []
    assert {one.data["gallery_id"] for one in await published("ObjectsUnused")} == {str(album.id)}
    # The request is over: another one is a new attempt.
    assert outcome(await move(album, refused)) == ("pending",)
    assert await pending_moves(database) == 1


async def test_what_is_not_there_beside_the_original_is_made_again(
    http: Http,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    deps: Dependencies,
    store: FaultyStore,
) -> None:
    media_id = await ready(home)
    copies = build_copies(deps)
    await copies(UUID(media_id), home.id)  # type: ignore[arg-type]
    await copies.close()
    await store.delete_batch(
        [rendition_key(home.id, UUID(media_id), "400"), gps_free_key(home.id, UUID(media_id))]
    )
    await move(album, media_id)
    await deliver()
    assert "400" not in stored(await look(http, album, media_id))
    answer = await http("GET", f"/v1/media/{media_id}/renditions/400", grant=album.grant())
    assert answer.status == 302, answer.body
    assert await fetched(answer.headers["location"])
    hidden = album.changed(location_free=True, version=2)
    answer = await http("GET", f"/v1/media/{media_id}/download", grant=hidden.grant("view"))
    assert await fetched(answer.json["url"]) != PHOTO


async def test_what_is_made_for_the_old_place_is_not_shown_in_the_new_one(
    http: Http,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    deps: Dependencies,
    renderer: Any,
    published: Publications,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    media_id = await ready(home)

    class Slow:
        """Renders after the item has moved there and back."""

        async def render(self, *args: Any, **more: Any) -> Any:
            for gallery in (album, home):
                await move(gallery, media_id)
                await deliver()
            return await renderer.render(*args, **more)

    make = build_renditions(deps, Slow())  # type: ignore[arg-type]
    wanted = WantedRendition(UUID(media_id), home.id, "200", "webp")  # type: ignore[arg-type]
    answer = await asyncio.gather(make(wanted, NO_SHARE), return_exceptions=True)
    await make.close()
    assert getattr(answer[0], "code", None) == "media_not_found"
    assert await published("MediaDeleted") == [], "the item is there"


async def test_a_link_that_is_made_while_its_item_moves_leads_there(
    http: Http,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    mover: Mover,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    media_id = await ready(home)
    # The gallery's variant is already recorded, so the gallery is not locked for it.
    await http("POST", f"/v1/media/{media_id}/links", grant=home.grant(), body={"valid_for": 300})
    await move(album, media_id)

    async def the_switch_waits() -> None:
        waiting = await database.hot.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        assert waiting == 1

    async def late(*args: Any, **more: Any) -> None:
        await eventually(the_switch_waits)
        await add_link(*args, **more)

    monkeypatch.setattr(links, "add_link", late)
    async with running(mover):
        made = await http("POST", f"/v1/media/{media_id}/links", grant=home.grant(), body={"valid_for": 300})

        async def is_moved() -> None:
            assert (await look(http, album, media_id))["gallery_id"] == str(album.id)

        await eventually(is_moved)
    followed = await http("GET", urlsplit(made.json["link"]).path)
    assert await fetched(followed.headers["location"]) == PHOTO
    listed = (await http("GET", f"/v1/media/{media_id}/links", grant=album.grant())).json["items"]
    assert len(listed) == 2


async def test_the_halves_of_a_live_photo_find_each_other_again(
    http: Http, home: Gallery, album: Gallery, ready: Ready, move: Move, deliver: Deliver
) -> None:
    picture = await ready(home, live_picture("AAAA-1"))
    film = await ready(home, live_film("AAAA-1"), content_type="video/quicktime", filename="IMG_1.mov")

    async def partner(gallery: Gallery, media_id: str) -> Any:
        return (await look(http, gallery, media_id))["live_partner_id"]

    assert await partner(home, picture) == film
    await move(album, picture)
    await deliver()
    assert (await partner(album, picture), await partner(home, film)) == (None, None)
    await move(album, film)
    await deliver()
    assert (await partner(album, picture), await partner(album, film)) == (film, picture)


async def test_the_raw_and_the_picture_of_a_shot_find_each_other_again(
    http: Http,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    tmp_path: Path,
) -> None:
    RAWS["previews.dng"](tmp_path / "IMG_1.DNG")
    raw = await ready(home, (tmp_path / "IMG_1.DNG").read_bytes(), filename="IMG_1.DNG")
    picture = await ready(home, encode(quadrants(64, 48), "JPEG", shot=RAW_SHOT), filename="IMG_1.jpg")

    async def partner(gallery: Gallery, media_id: str) -> Any:
        return (await look(http, gallery, media_id))["raw_partner_id"]

    assert (await partner(home, raw), await partner(home, picture)) == (picture, raw)
    await move(album, raw)
    await deliver()
    assert (await partner(album, raw), await partner(home, picture)) == (None, None)
    await move(album, picture)
    await deliver()
    assert (await partner(album, raw), await partner(album, picture)) == (picture, raw)


async def test_what_an_account_moves_is_bounded(
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = await ready(home), await ready(home)
    with monkeypatch.context() as patched:
        patched.setattr(move_items, "MAX_PENDING", 1)
        results = (await move(album, first, second)).json["results"]
        assert [one.get("code") for one in results] == [None, "too_many_moves"]
        await deliver()
        assert outcome(await move(album, second)) == ("pending",)
        await deliver()
    monkeypatch.setattr(move_items, "LEFT_BYTES", 0)
    monkeypatch.setattr(move_items, "LEAST_BYTES", 0)
    monkeypatch.setattr(move_items, "LEFT_PER_USED_BYTE", 1)
    # As many bytes as the account uses wait to be removed.
    assert outcome(await move(home, first)) == ("refused", "too_many_moves")
    monkeypatch.setattr(move_items, "KEPT_FOR", timedelta(0))
    assert outcome(await move(home, first)) == ("pending",)


async def test_moves_are_forgotten_after_a_day(
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    deliver: Deliver,
    deps: Dependencies,
    make_settings: Callable[..., MediaSettings],
    clock: Clock,
    database: Database,
) -> None:
    done = await ready(home)
    await move(album, done)
    await deliver()
    await move(album, await ready(home))

    async def left_after(span: timedelta) -> int:
        for step in tick_steps(deps, make_settings()):
            await step(clock() + span)
        return int(await database.hot.fetchval("SELECT count(*) FROM moves"))

    assert await left_after(REMEMBERED_FOR - timedelta(minutes=1)) == 2
    assert await left_after(REMEMBERED_FOR + timedelta(minutes=1)) == 1, "the pending one stays"


async def test_a_repeated_call_tells_what_became_of_it_once_the_item_is_elsewhere(
    home: Gallery, album: Gallery, ready: Ready, move: Move, deliver: Deliver
) -> None:
    media_id = await ready(home)
    await move(album, media_id, key="there-once")
    await deliver()
    await move(home, media_id)
    await deliver()
    assert outcome(await move(album, media_id, key="there-once")) == ("done",)


async def test_one_account_does_not_keep_another_waiting(
    home: Gallery,
    album: Gallery,
    make_gallery: Callable[..., Gallery],
    ready: Ready,
    move: Move,
    mover: Mover,
    store: FaultyStore,
    bearer: Callable[[UUID], dict[str, str]],
    http: Http,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = [await ready(home) for _ in range(6)]
    other = new_id()
    source, target = [make_gallery(owner_id=other, code=f"x{n}ab", expires_at=None) for n in (2, 3)]
    theirs = await ready(source)
    await move(album, *mine)
    body = {"ids": [theirs], "action": "move", "gallery_id": str(target.id)}
    await http("POST", "/v1/media/bulk", grant=target.grant(), headers=bearer(other), body=body)
    copy, begun = store.copy, 0

    async def stuck(source_key: str, target_key: str) -> ObjectHead:
        nonlocal begun
        if str(home.id) in source_key:
            begun += target_key.endswith("/original")
            await asyncio.Event().wait()
        return await copy(source_key, target_key)

    monkeypatch.setattr(store, "copy", stuck)

    async def theirs_is_moved() -> None:
        assert await shown(client, target) == ([theirs], 1)

    async with running(mover):
        await eventually(theirs_is_moved)
    assert begun == moving.OF_ACCOUNT


async def test_moves_in_both_directions_at_once_keep_counts_exact(
    client: Client,
    home: Gallery,
    album: Gallery,
    ready: Ready,
    move: Move,
    database: Database,
    http: Http,
    deps: Dependencies,
    bearer: Callable[[UUID], dict[str, str]],
    owner: UUID,
) -> None:
    here = [await ready(home) for _ in range(4)]
    there = [await ready(album) for _ in range(4)]
    await asyncio.gather(*(move(album, one) for one in here), *(move(home, one) for one in there))
    async with running(*(build_mover(deps) for _ in range(3))):
        await asyncio.gather(
            http("DELETE", f"/v1/media/{here[0]}", grant=home.grant()),
            move(home, here[1]),
            *(bulk_tag(http, bearer(owner), here + there) for _ in range(4)),
        )

        async def nothing_is_pending() -> None:
            assert await pending_moves(database) == 0

        await eventually(nothing_is_pending)
    for gallery in (home, album):
        ids, count = await shown(client, gallery)
        assert len(ids) == count
    total = sum([(await shown(client, gallery))[1] for gallery in (home, album)])
    assert total == await database.hot.fetchval("SELECT count(*) FROM items") >= 7
    counted = await database.hot.fetch("SELECT gallery_id, sum(item_count) FROM usage_days GROUP BY 1")
    true = await database.hot.fetch("SELECT gallery_id, count(*) FROM items GROUP BY 1")
    assert dict(counted) == dict(true)
    assert await database.hot.fetchval("SELECT count(*) FROM library") == total


async def test_an_item_that_moves_leaves_its_place_behind(
    client: Client, http: Http, home: Gallery, album: Gallery, ready: Ready, move: Move, deliver: Deliver
) -> None:
    moves, second, third = await ready(home), await ready(album), await ready(album)
    path, manager = f"/v1/galleries/{home.id}/order", home.grant()
    (late,) = [await ready(home)]
    assert (await http("POST", path, grant=manager, body={"ids": [moves]})).status == 200
    assert (await shown(client, home))[0] == [late, moves]
    assert outcome(await move(album, moves)) == ("pending",)
    await deliver()
    assert (await shown(client, album))[0] == [moves, second, third]
