"""The two halves of a Live Photo name each other, whichever is ready first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kappi_chassis.db import Database
from kappi_testkit.media.harness import Client, Gallery, Published, Worker, redelivered
from kappi_testkit.media.live_photos import live_film, live_picture

PICTURE, FILM = ("image/jpeg", "IMG_1.jpg"), ("video/quicktime", "IMG_1.mov")
Publications = Callable[..., Awaitable[list[Published]]]


@pytest.fixture
def halves() -> dict[str, bytes]:
    return {"picture": live_picture("AAAA-1"), "film": live_film("AAAA-1")}


async def upload(client: Client, gallery: Gallery, body: bytes, kind: tuple[str, str] = PICTURE) -> str:
    content_type, filename = kind
    item = await client.upload(gallery, body, content_type=content_type, filename=filename)
    return str(item["id"])


async def read(client: Client, gallery: Gallery, media_id: str) -> dict[str, Any]:
    answer = await client.http("GET", f"/v1/media/{media_id}", grant=gallery.grant("view"))
    assert answer.status == 200, answer.body
    item: dict[str, Any] = answer.json
    return item


async def partners(client: Client, gallery: Gallery, *media_ids: str) -> list[str | None]:
    return [(await read(client, gallery, media_id))["live_partner_id"] for media_id in media_ids]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["picture first", "film first"])
async def test_the_second_to_be_ready_finds_the_first(
    order: tuple[int, int],
    client: Client,
    gallery: Gallery,
    worker: Worker,
    published: Publications,
    halves: dict[str, bytes],
) -> None:
    picture = await upload(client, gallery, halves["picture"])
    film = await upload(client, gallery, halves["film"], FILM)
    events = await published("UploadCompleted")
    await worker.process(redelivered(events[order[0]]))
    first = (picture, film)[order[0]]
    before = await read(client, gallery, first)
    assert (before["status"], before["live_partner_id"]) == ("ready", None)
    seen = (await client.view(gallery)).headers["etag"]

    await worker.process(redelivered(events[order[1]]))
    assert await partners(client, gallery, picture, film) == [film, picture]
    page = await client.view(gallery)
    assert page.headers["etag"] != seen
    assert [item["live_partner_id"] for item in page.json["items"]] == [film, picture], "also where cached"


async def test_both_ready_at_once_still_find_each_other(
    client: Client, gallery: Gallery, worker: Worker, published: Publications
) -> None:
    pairs = []
    for number in range(4):
        picture = await upload(client, gallery, live_picture(f"PAIR-{number}"))
        pairs.append((picture, await upload(client, gallery, live_film(f"PAIR-{number}"), FILM)))
    events = await published("UploadCompleted")
    await asyncio.gather(*(worker.process(redelivered(event)) for event in events))
    for picture, film in pairs:
        assert await partners(client, gallery, picture, film) == [film, picture]


async def test_the_half_that_is_left_stands_alone_again(
    client: Client,
    gallery: Gallery,
    worker: Worker,
    published: Publications,
    halves: dict[str, bytes],
) -> None:
    picture = await upload(client, gallery, halves["picture"])
    film = await upload(client, gallery, halves["film"], FILM)
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    seen = (await client.view(gallery)).json["items"]
    assert seen[0]["live_partner_id"] == film

    answer = await client.http("DELETE", f"/v1/media/{film}", grant=gallery.grant())
    assert answer.status == 204
    assert await partners(client, gallery, picture) == [None]
    (item,) = (await client.view(gallery)).json["items"]
    assert item["live_partner_id"] is None

    again = await upload(client, gallery, halves["film"], FILM)
    await worker.process(redelivered((await published("UploadCompleted"))[-1]))
    assert await partners(client, gallery, picture, again) == [again, picture]


async def test_only_a_picture_and_a_film_of_one_gallery_are_a_pair(
    client: Client,
    gallery: Gallery,
    make_gallery: Callable[..., Gallery],
    worker: Worker,
    published: Publications,
    database: Database,
    halves: dict[str, bytes],
) -> None:
    elsewhere = make_gallery()
    await upload(client, gallery, halves["picture"])
    await upload(client, gallery, halves["picture"])
    await upload(client, gallery, live_film("OTHER-2"), FILM)
    await upload(client, elsewhere, halves["film"], FILM)
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    rows = await database.hot.fetch("SELECT status, live_id, live_partner_id FROM items")
    assert [row["status"] for row in rows] == ["ready"] * 4
    assert {row["live_id"] for row in rows} == {"AAAA-1-LIVE", "OTHER-2-LIVE"}
    assert {row["live_partner_id"] for row in rows} == {None}

    # A duplicate is paired with the partner that is still alone; the other copy stays alone.
    film = await upload(client, gallery, halves["film"], FILM)
    await worker.process(redelivered((await published("UploadCompleted"))[-1]))
    named = await database.hot.fetch("SELECT live_partner_id FROM items WHERE live_partner_id IS NOT NULL")
    assert len(named) == 2
    assert film in {str(row["live_partner_id"]) for row in named}
