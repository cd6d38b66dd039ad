"""Credentials become grants; grants are reused, dropped and replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from uuid import UUID

import msgspec
import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply, Seen, grant_reply, problem_reply
from kappi_testkit.gateway.stack import Stack, StackFactory

MEDIA = f"/v1/media/{GALLERY_ID}"


async def test_repeated_views_need_one_grant_request(stack: Stack) -> None:
    for _ in range(3):
        assert (await stack.ask("GET", "/v1/g/abcd")).status == 200
    assert [seen.json() for seen in stack.grants_asked()] == [{"code": "abcd"}]
    assert [seen.headers["x-kappi-grant"] for seen in stack.media.seen] == ["grant-1"] * 3


async def test_a_grant_is_not_reused_for_longer_than_the_setting(stack: Stack) -> None:
    await stack.ask("GET", "/v1/g/abcd")
    stack.time.now_s += 44
    await stack.ask("GET", "/v1/g/abcd")
    assert len(stack.grants_asked()) == 1
    stack.time.now_s += 1
    await stack.ask("GET", "/v1/g/abcd")
    assert len(stack.grants_asked()) == 2


async def test_a_grant_is_not_reused_in_its_last_seconds(stack: Stack) -> None:
    stack.galleries.always(grant_reply(expires_in=12))
    await stack.ask("GET", "/v1/g/abcd")
    stack.time.now_s += 3
    await stack.ask("GET", "/v1/g/abcd")
    assert len(stack.grants_asked()) == 2


async def test_grants_are_cached_per_password(stack: Stack) -> None:
    async def answer(seen: Seen) -> Reply:
        password = seen.json().get("password")
        if password == "Grüße":
            return grant_reply(grant="protected")
        return problem_reply(401, "gallery_password_wrong" if password else "gallery_password_required")

    stack.galleries.answer = answer
    right = "X-Gallery-Password: " + "Grüße".encode().decode("latin-1")
    assert (await stack.ask("GET", "/v1/g/abcd")).code == "gallery_password_required"
    for _ in range(2):
        assert (await stack.ask("GET", "/v1/g/abcd", right)).status == 200
    assert (await stack.ask("GET", "/v1/g/abcd", "X-Gallery-Password: no")).code == "gallery_password_wrong"
    assert (await stack.ask("GET", "/v1/g/abcd")).code == "gallery_password_required"
    assert len(stack.grants_asked()) == 4
    assert len(stack.media.seen) == 2


async def test_concurrent_requests_share_one_grant_request(stack: Stack) -> None:
    released = asyncio.Event()

    async def slowly(_: Seen) -> Reply:
        await released.wait()
        return grant_reply()

    stack.galleries.answer = slowly
    asking = [asyncio.create_task(stack.ask("GET", "/v1/g/abcd")) for _ in range(20)]
    await eventually(lambda: _assert_count(stack.grants_asked(), 1))
    released.set()
    assert [answer.status for answer in await asyncio.gather(*asking)] == [200] * 20
    assert len(stack.grants_asked()) == 1


async def test_a_shared_refusal_has_the_id_of_each_request(stack: Stack) -> None:
    released = asyncio.Event()

    async def slowly(_: Seen) -> Reply:
        await released.wait()
        return problem_reply(403, "gallery_key_wrong")

    stack.galleries.answer = slowly
    ids = [f"request-{number:08d}" for number in range(5)]
    asking = [
        asyncio.create_task(stack.ask("GET", MEDIA, "X-Gallery-Key: nope", f"X-Request-Id: {each}"))
        for each in ids
    ]
    await eventually(lambda: _assert_count(stack.grants_asked(), 1))
    released.set()
    answers = await asyncio.gather(*asking)
    assert [msgspec.json.decode(answer.body)["request_id"] for answer in answers] == ids
    assert [answer.headers["x-request-id"] for answer in answers] == ids
    assert {answer.code for answer in answers} == {"gallery_key_wrong"}


def _assert_count(things: Sized, count: int) -> None:
    assert len(things) == count


async def test_unknown_codes_are_not_cached(stack: Stack) -> None:
    stack.galleries.always(problem_reply(404, "gallery_not_found"))
    answer = await stack.ask("GET", "/v1/g/abcd")
    assert (answer.status, answer.code) == (404, "gallery_not_found")
    stack.galleries.always(grant_reply())
    assert (await stack.ask("GET", "/v1/g/abcd")).status == 200


async def test_unknown_and_impossible_codes_have_the_same_answer(stack: Stack) -> None:
    stack.galleries.always(problem_reply(404, "gallery_not_found"))
    same_id = "X-Request-Id: abcdefgh12345678"
    assert await stack.ask("GET", "/v1/g/abcd", same_id) == await stack.ask("GET", "/v1/g/ab-cd", same_id)


async def test_an_access_key_becomes_a_manage_grant(stack: Stack) -> None:
    for _ in range(2):
        answer = await stack.ask(
            "POST", f"/v1/galleries/{GALLERY_ID}/uploads", "X-Gallery-Key: kappi_k", body=b"{}"
        )
        assert answer.status == 200
    assert [(seen.raw_path, seen.json()) for seen in stack.grants_asked()] == [
        (b"/internal/grants/key", {"access_key": "kappi_k"})
    ]
    assert "x-gallery-key" not in stack.media.seen[-1].headers


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("POST", f"/v1/galleries/{GALLERY_ID}/uploads", "gallery_key_missing"),
        ("DELETE", MEDIA, "gallery_key_missing"),
        ("GET", MEDIA, "credentials_missing"),
    ],
)
async def test_missing_credentials_are_refused(stack: Stack, method: str, target: str, code: str) -> None:
    answer = await stack.ask(method, target)
    assert (answer.status, answer.code) == (401, code)
    assert stack.galleries.seen == stack.media.seen == []


async def test_a_code_does_not_permit_changing_an_item(stack: Stack) -> None:
    assert (await stack.ask("DELETE", MEDIA, "X-Gallery-Code: abcd")).code == "gallery_key_missing"


async def test_a_code_permits_reading_an_item(stack: Stack) -> None:
    assert (await stack.ask("GET", f"{MEDIA}/download", "X-Gallery-Code: ABCD")).status == 200
    assert stack.grants_asked()[-1].json() == {"code": "abcd"}


async def test_the_answer_of_galleries_about_a_key_is_passed_on(stack: Stack) -> None:
    stack.galleries.always(problem_reply(403, "gallery_key_wrong"))
    answer = await stack.ask("GET", MEDIA, "X-Gallery-Key: nope")
    assert (answer.status, answer.code) == (403, "gallery_key_wrong")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_an_error_of_galleries_is_a_503(stack: Stack) -> None:
    stack.galleries.always(problem_reply(500, "internal_error"))
    answer = await stack.ask("GET", "/v1/g/abcd")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "upstream_unavailable", "1")


async def test_an_invalid_answer_of_galleries_is_a_503(stack: Stack) -> None:
    for status in (200, 403):
        stack.galleries.always(Reply(status=status, body=b"<html>"))
        assert (await stack.ask("GET", "/v1/g/abcd")).code == "upstream_unavailable"


async def test_an_expired_grant_is_replaced_once(stack: Stack) -> None:
    await stack.ask("GET", "/v1/g/abcd")
    stack.galleries.always(grant_reply(grant="grant-2"))

    async def only_the_new(seen: Seen) -> Reply:
        return Reply() if seen.headers["x-kappi-grant"] == "grant-2" else problem_reply(401, "grant_invalid")

    stack.media.answer = only_the_new
    assert (await stack.ask("GET", "/v1/g/abcd")).status == 200
    assert (await stack.ask("GET", "/v1/g/abcd")).status == 200
    assert len(stack.grants_asked()) == 2


async def test_a_small_body_is_sent_again_with_the_new_grant(stack: Stack) -> None:
    await stack.ask("PATCH", MEDIA, "X-Gallery-Key: k", body=b"{}")
    answers = [problem_reply(401, "grant_invalid"), Reply()]

    async def once_refused(_: Seen) -> Reply:
        return answers.pop(0)

    stack.media.answer = once_refused
    assert (await stack.ask("PATCH", MEDIA, "X-Gallery-Key: k", body=b'{"a":1}')).status == 200
    assert [seen.body for seen in stack.media.seen[-2:]] == [b'{"a":1}', b'{"a":1}']


async def test_a_refused_new_grant_is_a_503(stack: Stack) -> None:
    stack.media.always(problem_reply(401, "grant_invalid"))
    for asked in (1, 2):
        answer = await stack.ask("GET", "/v1/g/abcd")
        assert (answer.status, answer.code) == (503, "upstream_unavailable")
        assert len(stack.grants_asked()) == asked


async def test_other_refusals_of_media_are_passed_on(stack: Stack) -> None:
    stack.media.always(problem_reply(401, "something_else"))
    answer = await stack.ask("GET", "/v1/g/abcd")
    assert (answer.status, answer.code) == (401, "something_else")
    assert len(stack.grants_asked()) == 1


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_changes_through_this_gateway_drop_grants_at_once(stack: Stack, method: str) -> None:
    await stack.ask("GET", "/v1/g/abcd")
    await stack.ask("GET", MEDIA, "X-Gallery-Key: k")
    stack.galleries.always(Reply(status=204, body=b"", headers=()))
    await stack.ask(method, f"/v1/galleries/{str(GALLERY_ID).upper()}", "X-Gallery-Key: k")
    assert len(stack.cache) == 0


async def test_refused_changes_drop_no_grants(stack: Stack) -> None:
    await stack.ask("GET", "/v1/g/abcd")
    stack.galleries.always(problem_reply(403, "gallery_key_wrong"))
    await stack.ask("DELETE", f"/v1/galleries/{GALLERY_ID}", "X-Gallery-Key: no")
    assert len(stack.cache) == 1


async def test_a_grant_that_is_older_than_a_change_is_not_cached(stack: Stack) -> None:
    released = asyncio.Event()

    async def slowly(_: Seen) -> Reply:
        await released.wait()
        return grant_reply()

    stack.galleries.answer = slowly
    asking = asyncio.create_task(stack.ask("GET", "/v1/g/abcd"))
    await eventually(lambda: _assert_count(stack.grants_asked(), 1))
    stack.cache.drop_gallery(UUID(int=7))
    released.set()
    assert (await asking).status == 200
    assert len(stack.cache) == 0


async def test_secrets_are_not_in_logs(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    stack.galleries.always(problem_reply(500, "internal_error"))
    await stack.ask("GET", "/v1/g/abcd", "X-Gallery-Password: hunter2")
    await stack.ask("GET", MEDIA, "X-Gallery-Key: kappi_topsecret")
    assert "hunter2" not in caplog.text
    assert "kappi_topsecret" not in caplog.text


async def test_grant_requests_with_a_password_name_the_client(make_stack: StackFactory) -> None:
    stack = await make_stack(trusted_proxies="127.0.0.0/8")
    await stack.ask("GET", "/v1/g/abcd", "X-Gallery-Password: p", "X-Forwarded-For: 2001:db8::7")
    assert stack.grants_asked()[-1].json() == {"code": "abcd", "password": "p", "client": "2001:db8::/64"}
