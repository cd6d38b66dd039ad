"""Comments: adding, listing, deleting with permission, and exact counting."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from uuid import UUID

import pytest
from kappi_contracts.envelope import decode
from kappi_contracts.events import AccountDeleted, JanitorTick, PostDeleted
from kappi_galleries import metrics
from kappi_galleries.repository.comments import CommentQueries, purge_some_of_post, take_some_of_author
from kappi_galleries.use_cases import comments
from structlog.testing import capture_logs

from .posting import POSTS, Poster

pytestmark = pytest.mark.integration


@pytest.fixture
def poster(http: Any) -> Poster:
    return Poster(http)


@pytest.fixture
async def post(poster: Poster, account: Any) -> Any:
    return await poster.post(account)


async def counts(database: Any) -> dict[str, tuple[int, int]]:
    """Returns each post's stored count and its real number of comments."""
    found = await database.hot.fetch(
        "SELECT id, comment_count, (SELECT count(*) FROM comments c WHERE c.post_id = p.id) AS counted"
        " FROM posts p"
    )
    return {str(row["id"]): (row["comment_count"], row["counted"]) for row in found}


async def told(published: Any, topic: str) -> list[tuple[int, Any]]:
    return [(sequence, event) for each, sequence, event in await published() if each == topic]


async def test_a_comment_is_kept_as_written(poster: Poster, post: Any, other: Any, published: Any) -> None:
    text = "  <script>alert('1')</script> \u202e\n👩‍👩‍👧 e\u0301 "
    comment = await poster.comment(other, post["id"], text)
    assert comment == {
        "id": comment["id"],
        "post_id": post["id"],
        "author": {"id": str(other.id), "display_name": "Ada"},
        "text": text,
        "created_at": "2026-05-01T12:00:00.123456Z",
    }
    shown = await poster.read(post["id"])
    assert (shown["comment_count"], shown["last_comments"]) == (1, [comment])
    ((sequence, event),) = await told(published, "CommentAdded")
    assert sequence == 2
    assert event == {
        "post_id": post["id"],
        "comment_id": comment["id"],
        "author_id": str(other.id),
        "post_author_id": post["author"]["id"],
        "created_at": "2026-05-01T12:00:00.123456Z",
    }


@pytest.mark.parametrize("text", ["x" * 2000, "🏔" * 2000, "\u3000x"])
async def test_texts_are_measured_in_code_points(poster: Poster, post: Any, account: Any, text: str) -> None:
    assert (await poster.comment(account, post["id"], text))["text"] == text


@pytest.mark.parametrize("text", ["", " \n\u3000", "x" * 2001, "a\0b"])
async def test_texts_that_are_none(poster: Poster, post: Any, account: Any, text: str) -> None:
    refused = await poster.send_comment(account, post["id"], text)
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "text")


async def test_the_newest_come_first(http: Any, poster: Poster, post: Any, account: Any) -> None:
    made = [await poster.comment(account, post["id"], f"{n}") for n in range(5)]
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        path = f"{POSTS}/{post['id']}/comments?limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = (await http("GET", path)).json
        found += page["items"]
        cursor = page["next_cursor"]
    assert found == made[::-1]
    assert (await poster.read(post["id"]))["last_comments"] == made[:2:-1]


async def test_a_post_without_comments_has_an_empty_page(http: Any, post: Any) -> None:
    page = (await http("GET", f"{POSTS}/{post['id']}/comments")).json
    assert page == {"items": [], "next_cursor": None}


async def test_who_may_delete_a_comment(
    poster: Poster, post: Any, account: Any, other: Any, make_account: Any, published: Any, database: Any
) -> None:
    stranger, admin = make_account(), make_account(role="admin")
    for deleter, status in ((other, 204), (account, 204), (admin, 204), (stranger, 403)):
        comment = await poster.comment(other, post["id"])
        assert await poster.delete_comment(deleter, comment["id"]) == status
        if status == 204:
            assert await poster.delete_comment(deleter, comment["id"]) == 404
    assert await counts(database) == {post["id"]: (1, 1)}
    gone = await told(published, "CommentDeleted")
    assert [(sequence, event["author_id"], event["reason"]) for sequence, event in gone] == [
        (sequence, str(other.id), "requested") for sequence in (3, 5, 7)
    ]


async def test_a_retry_gets_the_first_comment(poster: Poster, post: Any, account: Any, database: Any) -> None:
    first = await poster.send_comment(account, post["id"], "once", key="0123456789")
    again = await poster.send_comment(account, post["id"], "once", key="0123456789")
    assert (first.status, again.json) == (201, first.json)
    other = await poster.send_comment(account, post["id"], "twice", key="0123456789")
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    assert await counts(database) == {post["id"]: (1, 1)}


async def test_one_comment_deleted_by_many_at_once_is_counted_once(
    poster: Poster, post: Any, account: Any, database: Any
) -> None:
    kept = await poster.comment(account, post["id"])
    comment = await poster.comment(account, post["id"])
    answers = await asyncio.gather(*(poster.delete_comment(account, comment["id"]) for _ in range(8)))
    assert sorted(answers) == [204] + [404] * 7
    assert await counts(database) == {post["id"]: (1, 1)}
    assert (await poster.read(post["id"]))["last_comments"] == [kept]


