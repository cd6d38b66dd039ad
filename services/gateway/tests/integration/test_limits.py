"""Limits per address and per account."""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from uuid import UUID

import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply, Seen, grant_reply, problem_reply
from kappi_testkit.gateway.raw_http import RawAnswer
from kappi_testkit.gateway.stack import Stack, StackFactory

FORWARDED = "X-Forwarded-For: "


async def unknown(seen: Seen) -> Reply:
    good = seen.raw_path == b"/internal/grants/view" and seen.json()["code"] == "good"
    return grant_reply() if good else problem_reply(404, "gallery_not_found")


@pytest.fixture
async def guarded(make_stack: StackFactory) -> Stack:
    stack = await make_stack(guess_burst=3, guesses_per_minute=6, trusted_proxies="127.0.0.0/8")
    stack.galleries.answer = unknown
    return stack


async def guess(stack: Stack, code: str, address: str = "1.1.1.1") -> RawAnswer:
    return await stack.ask("GET", f"/v1/g/{code}", FORWARDED + address)


async def test_guessing_is_refused_even_for_codes_that_exist(guarded: Stack) -> None:
    assert (await guess(guarded, "good", "1.1.1.2")).status == 200, "it is in the gateway's cache"
    for number in range(3):
        assert (await guess(guarded, f"no{number}")).status == 404
    refused = await guess(guarded, "good")
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "too_many_guesses", "10")
    assert len(guarded.grants_asked()) == 4


@pytest.mark.parametrize("meanwhile_s", [0, 300], ids=["kept", "asked for again"])
async def test_a_code_that_an_address_has_found_works_while_its_guesses_are_refused(
    guarded: Stack, meanwhile_s: float
) -> None:
    assert (await guess(guarded, "good")).status == 200
    guarded.time.now_s += meanwhile_s
    for number in range(9):
        await guess(guarded, f"no{number}")
    assert (await guess(guarded, "no9")).status == 429
    for code in ("good", " GOOD ".replace(" ", "%20")):
        assert (await guess(guarded, code)).status == 200
    assert (await guess(guarded, "no9")).status == 429


async def test_a_found_code_gives_no_further_guesses(guarded: Stack) -> None:
    for number in range(3):
        await guess(guarded, f"no{number}")
    guarded.time.now_s += 10
    assert (await guess(guarded, "good")).status == 200
    assert (await guess(guarded, "no3")).status == 404
    for number in range(3):
        await guarded.ask("GET", "/v1/g/good", FORWARDED + "1.1.1.1", f"X-Gallery-Password: {number}")
    assert (await guess(guarded, "no4")).status == 429


async def test_a_found_code_that_became_invalid_counts_as_a_guess(guarded: Stack) -> None:
    assert (await guess(guarded, "good")).status == 200
    guarded.time.now_s += 300
    for number in range(3):
        await guess(guarded, f"no{number}")
    guarded.galleries.always(problem_reply(404, "gallery_not_found"))
    assert [(await guess(guarded, "good")).status for _ in range(2)] == [404, 429]


async def test_a_code_is_found_even_if_its_password_is_wrong(guarded: Stack) -> None:
    guarded.galleries.always(problem_reply(401, "gallery_password_required"))
    assert (await guess(guarded, "good")).status == 401
    guarded.galleries.answer = unknown
    for number in range(4):
        await guess(guarded, f"no{number}")
    answer = await guarded.ask("GET", "/v1/g/good", FORWARDED + "1.1.1.1", "X-Gallery-Password: tram")
    assert answer.status == 200


async def test_a_request_succeeds_after_retry_after(guarded: Stack) -> None:
    for number in range(3):
        await guess(guarded, f"no{number}")
    guarded.time.now_s += 9.5
    assert (await guess(guarded, "good")).headers["retry-after"] == "1"
    guarded.time.now_s += 0.5
    assert (await guess(guarded, "good")).status == 200


async def test_right_codes_do_not_count(guarded: Stack) -> None:
    for _ in range(10):
        assert (await guess(guarded, "good")).status == 200


async def test_addresses_are_limited_separately(guarded: Stack) -> None:
    for number in range(4):
        await guess(guarded, f"no{number}")
    assert (await guess(guarded, "good", "1.1.1.2")).status == 200


