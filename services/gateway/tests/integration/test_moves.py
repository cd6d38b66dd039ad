"""Moving items: the grant for the target gallery, and finding the items there afterwards."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import msgspec
import pytest
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply, Seen, grant_reply, problem_reply
from kappi_testkit.gateway.stack import Stack

BULK = "/v1/media/bulk"
OTHER_ID = UUID("019c0000-0000-7000-8000-000000000002")
THING_ID = UUID("019c0000-0000-7000-8000-000000000009")
MEDIA = f"/v1/media/{THING_ID}"
JSON = "Content-Type: application/json"
MOVE = msgspec.json.encode({"ids": [THING_ID], "action": "move", "gallery_id": GALLERY_ID})


class Whereabouts:
    """The media service and the galleries service's grants, with an item in one of two galleries."""

    def __init__(self, stack: Stack) -> None:
        self.home = GALLERY_ID
        self.deleted: set[UUID] = set()
        self.lookups = 0
        stack.media.answer = self.media
        stack.galleries.answer = self.grant

    async def media(self, seen: Seen) -> Reply:
        if seen.raw_path.startswith(b"/internal/"):
            self.lookups += 1
            return Reply(body=msgspec.json.encode({"gallery_id": self.home}))
        if seen.headers["x-kappi-grant"] != f"grant-{self.home}":
            return problem_reply(404, "media_not_found")
        return Reply(body=seen.body or b"{}")

    async def grant(self, seen: Seen) -> Reply:
        gallery_id = UUID(seen.json()["gallery_id"])
        if gallery_id in self.deleted:
            return problem_reply(404, "gallery_not_found")
        return grant_reply(grant=f"grant-{gallery_id}", gallery_id=gallery_id)


async def test_a_move_is_sent_with_a_grant_of_the_target_gallery(with_accounts: Stack) -> None:
    token = with_accounts.token()
    for _ in range(2):
        answer = await with_accounts.ask("POST", BULK, f"Authorization: Bearer {token}", JSON, body=MOVE)
        assert answer.status == 200
    assert [seen.json() for seen in with_accounts.grants_asked()] == [
        {"gallery_id": str(GALLERY_ID), "token": token}
    ]
    for seen in with_accounts.media.seen:
        assert (seen.headers["x-kappi-grant"], seen.body) == ("grant-1", MOVE)
        assert seen.headers["authorization"] == f"Bearer {token}"


async def test_a_body_in_many_pieces_is_read_completely(with_accounts: Stack) -> None:
    body = MOVE + b" " * 300_000
    answer = await with_accounts.ask("POST", BULK, with_accounts.bearer(), JSON, body=body)
    assert answer.status == 200
    (seen,) = with_accounts.media.seen
    assert (seen.headers["x-kappi-grant"], seen.body) == ("grant-1", body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"ids": [], "action": "delete"}',
        msgspec.json.encode({"ids": [THING_ID], "action": "tag", "gallery_id": GALLERY_ID}),
        b'{"action": "move"}',
        b'{"action": "move", "gallery_id": "here"}',
        b'{"action": "move", "gallery_id": 7}',
        b"[" * 100_000,
        b'{"action": "\xff"}',
        b"move",
    ],
)
async def test_other_bodies_are_passed_on_unchanged(with_accounts: Stack, body: bytes) -> None:
    answer = await with_accounts.ask("POST", BULK, with_accounts.bearer(), JSON, body=body)
    assert answer.status == 200
    assert with_accounts.grants_asked() == []
    (seen,) = with_accounts.media.seen
    assert "x-kappi-grant" not in seen.headers
    assert seen.body == body


async def test_without_a_token_the_service_refuses(with_accounts: Stack) -> None:
    await with_accounts.ask("POST", BULK, JSON, "X-Gallery-Key: k", body=MOVE)
    assert with_accounts.grants_asked() == []
    assert [seen.headers.get("x-kappi-grant") for seen in with_accounts.media.seen] == [None]


async def test_a_gallery_of_another_account_is_not_found(with_accounts: Stack) -> None:
    with_accounts.galleries.always(problem_reply(404, "gallery_not_found"))
    answer = await with_accounts.ask("POST", BULK, with_accounts.bearer(), JSON, body=MOVE)
    assert (answer.status, answer.code) == (404, "gallery_not_found")
    assert with_accounts.media.seen == []


