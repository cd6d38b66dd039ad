"""Posts: created from a received picture or an item, read, deleted; a post that fails leaves nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.outbox import UnitOfWork
from kappi_chassis.problems import InsufficientStorage
from kappi_contracts.events import AccountDeleted, JanitorTick
from kappi_galleries.errors import (
    MediaNotFound,
    PicturesUnavailable,
    PictureTypeNotTaken,
    PictureUnusable,
    QuotaExceeded,
)

from .posting import PICTURE, POSTS, Poster, form

pytestmark = pytest.mark.integration


@pytest.fixture
def poster(http: Any) -> Poster:
    return Poster(http)


async def rows(database: Any) -> list[Any]:
    found = await database.hot.fetch("SELECT id, state FROM posts ORDER BY id")
    return [(str(row["id"]), row["state"]) for row in found]


async def topics(published: Any) -> list[str]:
    return [topic for topic, _, _ in await published()]


@pytest.mark.parametrize("caption_first", [True, False])
async def test_a_picture_becomes_a_post(
    http: Any, poster: Poster, account: Any, pictures: Any, published: Any, caption_first: bool
) -> None:
    post = await poster.post(account, caption="Grüße 🏔\n<b>!", caption_first=caption_first)
    assert post == {
        "id": post["id"],
        "author": {"id": str(account.id), "display_name": "Ada"},
        "caption": "Grüße 🏔\n<b>!",
        "image_url": f"https://kappi.example/v1/posts/{post['id']}/image",
        "comment_count": 0,
        "last_comments": [],
        "created_at": "2026-05-01T12:00:00.123456Z",
    }
    assert pictures.kept == {UUID(post["id"]): PICTURE}
    assert await poster.read(post["id"]) == post
    assert (await poster.page())["items"] == [post]
    ((topic, sequence, event),) = await published()
    assert (topic, sequence) == ("PostCreated", 1)
    assert event == {
        "post_id": post["id"],
        "author_id": str(account.id),
        "created_at": "2026-05-01T12:00:00.123456Z",
    }


async def test_an_item_becomes_a_post(http: Any, account: Any, pictures: Any) -> None:
    media_id = uuid4()
    answer = await http("POST", POSTS, body={"media_id": str(media_id)}, token=account.token)
    assert (answer.status, answer.json["caption"]) == (201, None)
    assert pictures.items == {UUID(answer.json["id"]): media_id}


async def test_a_caption_is_as_long_as_its_code_points(poster: Poster, account: Any) -> None:
    assert (await poster.post(account, caption="🏔" * 2000))["caption"] == "🏔" * 2000
    refused = await poster.send(account, caption="🏔" * 2001)
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "caption")
    assert (await poster.post(account, caption=""))["caption"] is None
    assert (await poster.post(account, caption=None))["caption"] is None


async def test_a_post_whose_caption_is_refused_is_given_up(
    poster: Poster, account: Any, database: Any, published: Any, pictures: Any
) -> None:
    """Its picture is stored by then, so it must be removed again."""
    assert (await poster.send(account, caption="x" * 2001)).status == 422
    assert await rows(database) == []
    ((topic, _, event),) = await published()
    assert (topic, event["reason"]) == ("PostDeleted", "abandoned")
    assert event["post_id"] in {str(post_id) for post_id in pictures.kept}


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (PictureTypeNotTaken(), 415),
        (PictureUnusable("It is damaged. (truncated)"), 422),
        (QuotaExceeded(), 403),
        (MediaNotFound(), 404),
        (InsufficientStorage(), 507),
    ],
)
async def test_a_refused_picture_leaves_nothing(
    poster: Poster, account: Any, database: Any, published: Any, pictures: Any, refusal: Any, status: int
) -> None:
    pictures.refusal = refusal
    answer = await poster.send(account)
    assert (answer.status, answer.json["code"], answer.json["detail"]) == (
        status,
        refusal.code,
        refusal.detail,
    )
    assert await rows(database) == []
    assert await published() == []


async def test_a_picture_that_may_have_been_stored_is_removed(
    poster: Poster, account: Any, database: Any, published: Any, pictures: Any
) -> None:
    pictures.refusal = PicturesUnavailable("Try again in a moment.", retry_after_s=2)
    answer = await poster.send(account)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert await rows(database) == []
    ((topic, sequence, event),) = await published()
    assert (topic, sequence, event["reason"]) == ("PostDeleted", 1, "abandoned")


async def test_a_picture_over_the_limit_may_have_been_stored_in_part(
    poster: Poster, account: Any, published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This service ends the upload itself; media discards the part that it has stored."""
    monkeypatch.setattr("kappi_galleries.api.post_uploads.MAX_PICTURE_BYTES", 100_000)
    refused = await poster.send(account, picture=b"\x89PNG" + bytes(120_000))
    assert (refused.status, refused.json["code"]) == (413, "file_too_large")
    assert await topics(published) == ["PostDeleted"]


