"""The cost of a library stays bounded: texts, catching up, slow searches, plans."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
import pytest
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.db import Database
from kappi_media.domain.library import Order
from kappi_media.domain.media import AccountId, GalleryId
from kappi_media.repository import library
from kappi_media.repository.library import LibraryQueries
from kappi_media.repository.library_catch_up import CatchUpQueries
from kappi_media.repository.ownership import adopt
from kappi_media.use_cases import catch_up_library
from kappi_media.use_cases.catch_up_library import CatchUpLibrary
from kappi_media.use_cases.search_library import SearchLibrary, grams_of
from kappi_testkit.asgi import Answer
from kappi_testkit.media.harness import Http

_START = datetime(2024, 1, 15, tzinfo=UTC)
_INSERT = """
INSERT INTO items (id, gallery_id, upload_id, filename, content_type, kind, status, size_bytes, etag, width,
  height, caption, tags, location, created_at)
VALUES ($1, $2, $1, $3, 'image/jpeg', 'image', 'ready', 1, 'e', 1, 1, $4, $5, $6, $7)
"""
Ask = Callable[..., Awaitable[Answer]]


@pytest.fixture
def owner() -> AccountId:
    return AccountId(new_id())


@pytest.fixture
def ask(http: Http, bearer: Callable[[UUID], dict[str, str]], owner: AccountId) -> Ask:
    async def asked(path: str, method: str = "GET", **more: Any) -> Answer:
        return await http(method, path, headers=bearer(owner), **more)

    return asked


async def fill(database: Database, gallery_id: UUID, told: Sequence[Mapping[str, Any]]) -> list[UUID]:
    """Inserts items into a gallery, which has no owner if it is new."""
    statement = "INSERT INTO contents (gallery_id) VALUES ($1) ON CONFLICT DO NOTHING"
    await database.hot.execute(statement, gallery_id)
    ids = [new_id() for _ in told]
    rows = [
        (
            *(media_id, gallery_id, one.get("filename", "a.jpg"), one.get("caption")),
            *(one.get("tags", []), one.get("location"), _START + timedelta(minutes=number)),
        )
        for number, (media_id, one) in enumerate(zip(ids, told, strict=True))
    ]
    await database.hot.executemany(_INSERT, rows)
    return ids


async def claim(database: Database, gallery_id: UUID, owner: AccountId) -> None:
    async with database.transaction() as connection:
        await adopt(connection, GalleryId(gallery_id), owner_id=owner)


async def entered(database: Database, owner: AccountId) -> int:
    return int(await database.hot.fetchval("SELECT count(*) FROM library WHERE owner_id = $1", owner))


@pytest.mark.slow
async def test_the_longest_texts_are_entered_and_tagged(
    database: Database, owner: AccountId, ask: Ask
) -> None:
    chooser = random.Random(7)

    def letters(count: int) -> str:
        return "".join(chr(chooser.randrange(0x4E00, 0x9FA5)) for _ in range(count))

    worst = [
        {
            "filename": letters(255),
            "caption": "\ufdfa" * 2000 if number % 4 == 0 else letters(2000),
            "tags": [letters(64) for _ in range(49)],
            "location": "\ufdfa" * 200,
        }
        for number in range(200)
    ]
    gallery_id = new_id()
    ids = await fill(database, gallery_id, worst)
    await claim(database, gallery_id, owner)
    await CatchUpLibrary(CatchUpQueries(database))()
    assert await entered(database, owner) == 200
    assert await database.hot.fetchval("SELECT max(length(words)) FROM library") <= 255 + 1000 + 1000 + 2
    body = {"ids": [str(media_id) for media_id in ids[:100]], "action": "tag", "tags": [letters(64)]}
    tagged = await ask("/v1/media/bulk", "POST", body=body)
    assert {one["status"] for one in tagged.json["results"]} == {"done"}
    found = await ask(f"/v1/media?tag={quote(body['tags'][0])}&limit=500")
    assert len(found.json["items"]) == 100


async def test_the_beginning_of_a_text_is_searched(database: Database, owner: AccountId, ask: Ask) -> None:
    gallery_id = new_id()
    await fill(database, gallery_id, [{"caption": "x" * 990 + " within " + "y" * 90 + " beyond"}])
    await claim(database, gallery_id, owner)
    await CatchUpLibrary(CatchUpQueries(database))()
    assert len((await ask("/v1/media?q=within")).json["items"]) == 1
    assert len((await ask("/v1/media?q=beyond")).json["items"]) == 0


async def test_a_gallery_that_fails_keeps_no_other_out(
    database: Database, owner: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up_library, "GALLERIES", 2)
    galleries = sorted(new_id() for _ in range(6))
    for number, gallery_id in enumerate(galleries):
        await fill(database, gallery_id, [{}, {}])
        if number not in {1, 4}:
            await claim(database, gallery_id, owner)
    queries = CatchUpQueries(database)
    asked_for: list[int] = []

    class Failing(CatchUpQueries):
        async def catch_up(self, gallery_id: UUID, *, most: int) -> bool | None:
            if gallery_id == galleries[0]:
                asked_for.append(most)
                raise asyncpg.QueryCanceledError("too slow") if most > 20 else TimeoutError
            return await queries.catch_up(gallery_id, most=most)

    catching_up = CatchUpLibrary(Failing(database))
    for _ in range(10):
        await catching_up()
    assert await entered(database, owner) == 6
    assert asked_for == [100, 50, 25, 12, 6, 3, 1, 1, 1, 1]
    await CatchUpLibrary(queries)()
    assert await entered(database, owner) == 8


async def test_marks_are_set_by_any_statement_and_taken_off_what_belongs_to_nobody(
    database: Database, owner: AccountId
) -> None:
    claimed, anonymous = new_id(), new_id()
    await fill(database, claimed, [{}])
    await fill(database, anonymous, [{}])
    await database.hot.execute("INSERT INTO accounts (id) VALUES ($1)", owner)
    statement = "UPDATE contents SET owner_id = $2 WHERE gallery_id = $1"
    await database.hot.execute(statement, claimed, owner)
    # The state after the migration.
    await database.hot.execute(
        "UPDATE contents SET library_after = $2 WHERE gallery_id = $1", anonymous, UUID(int=0)
    )
    await CatchUpLibrary(CatchUpQueries(database))()
    assert await entered(database, owner) == 1
    marks = await database.hot.fetchval("SELECT count(*) FROM contents WHERE library_after IS NOT NULL")
    assert marks == 0


@pytest.mark.parametrize("letter", ["京", "\ufdfa", "\U00020bb7"])
async def test_the_longest_tags_and_places_are_listed_page_by_page(
    database: Database, owner: AccountId, ask: Ask, letter: str
) -> None:
    told = [{"location": letter * 199 + end, "tags": [letter * 63 + end]} for end in "ab"]
    told += [{"location": end * 200, "tags": [end + letter * 63]} for end in "cd"]
    gallery_id = new_id()
    await fill(database, gallery_id, told)
    await claim(database, gallery_id, owner)
    await CatchUpLibrary(CatchUpQueries(database))()
    for path in ("tags", "places"):
        whole = (await ask(f"/v1/media/{path}")).json["items"]
        paged: list[Any] = []
        cursor = ""
        while True:
            page = await ask(f"/v1/media/{path}?limit=1{cursor}")
            assert page.status == 200, page.body
            paged += page.json["items"]
            if page.json["next_cursor"] is None:
                break
            cursor = f"&cursor={page.json['next_cursor']}"
        assert paged == whole
        assert len(whole) >= 3


async def test_a_search_that_takes_too_long_is_ended(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        library, "_ASKED", "SELECT pg_sleep(60), $1::uuid, $2::text, $3::text, $4::text[], $5::uuid, $6::int"
    )
    monkeypatch.setattr(library, "TIMEOUT_S", 0.2)
    answer = await ask("/v1/media")
    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_an_estimate_that_fails_is_not_repeated_at_once(
    database: Database, owner: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, times = LibraryQueries(database), 0

    async def slow(*_: Any, **__: Any) -> None:
        nonlocal times
        times += 1
        raise TimeoutError

    monkeypatch.setattr(queries, "estimate", slow)
    search = SearchLibrary(queries, clock=utc_now)
    for _ in range(3):
        assert not await search._are_rare(owner, ["alps"], ["alp", "lps"])
    assert times == 1


async def test_a_sample_tells_how_common_a_text_is(database: Database, owner: AccountId) -> None:
    size = 1_500
    told = [
        {"caption": f"every {'half' if number % 2 else 'other'} {'seldom' if number % 100 == 0 else ''}"}
        for number in range(size)
    ]
    gallery_id = new_id()
    await fill(database, gallery_id, told)
    await claim(database, gallery_id, owner)
    await CatchUpLibrary(CatchUpQueries(database))()
    queries = LibraryQueries(database)
    for words, truth in (
        (["every"], 1500),
        (["half"], 750),
        (["every", "other"], 750),
        (["seldom"], 15),
        (["none"], 0),
    ):
        estimate = await queries.estimate(owner, grams_of(words), words=words)
        assert estimate is not None
        # About 375 are sampled: three standard deviations, generously.
        assert abs(estimate.matching - truth) <= 200, words
        assert estimate.rarest >= estimate.matching
    assert await queries.estimate(AccountId(new_id()), ["eve"], words=["every"]) is None


@pytest.mark.parametrize("order", list(Order))
async def test_the_statements_of_a_search_use_indexes(database: Database, order: Order) -> None:
    """Whatever the tables contain, none is read from end to end."""
    queries = LibraryQueries(database)
    statements = [
        library._ASKED,
        library._SAMPLE,
        library._MOST_USED,
        library._BEGINNING,
        queries._window[order],
        queries._among[order],
        queries._with_grams[order],
    ]
    async with database.hot.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for statement in statements:
            await connection.execute(f"PREPARE asked AS {statement}")
            unknown = ", ".join(["NULL"] * max(map(int, re.findall(r"\$(\d+)", statement))))
            lines = [line[0] for line in await connection.fetch(f"EXPLAIN EXECUTE asked ({unknown})")]
            await connection.execute("DEALLOCATE asked")
            assert not any("Seq Scan" in line for line in lines), "\n".join(lines)


@pytest.mark.parametrize("name", ["all", "tag:京都", "place:\\x41\\"])
async def test_a_list_has_the_same_key_in_every_version_of_the_database(
    database: Database, owner: AccountId, name: str
) -> None:
    digest = hashlib.sha256(f"{owner}{name}".encode()).digest()
    key = await database.hot.fetchval("SELECT library_term($1, $2)", owner, name)
    assert key == int.from_bytes(digest[:8], "big", signed=True)


async def test_deletions_are_exact_with_plans_that_are_kept(database: Database, owner: AccountId) -> None:
    """Plans that were made for no row at all are used for many."""
    gallery_id = new_id()
    ids = await fill(database, gallery_id, [{"tags": ["alps"]} for _ in range(20)])
    await claim(database, gallery_id, owner)
    await CatchUpLibrary(CatchUpQueries(database))()
    async with database.hot.acquire() as connection, connection.transaction():
        for table in ("library", "library_terms", "library_names"):
            await connection.execute(f"ANALYZE {table}")
        for _ in range(7):
            await connection.execute("DELETE FROM items WHERE id = $1", new_id())
            await connection.execute("UPDATE items SET caption = 'new' WHERE id = $1", ids[0])
        for media_id in ids[1:]:
            await connection.execute("DELETE FROM items WHERE id = $1", media_id)
        assert await connection.fetchval("SELECT item_count FROM library_names WHERE key = 'alps'") == 1
        terms = "SELECT count(DISTINCT item_id) FROM library_terms"
        assert await connection.fetchval(terms) == 1
