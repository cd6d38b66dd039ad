"""The cover of a gallery: naming it, and losing it with its item."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from jwt import decode
from kappi_chassis.clock import new_id
from kappi_contracts.events import Event, MediaDeleted, MediaMoved, MediaReady
from kappi_galleries.errors import CoverUnavailable, MediaNotFound, MediaNotReady

pytestmark = pytest.mark.integration


@pytest.fixture
def tell(processor: Any, record: Any, dead_letters: Any) -> Any:
    """`await tell(event, sequence=…)` delivers an event, none of which may be refused."""

    async def told(event: Event, *, sequence: int) -> None:
        await processor.process(record(event, sequence=sequence))
        assert dead_letters.letters == []

    return told


async def _created(http: Any, token: str | None = None, **body: Any) -> Any:
    answer = await http("POST", "/v1/galleries", body=body, token=token)
    assert answer.status == 201, answer.body
    return answer.json


async def _name(http: Any, gallery: Any, media_id: UUID | str | None, **credential: Any) -> Any:
    credential = credential or {"key": gallery["access_key"]}
    body = {"cover_media_id": None if media_id is None else str(media_id)}
    return await http("PATCH", f"/v1/galleries/{gallery['id']}", body=body, **credential)


async def _cover(http: Any, gallery: Any, **credential: Any) -> str | None:
    credential = credential or {"key": gallery["access_key"]}
    answer = await http("GET", f"/v1/galleries/{gallery['id']}", **credential)
    cover: str | None = answer.json["cover_media_id"]
    return cover


def _ready(media_id: UUID, gallery: Any, at: Any) -> MediaReady:
    return MediaReady(
        media_id=media_id,
        gallery_id=UUID(gallery["id"]),
        kind="image",
        content_type="image/jpeg",
        size_bytes=10,
        width=1,
        height=1,
        duration_ms=None,
        ready_at=at,
    )


def _moved(media_id: UUID, *, of: Any, to: Any, at: Any) -> MediaMoved:
    return MediaMoved(
        media_id=media_id,
        gallery_id=UUID(to["id"]),
        from_gallery_id=UUID(of["id"]),
        size_bytes=10,
        moved_at=at,
    )


def _deleted(media_id: UUID, gallery: Any, at: Any) -> MediaDeleted:
    return MediaDeleted(media_id=media_id, gallery_id=UUID(gallery["id"]), reason="requested", deleted_at=at)


async def test_a_cover_is_named_changed_and_cleared(http: Any, account: Any, published: Any) -> None:
    for token in (None, account.token):
        gallery = await _created(http, token)
        credential = {"token": token} if token else {"key": gallery["access_key"]}
        assert gallery["cover_media_id"] is None
        for media_id in (new_id(), new_id(), None):
            answer = await _name(http, gallery, media_id, **credential)
            shown = None if media_id is None else str(media_id)
            assert (answer.status, answer.json["cover_media_id"]) == (200, shown)
            assert await _cover(http, gallery, **credential) == shown
            again = await _name(http, gallery, media_id, **credential)
            assert again.json == answer.json
    events = [topic for topic, _, _ in await published()]
    assert events == 2 * (["GalleryCreated"] + 3 * ["GalleryUpdated"])


async def test_the_list_and_the_grant_have_the_cover(http: Any, account: Any) -> None:
    gallery = await _created(http, account.token)
    media_id = new_id()
    await _name(http, gallery, media_id, token=account.token)
    (listed,) = (await http("GET", "/v1/galleries", token=account.token)).json["items"]
    assert listed["cover_media_id"] == str(media_id)
    granted = (await http("POST", "/internal/grants/view", body={"code": gallery["code"]})).json["grant"]
    claims = decode(granted, options={"verify_signature": False})
    assert claims["grant"]["gallery"]["cover_media_id"] == str(media_id)


@pytest.mark.parametrize(
    ("refusal", "status"), [(MediaNotFound(), 404), (MediaNotReady(), 409), (CoverUnavailable(), 503)]
)
async def test_an_item_that_cannot_be_the_cover_changes_nothing(
    http: Any, ready: Any, refusal: Any, status: int, published: Any
) -> None:
    gallery, kept, refused = await _created(http), new_id(), new_id()
    await _name(http, gallery, kept)
    ready.refusals[refused] = refusal
    answer = await http(
        "PATCH",
        f"/v1/galleries/{gallery['id']}",
        key=gallery["access_key"],
        body={"cover_media_id": str(refused), "title": "New"},
    )
    assert (answer.status, answer.json["code"]) == (status, refusal.code)
    assert await _cover(http, gallery) == str(kept)
    assert len(await published()) == 2


async def test_only_its_manager_names_a_cover(http: Any, account: Any, ready: Any) -> None:
    gallery, other = await _created(http), await _created(http)
    asked: list[None] = []

    async def count() -> None:
        asked.append(None)

    ready.after = count
    for credential, status, code in (
        ({"key": None}, 401, "gallery_key_missing"),
        ({"key": other["access_key"]}, 403, "gallery_key_wrong"),
        ({"token": account.token}, 404, "gallery_not_found"),
    ):
        answer = await _name(http, gallery, new_id(), **credential)
        assert (answer.status, answer.json["code"]) == (status, code)
    assert asked == []  # no other caller learns whether an item exists


@pytest.mark.parametrize("value", ["no-uuid", 3, [], ""])
async def test_a_cover_is_an_id(http: Any, value: Any) -> None:
    gallery = await _created(http)
    answer = await http(
        "PATCH",
        f"/v1/galleries/{gallery['id']}",
        key=gallery["access_key"],
        body={"cover_media_id": value},
    )
    assert answer.status == 422
    assert [error["field"] for error in answer.json["errors"]] == ["cover_media_id"]
    created = await http("POST", "/v1/galleries", body={"cover_media_id": str(new_id())})
    assert (created.status, created.json["code"]) == (422, "unknown_field")


async def test_a_deleted_item_is_the_cover_no_more(http: Any, tell: Any, clock: Any, published: Any) -> None:
    gallery, media_id, other = await _created(http), new_id(), new_id()
    for known in (media_id, other):
        await tell(_ready(known, gallery, clock.now), sequence=1)
    await _name(http, gallery, media_id)
    await tell(_deleted(other, gallery, clock.now), sequence=2)
    assert await _cover(http, gallery) == str(media_id)
    clock.pass_by(timedelta(minutes=1))
    await tell(_deleted(media_id, gallery, clock.now), sequence=2)
    assert await _cover(http, gallery) is None
    events = await published()
    assert [topic for topic, _, _ in events] == ["GalleryCreated", "GalleryUpdated", "GalleryUpdated"]
    assert [sequence for _, sequence, _ in events] == [1, 2, 3]
    # A late or repeated event finds nothing to remove.
    await tell(_ready(media_id, gallery, clock.now), sequence=1)
    assert len(await published()) == 3
    assert (await _name(http, gallery, media_id)).json["code"] == "media_not_found"


async def test_covers_that_are_lost_in_one_batch_are_published_once_each(
    http: Any, processor: Any, record: Any, clock: Any, published: Any, database: Any
) -> None:
    galleries = [await _created(http) for _ in range(2)]
    covers = [new_id() for _ in galleries]
    pairs = list(zip(covers, galleries, strict=True))
    others = [(new_id(), galleries[0]) for _ in range(2)]
    arrivals = [record(_ready(item, home, clock.now)) for item, home in (*pairs, *others)]
    assert all(await processor.process_together(arrivals))
    for cover, gallery in pairs:
        assert (await _name(http, gallery, cover)).status == 200
    before = len(await published())

    clock.pass_by(timedelta(seconds=5))
    departures = [record(_deleted(item, home, clock.now), sequence=2) for item, home in (*pairs, *others)]
    assert all(await processor.process_together(departures))

    news = (await published())[before:]
    assert [(topic, sequence) for topic, sequence, _ in news] == [("GalleryUpdated", 3)] * 2
    assert {data["gallery_id"] for _, _, data in news} == {gallery["id"] for gallery in galleries}
    for gallery in galleries:
        assert await _cover(http, gallery) is None
    assert await database.hot.fetchval("SELECT sum(item_count) FROM galleries") == 0


async def test_a_moved_item_is_the_cover_of_its_old_gallery_no_more(
    http: Any, account: Any, tell: Any, clock: Any, ready: Any
) -> None:
    home, album = [await _created(http, account.token) for _ in range(2)]
    token, media_id = {"token": account.token}, new_id()
    await tell(_ready(media_id, home, clock.now), sequence=1)
    await _name(http, home, media_id, **token)
    await tell(_moved(media_id, of=home, to=album, at=clock.now), sequence=2)
    assert await _cover(http, home, **token) is None
    assert (await _name(http, home, media_id, **token)).json["code"] == "media_not_found"

    # Media is asked after a move whose event comes later.
    ready.version = 4
    assert (await _name(http, home, media_id, **token)).status == 200
    await _name(http, home, None, **token)
    ready.version = 2
    await _name(http, album, media_id, **token)
    await tell(_moved(media_id, of=album, to=home, at=clock.now), sequence=4)
    assert await _cover(http, album, **token) is None
    await _name(http, home, media_id, **token)
    # An older move arrives late: the item is where the newest event says.
    await tell(_moved(media_id, of=home, to=album, at=clock.now), sequence=3)
    assert await _cover(http, home, **token) == str(media_id)


async def test_an_item_that_is_deleted_while_it_is_named_is_refused(
    http: Any, tell: Any, clock: Any, ready: Any
) -> None:
    gallery, media_id = await _created(http), new_id()
    await tell(_ready(media_id, gallery, clock.now), sequence=1)

    async def delete() -> None:
        await tell(_deleted(media_id, gallery, clock.now), sequence=2)

    ready.after = delete
    assert (await _name(http, gallery, media_id)).json["code"] == "media_not_found"
    assert await _cover(http, gallery) is None


async def test_a_cover_may_be_named_before_its_event_arrives(http: Any, tell: Any, clock: Any) -> None:
    gallery, media_id = await _created(http), new_id()
    assert (await _name(http, gallery, media_id)).status == 200
    await tell(_ready(media_id, gallery, clock.now), sequence=1)
    assert await _cover(http, gallery) == str(media_id)


async def test_a_preview_is_refused_as_soon_as_a_cap_is_reached(http: Any) -> None:
    gallery = await _created(http, max_views=2)
    path = f"/internal/galleries/{gallery['id']}"
    for used in range(3):
        for _ in range(2):
            assert (await http("POST", f"{path}/previews")).status == (404 if used == 2 else 204)
        await http("POST", f"{path}/views")
    downloads = await _created(http, max_downloads=1)
    path = f"/internal/galleries/{downloads['id']}"
    assert (await http("POST", f"{path}/previews")).status == 204
    await http("POST", f"{path}/downloads")
    assert (await http("POST", f"{path}/previews")).status == 404
    assert (await http("POST", f"/internal/galleries/{new_id()}/previews")).status == 404
