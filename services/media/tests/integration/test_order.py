"""The order of a gallery's items: moving and sorting them, and lists that are read meanwhile."""

from __future__ import annotations

import asyncio
import io
import random
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.events import GalleryDeleted
from kappi_media.domain import order as keys
from kappi_media.repository.order import OrderRows
from kappi_media.repository.view import _PAGE
from kappi_testkit.asgi import Answer
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller, Worker, redelivered
from kappi_testkit.media.samples import encode, quadrants

pytestmark = pytest.mark.integration

JPEG = encode(quadrants(64, 48), "JPEG")
Publications = Callable[..., Awaitable[list[Published]]]
Reorder = Callable[..., Awaitable[Answer]]


async def seed(database: Database, gallery: Gallery, count: int, **columns: Sequence[Any]) -> list[str]:
    """Inserts items as if they had been completed. Returns their ids in order. columns: values by column."""
    ids = [new_id() for _ in range(count)]
    await database.hot.execute(
        "INSERT INTO contents (gallery_id, version, item_count) VALUES ($1, $2, $2)", gallery.id, count
    )
    names = columns.get("filename", [f"{number}.jpg" for number in range(count)])
    times = columns.get("taken_at", [None] * count)
    await database.hot.execute(
        "INSERT INTO items (id, gallery_id, upload_id, filename, taken_at, content_type, size_bytes, etag, "
        "created_at) SELECT id, $1, id, name, at, 'image/jpeg', 1, 'e', now() "
        "FROM unnest($2::uuid[], $3::text[], $4::timestamptz[]) AS t (id, name, at)",
        gallery.id,
        ids,
        names,
        times,
    )
    return [str(media_id) for media_id in ids]


@pytest.fixture
def reorder(http: Http, gallery: Gallery) -> Reorder:
    """`await reorder([ids], before=id)` calls the service as the gallery's manager."""

    async def call(ids: Sequence[str] | None = None, *, of: Gallery | None = None, **body: Any) -> Answer:
        target = of or gallery
        asked = body if ids is None else {"ids": list(ids), **body}
        return await http("POST", f"/v1/galleries/{target.id}/order", grant=target.grant(), body=asked)

    return call


@pytest.fixture
def shown(client: Client, gallery: Gallery) -> Callable[[], Awaitable[list[str]]]:
    """Returns `await shown()`: the ids in the order of the gallery's page."""

    async def ids() -> list[str]:
        return [item["id"] for item in (await client.view(gallery, "limit=500")).json["items"]]

    return ids


async def test_items_are_moved_before_another_and_to_the_end(
    database: Database, gallery: Gallery, reorder: Reorder, shown: Any
) -> None:
    a, b, c, d, e = await seed(database, gallery, 5)
    answer = await reorder([d, b], before=a)
    assert (answer.status, answer.json) == (200, {"moved": [d, b], "not_found": []})
    assert await shown() == [d, b, a, c, e]
    await reorder([d, a])
    assert await shown() == [b, c, e, d, a]
    await reorder([a, b, c], before=None)
    assert await shown() == [e, d, a, b, c]
    await reorder([c, e, c], before=a)
    assert await shown() == [d, c, e, a, b]
    await reorder([b, e, d, a, c])
    assert await shown() == [b, e, d, a, c]


async def test_the_end_of_any_moves_is_the_order_that_was_asked_for(
    database: Database, gallery: Gallery, reorder: Reorder, shown: Any
) -> None:
    expected = await seed(database, gallery, 12)
    draw = random.Random(14)
    for _ in range(60):
        moved = draw.sample(expected, draw.randint(1, 5))
        rest = [media_id for media_id in expected if media_id not in moved]
        before = draw.choice([*rest, None])
        place = len(rest) if before is None else rest.index(before)
        expected = [*rest[:place], *moved, *rest[place:]]
        assert (await reorder(moved, before=before)).status == 200
        assert await shown() == expected


async def test_a_move_is_published_once_and_seen_at_once(
    client: Client, database: Database, gallery: Gallery, reorder: Reorder, published: Publications
) -> None:
    a, b, _ = await seed(database, gallery, 3)
    before = await client.view(gallery)
    for _ in range(2):
        assert (await reorder([b], before=a)).json == {"moved": [b], "not_found": []}
    after = await client.view(gallery)
    assert before.headers["etag"] != after.headers["etag"]
    (event,) = await published("ItemsReordered")
    assert (event.key, event.sequence) == (str(gallery.id), 4)
    assert set(event.data) == {"gallery_id", "reordered_at"}


