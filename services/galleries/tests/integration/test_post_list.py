"""The list of posts: by comments, then the newest; read page by page while counts change."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import driver_of

from .posting import POSTS, Poster

pytestmark = pytest.mark.integration


@pytest.fixture
def poster(http: Any) -> Poster:
    return Poster(http)


@pytest.fixture
def stock(database: Any, account: Any, clock: Any) -> Any:
    """Returns `await stock([3, 1, 1])`: posts with so many comments; it returns their ids, the
    oldest first.
    """

    async def stock(counts: list[int]) -> list[str]:
        ids = [new_id() for _ in counts]
        await database.hot.executemany(
            "INSERT INTO posts (id, author_id, state, created_at, version, comment_count)"
            " VALUES ($1, $2, 'live', $3, 1, $4)",
            [(post_id, account.id, clock.now, count) for post_id, count in zip(ids, counts, strict=True)],
        )
        await database.hot.execute(
            "INSERT INTO comments (id, post_id, author_id, text, created_at)"
            " SELECT gen_random_uuid(), p.id, $1, 'stock', $2"
            " FROM posts p, generate_series(1, comment_count)",
            account.id,
            clock.now,
        )
        return [str(post_id) for post_id in ids]

    return stock


async def a_comment_of(database: Any, post_id: str) -> str:
    found = await database.hot.fetchval("SELECT id FROM comments WHERE post_id = $1 LIMIT 1", UUID(post_id))
    return str(found)


async def test_by_comments_then_the_newest(poster: Poster, stock: Any) -> None:
    first, second, third, fourth = await stock([1, 3, 1, 0])
    for limit in (1, 2, 3, 4, 5):
        assert [post["id"] for post in await poster.walk(limit=limit)] == [second, third, first, fourth]


class CountedPool:
    """Stores the statements that were executed."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.asked: list[str] = []

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        self.asked.append(statement)
        return await self._pool.fetch(statement, *arguments)


async def test_a_page_is_one_query(
    poster: Poster, stock: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stock([3] * 5)
    pool = CountedPool(database.hot)
    monkeypatch.setattr(type(database), "hot", property(lambda _: pool))
    page = await poster.page(limit=3)
    await poster.page(limit=3, cursor=page["next_cursor"])
    assert len(pool.asked) == 2
    assert all(len(post["last_comments"]) == 2 for post in page["items"])


async def test_a_post_that_fell_behind_its_reader_is_not_shown_again(
    poster: Poster, stock: Any, account: Any, database: Any
) -> None:
    low, middle, high = await stock([1, 2, 3])
    page = await poster.page(limit=1)
    assert [post["id"] for post in page["items"]] == [high]
    for _ in range(3):
        assert await poster.delete_comment(account, await a_comment_of(database, high)) == 204
    rest = await poster.page(limit=10, cursor=page["next_cursor"])
    assert [post["id"] for post in rest["items"]] == [middle, low]
    # A reader who begins again sees the post at its present place.
    assert [post["id"] for post in await poster.walk(limit=1)] == [middle, low, high]


async def test_a_post_that_fell_before_the_reader_came_is_shown(
    poster: Poster, stock: Any, account: Any, database: Any
) -> None:
    """An earlier fall is no reason to leave the post out, however large it was."""
    low, middle, high = await stock([1, 2, 3])
    for _ in range(3):
        await poster.delete_comment(account, await a_comment_of(database, high))
    assert [post["id"] for post in await poster.walk(limit=1)] == [middle, low, high]


async def test_a_post_that_fell_but_was_not_met_yet_is_shown(
    poster: Poster, stock: Any, account: Any, database: Any
) -> None:
    low, middle, _ = await stock([1, 2, 3])
    page = await poster.page(limit=1)
    assert await poster.delete_comment(account, await a_comment_of(database, middle)) == 204
    rest = await poster.page(limit=10, cursor=page["next_cursor"])
    assert [(post["id"], post["comment_count"]) for post in rest["items"]] == [(middle, 1), (low, 1)]


async def test_a_post_that_rose_past_its_reader_is_shown_once(
    poster: Poster, stock: Any, account: Any
) -> None:
    low, middle, high = await stock([1, 2, 3])
    page = await poster.page(limit=1)
    for _ in range(5):
        await poster.comment(account, high)
    rest = await poster.page(limit=10, cursor=page["next_cursor"])
    assert [post["id"] for post in rest["items"]] == [middle, low]


async def test_a_fall_that_was_not_committed_when_the_reader_began(
    poster: Poster, stock: Any, account: Any, database: Any
) -> None:
    """The fall's transaction is older than the reader's first page, but that page does not see it."""
    low, middle, high = await stock([1, 2, 3])
    async with database.transaction() as connection:
        driver = await driver_of(connection)
        await driver.execute(
            "UPDATE posts SET comment_count = 0, dropped_from = 3, dropped_at = now(),"
            " dropped_xid = pg_current_xact_id()::text::bigint WHERE id = $1",
            UUID(high),
        )
        page = await poster.page(limit=1)
        assert [post["id"] for post in page["items"]] == [high]
    rest = await poster.page(limit=10, cursor=page["next_cursor"])
    assert [post["id"] for post in rest["items"]] == [middle, low]


@pytest.mark.parametrize("query", ["limit=0", "limit=ten", "cursor=%24%24", "cursor=AAAA"])
async def test_a_page_that_cannot_be(http: Any, query: str) -> None:
    answer = await http("GET", f"{POSTS}?{query}")
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, query.partition("=")[0])


async def test_a_hundred_is_the_most(poster: Poster, stock: Any) -> None:
    await stock([0] * 101)
    page = await poster.page(limit=1000)
    assert len(page["items"]) == 100
    assert len((await poster.page(limit=1000, cursor=page["next_cursor"]))["items"]) == 1


async def test_readers_while_many_write(
    poster: Poster, stock: Any, account: Any, make_account: Any, database: Any
) -> None:
    """64 writers add and delete comments of some posts while 8 readers page through the whole list."""
    draw = random.Random(20261129)
    ids = await stock([draw.randrange(12) for _ in range(150)])
    busy, untouched = ids[::3], {post_id for n, post_id in enumerate(ids) if n % 3}
    writing = asyncio.Event()
    faults: list[str] = []

    async def write(n: int) -> None:
        writer = make_account()
        mine: list[str] = []
        await writing.wait()
        for _ in range(12):
            if mine and draw.random() < 0.6:
                # 404: the author of the post was faster.
                assert await poster.delete_comment(writer, mine.pop()) in (204, 404)
            elif draw.random() < 0.3:
                # As the author of the post, which may delete other accounts' comments on it.
                await poster.delete_comment(account, await a_comment_of(database, draw.choice(busy)))
            else:
                mine.append((await poster.comment(writer, draw.choice(busy)))["id"])

    async def read(n: int) -> None:
        writing.set()
        for _ in range(4):
            seen = [post["id"] for post in await poster.walk(limit=7 + n)]
            if len(seen) != len(set(seen)):
                faults.append(f"reader {n} was shown a post twice")
            if missing := untouched - set(seen):
                faults.append(f"reader {n} missed {len(missing)} posts that nobody touched")

    async with asyncio.TaskGroup() as group:
        for n in range(64):
            group.create_task(write(n))
        for n in range(8):
            group.create_task(read(n))
    assert faults == []
    wrong = await database.hot.fetchval(
        "SELECT count(*) FROM posts p"
        " WHERE comment_count <> (SELECT count(*) FROM comments c WHERE c.post_id = p.id)"
    )
    assert wrong == 0
