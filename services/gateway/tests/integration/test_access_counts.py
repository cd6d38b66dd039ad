"""Views and downloads that a cap limits: counted after the service has answered, before the client has it."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from kappi_contracts.grants import (
    ACCESS_HEADER,
    COUNTED_HEADER,
    AccessCount,
    counted_access,
    recorded_access,
)
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply, Seen, grant_reply, problem_reply
from kappi_testkit.gateway.stack import Stack

VIEW, DOWNLOAD = "/v1/g/abcd", f"/v1/media/{GALLERY_ID}/download"
SIGNED = f"{DOWNLOAD}?redirect=true&expires=1&signature=ab"
OTHER = UUID("019c0000-0000-7000-8000-000000000002")
KEY = "X-Gallery-Key: kappi_" + "a" * 26


def counts(stack: Stack) -> list[bytes]:
    return [seen.raw_path for seen in stack.galleries.seen if b"/grants/" not in seen.raw_path]


def answers(stack: Stack, *, counted: int = 204, key_of: UUID = GALLERY_ID) -> None:
    """Makes the galleries service count with this status, and give grants."""

    async def answer(seen: Seen) -> Reply:
        if seen.raw_path.startswith(b"/internal/galleries/"):
            return Reply(status=204) if counted == 204 else problem_reply(counted, "gallery_not_found")
        return grant_reply(gallery_id=key_of if seen.raw_path.endswith(b"/key") else GALLERY_ID)

    stack.galleries.answer = answer


RECORD = recorded_access("view", GALLERY_ID)


def media_counts(stack: Stack, count: AccessCount, *, records: int = 204) -> None:
    """Makes the media service name this count and an access, which it records with this status."""
    headers = (
        (COUNTED_HEADER.encode(), counted_access(count, GALLERY_ID).encode()),
        (ACCESS_HEADER.encode(), RECORD.encode()),
    )

    async def answer(seen: Seen) -> Reply:
        return Reply(status=records) if seen.method == "POST" else Reply(headers=headers)

    stack.media.answer = answer


def recorded(stack: Stack) -> list[Seen]:
    return [seen for seen in stack.media.seen if seen.method == "POST"]


@pytest.mark.parametrize(
    ("target", "count"),
    [
        (VIEW, "views"),
        (f"{VIEW}/archive", "downloads"),
        (SIGNED, "downloads"),
        (f"{VIEW}/cover", "previews"),
    ],
)
async def test_an_answer_is_counted_each_time_and_then_given(
    stack: Stack, target: str, count: AccessCount
) -> None:
    answers(stack)
    media_counts(stack, count)
    for _ in range(3):
        answer = await stack.ask("GET", target)
        assert (answer.status, answer.body) == (200, b"{}")
        assert not {COUNTED_HEADER, ACCESS_HEADER} & set(answer.headers)
    assert [seen.raw_path for seen in recorded(stack)] == [RECORD.encode()] * 3
    assert counts(stack) == [counted_access(count, GALLERY_ID).encode()] * 3


@pytest.mark.parametrize("target", [VIEW, f"{VIEW}/archive", SIGNED, f"{VIEW}/cover"])
async def test_an_answer_past_the_cap_is_that_of_an_expired_gallery(stack: Stack, target: str) -> None:
    answers(stack, counted=404)
    media_counts(stack, "views")
    answer = await stack.ask("GET", target)
    assert (answer.status, answer.code) == (404, "gallery_not_found")
    assert recorded(stack) == []
    stack.galleries.always(problem_reply(404, "gallery_not_found"))
    stack.time.now_s += 60
    expired = await stack.ask("GET", VIEW)
    bodies = [msgspec.json.decode(seen.body) | {"request_id": ""} for seen in (answer, expired)]
    assert bodies[0] == bodies[1]


async def test_without_a_cap_nothing_is_asked(stack: Stack) -> None:
    answers(stack)
    stack.media.always(Reply())
    for target in (VIEW, f"{VIEW}/archive", SIGNED):
        assert (await stack.ask("GET", target)).status == 200
    assert counts(stack) == []


async def test_an_answer_that_cannot_be_counted_is_not_given(stack: Stack) -> None:
    answers(stack, counted=500)
    media_counts(stack, "views")
    assert (await stack.ask("GET", VIEW)).status == 503
    assert recorded(stack) == []


async def test_an_access_is_recorded_with_what_its_caller_says(with_accounts: Stack) -> None:
    stack = with_accounts
    answers(stack, key_of=OTHER)
    media_counts(stack, "views")
    lines = ("Accept-Language: de", "User-Agent: curl/8", "Range: bytes=0-")
    assert (await stack.ask("GET", VIEW, *lines, KEY, stack.bearer())).status == 200
    (seen,) = recorded(stack)
    told = {"accept-language": "de", "user-agent": "curl/8", "x-kappi-role": "user"}
    assert {**seen.headers, **told, "x-forwarded-for": "127.0.0.1"} == seen.headers
    assert not {"range", "authorization", "x-gallery-key"} & set(seen.headers)


async def test_statistics_refuse_no_answer(stack: Stack) -> None:
    answers(stack)
    media_counts(stack, "views", records=500)
    assert (await stack.ask("GET", VIEW)).status == 200


async def test_the_managers_own_look_is_not_counted(with_accounts: Stack) -> None:
    stack = with_accounts
    answers(stack, counted=404)
    media_counts(stack, "views")
    for credential in (KEY, stack.bearer()):
        assert (await stack.ask("GET", VIEW, credential)).status == 200
    assert (counts(stack), len(recorded(stack))) == ([], 2)


async def test_the_credential_of_another_gallery_counts(with_accounts: Stack) -> None:
    stack = with_accounts
    answers(stack, key_of=OTHER)
    media_counts(stack, "views")
    assert (await stack.ask("GET", VIEW, KEY)).status == 200
    assert (await stack.ask("GET", VIEW, "Authorization: Bearer no-token")).status == 200
    assert len(counts(stack)) == 2


async def test_a_client_cannot_name_a_count(stack: Stack) -> None:
    answers(stack)
    stack.media.always(Reply())
    await stack.ask("GET", VIEW, f"{COUNTED_HEADER}: {counted_access('views', OTHER)}")
    assert counts(stack) == []
    assert COUNTED_HEADER not in stack.media.seen[0].headers
