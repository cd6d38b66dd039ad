"""An account's library: what is in it, each filter, each order, page after page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_media.testing.harness import Answer, Client, Gallery, Http
from kappi_media.testing.samples import encode, quadrants

JPEG = encode(quadrants(64, 48), "JPEG")
Search = Callable[..., Any]


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

    assert await names("/tags") == {"alps": 2, "snow": 1}
    assert await names("/tags", "q=SN") == {"snow": 1}
    assert await names("/places") == {"Evian": 2}
    page = await ask("limit=1", path="/tags")
    assert await names("/tags", f"limit=1&cursor={page.json['next_cursor']}") == {"snow": 1}
    path = f"/v1/media/{first['id']}"
    assert (await http("PATCH", path, grant=home.grant(), body={"tags": ["sea"]})).status == 200
    assert await names("/tags") == {"alps": 1, "sea": 1}
    assert (await search("tag=snow"), len(await search("tag=sea"))) == ([], 1)
    assert (await http("DELETE", path, grant=home.grant())).status == 204
    assert (await names("/tags"), await names("/places")) == ({"alps": 1}, {"Évian": 1})
    assert len(await search()) == 1
