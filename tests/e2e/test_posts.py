"""Posts and comments through the gateway, from their creation to their deletion."""

from __future__ import annotations

import asyncio
import io
import random
import secrets
from typing import Any
from uuid import UUID

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import MovieShape, Shot, encode, movie, quadrants
from PIL import Image

from tests.e2e import evidence, posts
from tests.e2e.accounts import Person, create_gallery, make_admin, sign_up, until_media_ready
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

pytestmark = pytest.mark.real_servers

TURNED = encode(quadrants(900, 600), "JPEG", shot=Shot(orientation=6, place=(48.8577, 2.295, 35.0)))
SMALL = encode(quadrants(60, 40), "PNG")
LARGE = encode(Image.effect_noise((3000, 2000), 80).convert("RGB"), "BMP")
"""18 MB: larger than any other call through the API accepts."""


async def used_bytes(stack: StackUnderTest, account_id: str) -> int:
    statement = "SELECT reserved_bytes + used_bytes FROM accounts WHERE id = $1"
    used: int | None = await evidence.ask_database(stack, "media", statement, UUID(account_id))
    return used or 0


async def test_a_post_is_created_viewed_and_deleted(stack: StackUnderTest, phone: Phone) -> None:
    ada = await sign_up(stack, phone, "ada", display_name="Ada")
    bob = await sign_up(stack, phone, "bob", display_name="Bob")
    once = {"Idempotency-Key": secrets.token_hex(16)}
    post = (await posts.create(phone, ada, TURNED, caption="Gr\u00fc\u00dfe \U0001f3d4", **once)).ok(201)
    again = (await posts.create(phone, ada, TURNED, caption="Gr\u00fc\u00dfe \U0001f3d4", **once)).ok(201)
    assert again == post
    assert post["author"] == {"id": ada.id, "display_name": "Ada"}

    shown = await phone.ask("GET", post["image_url"])
    picture = Image.open(io.BytesIO(shown.body))
    assert (shown.status, picture.format, picture.size) == (200, "JPEG", (600, 600))
    assert dict(picture.getexif()) == {}
    etag = {"If-None-Match": shown.headers["ETag"]}
    assert (await phone.ask("GET", post["image_url"], headers=etag)).status == 304
    head = await phone.ask("HEAD", post["image_url"])
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", shown.headers["ETag"])
    objects = await evidence.objects_under(stack, f"posts/{post['id']}/")
    assert sorted(key.rpartition("/")[2] for key in objects) == ["600x600.jpg", "original"]
    assert await used_bytes(stack, ada.id) == len(TURNED) + len(shown.body)

    first = (await posts.comment(phone, bob, post["id"], "<b>Where?</b>", **once)).ok(201)
    assert (await posts.comment(phone, bob, post["id"], "<b>Where?</b>", **once)).ok(201) == first
    second = (await posts.comment(phone, ada, post["id"], "Lisbon")).ok(201)
    third = (await posts.comment(phone, bob, post["id"], "Ah")).ok(201)
    (listed,) = [each for each in await posts.listed(phone) if each["id"] == post["id"]]
    assert (listed["comment_count"], listed["last_comments"]) == (3, [third, second])
    assert (await phone.ask("GET", f"/v1/posts/{post['id']}")).ok() == listed
    page = (await phone.ask("GET", f"/v1/posts/{post['id']}/comments?limit=2")).ok()
    assert page["items"] == [third, second]
    rest = await phone.ask("GET", f"/v1/posts/{post['id']}/comments?cursor={page['next_cursor']}")
    assert rest.ok() == {"items": [first], "next_cursor": None}

    (await phone.ask("DELETE", f"/v1/comments/{third['id']}", headers=ada.key)).ok(204)
    (await phone.ask("DELETE", f"/v1/comments/{first['id']}", headers=bob.key)).ok(204)
    assert (await phone.ask("GET", f"/v1/posts/{post['id']}")).ok()["comment_count"] == 1

    (await phone.ask("DELETE", f"/v1/posts/{post['id']}", headers=ada.key)).ok(204)
    (await phone.ask("GET", f"/v1/posts/{post['id']}")).problem(404, "post_not_found")
    await eventually(lambda: _nothing_left(stack, phone, post, ada.id), 60)


