"""Access tokens: verified by the gateway, exchanged for grants of the account's galleries, and passed on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import jwt
import pytest
from kappi_chassis.auth import SigningKey
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply, Seen, grant_reply, problem_reply
from kappi_testkit.gateway.raw_http import RawAnswer
from kappi_testkit.gateway.stack import ACCOUNT_ID, Stack, StackFactory

UPLOADS = f"/v1/galleries/{GALLERY_ID}/uploads"
THING_ID = UUID("019c0000-0000-7000-8000-000000000009")
UPLOAD_ID = UUID("019c0000-0000-7000-8000-000000000008")
MEDIA = f"/v1/media/{THING_ID}"
SAME_ID = "X-Request-Id: abcdefgh12345678"


@pytest.fixture
def owned(with_accounts: Stack) -> Stack:
    """A stack in which every thing is in GALLERY_ID, which the account owns."""

    async def media(seen: Seen) -> Reply:
        if seen.raw_path.startswith(b"/internal/"):
            return Reply(body=f'{{"gallery_id": "{GALLERY_ID}"}}'.encode())
        return Reply()

    with_accounts.media.answer = media
    return with_accounts


def located(stack: Stack) -> list[bytes]:
    return [seen.raw_path for seen in stack.media.seen if seen.raw_path.startswith(b"/internal/")]


async def test_the_owner_uploads(owned: Stack) -> None:
    token = owned.token()
    for _ in range(3):
        answer = await owned.ask("POST", UPLOADS, f"Authorization: Bearer {token}", body=b"{}")
        assert answer.status == 200
    assert [(seen.raw_path, seen.json()) for seen in owned.grants_asked()] == [
        (b"/internal/grants/owner", {"gallery_id": str(GALLERY_ID), "token": token})
    ]
    assert [seen.headers["x-kappi-grant"] for seen in owned.media.seen] == ["grant-1"] * 3
    assert all("authorization" not in seen.headers for seen in owned.media.seen)
    assert located(owned) == []


@pytest.mark.parametrize(
    ("method", "target", "asked"),
    [
        ("GET", MEDIA, f"/internal/media/{THING_ID}"),
        ("PATCH", MEDIA, f"/internal/media/{THING_ID}"),
        ("DELETE", MEDIA, f"/internal/media/{THING_ID}"),
        ("GET", f"{MEDIA}/download", f"/internal/media/{THING_ID}"),
        ("GET", f"{MEDIA}/renditions/400", f"/internal/media/{THING_ID}"),
        ("POST", f"{MEDIA}/links", f"/internal/media/{THING_ID}"),
        ("GET", f"{MEDIA}/links", f"/internal/media/{THING_ID}"),
        ("GET", f"/v1/uploads/{THING_ID}", f"/internal/uploads/{THING_ID}"),
        ("POST", f"/v1/uploads/{THING_ID}/complete", f"/internal/uploads/{THING_ID}"),
        ("DELETE", f"/v1/links/{THING_ID}", f"/internal/links/{THING_ID}"),
    ],
)
async def test_media_is_asked_once_for_the_gallery_of_a_thing(
    owned: Stack, method: str, target: str, asked: str
) -> None:
    for _ in range(2):
        assert (await owned.ask(method, target, owned.bearer())).status == 200
    assert located(owned) == [asked.encode()]
    assert [seen.json()["gallery_id"] for seen in owned.grants_asked()] == [str(GALLERY_ID)] * 2


async def test_the_item_of_a_known_upload_is_not_asked_for(owned: Stack) -> None:
    body = f'{{"gallery_id": "{GALLERY_ID}", "media_id": "{THING_ID}"}}'
    owned.media.always(Reply(body=body.encode()))
    upload = f"/v1/uploads/{UPLOAD_ID}"
    for method, target in (("POST", f"{upload}/complete"), ("GET", MEDIA), ("GET", upload)):
        assert (await owned.ask(method, target, owned.bearer())).status == 200
    assert located(owned) == [f"/internal/uploads/{UPLOAD_ID}".encode()]


async def test_missing_things_and_things_of_others_have_the_same_answer(owned: Stack) -> None:
    owned.galleries.always(problem_reply(404, "gallery_not_found"))
    foreign = await owned.ask("GET", MEDIA, owned.bearer(), SAME_ID)
    owned.media.always(problem_reply(404, "media_not_found"))
    unknown = await owned.ask("GET", f"/v1/media/{uuid4()}", owned.bearer(), SAME_ID)
    no_id = await owned.ask("GET", "/v1/media/holiday", owned.bearer(), SAME_ID)
    for answer in (foreign, unknown, no_id):
        del answer.headers["date"]
    assert foreign == unknown == no_id
    assert (foreign.status, foreign.code) == (404, "media_not_found")


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("POST", UPLOADS, "gallery_not_found"),
        ("GET", f"/v1/uploads/{THING_ID}", "upload_not_found"),
        ("DELETE", f"/v1/links/{THING_ID}", "link_not_found"),
    ],
)
async def test_things_of_another_account_are_not_found(
    owned: Stack, method: str, target: str, code: str
) -> None:
    owned.galleries.always(problem_reply(404, "gallery_not_found"))
    answer = await owned.ask(method, target, owned.bearer())
    assert (answer.status, answer.code) == (404, code)


async def test_an_unknown_thing_is_not_cached(owned: Stack) -> None:
    working = owned.media.answer
    owned.media.always(problem_reply(404, "media_not_found"))
    assert (await owned.ask("GET", MEDIA, owned.bearer())).status == 404
    owned.media.answer = working
    assert (await owned.ask("GET", MEDIA, owned.bearer())).status == 200


def unsigned(stack: Stack) -> str:
    claims = jwt.decode(stack.token(), options={"verify_signature": False})
    return jwt.encode(claims, "", algorithm="none", headers={"kid": stack.issuer.kid})


def tampered(stack: Stack) -> str:
    head, _, signature = stack.token().split(".")
    _, body, _ = stack.token(sub=str(uuid4())).split(".")
    return f"{head}.{body}.{signature}"


@pytest.mark.parametrize(
    "forge",
    [
        lambda stack: stack.token(lasts=timedelta(seconds=-10)),
        lambda stack: stack.token(key=SigningKey.generate()),
        lambda stack: stack.token(aud="kappi-grant"),
        lambda stack: stack.token(iss="kappi-galleries"),
        lambda stack: stack.token(sub="somebody"),
        unsigned,
        tampered,
        lambda _: "a.b.c",
        lambda _: "",
    ],
    ids=["expired", "key", "audience", "issuer", "subject", "unsigned", "tampered", "garbage", "empty"],
)
async def test_bad_tokens_cause_no_calls_of_services(owned: Stack, forge: object) -> None:
    assert callable(forge)
    for method, target in (("POST", UPLOADS), ("GET", MEDIA), ("POST", "/v1/galleries")):
        answer = await owned.ask(method, target, f"Authorization: Bearer {forge(owned)}")
        assert (answer.status, answer.code) == (401, "access_token_invalid")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert owned.galleries.seen == owned.media.seen == []


@pytest.mark.parametrize(
    "credential", ["X-Gallery-Key: kappi_mfrggzdfmztwq2lknnwg23tpoa", "X-Gallery-Code: k7wq"]
)
async def test_a_bad_token_is_refused_beside_a_good_credential(owned: Stack, credential: str) -> None:
    assert (await owned.ask("GET", MEDIA, credential)).status == 200
    assert (await owned.ask("GET", MEDIA, credential, owned.bearer())).status == 200
    answer = await owned.ask("GET", MEDIA, credential, "Authorization: Bearer a.b.c")
    assert (answer.status, answer.code) == (401, "access_token_invalid")


async def test_a_rotated_key_is_fetched(owned: Stack) -> None:
    new = SigningKey.generate()
    owned.publish_keys(owned.issuer, new)
    assert (await owned.ask("POST", UPLOADS, owned.bearer(key=new))).status == 200


async def test_without_keys_the_answer_is_503(owned: Stack) -> None:
    owned.identity.always(Reply(status=500))
    answer = await owned.ask("POST", UPLOADS, owned.bearer())
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "keys_unavailable", "1")


async def test_the_answer_of_galleries_about_a_token_is_passed_on(owned: Stack) -> None:
    owned.galleries.always(problem_reply(401, "access_token_invalid"))
    answer = await owned.ask("POST", UPLOADS, owned.bearer())
    assert (answer.status, answer.code) == (401, "access_token_invalid")


@pytest.mark.parametrize(("line", "kind"), [("X-Gallery-Key: k", b"key"), ("X-Gallery-Code: abcd", b"view")])
async def test_a_gallery_key_or_code_takes_precedence_over_the_token(
    owned: Stack, line: str, kind: bytes
) -> None:
    assert (await owned.ask("GET", MEDIA, owned.bearer(), line)).status == 200
    assert [seen.raw_path for seen in owned.grants_asked()] == [b"/internal/grants/" + kind]


async def test_an_owner_may_change_an_item_despite_a_gallery_code(owned: Stack) -> None:
    assert (await owned.ask("DELETE", MEDIA, owned.bearer(), "X-Gallery-Code: abcd")).status == 200
    assert [seen.raw_path for seen in owned.grants_asked()] == [b"/internal/grants/owner"]


async def test_other_authorization_schemes_are_ignored(owned: Stack) -> None:
    assert (await owned.ask("GET", MEDIA, "Authorization: Basic YTpi")).code == "credentials_missing"
    assert (await owned.ask("POST", UPLOADS, "Authorization: Basic YTpi")).code == "gallery_key_missing"
    assert (await owned.ask("POST", "/v1/galleries", "Authorization: Basic YTpi")).status == 200


async def test_the_grant_of_an_owner_ends_with_its_token(owned: Stack) -> None:
    line = owned.bearer(lasts=timedelta(seconds=20))
    await owned.ask("POST", UPLOADS, line)
    owned.time.now_s += 15
    await owned.ask("POST", UPLOADS, line)
    assert len(owned.grants_asked()) == 1
    owned.time.now_s += 6
    await owned.ask("POST", UPLOADS, line)
    assert len(owned.grants_asked()) == 2


async def test_grants_are_cached_per_account(owned: Stack) -> None:
    await owned.ask("POST", UPLOADS, owned.bearer())
    owned.galleries.always(problem_reply(404, "gallery_not_found"))
    assert (await owned.ask("POST", UPLOADS, owned.bearer(sub=str(uuid4())))).status == 404


async def test_changes_drop_the_grants_of_an_owner(owned: Stack) -> None:
    await owned.ask("POST", UPLOADS, owned.bearer())
    owned.cache.drop_gallery(GALLERY_ID)
    assert len(owned.cache) == 0


async def test_the_end_of_an_account_drops_its_grants(owned: Stack) -> None:
    await owned.ask("POST", UPLOADS, owned.bearer())
    await owned.ask("GET", "/v1/g/abcd")
    owned.cache.drop_account(uuid4())
    assert len(owned.cache) == 2
    owned.cache.drop_account(ACCOUNT_ID)
    assert len(owned.cache) == 1


@pytest.mark.parametrize("action", ["claim", "rotate-code", "rotate-key"])
async def test_changes_of_a_gallery_are_sent_to_galleries_and_drop_grants(owned: Stack, action: str) -> None:
    await owned.ask("GET", "/v1/g/abcd")
    line = owned.bearer()
    answer = await owned.ask("POST", f"/v1/galleries/{GALLERY_ID}/{action}", line, "X-Gallery-Key: k")
    seen = owned.galleries.seen[-1]
    assert (answer.status, seen.raw_path) == (200, f"/v1/galleries/{GALLERY_ID}/{action}".encode())
    assert (f"Authorization: {seen.headers['authorization']}", seen.headers["x-gallery-key"]) == (line, "k")
    assert len(owned.cache) == 0


async def test_an_account_lists_its_galleries(owned: Stack) -> None:
    line = owned.bearer()
    assert (await owned.ask("GET", "/v1/galleries?limit=2&cursor=a", line)).status == 200
    seen = owned.galleries.seen[-1]
    assert (seen.query, f"Authorization: {seen.headers['authorization']}") == (b"limit=2&cursor=a", line)


async def make_gallery(stack: Stack, *lines: str) -> RawAnswer:
    return await stack.ask("POST", "/v1/galleries", *lines, body=b"{}")


async def test_an_account_creates_galleries_with_its_token(make_stack: StackFactory) -> None:
    stack = await make_stack(accounts=True, creation_burst=2)
    stack.galleries.always(Reply(status=201))
    for _ in range(2):
        assert (await make_gallery(stack)).status == 201
        assert (await make_gallery(stack, stack.bearer())).status == 201
    assert (await make_gallery(stack)).code == "too_many_galleries"
    assert (await make_gallery(stack, stack.bearer())).code == "too_many_galleries"
    assert (await make_gallery(stack, stack.bearer(sub=str(uuid4())))).status == 201


async def test_secrets_of_accounts_are_not_in_logs(owned: Stack, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    caplog.set_level("WARNING", logger="uvicorn.access")  # as in a running service
    token = owned.token()
    owned.galleries.always(problem_reply(500, "internal_error"))
    await owned.ask("POST", UPLOADS, f"Authorization: Bearer {token}")
    await owned.ask("GET", "/v1/l/linktoken")
    assert token not in caplog.text
    assert "linktoken" not in caplog.text


async def test_concurrent_requests_share_one_grant_request(owned: Stack) -> None:
    released = asyncio.Event()

    async def slowly(_: Seen) -> Reply:
        await released.wait()
        return grant_reply()

    owned.galleries.answer = slowly
    line = owned.bearer()
    asking = [asyncio.create_task(owned.ask("POST", UPLOADS, line)) for _ in range(10)]
    await eventually(lambda: _assert_one(owned.grants_asked()))
    released.set()
    assert [answer.status for answer in await asyncio.gather(*asking)] == [200] * 10
    assert len(owned.grants_asked()) == 1


def _assert_one(seen: list[Seen]) -> None:
    assert len(seen) == 1


async def test_without_accounts_tokens_are_ignored(stack: Stack) -> None:
    assert (await stack.ask("POST", UPLOADS, stack.bearer())).code == "gallery_key_missing"
    assert (await stack.ask("GET", MEDIA, "Authorization: Bearer x")).code == "credentials_missing"
    assert stack.identity.seen == []


COUNTED = ["/v1/g/k7dm", "/v1/l/token", f"{MEDIA}/download"]


@pytest.mark.parametrize("target", COUNTED)
async def test_media_receives_the_role_of_a_valid_token(owned: Stack, target: str) -> None:
    for role in ("user", "admin"):
        answer = await owned.ask("GET", target, owned.bearer(role=role), "X-Gallery-Code: k7dm")
        assert answer.status == 200
    told = [seen.headers for seen in owned.media.seen]
    assert [headers["x-kappi-role"] for headers in told] == ["user", "admin"]
    assert all("authorization" not in headers for headers in told)


@pytest.mark.parametrize("target", COUNTED[:2])
@pytest.mark.parametrize("sent", ["Bearer no.token.at-all", "Bearer ", "Basic YTpi", "Bearer \xff"])
async def test_a_view_with_a_bad_token_works_without_a_role(owned: Stack, target: str, sent: str) -> None:
    answer = await owned.ask("GET", target, f"Authorization: {sent}", "X-Kappi-Role: admin")
    assert answer.status == 200
    assert "x-kappi-role" not in owned.media.seen[-1].headers


async def test_a_view_does_not_wait_for_an_identity_service_that_hangs(owned: Stack) -> None:
    async def hangs(_: Seen) -> Reply:
        await asyncio.sleep(30)
        return Reply()

    owned.identity.answer = hangs
    async with asyncio.timeout(2):
        answer = await owned.ask("GET", COUNTED[0], owned.bearer())
    assert answer.status == 200
    assert "x-kappi-role" not in owned.media.seen[-1].headers


async def test_the_role_is_sent_only_to_media_and_only_for_views(owned: Stack) -> None:
    for method, target in (
        ("PATCH", MEDIA),
        ("POST", UPLOADS),
        ("GET", "/v1/me/stats"),
        ("GET", "/v1/galleries"),
    ):
        await owned.ask(method, target, owned.bearer(), body=b"{}")
    seen = [*owned.media.seen, *owned.galleries.seen, *owned.identity.seen]
    assert not [each for each in seen if "x-kappi-role" in each.headers]


async def test_statistics_of_an_account_are_requested_with_its_own_token(owned: Stack) -> None:
    token = owned.token()
    answer = await owned.ask("GET", "/v1/me/stats?from=2026-05-01", f"Authorization: Bearer {token}")
    assert answer.status == 200
    (seen,) = owned.media.seen
    assert seen.headers["authorization"] == f"Bearer {token}"
    assert "x-kappi-grant" not in seen.headers