async def test_an_idempotency_key_repeats_the_first_answer(
    http: Http, database: Database, gallery: Gallery, shown: Any
) -> None:
    a, b, c = await seed(database, gallery, 3)
    call: dict[str, Any] = {
        "grant": gallery.grant(),
        "headers": {"idempotency-key": "an-idempotency-key"},
        "body": {"ids": [c, str(new_id())], "before": a},
    }
    path = f"/v1/galleries/{gallery.id}/order"
    first = await http("POST", path, **call)
    await http("POST", path, grant=gallery.grant(), body={"ids": [b], "before": c})
    assert (await http("POST", path, **call)).body == first.body
    assert await shown() == [b, c, a]
    reused = await http("POST", path, **{**call, "body": {"ids": [a]}})
    assert (reused.status, reused.json["code"]) == (422, "idempotency_key_reused")


async def test_items_that_are_not_there_are_named_and_the_others_moved(
    database: Database,
    gallery: Gallery,
    make_gallery: Callable[..., Gallery],
    reorder: Reorder,
    shown: Any,
) -> None:
    a, b, c = await seed(database, gallery, 3)
    (elsewhere,) = await seed(database, make_gallery(), 1)
    await database.hot.execute("UPDATE items SET status = 'rejected' WHERE id = $1", UUID(b))
    unknown = str(new_id())
    answer = await reorder([unknown, c, elsewhere, b], before=a)
    assert answer.json == {"moved": [c], "not_found": [unknown, elsewhere, b]}
    assert await shown() == [c, a]
    for refused in (
        await reorder([unknown, b]),
        await reorder([a], before=elsewhere),
        await reorder([a], before=b),
        await reorder([a], before=unknown),
    ):
        assert (refused.status, refused.json["code"]) == (404, "media_not_found")
    assert await shown() == [c, a]


async def test_the_body_names_either_items_or_a_sort(
    database: Database, gallery: Gallery, reorder: Reorder
) -> None:
    a, b = await seed(database, gallery, 2)
    for body, field in (
        ({}, "ids"),
        ({"ids": []}, "ids"),
        ({"ids": [str(new_id()) for _ in range(1_001)]}, "ids"),
        ({"ids": ["a"]}, "ids.0"),
        ({"ids": [a], "before": a}, "before"),
        ({"ids": [a], "sort": "filename"}, "ids"),
        ({"sort": "filename", "before": b}, "before"),
        ({"sort": "size"}, "sort"),
        ({"sort": "filename", "up": True}, "up"),
    ):
        refused = await reorder(**body)
        assert refused.status == 422, body
        assert [error["field"] for error in refused.json["errors"]] == [field]


async def test_only_a_manager_reorders_and_lists(
    http: Http, database: Database, gallery: Gallery, make_gallery: Callable[..., Gallery], shown: Any
) -> None:
    a, b = await seed(database, gallery, 2)
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", "order", {"body": {"ids": [b], "before": a}}),
        ("GET", "media", {}),
    )
    for method, of, content in calls:
        path = f"/v1/galleries/{gallery.id}/{of}"
        for grant, status, code in (
            (None, 401, "credentials_missing"),
            (gallery.grant("view"), 403, "right_missing"),
            (gallery.grant("contribute"), 403, "right_missing"),
            (make_gallery().grant(), 403, "gallery_key_wrong"),
        ):
            refused = await http(method, path, grant=grant, **content)
            assert (refused.status, refused.json["code"]) == (status, code)
    assert await shown() == [a, b]


async def test_a_deleted_gallery_has_no_order(
    http: Http, database: Database, gallery: Gallery, reorder: Reorder, tell: Teller, clock: Clock
) -> None:
    (a,) = await seed(database, gallery, 1)
    await tell(
        GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="requested", deleted_at=clock()),
        sequence=2,
    )
    for answer in (
        await reorder([a]),
        await reorder(sort="filename"),
        await http("GET", f"/v1/galleries/{gallery.id}/media", grant=gallery.grant()),
    ):
        assert (answer.status, answer.json["code"]) == (404, "gallery_not_found")


async def test_a_gallery_without_items_has_nothing_to_move(gallery: Gallery, reorder: Reorder) -> None:
    assert (await reorder([str(new_id())])).json["code"] == "media_not_found"
    assert (await reorder(sort="taken")).json == {"moved": [], "not_found": []}


async def test_new_items_come_last(client: Client, gallery: Gallery, reorder: Reorder, shown: Any) -> None:
    a, b, c = [(await client.upload(gallery, JPEG))["id"] for _ in range(3)]
    await reorder([a])
    d = (await client.upload(gallery, JPEG))["id"]
    assert await shown() == [b, c, a, d]
    await reorder(sort="filename")
    e = (await client.upload(gallery, JPEG, filename="0.jpg"))["id"]
    assert (await shown())[-1] == e


