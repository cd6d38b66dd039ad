"""Many items changed by one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_media.repository.bulk import hold_items
from kappi_media.use_cases import change_many
from kappi_testkit.asgi import Answer
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(64, 48), "JPEG")
Bulk = Callable[..., Awaitable[Answer]]


@pytest.fixture
def owner() -> UUID:
    return new_id()


@pytest.fixture
def home(make_gallery: Callable[..., Gallery], owner: UUID) -> Gallery:
    return make_gallery(owner_id=owner, code="h2me", expires_at=None)


@pytest.fixture
def bulk(http: Http, bearer: Callable[[UUID], dict[str, str]], owner: UUID) -> Bulk:
    async def asked(*ids: str, key: str | None = None, **body: Any) -> Answer:
        headers = bearer(owner) | ({"Idempotency-Key": key} if key else {})
        return await http("POST", "/v1/media/bulk", headers=headers, body={"ids": list(ids), **body})

    return asked


async def tags_of(http: Http, gallery: Gallery, media_id: str) -> Any:
    return (await http("GET", f"/v1/media/{media_id}", grant=gallery.grant())).json["tags"]


async def test_tags_come_and_go_in_all_galleries_of_the_account_and_nowhere_else(
    client: Client, http: Http, make_gallery: Callable[..., Gallery], home: Gallery, owner: UUID, bulk: Bulk
) -> None:
    second, foreign = make_gallery(owner_id=owner, code="s2nd"), make_gallery(owner_id=new_id())
    one = await client.upload(home, JPEG, tags=["Alps"])
    two = await client.upload(second, JPEG)
    full = await client.upload(second, JPEG, tags=[f"t{number}" for number in range(50)])
    other = await client.upload(foreign, JPEG)
    before = (await client.view(second)).headers["etag"]
    ids = [one["id"], two["id"], full["id"], other["id"], two["id"]]

    answer = await bulk(*ids, action="tag", tags=["alps", "Snow", "snow"])
    assert answer.status == 200, answer.body
    assert answer.json["results"] == [
        {"id": one["id"], "status": "done"},
        {"id": two["id"], "status": "done"},
        {"id": full["id"], "status": "refused", "code": "too_many_tags"},
        {"id": other["id"], "status": "refused", "code": "media_not_found"},
    ]
    assert await tags_of(http, home, one["id"]) == ["Alps", "Snow"]
    assert await tags_of(http, second, two["id"]) == ["alps", "Snow"]
    assert await tags_of(http, foreign, other["id"]) == []
    assert (await client.view(second)).headers["etag"] != before

    assert (await bulk(*ids, action="untag", tags=["ALPS", "t7"])).status == 200
    assert await tags_of(http, home, one["id"]) == ["Snow"]
    assert len(await tags_of(http, second, full["id"])) == 49


@pytest.mark.parametrize("change", [{"action": "tag", "tags": ["Alps"]}, {"action": "delete"}])
async def test_items_of_a_closed_gallery_are_not_found(
    client: Client, home: Gallery, tell: Teller, clock: Clock, bulk: Bulk, change: dict[str, Any]
) -> None:
    item = await client.upload(home, JPEG)
    await tell(home.updated(clock(), closed=True), sequence=2)
    refused = await bulk(item["id"], **change)
    assert refused.json["results"] == [{"id": item["id"], "status": "refused", "code": "media_not_found"}]
    await tell(home.updated(clock(), closed=False), sequence=3)
    assert (await bulk(item["id"], **change)).json["results"] == [{"id": item["id"], "status": "done"}]


async def test_deleted_items_are_gone_told_of_and_no_longer_charged_for(
    client: Client,
    http: Http,
    database: Database,
    make_gallery: Callable[..., Gallery],
    home: Gallery,
    owner: UUID,
    bulk: Bulk,
    published: Callable[..., Awaitable[list[Published]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(change_many, "CHUNK", 2)
    second = make_gallery(owner_id=owner, code="s2nd")
    items = [await client.upload(gallery, JPEG) for gallery in (home, home, second, second)]
    ids = [item["id"] for item in items[:3]]
    unknown = str(new_id())
    answer = await bulk(*ids, unknown, action="delete", key="delete-them")
    assert [one["status"] for one in answer.json["results"]] == ["done"] * 3 + ["refused"]
    told = await published("MediaDeleted")
    assert {(one.key, one.data["gallery_id"], one.sequence) for one in told} == {
        (ids[0], str(home.id), 2),
        (ids[1], str(home.id), 2),
        (ids[2], str(second.id), 2),
    }
    assert {one.data["owner_id"] for one in told} == {str(owner)}
    assert (await http("GET", f"/v1/media/{ids[0]}", grant=home.grant())).status == 404
    shown = (await client.view(second)).json
    assert ([item["id"] for item in shown["items"]], shown["gallery"]["item_count"]) == ([items[3]["id"]], 1)
    used = await database.hot.fetchval("SELECT used_bytes FROM accounts WHERE id = $1", owner)
    assert used == len(JPEG)
    assert await database.hot.fetchval("SELECT count(*) FROM library") == 1
    assert await database.hot.fetchval("SELECT count(DISTINCT item_id) FROM library_terms") == 1

    again = await bulk(*ids, unknown, action="delete", key="delete-them")
    assert again.json == answer.json
    assert len(await published("MediaDeleted")) == 3
    without_key = await bulk(*ids, action="delete")
    assert {one["code"] for one in without_key.json["results"]} == {"media_not_found"}


async def test_a_retry_does_what_was_left_undone(
    client: Client, http: Http, home: Gallery, bulk: Bulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_many, "CHUNK", 1)
    items = [await client.upload(home, JPEG) for _ in range(2)]
    ids = [item["id"] for item in items]
    calls = 0

    async def dies_at_the_second(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ConnectionResetError("killed")
        return await hold_items(*args, **more)

    monkeypatch.setattr(change_many, "hold_items", dies_at_the_second)
    assert (await bulk(*ids, action="delete", key="all-of-it")).status == 503
    assert (await http("GET", f"/v1/media/{ids[1]}", grant=home.grant())).status == 200
    answer = await bulk(*ids, action="delete", key="all-of-it")
    assert [one["status"] for one in answer.json["results"]] == ["done", "done"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "tag"}, "tags"),
        ({"action": "untag", "tags": []}, "tags"),
        ({"action": "delete", "tags": ["a"]}, "tags"),
        ({"action": "burn"}, "action"),
        ({"action": "tag", "tags": ["x" * 65]}, "tags.0"),
        ({"action": "delete", "ids": []}, "ids"),
        ({"action": "delete", "ids": [str(new_id())] * 1001}, "ids"),
    ],
)
async def test_what_means_nothing_is_refused(bulk: Bulk, body: dict[str, Any], field: str) -> None:
    answer = await bulk(str(new_id()), **body) if "ids" not in body else await bulk(*body.pop("ids"), **body)
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_counts_stay_exact_whatever_happens_at_once(
    client: Client,
    http: Http,
    database: Database,
    make_gallery: Callable[..., Gallery],
    owner: UUID,
    bulk: Bulk,
) -> None:
    """Tags in opposite orders, in galleries of one account, by calls of every kind: there is no deadlock."""
    galleries = [make_gallery(owner_id=owner, code=f"g{number}aa") for number in range(4)]
    items = [(home, await client.upload(home, JPEG, tags=["a", "b", "c"])) for home in galleries * 2]
    ids = [item["id"] for _, item in items]

    async def describe(number: int) -> int:
        home, item = items[number % len(items)]
        tags = ["c", "b", "a"] if number % 2 else ["b"]
        answer = await http("PATCH", f"/v1/media/{item['id']}", grant=home.grant(), body={"tags": tags})
        return answer.status

    async def change(number: int) -> int:
        action = "tag" if number % 2 else "untag"
        order = ids if number % 3 else ids[::-1]
        return (await bulk(*order, action=action, tags=["a", "c"])).status

    done = await asyncio.gather(
        *(describe(number) for number in range(16)),
        *(change(number) for number in range(8)),
        bulk(*ids[:2], action="delete"),
        *(client.upload(home, JPEG, tags=["b", "a"]) for home in galleries),
    )
    assert {status for status in done if isinstance(status, int)} <= {200, 404}
    counted = await database.hot.fetch(
        "SELECT key, item_count FROM library_names WHERE owner_id = $1 AND kind = 'tag'", owner
    )
    true = await database.hot.fetch(
        "SELECT tag, count(*) FROM items, jsonb_array_elements_text(tags) AS t (tag) GROUP BY tag"
    )
    assert dict(counted) == dict(true)
    posted = await database.hot.fetchval("SELECT count(*) FROM library_terms")
    assert posted == await database.hot.fetchval("SELECT sum(cardinality(terms)) FROM library")