async def test_an_expired_grant_is_replaced(with_accounts: Stack) -> None:
    line = with_accounts.bearer()
    assert (await with_accounts.ask("POST", BULK, line, JSON, body=MOVE)).status == 200
    replies = [problem_reply(401, "grant_invalid"), Reply()]

    async def once(_: Seen) -> Reply:
        return replies.pop(0)

    with_accounts.media.answer = once
    assert (await with_accounts.ask("POST", BULK, line, JSON, body=MOVE)).status == 200
    assert len(with_accounts.grants_asked()) == 2


async def test_a_moved_item_is_found_in_its_new_gallery(with_accounts: Stack) -> None:
    where, line = Whereabouts(with_accounts), with_accounts.bearer()
    assert (await with_accounts.ask("GET", MEDIA, line)).status == 200
    where.home = OTHER_ID
    answer = await with_accounts.ask("PATCH", MEDIA, line, JSON, body=b'{"caption": "Moved"}')
    assert (answer.status, answer.body) == (200, b'{"caption": "Moved"}')
    assert where.lookups == 2
    assert (await with_accounts.ask("GET", MEDIA, line)).status == 200
    assert where.lookups == 2, "cached again"
    where.home = GALLERY_ID
    assert (await with_accounts.ask("GET", MEDIA, line)).status == 200


async def test_a_moved_item_is_found_when_its_old_gallery_is_deleted(with_accounts: Stack) -> None:
    where = Whereabouts(with_accounts)
    assert (await with_accounts.ask("GET", MEDIA, with_accounts.bearer())).status == 200
    where.home = OTHER_ID
    where.deleted.add(GALLERY_ID)
    # Another token, for which no grant of the old gallery is cached.
    assert (await with_accounts.ask("GET", MEDIA, with_accounts.bearer())).status == 200
    where.deleted.add(OTHER_ID)
    answer = await with_accounts.ask("GET", MEDIA, with_accounts.bearer())
    assert (answer.status, answer.code) == (404, "media_not_found")


async def test_a_streamed_body_for_a_moved_item_is_refused_once_with_503(with_accounts: Stack) -> None:
    where, line = Whereabouts(with_accounts), with_accounts.bearer()
    assert (await with_accounts.ask("GET", MEDIA, line)).status == 200
    where.home = OTHER_ID
    head = f"PATCH {MEDIA} HTTP/1.1\r\nHost: x\r\n{line}\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n"
    statuses = []
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", with_accounts.port)
        for piece in (f"{head}Connection: close\r\n\r\n", "2\r\n{}\r\n", "0\r\n\r\n"):
            writer.write(piece.encode())
            await writer.drain()
            await asyncio.sleep(0.05)
        statuses.append((await reader.read()).split(b" ", 2)[1])
        writer.close()
    assert statuses == [b"503", b"200"]


async def test_an_item_that_was_not_moved_is_not_found(with_accounts: Stack) -> None:
    where, line = Whereabouts(with_accounts), with_accounts.bearer()
    assert (await with_accounts.ask("GET", MEDIA, line)).status == 200

    async def gone(seen: Seen) -> Reply:
        if seen.raw_path.startswith(b"/internal/"):
            return await where.media(seen)
        return problem_reply(404, "link_not_found")

    with_accounts.media.answer = gone
    answer = await with_accounts.ask("DELETE", f"/v1/links/{uuid4()}", line)
    assert (answer.status, answer.code) == (404, "link_not_found"), "the service's own answer"
    with_accounts.media.always(problem_reply(404, "media_not_found"))
    answer = await with_accounts.ask("GET", MEDIA, line)
    assert (answer.status, answer.code) == (404, "media_not_found")


async def test_a_request_with_a_key_does_not_search_other_galleries(with_accounts: Stack) -> None:
    with_accounts.media.always(problem_reply(404, "media_not_found"))
    answer = await with_accounts.ask("GET", MEDIA, "X-Gallery-Key: kappi_mfrggzdfmztwq2lknnwg23tpoa")
    assert (answer.status, answer.code) == (404, "media_not_found")
    assert len(with_accounts.media.seen) == 1
