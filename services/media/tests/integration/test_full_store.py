"""A store without room: uploads are refused early with 507, and leave nothing; other calls continue."""

from __future__ import annotations

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_testkit.asgi import Answer
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Client, Gallery, Http
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(64, 48), "JPEG")
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + JPEG + b"\r\n--x--\r\n"
)


def assert_full(answer: Answer) -> None:
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (507, "storage_full", "60")


def declaration(size: int = len(JPEG)) -> dict[str, object]:
    return {"filename": "a.jpg", "content_type": "image/jpeg", "size": size}


async def sign(http: Http, gallery: Gallery, *sizes: int, **call: object) -> Answer:
    return await http(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        grant=gallery.grant("contribute"),
        body={"files": [declaration(size) for size in sizes]},
        **call,  # type: ignore[arg-type]
    )


async def post(http: Http, gallery: Gallery) -> Answer:
    return await http(
        "POST",
        f"/v1/galleries/{gallery.id}/media",
        grant=gallery.grant("contribute"),
        raw=FORM,
        headers={"content-type": "multipart/form-data; boundary=x", "content-length": str(len(FORM))},
    )


async def pending(database: Database) -> int:
    found: int = await database.hot.fetchval("SELECT count(*) FROM uploads WHERE state = 'pending'")
    return found


async def test_nothing_is_signed_and_nothing_promised(
    http: Http, gallery: Gallery, store: FaultyStore, database: Database
) -> None:
    store.no_room = True
    assert_full(await sign(http, gallery, len(JPEG)))
    key = {"Idempotency-Key": "a key of the client's"}
    assert_full(await sign(http, gallery, len(JPEG), headers=key))
    assert_full(await post(http, gallery))
    assert await pending(database) == 0
    store.no_room = False
    assert (await sign(http, gallery, len(JPEG), headers=key)).status == 201
    assert (await post(http, gallery)).status == 201


async def test_a_batch_needs_room_for_all_of_it(
    http: Http, gallery: Gallery, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def note(size_bytes: int) -> None:
        asked.append(size_bytes)

    monkeypatch.setattr(store, "check_room", note)
    assert (await sign(http, gallery, 1_000, 2_000, 40_000)).status == 201
    assert asked == [43_000]


async def test_what_is_wrong_is_said_before_the_store_is_asked(
    http: Http, gallery: Gallery, store: FaultyStore
) -> None:
    store.no_room = True
    answer = await http(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        grant=gallery.grant("contribute"),
        body={"files": [{**declaration(), "content_type": "text/html"}]},
    )
    assert (answer.status, answer.code) == (422, "unsupported_content_type")


async def test_parts_are_not_signed_but_an_upload_can_be_looked_at_and_given_up(
    http: Http, gallery: Gallery, store: FaultyStore
) -> None:
    upload = (await sign(http, gallery, 40 << 20)).json["uploads"][0]
    path, grant = f"/v1/uploads/{upload['id']}", gallery.grant("contribute")
    store.no_room = True
    assert_full(await http("POST", f"{path}/parts", grant=grant, body={"numbers": [1]}))
    assert (await http("GET", path, grant=grant)).status == 200
    assert (await http("DELETE", path, grant=grant)).status == 204


async def test_galleries_are_seen_and_bytes_that_came_are_completed(
    http: Http, client: Client, gallery: Gallery, store: FaultyStore
) -> None:
    (promised,) = await client.sign(gallery, declaration())
    assert await client.put(promised, JPEG) == 200
    store.no_room = True
    assert (await client.complete(gallery, promised["id"])).status == 200
    assert len((await client.view(gallery)).json["items"]) == 1


async def test_a_store_that_fills_meanwhile_keeps_nothing(
    http: Http, gallery: Gallery, store: FaultyStore, database: Database
) -> None:
    store.full = True
    assert_full(await post(http, gallery))
    assert await pending(database) == 0


@pytest.mark.parametrize("trouble", ["no_room", "full"])
async def test_a_posts_picture(http: Http, store: FaultyStore, database: Database, trouble: str) -> None:
    author_id, post_id = new_id(), new_id()
    setattr(store, trouble, True)
    path = f"/internal/posts/{post_id}/picture?account_id={author_id}"
    assert_full(await http("PUT", path, raw=JPEG))
    setattr(store, trouble, False)
    assert (await http("PUT", path, raw=JPEG)).status == 204
