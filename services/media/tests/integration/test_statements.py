"""The cost of a request in the database: the number of statements of the hot ones, whatever a gallery
holds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_facts
from kappi_media.repository.tags import _WAITING
from kappi_media.settings import MediaSettings
from kappi_media.use_cases import governing_tier
from kappi_media.use_cases.facts_from_tags import FactsOnRead
from kappi_media.use_cases.renditions import MakeRendition
from kappi_testkit.media.harness import Client, Gallery, Http
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(64, 48), "JPEG")
FILE = {"filename": "a.jpg", "content_type": "image/jpeg", "size": len(JPEG)}
FILM = {"filename": "a.mp4", "content_type": "video/mp4", "size": 40 << 20}

Counting = Callable[[], AbstractContextManager[list[str]]]


@pytest.fixture(autouse=True)
def tiers_stay_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents reading tiers again every two seconds, which a slow machine would count."""
    monkeypatch.setattr(governing_tier, "FRESH", timedelta(hours=1))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """Returns a database with a single connection for hot statements, so that all of them can be observed."""
    database = Database(url, pool_size=1)
    await database.start()
    yield database
    await database.close()


@pytest.fixture
async def counting(database: Database) -> AsyncIterator[Counting]:
    """`with counting() as statements` records the hot statements of that time."""
    heard: list[str] = []

    def note(record: Any) -> None:
        # asyncpg looks up types once per connection.
        if "pg_catalog" not in record.query and "'jit'" not in record.query:
            heard.append(record.query)

    @contextmanager
    def count() -> Any:
        heard.clear()
        yield heard

    async with database.hot.acquire() as connection:
        connection.add_query_logger(note)
    yield count
    async with database.hot.acquire() as connection:
        connection.remove_query_logger(note)


@pytest.fixture
async def looking(
    deps: Dependencies, make_settings: Callable[..., MediaSettings], make_rendition: MakeRendition
) -> AsyncIterator[Http]:
    """Returns the app that reads the tags of originals."""
    settings = make_settings()
    facts = FactsOnRead(build_facts(deps, settings), timeout=timedelta(seconds=30))
    yield Http(build_app(deps, settings, make_rendition, facts))
    await facts.close()


@pytest.fixture
async def many(client: Client, gallery: Gallery, database: Database) -> list[dict[str, Any]]:
    """Returns ready items of the gallery."""
    items = [await client.upload(gallery, JPEG) for _ in range(12)]
    await database.hot.execute("UPDATE items SET status = 'ready', kind = 'image', width = 64, height = 48")
    await database.hot.execute(
        "INSERT INTO renditions (media_id, size, width, height, size_bytes)"
        " SELECT id, '200', 64, 48, 1 FROM items"
    )
    return items


@pytest.mark.parametrize("location_free", [False, True])
async def test_a_page_is_one_statement_once_somebody_saw_it(
    client: Client,
    make_gallery: Callable[..., Gallery],
    counting: Counting,
    database: Database,
    location_free: bool,
) -> None:
    gallery = make_gallery(location_free=location_free)
    for _ in range(12):
        await client.upload(gallery, JPEG)
    await database.hot.execute("UPDATE items SET status = 'ready', kind = 'image', width = 64, height = 48")
    await database.hot.execute("INSERT INTO location_free_copies SELECT id, 1, 'e', NULL, false FROM items")
    with counting() as statements:
        assert len((await client.view(gallery)).json["items"]) == 12
        assert len(statements) == (4 if location_free else 3), statements
    with counting() as statements:
        page = await client.view(gallery)
        assert len(statements) == 1
    with counting() as statements:
        assert (await client.view(gallery, if_none_match=page.headers["etag"])).status == 304
        assert len(statements) == 1


async def test_a_look_at_tags_costs_a_page_one_statement_and_is_not_repeated(
    client: Client, looking: Http, gallery: Gallery, counting: Counting
) -> None:
    await Client(looking).view(gallery)  # the tier is looked up once
    for _ in range(12):
        await client.upload(gallery, JPEG)
    for statements_wanted in (4, 1):
        with counting() as statements:
            assert len((await Client(looking).view(gallery)).json["items"]) == 12
            assert len(statements) == statements_wanted
    await client.upload(gallery, JPEG)
    with counting() as statements:
        assert len((await Client(looking).view(gallery)).json["items"]) == 13
        assert len(statements) == 4
        assert sum("tags_missed_at" in statement for statement in statements) == 1


async def test_what_leads_to_an_item_is_one_statement_or_two(
    http: Http, gallery: Gallery, many: list[dict[str, Any]], counting: Counting
) -> None:
    path = f"/v1/media/{many[0]['id']}"
    grant = gallery.grant("view")
    for target, headers, statements_wanted in (
        (path, {}, 1),
        (path + "/download", {}, 1),
        (path + "/renditions/200", {"accept": "image/jpeg"}, 1),
    ):
        with counting() as statements:
            answer = await http("GET", target, grant=grant, headers=headers)
            assert answer.status in {200, 302}, answer.body
            assert len(statements) == statements_wanted, target


async def test_an_archive_is_one_statement_whatever_it_holds(
    http: Http, gallery: Gallery, many: list[dict[str, Any]], counting: Counting
) -> None:
    with counting() as statements:
        answer = await http("HEAD", f"/v1/g/{gallery.public.code}/archive", grant=gallery.grant("view"))
        assert answer.status == 200
        assert len(statements) == 1


async def test_uploading_costs_a_batch_no_more_than_a_file(
    client: Client, http: Http, gallery: Gallery, counting: Counting
) -> None:
    await client.sign(gallery, FILE)  # the tier is looked up once
    with counting() as statements:
        (single,) = await client.sign(gallery, FILE)
        assert len(statements) == 1
    with counting() as statements:
        batch = await client.sign(gallery, *[FILE, FILM] * 50)
        assert len(statements) == 2  # the reservation, and the store's ids of its uploads in parts
    grant = gallery.grant("contribute")
    film = f"/v1/uploads/{batch[1]['id']}"
    for method, path, body in (("GET", film, None), ("POST", film + "/parts", {"numbers": [1, 2]})):
        with counting() as statements:
            assert (await http(method, path, grant=grant, body=body)).status == 200
            assert len(statements) == 1
    await client.put(single, JPEG)
    with counting() as statements:
        assert (await client.complete(gallery, single["id"])).status == 200
        assert len(statements) == 2


async def test_a_tick_reads_the_items_that_wait_and_no_others(database: Database) -> None:
    """Some millions may have arrived within the days that it looks back."""
    await database.hot.execute("SET enable_seqscan = off")
    plan = await database.hot.fetch(f"EXPLAIN {_WAITING}", new_id(), 200)
    assert any("ix_items_unprobed" in line[0] for line in plan)