@pytest.mark.parametrize("caption", [None, "No picture"])
async def test_a_form_without_a_picture_begins_nothing(
    http: Any, account: Any, published: Any, caption: str | None
) -> None:
    part = (
        "" if caption is None else f"--b\r\nContent-Disposition: form-data; name=caption\r\n\r\n{caption}\r\n"
    )
    refused = await http(
        "POST",
        POSTS,
        raw=f"{part}--b--\r\n".encode(),
        headers={"content-type": "multipart/form-data; boundary=b"},
        token=account.token,
    )
    assert refused.status in (400, 422)
    assert await published() == []


async def test_a_draft_that_was_swept_meanwhile_is_no_fault_of_the_token(
    poster: Poster, account: Any, database: Any, pictures: Any
) -> None:
    async def sweep() -> None:
        await database.hot.execute("DELETE FROM posts")

    pictures.before = sweep
    answer = await poster.send(account)
    assert (answer.status, answer.json["code"]) == (503, "pictures_unavailable")


async def test_nobody_sees_a_post_before_its_picture(
    http: Any, poster: Poster, account: Any, database: Any, pictures: Any
) -> None:
    seen: list[Any] = []

    async def look() -> None:
        ((post_id, state),) = await rows(database)
        seen.append((state, (await http("GET", f"{POSTS}/{post_id}")).status, (await poster.page())["items"]))

    pictures.before = look
    await poster.post(account)
    assert seen == [("draft", 404, [])]


async def test_a_crash_between_showing_and_telling_shows_nothing(
    poster: Poster, account: Any, database: Any, published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = UnitOfWork.publish

    async def crash(self: UnitOfWork, *event: Any, **named: Any) -> None:
        monkeypatch.setattr(UnitOfWork, "publish", publish)
        raise ConnectionError("killed")

    monkeypatch.setattr(UnitOfWork, "publish", crash)
    assert (await poster.send(account)).status == 503
    assert await rows(database) == []
    assert await topics(published) == ["PostDeleted"]


async def test_a_draft_of_a_killed_process_is_swept_with_its_picture(
    processor: Any, record: Any, clock: Any, account: Any, database: Any, published: Any
) -> None:
    """The state is as if the process had been killed while the picture was being stored."""
    for age in (timedelta(hours=23), timedelta(hours=25)):
        await database.hot.execute(
            "INSERT INTO posts (id, author_id, state, created_at) VALUES ($1, $2, 'draft', $3)",
            new_id(),
            account.id,
            clock.now - age,
        )
    tick = JanitorTick(schedule="hourly", at=clock.now, origin="timer")
    for _ in range(2):
        await processor.process(record(tick))
    assert [state for _, state in await rows(database)] == ["draft"]
    ((topic, _, event),) = await published()
    assert (topic, event["reason"]) == ("PostDeleted", "abandoned")


async def test_a_tick_from_the_future_takes_no_young_draft(
    processor: Any, record: Any, clock: Any, account: Any, database: Any
) -> None:
    await database.hot.execute(
        "INSERT INTO posts (id, author_id, state, created_at) VALUES ($1, $2, 'draft', $3)",
        new_id(),
        account.id,
        clock.now,
    )
    await processor.process(
        record(JanitorTick(schedule="hourly", at=clock.now + timedelta(days=9), origin="operator"))
    )
    assert len(await rows(database)) == 1


async def test_a_retry_gets_the_first_post(
    poster: Poster, account: Any, other: Any, pictures: Any, published: Any
) -> None:
    first = await poster.send(account, key="0123456789")
    again = await poster.send(account, key="0123456789", boundary="another", caption_first=True)
    assert (again.status, again.json) == (201, first.json)
    assert len(pictures.kept) == 1
    assert (await poster.send(other, key="0123456789")).json["id"] != first.json["id"]
    for changed in ({"picture": PICTURE + b"!"}, {"caption": "Sunset"}, {"caption": None}):
        reused = await poster.send(account, key="0123456789", **changed)
        assert (reused.status, reused.json["code"]) == (422, "idempotency_key_reused")
    assert await topics(published) == ["PostCreated"] * 2


async def test_two_at_once_with_one_key_make_one_post(
    poster: Poster, account: Any, published: Any, database: Any, pictures: Any
) -> None:
    both = asyncio.Barrier(2)

    async def meet() -> None:
        await both.wait()

    pictures.before = meet
    answers = await asyncio.gather(*(poster.send(account, key="0123456789") for _ in range(2)))
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].json == answers[1].json
    assert len(await rows(database)) == 1
    assert sorted(await topics(published)) == ["PostCreated", "PostDeleted"]