async def _nothing_left(stack: StackUnderTest, phone: Phone, post: Any, author_id: str) -> None:
    assert (await phone.ask("GET", post["image_url"])).status == 404
    assert await evidence.objects_under(stack, f"posts/{post['id']}/") == []
    assert await used_bytes(stack, author_id) == 0
    left = await evidence.ask_database(
        stack,
        "galleries",
        "SELECT (SELECT count(*) FROM posts WHERE id = $1)"
        " + (SELECT count(*) FROM comments WHERE post_id = $1)",
        UUID(post["id"]),
    )
    assert left == 0


async def test_a_picture_of_the_library_becomes_a_post(stack: StackUnderTest, phone: Phone) -> None:
    """The original is not copied; the post outlives the item."""
    ada = await sign_up(stack, phone, "ada")
    gallery = await create_gallery(phone, ada, visibility="private")
    (media_id,) = await phone.upload(gallery, File("a.jpg", "image/jpeg", TURNED))
    await until_media_ready(phone, ada, media_id)
    body = {"media_id": media_id, "caption": "From my library"}
    post = (await phone.ask("POST", "/v1/posts", json=body, headers=ada.key)).ok(201)
    (picture,) = await evidence.objects_under(stack, f"posts/{post['id']}/")
    assert picture.endswith("/600x600.jpg")
    (await phone.ask("DELETE", f"/v1/media/{media_id}", headers=ada.key)).ok(204)
    assert (await phone.ask("GET", post["image_url"])).status == 200
    again = await phone.ask("POST", "/v1/posts", json=body, headers=ada.key)
    again.problem(404, "media_not_found")


async def test_a_large_picture_is_posted_in_many_pieces(stack: StackUnderTest, phone: Phone) -> None:
    ada = await sign_up(stack, phone, "ada")
    post = (await posts.create(phone, ada, LARGE)).ok(201)
    assert post["caption"] is None
    assert (await phone.ask("GET", post["image_url"])).status == 200
    assert await used_bytes(stack, ada.id) > len(LARGE)