async def test_all_items_are_sorted_once(
    database: Database, gallery: Gallery, reorder: Reorder, shown: Any, published: Publications
) -> None:
    def at(hour: int) -> datetime:
        return datetime.fromisoformat(f"2026-05-01T{hour:02}:00:00Z")

    names = ["IMG_10.jpg", "img_9.jpg", "Äpfel.jpg", "apfel 2.jpg", "IMG_9.jpg"]
    a, b, c, d, e = added = await seed(
        database, gallery, 5, filename=names, taken_at=[at(3), None, at(1), at(2), at(1)]
    )
    await reorder(sort="filename")
    assert await shown() == [d, c, b, e, a]
    await reorder(sort="taken")
    assert await shown() == [c, e, d, a, b]
    await reorder([b], before=c)
    assert await shown() == [b, c, e, d, a]
    await reorder(sort="added")
    assert await shown() == added
    assert len(await published("ItemsReordered")) == 4
    await reorder(sort="added")
    assert len(await published("ItemsReordered")) == 4


async def test_the_items_of_a_sorted_gallery_are_moved_as_any_others(
    database: Database, gallery: Gallery, reorder: Reorder, shown: Any
) -> None:
    a, b, c, d = await seed(database, gallery, 4, filename=["4", "3", "2", "1"])
    await reorder(sort="filename")
    await reorder([a], before=d)
    assert await shown() == [a, d, c, b]
    await reorder([b], before=c)
    assert await shown() == [a, d, b, c]
    await reorder([d])
    assert await shown() == [a, b, c, d]


async def test_a_gallery_with_too_many_items_is_not_sorted(
    make_http: Callable[..., Http], database: Database, gallery: Gallery
) -> None:
    await seed(database, gallery, 3)
    http = make_http(sorted_items=2)
    answer = await http(
        "POST", f"/v1/galleries/{gallery.id}/order", grant=gallery.grant(), body={"sort": "filename"}
    )
    assert (answer.status, answer.json["code"]) == (422, "too_many_to_sort")


async def test_few_galleries_are_sorted_at_the_same_time(
    make_http: Callable[..., Http],
    database: Database,
    gallery: Gallery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = await seed(database, gallery, 2)
    http, go_on = make_http(sorts_at_once=1), asyncio.Event()
    path, sort = f"/v1/galleries/{gallery.id}/order", OrderRows.sort
    begun = asyncio.Event()

    async def slowly(self: OrderRows, by: Any) -> bool:
        begun.set()
        await go_on.wait()
        return await sort(self, by)

    monkeypatch.setattr(OrderRows, "sort", slowly)
    running = asyncio.create_task(http("POST", path, grant=gallery.grant(), body={"sort": "filename"}))
    await begun.wait()
    refused = await http("POST", path, grant=gallery.grant(), body={"sort": "filename"})
    assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (503, "sort_busy", "1")
    go_on.set()
    assert (await running).status == 200
    assert (await http("POST", path, grant=gallery.grant(), body={"ids": [b], "before": a})).status == 200


async def test_a_place_without_room_is_refused_and_one_call_makes_room(
    database: Database,
    gallery: Gallery,
    reorder: Reorder,
    shown: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys, "MAX_KEY_BYTES", 16)
    a, b, c, d = await seed(database, gallery, 4)
    answer, moves = await reorder([b], before=d), 0
    while answer.status == 200:
        moves += 1
        answer = await reorder([[b, c][moves % 2]], before=d)
    assert (answer.status, answer.json["code"]) == (409, "order_exhausted")
    assert moves > 20
    assert (await reorder([c, b], before=d)).status == 200
    assert await shown() == [a, c, b, d]


async def test_moves_at_the_same_time_lose_nothing(
    database: Database, gallery: Gallery, reorder: Reorder, shown: Any
) -> None:
    ids = await seed(database, gallery, 40)
    moved = [ids[start : start + 4] for start in range(0, 40, 4)]
    answers = await asyncio.gather(*(reorder(some, before=None) for some in moved for _ in range(2)))
    assert {answer.status for answer in answers} == {200}
    after = await shown()
    assert sorted(after) == sorted(ids)
    # The items of each call stand together, in its order.
    for some in moved:
        start = after.index(some[0])
        assert after[start : start + 4] == some
    stored = await database.hot.fetchval("SELECT count(DISTINCT position) FROM items")
    assert stored == len(ids)


@pytest.mark.parametrize("managed", [False, True])
async def test_a_list_that_is_read_meanwhile_skips_and_repeats_no_untouched_item(
    http: Http, client: Client, database: Database, gallery: Gallery, reorder: Reorder, managed: bool
) -> None:
    ids = await seed(database, gallery, 60)
    draw = random.Random(7)
    touchable, untouched = ids[::3], [media_id for media_id in ids if media_id not in ids[::3]]
    seen: list[str] = []
    query = "limit=7"
    while True:
        if managed:
            path = f"/v1/galleries/{gallery.id}/media?{query}"
            page = (await http("GET", path, grant=gallery.grant())).json
        else:
            page = (await client.view(gallery, query)).json
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query = f"limit=7&cursor={page['next_cursor']}"
        for _ in range(3):
            await reorder(draw.sample(touchable, 4), before=draw.choice([*untouched, None]))
        # The last item of a page, which its cursor stands for, moves, too.
        if seen[-1] in touchable:
            await reorder([seen[-1]], before=untouched[0])
    assert [media_id for media_id in seen if media_id in untouched] == untouched


async def test_a_page_after_a_moved_item_is_no_view(
    client: Client, database: Database, gallery: Gallery, reorder: Reorder
) -> None:
    a, b, _ = await seed(database, gallery, 3)
    await reorder([b], before=a)
    capped = gallery.changed(capped=True)
    page = await client.view(capped, "limit=1")
    following = await client.view(capped, f"limit=1&cursor={page.json['next_cursor']}")
    assert [item["id"] for item in following.json["items"]] == [a]
    assert "x-kappi-counted" in page.headers
    assert "x-kappi-counted" not in following.headers


@pytest.mark.parametrize("cursor", ["AA", "kcQA", "xyz!", "kcQBAA"])
async def test_a_made_up_cursor_is_refused_or_a_key(client: Client, gallery: Gallery, cursor: str) -> None:
    answer = await client.view(gallery, f"cursor={cursor}")
    if cursor == "kcQBAA":  # the sort key 0x00, before all others
        assert answer.json["items"] == []
    else:
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "cursor_invalid")