async def test_a_retry_of_a_post_of_an_item(http: Any, account: Any, pictures: Any) -> None:
    async def send(caption: str) -> Any:
        body = {"media_id": str(UUID(int=7)), "caption": caption}
        return await http(
            "POST", POSTS, body=body, token=account.token, headers={"idempotency-key": "0123456789"}
        )

    first, again, other = await send("a"), await send("a"), await send("b")
    assert first.json == again.json
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    assert len(pictures.items) == 1


async def test_too_many_uploads_at_once_are_turned_away(make_http: Any, account: Any, pictures: Any) -> None:
    poster = Poster(make_http(post_uploads_at_once=1))
    refused: list[Any] = []

    async def another() -> None:
        pictures.before = None
        refused.append(await poster.send(account))

    pictures.before = another
    await poster.post(account)
    assert [(answer.status, answer.json["code"]) for answer in refused] == [(503, "overloaded")]
    await poster.post(account)


async def test_only_the_author_and_administrators_delete_a_post(
    http: Any, poster: Poster, account: Any, other: Any, make_account: Any, published: Any
) -> None:
    first, second = await poster.post(account), await poster.post(account)

    async def delete(post: Any, token: str | None) -> tuple[int, str]:
        answer = await http("DELETE", f"{POSTS}/{post['id']}", token=token)
        return answer.status, answer.json["code"] if answer.body else ""

    assert await delete(first, None) == (401, "credentials_missing")
    assert await delete(first, other.token) == (403, "post_not_yours")
    assert await delete(first, account.token) == (204, "")
    assert await delete(first, account.token) == (404, "post_not_found")
    assert await delete(second, make_account(role="admin").token) == (204, "")
    assert (await poster.page())["items"] == []
    assert (await http("GET", f"{POSTS}/{first['id']}")).status == 404
    assert (await http("GET", f"{POSTS}/{first['id']}/comments")).status == 404
    gone = [(sequence, event) for topic, sequence, event in await published() if topic == "PostDeleted"]
    assert [(sequence, event["author_id"], event["reason"]) for sequence, event in gone] == [
        (2, str(account.id), "requested")
    ] * 2


async def test_a_deleted_account_posts_nothing_whatever_its_token_says(
    poster: Poster, account: Any, processor: Any, record: Any, clock: Any, database: Any, pictures: Any
) -> None:
    """Also where the account is deleted while the picture arrives."""
    deletion = record(AccountDeleted(account_id=account.id, deleted_at=clock.now))

    async def delete() -> None:
        pictures.before = None
        await processor.process(deletion)

    pictures.before = delete
    for _ in range(2):
        refused = await poster.send(account)
        assert (refused.status, refused.json["code"]) == (401, "access_token_invalid")
    assert [state for _, state in await rows(database)] == ["deleted"]


async def test_a_new_name_is_shown_from_the_next_post_on(
    poster: Poster, make_account: Any, http: Any
) -> None:
    async def post(account: Any, *, age_s: int) -> Any:
        token = account.token_with(iat=int(time.time()) - age_s)
        body, headers = form()
        return (await http("POST", POSTS, raw=body, headers=headers, token=token)).json["id"]

    ada = make_account(name="Ada")
    first = await post(ada, age_s=60)
    await post(replace(ada, name="Ada Lovelace"), age_s=0)
    assert (await poster.read(first))["author"]["display_name"] == "Ada Lovelace"
    # A token from before the change does not restore the old name.
    await post(ada, age_s=30)
    assert (await poster.read(first))["author"]["display_name"] == "Ada Lovelace"