async def test_a_client_that_disconnects_in_the_middle_leaves_no_data(
    stack: StackUnderTest, phone: Phone
) -> None:
    ada = await sign_up(stack, phone, "ada")
    body, content_type = posts.form(LARGE)
    _, writer = await asyncio.open_connection("127.0.0.1", int(stack.base_url.rpartition(":")[2]))
    head = (
        f"POST /v1/posts HTTP/1.1\r\nHost: kappi\r\nAuthorization: {ada.key['Authorization']}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[: len(body) // 2])
    await writer.drain()

    async def begun() -> None:
        assert await used_bytes(stack, ada.id) > 0

    await eventually(begun, 30)
    writer.close()

    async def over() -> None:
        assert await used_bytes(stack, ada.id) == 0
        drafts = await evidence.ask_database(
            stack, "galleries", "SELECT count(*) FROM posts WHERE author_id = $1", UUID(ada.id)
        )
        assert drafts == 0

    await eventually(over, 60)


async def test_posts_and_comments_are_deleted_with_their_account(stack: StackUnderTest, phone: Phone) -> None:
    ada, bob = await sign_up(stack, phone, "ada"), await sign_up(stack, phone, "bob")
    mine = (await posts.create(phone, ada, TURNED)).ok(201)
    other_post = (await posts.create(phone, bob, TURNED)).ok(201)
    for author in (ada, bob):
        (await posts.comment(phone, author, other_post["id"], "Hello")).ok(201)
    (await phone.ask("DELETE", "/v1/me", headers=ada.key)).ok(204)

    async def gone() -> None:
        assert (await phone.ask("GET", f"/v1/posts/{mine['id']}")).status == 404
        assert await evidence.objects_under(stack, f"posts/{mine['id']}/") == []
        left = (await phone.ask("GET", f"/v1/posts/{other_post['id']}")).ok()
        assert [comment["author"]["id"] for comment in left["last_comments"]] == [bob.id]
        assert left["comment_count"] == 1

    await eventually(gone, 60)


async def test_administrators_delete_posts_and_comments(stack: StackUnderTest, phone: Phone) -> None:
    ada, admin = await sign_up(stack, phone, "ada"), await make_admin(stack, phone)
    post = (await posts.create(phone, ada, TURNED)).ok(201)
    comment = (await posts.comment(phone, ada, post["id"], "Spam")).ok(201)
    (await phone.ask("DELETE", f"/v1/comments/{comment['id']}", headers=admin.key)).ok(204)
    (await phone.ask("DELETE", f"/v1/posts/{post['id']}", headers=admin.key)).ok(204)


async def test_an_idempotency_key_is_for_one_post_and_one_comment(
    stack: StackUnderTest, phone: Phone
) -> None:
    ada = await sign_up(stack, phone, "ada")
    once = {"Idempotency-Key": secrets.token_hex(16)}
    post = (await posts.create(phone, ada, TURNED, caption="a", **once)).ok(201)
    (await posts.create(phone, ada, TURNED, caption="b", **once)).problem(422, "idempotency_key_reused")
    (await posts.comment(phone, ada, post["id"], "a", **once)).ok(201)
    refused = await posts.comment(phone, ada, post["id"], "b", **once)
    refused.problem(422, "idempotency_key_reused")


async def test_a_film_and_an_unready_item_cannot_become_posts(stack: StackUnderTest, phone: Phone) -> None:

    ada = await sign_up(stack, phone, "ada")
    gallery = await create_gallery(phone, ada)
    film = File("a.mp4", "video/mp4", movie(MovieShape(width=64, height=48, seconds=1)))
    (media_id,) = await phone.upload(gallery, film)
    await until_media_ready(phone, ada, media_id)
    refused = await phone.ask("POST", "/v1/posts", json={"media_id": media_id}, headers=ada.key)
    refused.problem(422, "media_not_a_picture")


async def test_too_many_comments_are_refused_with_a_retry_after(stack: StackUnderTest, phone: Phone) -> None:
    ada = await sign_up(stack, phone, "ada")
    post = (await posts.create(phone, ada, TURNED)).ok(201)
    answers = await asyncio.gather(*(posts.comment(phone, ada, post["id"], f"{n}") for n in range(45)))
    refused = [answer for answer in answers if answer.status != 201]
    assert 10 <= len(refused) <= 15
    for answer in refused:
        answer.problem(429, "too_many_comments")
        assert 1 <= int(answer.headers["Retry-After"]) <= 3
    shown = (await phone.ask("GET", f"/v1/posts/{post['id']}")).ok()
    assert shown["comment_count"] == 45 - len(refused)


async def test_pages_are_complete_and_counts_exact_during_many_writes(
    stack: StackUnderTest, phone: Phone
) -> None:
    """64 writers add and delete comments while 8 readers page through the whole list."""
    draw = random.Random(20261129)
    authors = [await sign_up(stack, phone, "author") for _ in range(2)]
    writers = await asyncio.gather(*(sign_up(stack, phone, "writer") for _ in range(64)))
    made = [(await posts.create(phone, authors[n % 2], SMALL)).ok(201)["id"] for n in range(36)]
    for post in made[1::3]:
        (await posts.comment(phone, authors[0], post, "One that stays")).ok(201)
    busy, untouched = made[::3], {post for n, post in enumerate(made) if n % 3}
    writing = asyncio.Event()
    done = 0

    async def write(writer: Person) -> None:
        nonlocal done
        mine: list[str] = []
        await writing.wait()
        for _ in range(10):
            if mine and draw.random() < 0.5:
                path = f"/v1/comments/{mine.pop()}"
                assert (await phone.ask("DELETE", path, headers=writer.key)).status == 204
            else:
                mine.append((await posts.comment(phone, writer, draw.choice(busy), "Fine")).ok(201)["id"])
        done += 1

    async def read(number: int) -> int:
        writing.set()
        walks = 0
        while done < len(writers) or not walks:
            seen = [post["id"] for post in await posts.listed(phone, limit=5 + number)]
            assert len(seen) == len(set(seen)), "no post is shown twice"
            assert untouched <= set(seen), "no unchanged post is missed"
            walks += 1
        return walks

    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(write(writer))
        readers = [group.create_task(read(number)) for number in range(8)]
    assert sum(reader.result() for reader in readers) >= 8
    wrong = await evidence.ask_database(
        stack,
        "galleries",
        "SELECT count(*) FROM posts p"
        " WHERE comment_count <> (SELECT count(*) FROM comments c WHERE c.post_id = p.id)",
    )
    assert wrong == 0
    for author in authors:
        assert (await phone.ask("DELETE", "/v1/me", headers=author.key)).status == 204