async def test_the_archive_has_the_order_of_the_gallery(
    http: Http, client: Client, worker: Worker, published: Publications, gallery: Gallery, reorder: Reorder
) -> None:
    ids = [(await client.upload(gallery, JPEG, filename=f"{name}.jpg"))["id"] for name in "abc"]
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    await reorder([ids[2]], before=ids[0])
    path = f"/v1/g/{gallery.public.code}/archive"
    for viewed in (gallery, gallery.changed(location_free=True)):
        archive = await http("GET", path, grant=viewed.grant("view"))
        assert zipfile.ZipFile(io.BytesIO(archive.body)).namelist() == ["c.jpg", "a.jpg", "b.jpg"]


async def test_the_managers_list_has_what_the_manager_may_see(
    http: Http,
    client: Client,
    worker: Worker,
    published: Publications,
    make_gallery: Callable[..., Gallery],
    reorder: Reorder,
) -> None:
    gallery = make_gallery().of(new_id()).changed(visibility="private", code=None, url=None)
    ids = [(await client.upload(gallery, JPEG, filename=f"{name}.jpg"))["id"] for name in "abc"]
    await worker.process(redelivered((await published("UploadCompleted"))[0]))
    await reorder([ids[2]], of=gallery, before=ids[0])
    path = f"/v1/galleries/{gallery.id}/media"
    first = (await http("GET", f"{path}?limit=2", grant=gallery.grant())).json
    assert [item["id"] for item in first["items"]] == [ids[2], ids[0]]
    assert [item["status"] for item in first["items"]] == ["processing", "ready"]
    last = (await http("GET", f"{path}?limit=2&cursor={first['next_cursor']}", grant=gallery.grant())).json
    assert ([item["id"] for item in last["items"]], last["next_cursor"]) == ([ids[1]], None)
    wrong = await http("GET", f"{path}?limit=0", grant=gallery.grant())
    assert wrong.status == 422


async def test_a_page_reads_an_index_in_order(database: Database, gallery: Gallery) -> None:
    await seed(database, gallery, 10_000)
    await database.hot.execute("ANALYZE items")
    async with database.hot.acquire() as connection:
        rows = await connection.fetch(f"EXPLAIN {_PAGE}", gallery.id, b"", 101)
    plan = "\n".join(row[0] for row in rows)
    assert "Index Scan using ix_items_gallery_id_position" in plan
    assert "Sort" not in plan