async def test_an_ipv6_site_is_one_address(guarded: Stack) -> None:
    for number in range(3):
        await guess(guarded, f"no{number}", f"2001:db8::{number + 1}")
    assert (await guess(guarded, "good", "2001:db8::ffff:1")).status == 429
    assert (await guess(guarded, "good", "2001:db8:0:1::1")).status == 200


async def test_concurrent_guesses_are_limited(guarded: Stack) -> None:
    answers = await asyncio.gather(*(guess(guarded, f"n{number}") for number in range(20)))
    assert sorted(answer.status for answer in answers) == [404] * 3 + [429] * 17
    assert len(guarded.grants_asked()) == 3


async def test_impossible_codes_count(guarded: Stack) -> None:
    for _ in range(3):
        await guess(guarded, "no-code")
    assert (await guess(guarded, "good")).status == 429


async def test_codes_in_a_header_count(guarded: Stack) -> None:
    target = "/v1/media/019c0000-0000-7000-8000-000000000001"
    for _ in range(3):
        await guarded.ask("GET", target, "X-Gallery-Code: nope", FORWARDED + "1.1.1.1")
    assert (await guess(guarded, "good")).status == 429


async def test_an_outage_of_galleries_counts_no_guess(guarded: Stack) -> None:
    guarded.galleries.always(problem_reply(503, "overloaded"))
    for _ in range(5):
        assert (await guess(guarded, "good")).status == 503


@pytest.mark.parametrize(("service", "target"), [("galleries", "/v1/g/good"), ("media", "/v1/l/good")])
async def test_a_service_that_hangs_counts_no_guess(
    make_stack: StackFactory, service: str, target: str
) -> None:
    stack = await make_stack(guess_burst=2, read_timeout=0.05)
    getattr(stack, service).answer = _never
    for _ in range(5):
        answer = await stack.ask("GET", target)
        assert (answer.status, answer.code) == (504, "upstream_timeout")


async def _never(_: Seen) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


async def test_an_untrusted_peer_cannot_choose_its_address(make_stack: StackFactory) -> None:
    stack = await make_stack(guess_burst=2)
    stack.galleries.answer = unknown
    statuses = [(await guess(stack, f"no{number}", f"9.9.9.{number}")).status for number in range(3)]
    assert statuses == [404, 404, 429]


async def test_creation_is_limited(make_stack: StackFactory) -> None:
    stack = await make_stack(creation_burst=2, creations_per_hour=60)
    stack.galleries.always(Reply(status=201))
    statuses = [(await stack.ask("POST", "/v1/galleries", body=b"{}")).status for _ in range(2)]
    refused = await stack.ask("POST", "/v1/galleries", "Authorization: Bearer made-up", body=b"{}")
    assert (statuses, refused.status, refused.code) == ([201, 201], 429, "too_many_galleries")
    assert refused.headers["retry-after"] == "60"
    stack.time.now_s += 60
    assert (await stack.ask("POST", "/v1/galleries", body=b"{}")).status == 201


async def test_failed_creations_do_not_count(make_stack: StackFactory) -> None:
    stack = await make_stack(creation_burst=1)
    stack.galleries.always(problem_reply(422, "validation_failed"))
    for _ in range(3):
        assert (await stack.ask("POST", "/v1/galleries", body=b"{}")).status == 422


@pytest.mark.parametrize(
    ("path", "limit", "code"),
    [
        ("/v1/galleries", "creation_burst", "too_many_galleries"),
        ("/v1/accounts", "sign_up_burst", "too_many_accounts"),
    ],
)
async def test_reused_idempotency_keys_count_like_the_calls_they_were_used_for(
    make_stack: StackFactory, path: str, limit: str, code: str
) -> None:
    stack = await make_stack(accounts=True, **{limit: 2})
    for service in (stack.galleries, stack.identity):
        service.always(problem_reply(422, "idempotency_key_reused"))
    answers = [await stack.ask("POST", path, body=b"{}") for _ in range(3)]
    assert [(answer.status, answer.code) for answer in answers] == [
        *[(422, "idempotency_key_reused")] * 2,
        (429, code),
    ]


async def test_excess_requests_are_refused(make_stack: StackFactory) -> None:
    stack = await make_stack(max_in_flight=1)
    released = asyncio.Event()

    async def slowly(_: Seen) -> Reply:
        await released.wait()
        return grant_reply()

    stack.galleries.answer = slowly
    asking = asyncio.create_task(stack.ask("GET", "/v1/g/abcd"))
    await eventually(lambda: _assert_any(stack.grants_asked()))
    shed = await stack.ask("GET", "/v1/g/abcd")
    assert (shed.status, shed.code, shed.headers["retry-after"]) == (503, "overloaded", "1")
    assert shed.headers["access-control-allow-origin"] == "*"
    released.set()
    assert (await asking).status == 200


