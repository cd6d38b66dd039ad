"""The camera RAW and the picture of one shot name each other, whichever is ready first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import MediaReady
from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.repository.processing import ProcessingQueries, TakenUp
from kappi_media.repository.raw_pairs import _PAIR
from kappi_media.stored_renditions import KeptGridPicture, KeptRendition
from kappi_mediameta.probing import Probe
from kappi_testkit.media.harness import Client, Gallery
from kappi_testkit.media.samples import encode, quadrants

JPEG, HEIC, RAW, OTHER_RAW = "image/jpeg", "image/heic", "image/x-canon-cr3", "image/x-adobe-dng"
TAKEN = datetime(2026, 5, 30, 4, 41, 12, 250_000, UTC)
BODY = encode(quadrants(64, 48), "JPEG")

Processed = Callable[..., Coroutine[Any, Any, None]]
Add = Callable[..., Awaitable[str]]
Get = Callable[[str], Awaitable[dict[str, Any]]]


@pytest.fixture
def owner() -> UUID:
    return new_id()


@pytest.fixture
def gallery(make_gallery: Callable[..., Gallery], owner: UUID) -> Gallery:
    return make_gallery(owner_id=owner, expires_at=None)


@pytest.fixture
def processed(database: Database, outbox: Outbox) -> Processed:
    """`await processed(gallery, id, content_type=…)` records what the worker found in a file."""

    async def record(
        gallery: Gallery, media_id: str, *, content_type: str = JPEG, taken_at: datetime | None = TAKEN
    ) -> None:
        probe = Probe(
            kind="image",
            content_type=content_type,
            width=64,
            height=48,
            orientation=1,
            codec="jpeg",
            animated=False,
            duration_ms=None,
            taken_at=taken_at,
            taken_offset_known=True,
            camera=None,
            location=None,
        )
        ready = MediaReady(
            media_id=UUID(media_id),
            gallery_id=gallery.id,
            kind="image",
            content_type=content_type,
            size_bytes=len(BODY),
            width=64,
            height=48,
            duration_ms=None,
            ready_at=TAKEN,
        )
        assert await ProcessingQueries(database).ready(
            MediaId(UUID(media_id)),
            GalleryId(gallery.id),
            probe=probe,
            grid=KeptGridPicture(KeptRendition("400", 64, 48, 500), b"thumb"),
            event=outbox.row(ready),
            # Camera RAW may come while an item is under work.
            taken=TakenUp(None, None, None, beside_raw=False, has_sidecar=False),
        )

    return record


@pytest.fixture
def add(client: Client, gallery: Gallery, processed: Processed) -> Add:
    """`await add("IMG_1.CR3", RAW)` returns the id of an item that is ready."""

    async def added(filename: str, content_type: str = JPEG, **found: Any) -> str:
        home = found.pop("of", gallery)
        item = await client.upload(home, BODY, filename=filename)
        await processed(home, str(item["id"]), content_type=content_type, **found)
        return str(item["id"])

    return added


@pytest.fixture
def get(client: Client, gallery: Gallery) -> Get:
    async def shown(media_id: str) -> dict[str, Any]:
        answer = await client.http("GET", f"/v1/media/{media_id}", grant=gallery.grant("view"))
        assert answer.status == 200, answer.body
        item: dict[str, Any] = answer.json
        return item

    return shown


@pytest.fixture
def partners(get: Get) -> Callable[..., Awaitable[list[str | None]]]:
    async def named(*media_ids: str) -> list[str | None]:
        return [(await get(media_id))["raw_partner_id"] for media_id in media_ids]

    return named


Partners = Callable[..., Awaitable[list[str | None]]]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("IMG_1.CR3", RAW), ("IMG_1.JPG", JPEG)),
        (("img_1.jpg", JPEG), ("IMG_1.CR3", RAW)),
        (("IMG_1.HIF", HEIC), ("IMG_1.CR3", RAW)),
        (("a.b.dng", OTHER_RAW), ("a.b.jpeg", JPEG)),
    ],
)
async def test_the_second_to_be_ready_finds_the_first(
    first: tuple[str, str],
    second: tuple[str, str],
    add: Add,
    partners: Partners,
    client: Client,
    gallery: Gallery,
) -> None:
    one = await add(*first)
    assert await partners(one) == [None]
    seen = (await client.view(gallery)).headers["etag"]
    other = await add(*second, taken_at=TAKEN.replace(microsecond=0))
    assert await partners(one, other) == [other, one]
    page = await client.view(gallery)
    assert page.headers["etag"] != seen
    assert [item["raw_partner_id"] for item in page.json["items"]] == [other, one], "also where cached"


@pytest.mark.parametrize(
    ("filename", "content_type", "taken_at"),
    [
        ("IMG_2.JPG", JPEG, TAKEN),
        ("IMG_1.edited.JPG", JPEG, TAKEN),
        ("IMG_1.JPG", JPEG, TAKEN + timedelta(seconds=1)),
        ("IMG_1.JPG", JPEG, TAKEN - timedelta(seconds=1)),
        ("IMG_1.JPG", JPEG, None),
        ("IMG_1.PNG", "image/png", TAKEN),
        ("IMG_1.DNG", OTHER_RAW, TAKEN),
    ],
)
async def test_what_is_not_of_the_same_shot(
    filename: str, content_type: str, taken_at: datetime | None, add: Add, partners: Partners
) -> None:
    raw = await add("IMG_1.CR3", RAW)
    other = await add(filename, content_type, taken_at=taken_at)
    assert await partners(raw, other) == [None, None]


async def test_only_files_of_one_gallery_are_a_pair(
    make_gallery: Callable[..., Gallery], add: Add, partners: Partners
) -> None:
    raw = await add("IMG_1.CR3", RAW)
    await add("IMG_1.JPG", of=make_gallery())
    assert await partners(raw) == [None]


async def test_only_files_of_one_contributor_are_a_pair(
    add: Add, partners: Partners, database: Database
) -> None:
    raw = await add("IMG_1.CR3", RAW)
    await database.hot.execute("UPDATE items SET contributor_id = $1", new_id())
    picture, own = await add("IMG_1.JPG"), await add("IMG_1.NEF", "image/x-nikon-nef")
    assert await partners(raw, picture, own) == [None, own, picture]


async def test_a_third_file_stays_alone_until_a_half_is_deleted(
    client: Client, gallery: Gallery, add: Add, partners: Partners
) -> None:
    raw, picture = await add("IMG_1.CR3", RAW), await add("IMG_1.JPG")
    third, fourth = await add("IMG_1.HEIC", HEIC), await add("IMG_1.DNG", OTHER_RAW)
    assert await partners(raw, picture, third, fourth) == [picture, raw, fourth, third]
    fifth = await add("IMG_1.jpg")
    assert await partners(raw, picture, fifth) == [picture, raw, None]

    assert (await client.http("DELETE", f"/v1/media/{picture}", grant=gallery.grant())).status == 204
    assert await partners(raw) == [None]
    again = await add("IMG_1.JPG")
    assert await partners(raw, again) == [again, raw]


async def test_deleting_many_leaves_halves_alone(
    client: Client,
    gallery: Gallery,
    add: Add,
    get: Get,
    database: Database,
    bearer: Callable[[UUID], dict[str, str]],
    owner: UUID,
) -> None:
    raw, picture = await add("IMG_1.CR3", RAW), await add("IMG_1.HEIC", HEIC)
    film = new_id()  # the picture is half of a Live Photo, too
    await database.hot.execute("UPDATE items SET live_partner_id = $2 WHERE id = $1", UUID(picture), film)
    version = (await client.view(gallery)).headers["etag"]
    body = {"ids": [raw], "action": "delete"}
    answer = await client.http("POST", "/v1/media/bulk", headers=bearer(owner), body=body)
    assert answer.json["results"] == [{"id": raw, "status": "done"}]
    shown = await get(picture)
    assert (shown["raw_partner_id"], shown["live_partner_id"]) == (None, str(film))
    assert (await client.view(gallery)).headers["etag"] != version


async def test_both_ready_at_once_still_find_each_other(
    client: Client, gallery: Gallery, processed: Processed, partners: Partners
) -> None:
    pairs = []
    for number in range(6):
        raw = await client.upload(gallery, BODY, filename=f"IMG_{number}.CR3")
        picture = await client.upload(gallery, BODY, filename=f"IMG_{number}.JPG")
        pairs.append((str(raw["id"]), str(picture["id"])))
    async with asyncio.TaskGroup() as group:
        for raw_id, picture_id in pairs:
            group.create_task(processed(gallery, raw_id, content_type=RAW))
            group.create_task(processed(gallery, picture_id))
    for raw_id, picture_id in pairs:
        assert await partners(raw_id, picture_id) == [picture_id, raw_id]


async def test_the_look_up_reads_an_index(database: Database, gallery: Gallery) -> None:
    """Few rows are read, also among ten thousand pictures with the same name and time."""
    await database.hot.execute(
        """
        INSERT INTO items (id, gallery_id, upload_id, filename, content_type, size_bytes, etag, created_at,
          kind, status, width, height, taken_at)
        SELECT uuidv7(), $1, uuidv7(), 'IMG_1.JPG', 'image/jpeg', 1, 'e', now(), 'image', 'ready', 1, 1, $2
        FROM generate_series(1, 10000)
        """,
        gallery.id,
        TAKEN,
    )
    await database.hot.execute("ANALYZE items")
    (first, *_) = await database.hot.fetch("SELECT id FROM items LIMIT 1")
    second = TAKEN.replace(microsecond=0)
    for types in ([RAW, OTHER_RAW], [JPEG, HEIC]):
        values = first["id"], gallery.id, types, second, second + timedelta(seconds=1)
        async with database.hot.acquire() as connection:
            lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {_PAIR}", *values)
        plan = "\n".join(line[0] for line in lines)
        assert "ix_items_raw_partner" in plan
        assert "Seq Scan" not in plan