async def test_comments_and_deletions_at_once_leave_an_exact_count(
    poster: Poster, post: Any, account: Any, database: Any, published: Any
) -> None:
    async def come_and_go(n: int) -> None:
        comment = await poster.comment(account, post["id"], f"{n}")
        if n % 3:
            assert await poster.delete_comment(account, comment["id"]) == 204

    await asyncio.gather(*(come_and_go(n) for n in range(30)))
    assert await counts(database) == {post["id"]: (10, 10)}
    sequences = [sequence for _, sequence, event in await published() if event["post_id"] == post["id"]]
    assert sequences == list(range(1, 52))


async def test_nobody_comments_on_a_post_that_is_gone(
    http: Any, poster: Poster, post: Any, account: Any
) -> None:
    """Also where this process has cached the post's author."""
    comment = await poster.comment(account, post["id"])
    assert (await http("DELETE", f"{POSTS}/{post['id']}", token=account.token)).status == 204
    for answer in (
        await poster.send_comment(account, post["id"], "late"),
        await poster.send_comment(account, post["id"], "late", key="0123456789"),
    ):
        assert (answer.status, answer.json["code"]) == (404, "post_not_found")
    assert await poster.delete_comment(account, comment["id"]) == 404


class TestPostDeleted:
    """The consumer that removes the comments of a deleted post."""

    @pytest.fixture
    async def deleted(
        self, http: Any, poster: Poster, post: Any, account: Any, record: Any, clock: Any
    ) -> Any:
        for n in range(5):
            await poster.comment(account, post["id"], f"{n}")
        await http("DELETE", f"{POSTS}/{post['id']}", token=account.token)
        event = PostDeleted(
            post_id=UUID(post["id"]), author_id=account.id, reason="requested", deleted_at=clock.now
        )
        return record(event, sequence=7)

    async def _left(self, database: Any) -> tuple[int, int]:
        row = await database.hot.fetchrow(
            "SELECT (SELECT count(*) FROM posts), (SELECT count(*) FROM comments)"
        )
        return tuple(row)

    async def test_all_of_it_goes_and_again_is_the_same_as_once(
        self, processor: Any, deleted: Any, database: Any, dead_letters: Any
    ) -> None:
        assert await self._left(database) == (1, 5)
        for _ in range(2):
            await processor.process(deleted)
        assert await self._left(database) == (0, 0)
        assert dead_letters.letters == []

    async def test_a_crash_between_two_pages_loses_nothing(
        self, deps: Any, processor: Any, deleted: Any, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        purge = purge_some_of_post
        calls = 0

        async def crash(*arguments: Any, **named: Any) -> int:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise ConnectionError("killed")
            return await purge(*arguments, **{**named, "limit": 2})

        monkeypatch.setattr(comments, "purge_some_of_post", crash)
        handler = comments.PurgeComments(deps.outbox, page=2)
        with pytest.raises(ConnectionError):
            await handler(cast("Any", decode(deleted.value, deleted.headers)))
        assert await self._left(database) == (1, 3)
        monkeypatch.setattr(comments, "purge_some_of_post", purge)
        await processor.process(deleted)
        assert await self._left(database) == (0, 0)

    async def test_one_of_a_post_that_lives_takes_nothing(
        self, processor: Any, poster: Poster, account: Any, record: Any, clock: Any, database: Any
    ) -> None:
        """Only this service publishes `PostDeleted`, so this never comes; a live post would survive it."""
        live = await poster.post(account)
        await processor.process(
            record(
                PostDeleted(
                    post_id=UUID(live["id"]), author_id=account.id, reason="requested", deleted_at=clock.now
                )
            )
        )
        assert live["id"] in await counts(database)


async def test_with_an_account_its_posts_and_comments_go(
    poster: Poster,
    post: Any,
    account: Any,
    other: Any,
    processor: Any,
    record: Any,
    clock: Any,
    database: Any,
    published: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kappi_galleries.use_cases.delete_account_content.COMMENT_PAGE", 2)
    theirs = await poster.post(other)
    for n in range(3):
        await poster.comment(other, post["id"], f"{n}")
    kept = await poster.comment(account, post["id"], "mine")
    await poster.comment(account, theirs["id"])
    deletion = record(AccountDeleted(account_id=other.id, deleted_at=clock.now))
    for _ in range(2):
        await processor.process(deletion)
    shown = await poster.read(post["id"])
    assert (shown["comment_count"], shown["last_comments"]) == (1, [kept])
    assert [each["id"] for each in (await poster.page())["items"]] == [post["id"]]
    reasons = [(topic, event["reason"]) for topic, _, event in await published() if topic.endswith("Deleted")]
    assert sorted(reasons) == [("CommentDeleted", "account_deleted")] * 3 + [
        ("PostDeleted", "account_deleted")
    ]
    assert [sequence for sequence, _ in await told(published, "CommentDeleted")] == [6, 7, 8]
    row = await database.hot.fetchrow(
        "SELECT display_name, deleted_at FROM authors WHERE account_id = $1", other.id
    )
    assert (row["display_name"], row["deleted_at"]) == (None, clock.now)
    refused = await poster.send_comment(other, post["id"], "still here")
    assert (refused.status, refused.json["code"]) == (401, "access_token_invalid")


async def test_an_account_goes_beside_the_purge_of_its_posts(
    poster: Poster,
    account: Any,
    other: Any,
    processor: Any,
    record: Any,
    clock: Any,
    database: Any,
    published: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The account's own deletion publishes the events whose handler removes its posts' comments at the same
    time.
    """
    monkeypatch.setattr("kappi_galleries.use_cases.delete_account_content.COMMENT_PAGE", 5)
    mine, theirs = await poster.post(other), await poster.post(account)
    for post in (mine, theirs) * 10:
        await poster.comment(other, post["id"])
    deletion = record(AccountDeleted(account_id=other.id, deleted_at=clock.now))

    async def purge() -> None:
        event = PostDeleted(
            post_id=UUID(mine["id"]), author_id=other.id, reason="account_deleted", deleted_at=clock.now
        )
        while await database.hot.fetchval("SELECT count(*) FROM posts WHERE id = $1", UUID(mine["id"])):
            await processor.process(record(event))

    await asyncio.gather(processor.process(deletion), purge())
    assert await counts(database) == {theirs["id"]: (0, 0)}
    assert await database.hot.fetchval("SELECT count(*) FROM comments") == 0


async def test_an_account_goes_whole_though_others_remove_its_comments_meanwhile(
    poster: Poster,
    post: Any,
    account: Any,
    other: Any,
    processor: Any,
    record: Any,
    clock: Any,
    database: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page from which another transaction removed a comment is not the last page."""
    monkeypatch.setattr("kappi_galleries.use_cases.delete_account_content.COMMENT_PAGE", 3)
    made = [await poster.comment(other, post["id"]) for _ in range(9)]
    taken = 0

    async def take(connection: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal taken
        taken += 1
        found = await take_some_of_author(connection, *arguments, **named)
        return (found[0][1:], found[1]) if taken == 1 else found

    monkeypatch.setattr("kappi_galleries.use_cases.delete_account_content.take_some_of_author", take)
    await processor.process(record(AccountDeleted(account_id=other.id, deleted_at=clock.now)))
    assert (taken, await counts(database)) == (4, {post["id"]: (0, 0)})
    assert len(made) == 9


async def test_a_tick_mends_counts_that_are_wrong_and_says_so(
    poster: Poster,
    post: Any,
    account: Any,
    processor: Any,
    record: Any,
    clock: Any,
    database: Any,
) -> None:
    others = [await poster.post(account) for _ in range(3)]
    await poster.comment(account, post["id"])
    await poster.comment(account, others[0]["id"])
    await database.hot.execute("UPDATE posts SET comment_count = 7 WHERE id = $1", UUID(post["id"]))
    await database.hot.execute("UPDATE posts SET comment_count = 0 WHERE id = $1", UUID(others[0]["id"]))
    tick = record(JanitorTick(schedule="hourly", at=clock.now, origin="timer"))
    mended = metrics.COUNTS_MENDED._value.get()
    with capture_logs() as logged:
        await processor.process(tick)
    assert metrics.COUNTS_MENDED._value.get() == mended + 2
    assert {
        (line["post_id"], line["comment_count"]) for line in logged if line["event"] == "posts.count_mended"
    } == {
        (post["id"], 1),
        (others[0]["id"], 1),
    }
    assert set((await counts(database)).values()) == {(1, 1), (0, 0)}
    versions = await database.hot.fetchval("SELECT array_agg(version ORDER BY id) FROM posts")
    await processor.process(tick)
    assert await database.hot.fetchval("SELECT array_agg(version ORDER BY id) FROM posts") == versions


async def test_every_page_of_posts_is_checked(
    deps: Any,
    poster: Poster,
    account: Any,
    database: Any,
    monkeypatch: pytest.MonkeyPatch,
    make_settings: Any,
) -> None:
    monkeypatch.setattr(comments, "CHECK_PAGE", 2)
    for _ in range(5):
        await poster.post(account)
    await database.hot.execute("UPDATE posts SET comment_count = 3")
    check = comments.CheckCommentCounts(CommentQueries(deps.database), outbox=deps.outbox)
    assert await check(deps.clock()) == (5, 5)
    assert await check(deps.clock()) == (5, 0)
    # There are more posts than a tick checks: the next tick continues, and then begins again.
    monkeypatch.setattr(comments, "CHECKED_PER_TICK", 4)
    await database.hot.execute("UPDATE posts SET comment_count = 3")
    assert [await check(deps.clock()) for _ in range(3)] == [(4, 4), (1, 1), (4, 0)]