@pytest.mark.parametrize(
    ("limit", "asked"),
    [
        ("requests_per_address", ("GET", "/v1/g/abcd")),
        ("rendition_requests_per_address", ("GET", f"/v1/media/{GALLERY_ID}/renditions/400")),
        ("requests_per_address", ("GET", "/admin")),
    ],
)
async def test_concurrent_requests_of_an_address_are_limited(
    make_stack: StackFactory, limit: str, asked: tuple[str, str]
) -> None:
    stack = await make_stack(accounts=True, **{limit: 1}, trusted_proxies="127.0.0.0/8")
    released = asyncio.Event()
    waiting = 0

    async def slowly(_: Seen) -> Reply:
        nonlocal waiting
        waiting += 1
        await released.wait()
        return grant_reply()

    stack.galleries.answer = stack.media.answer = stack.identity.answer = slowly
    address = (FORWARDED + "1.1.1.1", "X-Gallery-Code: abcd")
    asking = asyncio.create_task(stack.ask(*asked, *address))

    def waits() -> None:
        assert waiting

    await eventually(waits)
    refused = await stack.ask(*asked, *address)
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "too_many_at_once", "5")
    other = asyncio.create_task(stack.ask(*asked, FORWARDED + "1.1.1.2", "X-Gallery-Code: abcd"))
    released.set()
    assert (await asking).status == (await other).status == 200
    assert (await stack.ask(*asked, *address)).status == 200


async def test_requests_that_wait_for_a_rendition_do_not_block_other_requests(
    make_stack: StackFactory,
) -> None:
    stack = await make_stack(max_in_flight=1, max_rendition_requests=2)
    made = asyncio.Event()

    async def slowly(asked: Seen) -> Reply:
        if b"/renditions/" in asked.raw_path:
            await made.wait()
        return Reply()

    stack.media.answer = slowly
    rendition = ("GET", f"/v1/media/{GALLERY_ID}/renditions/400", "X-Gallery-Code: abcd")
    waiting = [asyncio.create_task(stack.ask(*rendition)) for _ in range(2)]

    def both_wait() -> None:
        assert len(stack.media.seen) == 2

    await eventually(both_wait)
    assert (await stack.ask("GET", "/v1/g/abcd")).status == 200
    shed = await stack.ask(*rendition)
    assert (shed.status, shed.code) == (503, "overloaded")
    made.set()
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [200, 200]


def _assert_any(things: Sized) -> None:
    assert things


async def test_a_right_code_does_not_count_with_any_password(guarded: Stack) -> None:
    guarded.galleries.always(problem_reply(401, "gallery_password_wrong"))
    for number in range(5):
        answer = await guarded.ask(
            "GET", "/v1/g/good", f"X-Gallery-Password: {number}", FORWARDED + "1.1.1.1"
        )
        assert answer.code == "gallery_password_wrong"


async def test_the_refusal_of_too_many_passwords_is_passed_on(guarded: Stack) -> None:
    refusal = problem_reply(429, "too_many_password_attempts")
    refusal.headers = (*refusal.headers, (b"retry-after", b"17"))
    guarded.galleries.always(refusal)
    answer = await guarded.ask("GET", "/v1/g/good", "X-Gallery-Password: p", FORWARDED + "1.1.1.1")
    assert (answer.status, answer.code) == (429, "too_many_password_attempts")
    assert answer.headers["retry-after"] == "17"


@pytest.fixture
async def social(make_stack: StackFactory) -> Stack:
    """A stack where an account may make two posts, write three comments and make two webhooks at once."""
    stack = await make_stack(
        accounts=True,
        post_burst=2,
        posts_per_hour=360,
        comment_burst=3,
        comments_per_minute=12,
        webhook_burst=2,
        webhooks_per_hour=360,
        trusted_proxies="127.0.0.0/8",
    )
    stack.galleries.always(Reply(status=201, body=b"{}"))
    return stack


RESEND = f"/v1/webhooks/{GALLERY_ID}/deliveries/{GALLERY_ID}/resend"
COMMENTS = f"/v1/posts/{GALLERY_ID}/comments"


