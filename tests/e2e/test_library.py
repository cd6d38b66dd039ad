"""An account searches its pictures and films, and changes many at once, through the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import MovieShape, Shot, encode, movie, quadrants

from tests.e2e.accounts import (
    OwnGallery,
    Person,
    create_gallery,
    make_admin,
    move_to_tier,
    sign_up,
    until_media_ready,
)
from tests.e2e.phone import Answer, File, Phone
from tests.e2e.stacks import StackUnderTest

JPEG = encode(quadrants(60, 40), "JPEG")
SHOT = Shot(taken="2019:07:20 06:30:00", place=(45.9237, 6.8694, 1035.0))
PHOTO = encode(quadrants(64, 48), "JPEG", shot=SHOT)


@dataclass(frozen=True, slots=True)
class Shelf:
    """An account with two galleries. items: ids by file name."""

    owner: Person
    alps: OwnGallery
    sea: OwnGallery
    items: Mapping[str, str]


@pytest.fixture
async def shelf(stack: StackUnderTest, phone: Phone) -> Shelf:
    owner, admin = await sign_up(stack, phone, "searcher"), await make_admin(stack, phone)
    await move_to_tier(phone, admin, owner, "Premium")
    alps, sea = [await create_gallery(phone, owner, title=title) for title in ("Alps", "Sea")]
    details = {"caption": "Sunrise at the Pass", "tags": ["Alps", "snow"], "location": "Chamonix"}
    files = [
        (alps, File("sunrise.jpg", "image/jpeg", PHOTO, details)),
        (alps, File("京都.jpg", "image/jpeg", JPEG, {"tags": ["alps"], "location": "Évian"})),
        (sea, File("waves.mp4", "video/mp4", movie(MovieShape()), {"tags": ["sea"]})),
    ]
    items = {file.name: await _uploaded(phone, gallery, file) for gallery, file in files}
    for media_id in items.values():
        await until_media_ready(phone, owner, media_id)
    return Shelf(owner, alps, sea, items)


async def _uploaded(phone: Phone, gallery: OwnGallery, file: File) -> str:
    (upload,) = await phone.sign(gallery, [file])
    return await phone.deliver(gallery, upload, file)


async def _search(phone: Phone, person: Person, query: str = "") -> list[str]:
    """Returns file names, page by page."""
    found: list[str] = []
    cursor = ""
    while True:
        page = (await phone.ask("GET", f"/v1/media?{query}{cursor}", headers=person.key)).ok()
        found += [item["filename"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def _bulk(phone: Phone, person: Person, ids: Sequence[str], **change: Any) -> Answer:
    return await phone.ask("POST", "/v1/media/bulk", json={"ids": list(ids), **change}, headers=person.key)


@pytest.mark.real_servers
async def test_items_move_to_another_gallery_of_their_owner(
    stack: StackUnderTest, phone: Phone, shelf: Shelf
) -> None:
    media_id, path = shelf.items["sunrise.jpg"], f"/v1/media/{shelf.items['sunrise.jpg']}"
    peaks = await create_gallery(phone, shelf.owner, title="Peaks")
    stranger = await sign_up(stack, phone, "stranger")
    foreign_gallery = await create_gallery(phone, stranger, title="Theirs")
    before = (await phone.ask("GET", path, headers=shelf.owner.key)).ok()
    for person, target in ((shelf.owner, foreign_gallery), (stranger, peaks)):
        answer = await _bulk(phone, person, [media_id], action="move", gallery_id=target.id)
        answer.problem(404, "gallery_not_found")
    answer = await _bulk(phone, stranger, [media_id], action="move", gallery_id=foreign_gallery.id)
    (refused,) = answer.ok()["results"]
    assert (refused["status"], refused["code"]) == ("refused", "media_not_found")

    moved = (await _bulk(phone, shelf.owner, [media_id], action="move", gallery_id=peaks.id)).ok()
    assert moved["results"] == [{"id": media_id, "status": "done"}]
    # The gateway has the item's old gallery in its cache.
    after = (await phone.ask("GET", path, headers=shelf.owner.key)).ok()
    assert (before["gallery_id"], after["gallery_id"]) == (shelf.alps.id, peaks.id)
    described = await phone.ask("PATCH", path, headers=shelf.owner.key, json={"caption": "Moved"})
    assert described.ok()["gallery_id"] == peaks.id
    for item in (before, after):
        urls = [item["original"]["url"], *(one["url"] for one in item["renditions"].values())]
        for url in urls:
            # URLs of sizes that are not rendered yet are media's; the move makes the old ones invalid.
            makes = 302 if item is after else 403
            assert (await phone.insist("GET", url)).status == (makes if "/v1/media/" in url else 200)
        assert (await phone.ask("GET", item["original"]["url"])).body == PHOTO
    assert await _search(phone, shelf.owner, f"gallery_id={peaks.id}") == ["sunrise.jpg"]
    assert await _search(phone, shelf.owner, f"gallery_id={shelf.alps.id}") == ["京都.jpg"]

    async def is_counted_where_it_is() -> None:
        for gallery in (shelf.alps, peaks):
            details = (await phone.ask("GET", f"/v1/galleries/{gallery.id}", headers=shelf.owner.key)).ok()
            assert details["item_count"] == 1

    await eventually(is_counted_where_it_is)


@pytest.mark.real_servers
async def test_every_filter_finds_its_items(stack: StackUnderTest, phone: Phone, shelf: Shelf) -> None:
    sunrise, kyoto, waves = "sunrise.jpg", "京都.jpg", "waves.mp4"
    wanted = {
        "limit=1": [waves, kyoto, sunrise],
        "sort=created_at&limit=2": [sunrise, kyoto, waves],
        "tag=ALPS": [kyoto, sunrise],
        "tag=alps&tag=snow": [sunrise],
        "location=cham": [sunrise],
        "location=evian": [kyoto],
        "kind=video": [waves],
        "taken_from=2019-07-20&taken_to=2019-07-21": [sunrise],
        "uploaded_to=2019-07-21": [],
        "uploaded_from=2019-07-21&kind=image": [kyoto, sunrise],
        f"gallery_id={shelf.sea.id}": [waves],
        "q=rise%20pass": [sunrise],
        "q=%E9%83%BD": [kyoto],
        "q=wav&tag=alps": [],
        "near=45.92,6.87&within_km=5": [sunrise],
        "bbox=6,45,7,46&tag=snow": [sunrise],
        "bbox=7,45,6,46": [],
    }
    for query, names in wanted.items():
        assert await _search(phone, shelf.owner, query) == names, query
    page = (await phone.ask("GET", "/v1/media?q=sunrise", headers=shelf.owner.key)).ok()
    (item,) = page["items"]
    assert (item["gallery_id"], item["location"]) == (shelf.alps.id, "Chamonix")
    assert (await phone.ask("GET", item["original"]["url"])).body == PHOTO


async def test_only_the_owner_sees_tags_and_places_with_counts(
    stack: StackUnderTest, phone: Phone, shelf: Shelf
) -> None:
    tags = (await phone.ask("GET", "/v1/media/tags", headers=shelf.owner.key)).ok()
    assert tags == {
        "items": [
            {"tag": "Alps", "item_count": 2},
            {"tag": "sea", "item_count": 1},
            {"tag": "snow", "item_count": 1},
        ],
        "next_cursor": None,
    }
    places = (await phone.ask("GET", "/v1/media/places?q=CH", headers=shelf.owner.key)).ok()
    assert places["items"] == [{"location": "Chamonix", "item_count": 1}]
    stranger = await sign_up(stack, phone, "stranger")
    for path in ("/v1/media", "/v1/media/tags", "/v1/media/places"):
        answer = await phone.ask("GET", path, headers=stranger.key)
        assert answer.ok() == {"items": [], "next_cursor": None}
    assert await _search(phone, stranger, f"gallery_id={shelf.alps.id}") == []


async def test_only_the_owner_tags_and_deletes_many_items(
    stack: StackUnderTest, phone: Phone, shelf: Shelf
) -> None:
    ids = list(shelf.items.values())
    stranger = await sign_up(stack, phone, "stranger")
    for change in ({"action": "tag", "tags": ["mine"]}, {"action": "delete"}):
        refused = (await _bulk(phone, stranger, ids, **change)).ok()["results"]
        assert {(one["status"], one["code"]) for one in refused} == {("refused", "media_not_found")}
    done = (await _bulk(phone, shelf.owner, ids, action="tag", tags=["2026"])).ok()["results"]
    assert done == [{"id": media_id, "status": "done"} for media_id in ids]
    assert len(await _search(phone, shelf.owner, "tag=2026")) == 3
    (await _bulk(phone, shelf.owner, ids[:2], action="untag", tags=["2026"])).ok()
    assert await _search(phone, shelf.owner, "tag=2026") == ["waves.mp4"]

    (await _bulk(phone, shelf.owner, ids[:2], action="delete")).ok()
    assert await _search(phone, shelf.owner) == ["waves.mp4"]

    async def gone_everywhere() -> None:
        path = f"/v1/galleries/{shelf.alps.id}"
        assert (await phone.ask("GET", path, headers=shelf.owner.key)).ok()["item_count"] == 0
        assert (await phone.ask("GET", f"/v1/media/{ids[0]}", headers=shelf.owner.key)).status == 404

    await eventually(gone_everywhere, 60)
    await stack.running.wait_idle()


async def test_an_idempotency_key_is_for_one_request(phone: Phone, shelf: Shelf) -> None:
    headers = {**shelf.owner.key, "Idempotency-Key": "delete-the-waves"}
    body = {"ids": [shelf.items["waves.mp4"]], "action": "delete"}
    first = await phone.ask("POST", "/v1/media/bulk", json=body, headers=headers)
    again = await phone.ask("POST", "/v1/media/bulk", json=body, headers=headers)
    assert first.ok() == again.ok()
    other = {**body, "ids": list(shelf.items.values())}
    reused = await phone.ask("POST", "/v1/media/bulk", json=other, headers=headers)
    reused.problem(422, "idempotency_key_reused")


async def test_a_claimed_gallery_is_found_and_a_deleted_one_is_not(
    stack: StackUnderTest, phone: Phone
) -> None:
    owner, gallery = await sign_up(stack, phone, "claimant"), await phone.create_gallery()
    (upload,) = await phone.sign(gallery, [File("a.jpg", "image/jpeg", JPEG)])
    await phone.deliver(gallery, upload, File("a.jpg", "image/jpeg", JPEG))
    assert await _search(phone, owner) == []
    path = f"/v1/galleries/{gallery.id}"
    (await phone.ask("POST", f"{path}/claim", headers={**owner.key, **gallery.key})).ok()

    async def found(names: list[str]) -> None:
        assert await _search(phone, owner) == names

    await eventually(lambda: found(["a.jpg"]), 60)
    (await phone.ask("DELETE", path, headers=owner.key)).ok(204)
    await eventually(lambda: found([]), 60)
