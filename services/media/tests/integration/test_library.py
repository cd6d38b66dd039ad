"""An account's library: its contents, each filter, each order, page after page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.events import GalleryDeleted, GalleryUpdated
from kappi_media.repository.library_catch_up import CatchUpQueries
from kappi_media.use_cases import catch_up_library
from kappi_media.use_cases.catch_up_library import CatchUpLibrary
from kappi_testkit.asgi import Answer
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
from kappi_testkit.media.samples import Shot, encode, quadrants

JPEG = encode(quadrants(64, 48), "JPEG")
Search = Callable[..., Any]


def claimed(gallery: Gallery, owner_id: UUID, at: datetime, *, closed: bool = False) -> GalleryUpdated:
    return GalleryUpdated(
        gallery_id=gallery.id,
        owner_id=owner_id,
        visibility="shared",
        expires_at=None,
        updated_at=at,
        closed=closed,
    )


@pytest.fixture
def owner() -> UUID:
    return new_id()


@pytest.fixture
def home(make_gallery: Callable[..., Gallery], owner: UUID) -> Gallery:
    return make_gallery(owner_id=owner, code="h2me", expires_at=None)


@pytest.fixture
def ask(http: Http, bearer: Callable[[UUID], dict[str, str]], owner: UUID) -> Search:
    async def asked(query: str = "", *, path: str = "", account: UUID | None = None) -> Answer:
        return await http("GET", f"/v1/media{path}?{query}", headers=bearer(account or owner))

    return asked


@pytest.fixture
def search(ask: Search) -> Search:
    """The file names a search finds, in order, whatever the pages are."""

    async def found(query: str = "", **who: Any) -> list[str]:
        names, cursor = [], ""
        while True:
            answer = await ask(f"{query}{cursor}", **who)
            assert answer.status == 200, answer.body
            names += [item["filename"] for item in answer.json["items"]]
            if answer.json["next_cursor"] is None:
                return names
            cursor = f"&cursor={answer.json['next_cursor']}"

    return found


async def test_a_library_holds_the_items_of_all_galleries_of_its_account_and_no_other(
    client: Client, make_gallery: Callable[..., Gallery], home: Gallery, owner: UUID, search: Search
) -> None:
    await client.upload(home, JPEG, filename="a.jpg")
    await client.upload(make_gallery(owner_id=owner), JPEG, filename="b.jpg")
    await client.upload(make_gallery(owner_id=new_id()), JPEG, filename="c.jpg")
    await client.upload(make_gallery(), JPEG, filename="d.jpg")
    assert await search() == ["b.jpg", "a.jpg"]
    assert await search("sort=created_at&limit=1") == ["a.jpg", "b.jpg"]
    assert await search(account=new_id()) == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("tag=Alps", ["2.jpg", "1.jpg"]),
        ("tag=alps&tag=SNOW", ["2.jpg"]),
        ("tag=alp", []),
        ("location=cham", ["1.jpg"]),
        ("location=%C3%A9v", ["2.jpg"]),
        ("location=x", []),
        ("kind=image&tag=snow", ["2.jpg"]),
        ("kind=video", []),
        ("q=SUNRI", ["1.jpg"]),
        ("q=rise%20thE", ["1.jpg"]),
        ("q=strasse", ["2.jpg"]),
        ("q=%E4%BA%AC", ["京都.jpg"]),
        ("q=%E4%BA%AC%E9%83%BD", ["京都.jpg"]),
        ("q=jpg", ["京都.jpg", "2.jpg", "1.jpg"]),
        ("q=jpg&sort=taken_at", ["1.jpg", "2.jpg", "京都.jpg"]),
        ("uploaded_from=2020-01-01&uploaded_to=2021-01-01", []),
        ("taken_from=2020-01-01T00:00:00%2B01:00&tag=snow", ["2.jpg"]),
    ],
)
async def test_filters_find_what_was_written(
    client: Client, home: Gallery, search: Search, query: str, names: list[str]
) -> None:
    await client.upload(
        home, JPEG, filename="1.jpg", caption="Sunrise at the pass", tags=["alps"], location="Chamonix"
    )
    await client.upload(
        home, JPEG, filename="2.jpg", caption="Straße", tags=["ALPS", "Snöw"], location="Évian"
    )
    await client.upload(home, JPEG, filename="京都.jpg")
    assert await search(query) == names


async def test_tags_and_places_are_counted(
    client: Client, http: Http, home: Gallery, ask: Search, search: Search
) -> None:
    first = await client.upload(home, JPEG, tags=["Alps", "snow"], location="Évian")
    await client.upload(home, JPEG, tags=["alps"], location="Evian")

    async def names(path: str, query: str = "") -> dict[str, int]:
        answer = await ask(query, path=path)
        assert answer.status == 200, answer.body
        return {one.get("tag") or one["location"]: one["item_count"] for one in answer.json["items"]}

    assert await names("/tags") == {"Alps": 2, "snow": 1}
    assert await names("/tags", "q=SN") == {"snow": 1}
    assert await names("/places") == {"Évian": 2}
    page = await ask("limit=1", path="/tags")
    assert await names("/tags", f"limit=1&cursor={page.json['next_cursor']}") == {"snow": 1}
    path = f"/v1/media/{first['id']}"
    assert (await http("PATCH", path, grant=home.grant(), body={"tags": ["sea"]})).status == 200
    assert await names("/tags") == {"Alps": 1, "sea": 1}
    assert (await search("tag=snow"), len(await search("tag=sea"))) == ([], 1)
    assert (await http("DELETE", path, grant=home.grant())).status == 204
    assert (await names("/tags"), await names("/places")) == ({"Alps": 1}, {"Évian": 1})
    assert len(await search()) == 1


async def test_a_claimed_gallery_comes_into_the_library_and_a_deleted_one_leaves_it(
    client: Client,
    database: Database,
    gallery: Gallery,
    owner: UUID,
    search: Search,
    tell: Teller,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catch_up_library, "CHUNK", 1)
    for name in ("1.jpg", "2.jpg", "3.jpg", "4.jpg"):
        await client.upload(gallery, JPEG, filename=name, tags=["alps"])
    assert await search() == []
    await tell(claimed(gallery, owner, clock()), sequence=2)
    assert await search() == []
    await CatchUpLibrary(CatchUpQueries(database))()
    assert await search("tag=alps") == ["4.jpg", "3.jpg", "2.jpg", "1.jpg"]
    gone = GalleryDeleted(gallery_id=gallery.id, owner_id=owner, reason="requested", deleted_at=clock())
    await tell(gone, sequence=3)
    assert await search() == []
    for table in ("library", "library_terms", "library_names"):
        assert await database.hot.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_photograph_is_found_by_when_and_where_its_file_says_it_was_taken(
    client: Client,
    home: Gallery,
    search: Search,
    worker: Worker,
    published: Callable[..., Awaitable[list[Published]]],
) -> None:
    shot = Shot(taken="2019:07:20 06:30:00", place=(45.9237, 6.8694, 1035.0))
    photo = encode(quadrants(64, 48), "JPEG", shot=shot)
    await client.upload(home, photo, filename="here.jpg")
    await client.upload(home, JPEG, filename="anywhere.jpg")
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    assert await search("near=45.92,6.87") == ["here.jpg"]
    assert await search("near=45.92,6.87&within_km=0.1") == []
    assert await search("bbox=6,45,7,46&kind=image") == ["here.jpg"]
    assert await search("bbox=7,45,6,46") == []
    assert await search("taken_from=2019-07-20&taken_to=2019-07-21") == ["here.jpg"]
    assert await search("sort=taken_at") == ["here.jpg", "anywhere.jpg"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=sound", "kind"),
        ("gallery_id=seven", "gallery_id"),
        ("taken_from=yesterday", "taken_from"),
        ("taken_to=2026-13-01", "taken_to"),
        ("uploaded_from=2026-01-01T00:00:00", "uploaded_from"),
        ("uploaded_to=2026-01-01T25:00:00Z", "uploaded_to"),
        ("near=45", "near"),
        ("near=91,0", "near"),
        ("near=nan,0", "near"),
        ("near=1,2&within_km=0", "within_km"),
        ("near=1,2&within_km=1001", "within_km"),
        ("within_km=5", "within_km"),
        ("bbox=1,2,3", "bbox"),
        ("bbox=0,10,1,9", "bbox"),
        ("bbox=-181,0,1,9", "bbox"),
        ("q=", "q"),
        ("q=a%20b%20c%20d%20e%20f%20g%20h%20i", "q"),
        ("q=a%00b", "q"),
        ("tag=" + "x" * 65, "tag.0"),
        ("&".join(["tag=a"] * 21), "tag"),
        ("location=%00", "location"),
        ("limit=0", "limit"),
        ("sort=size", "sort"),
        ("cursor=%24%24", "cursor"),
        ("cursor=AAAA", "cursor"),
    ],
)
async def test_a_query_that_means_nothing_is_refused_by_name(ask: Search, query: str, field: str) -> None:
    answer = await ask(query)
    assert (answer.status, answer.code) == (422, "validation_failed"), answer.body
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_a_cursor_is_good_for_its_own_order_only(client: Client, home: Gallery, ask: Search) -> None:
    await client.upload(home, JPEG)
    await client.upload(home, JPEG)
    cursor = (await ask("limit=1")).json["next_cursor"]
    assert (await ask(f"limit=1&cursor={cursor}")).status == 200
    assert (await ask(f"limit=1&cursor={cursor}&sort=created_at")).code == "validation_failed"
    for path in ("/tags", "/places"):
        assert (await ask("cursor=%24", path=path)).code == "validation_failed"


async def test_only_an_account_has_a_library(
    http: Http, bearer: Callable[[UUID], dict[str, str]], gallery: Gallery
) -> None:
    for path in ("/v1/media", "/v1/media/tags", "/v1/media/places"):
        missing = await http("GET", path, grant=gallery.grant())
        assert (missing.status, missing.code) == (401, "credentials_missing")
        bad = {"Authorization": bearer(new_id())["Authorization"] + "x"}
        assert (await http("GET", path, headers=bad)).code == "access_token_invalid"


async def test_a_closed_gallery_is_in_no_library_until_it_is_open_again(
    client: Client, home: Gallery, owner: UUID, search: Search, tell: Teller, clock: Clock
) -> None:
    await client.upload(home, JPEG, filename="a.jpg")
    assert await search() == ["a.jpg"]
    for sequence, closed, names in ((2, True, []), (3, False, ["a.jpg"]), (2, True, ["a.jpg"])):
        await tell(claimed(home, owner, clock(), closed=closed), sequence=sequence)
        assert await search() == names