@pytest.mark.parametrize(
    ("path", "burst", "wait_s", "code"),
    [
        ("/v1/posts", 2, "10", "too_many_posts"),
        (COMMENTS, 3, "5", "too_many_comments"),
        ("/v1/webhooks", 2, "10", "too_many_webhooks"),
        (RESEND, 2, "10", "too_many_webhooks"),
    ],
)
async def test_posts_comments_and_webhooks_of_an_account_are_limited(
    social: Stack, path: str, burst: int, wait_s: str, code: str
) -> None:
    """The limit counts the account's calls from all addresses; other accounts are not affected."""
    for number in range(burst):
        answer = await social.ask("POST", path, social.bearer(), FORWARDED + f"1.1.1.{number}", body=b"{}")
        assert answer.status < 300
    refused = await social.ask("POST", path, social.bearer(), FORWARDED + "2.2.2.2", body=b"{}")
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, code, wait_s)
    other = social.bearer(sub=str(UUID(int=7)))
    assert (await social.ask("POST", path, other, FORWARDED + "1.1.1.0", body=b"{}")).status < 300
    social.time.now_s += float(wait_s)
    assert (await social.ask("POST", path, social.bearer(), body=b"{}")).status < 300


async def test_refused_comments_do_not_count(social: Stack) -> None:
    social.galleries.always(problem_reply(422, "validation_failed"))
    for _ in range(5):
        assert (await social.ask("POST", COMMENTS, social.bearer(), body=b"{}")).status == 422


async def test_reading_posts_and_comments_is_not_limited(social: Stack) -> None:
    social.galleries.always(Reply(body=b"{}"))
    for _ in range(5):
        for path in ("/v1/posts", COMMENTS):
            assert (await social.ask("GET", path)).status == 200


SIGNING = f"/v1/galleries/{GALLERY_ID}/uploads"
PARTS = f"/v1/uploads/{GALLERY_ID}/parts"
KEY = "X-Gallery-Key: k"


def signed(files: int) -> Reply:
    return Reply(status=201, headers=((b"x-kappi-signed", str(files).encode()),))


async def test_signed_files_of_an_address_are_limited(make_stack: StackFactory) -> None:
    stack = await make_stack(signing_burst=250, signings_per_minute=600, trusted_proxies="127.0.0.0/8")
    stack.media.always(signed(100))
    ask = ("POST", SIGNING, KEY)
    for _ in range(3):
        answer = await stack.ask(*ask, FORWARDED + "1.1.1.1", body=b"{}")
        assert answer.status == 201
        assert "x-kappi-signed" not in answer.headers
    # 50 tokens are owed and one is needed; ten are refilled each second.
    for path in (SIGNING, PARTS):
        refused = await stack.ask("POST", path, KEY, FORWARDED + "1.1.1.1", body=b"{}")
        assert (refused.status, refused.code) == (429, "too_many_uploads")
        assert refused.headers["retry-after"] == "6"
    assert (await stack.ask(*ask, FORWARDED + "1.1.1.2", body=b"{}")).status == 201
    stack.time.now_s += 5.1
    assert (await stack.ask(*ask, FORWARDED + "1.1.1.1", body=b"{}")).status == 201


async def test_a_refused_signing_counts_once_and_a_failed_one_does_not_count(
    make_stack: StackFactory,
) -> None:
    stack = await make_stack(signing_burst=2, signings_per_minute=6)
    stack.media.always(problem_reply(503, "store_unavailable"))
    for _ in range(5):
        assert (await stack.ask("POST", PARTS, KEY, body=b"{}")).status == 503
    stack.media.always(problem_reply(429, "too_much_promised"))
    codes = [(await stack.ask("POST", SIGNING, KEY, body=b"{}")).code for _ in range(3)]
    assert codes == ["too_much_promised", "too_much_promised", "too_many_uploads"]


@pytest.mark.parametrize("path", [SIGNING, f"/v1/galleries/{GALLERY_ID}/media"])
async def test_media_receives_the_client_address_that_the_gateway_determined(
    make_stack: StackFactory, path: str
) -> None:
    stack = await make_stack(trusted_proxies="127.0.0.0/8")
    await stack.ask("POST", path, KEY, FORWARDED + "6.6.6.6, 9.9.9.9", body=b"{}")
    assert stack.media.seen[-1].headers["x-forwarded-for"] == "9.9.9.9"
