"""The grants for owners' tokens, and that grants of accounts' galleries name the owner."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from kappi_chassis.auth import GrantVerifier, JwksSource, SigningKey, TokenVerifier
from kappi_chassis.auth.accounts import AccessTokenInvalid, AccountVerifier
from kappi_chassis.clock import utc_now
from kappi_contracts.events import AccountDeleted
from kappi_contracts.grants import GRANT_AUDIENCE, GRANT_ISSUER, Grant

pytestmark = pytest.mark.integration

OWNER, VIEW = "/internal/grants/owner", "/internal/grants/view"


@pytest.fixture
def clock(clock: Any) -> Any:
    """Returns the clock set to the current time, because verifiers read the wall clock."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def opened(http: Any) -> Any:
    async def fetch() -> bytes:
        body: bytes = (await http("GET", "/internal/jwks.json")).body
        return body

    tokens = TokenVerifier(JwksSource(fetch), issuer=GRANT_ISSUER, audience=GRANT_AUDIENCE)
    verifier = GrantVerifier(tokens, clock=utc_now)

    async def open_grant(answer: Any) -> Grant:
        assert answer.status == 200, answer.body
        return await verifier.open(answer.json["grant"])

    return open_grant


@pytest.fixture
def make_gallery(http: Any, account: Any) -> Any:
    async def make(**body: Any) -> Any:
        return (await http("POST", "/v1/galleries", body=body, token=account.token)).json

    return make


@pytest.fixture
def ask(http: Any) -> Any:
    async def ask(gallery: Any, token: str) -> Any:
        return await http("POST", OWNER, body={"gallery_id": gallery["id"], "token": token})

    return ask


def outcome(answer: Any) -> tuple[int, str]:
    return answer.status, answer.json["code"]


async def test_an_owner_manages_by_id_also_what_is_private(
    make_gallery: Any, ask: Any, opened: Any, account: Any
) -> None:
    for visibility in ("shared", "private"):
        gallery = await make_gallery(visibility=visibility, password="sesame")
        grant = await opened(await ask(gallery, account.token))

        assert (grant.right, grant.owner_id, grant.tier) == ("manage", account.id, "Premium")
        assert grant.gallery_id == UUID(gallery["id"])
        public = grant.gallery
        assert (public.visibility, public.password_protected) == (visibility, True)
        assert (public.code, public.url, public.expires_at) == (gallery["code"], gallery["url"], None)


async def test_a_view_grant_names_the_owner(http: Any, make_gallery: Any, opened: Any, account: Any) -> None:
    gallery = await make_gallery()
    grant = await opened(await http("POST", VIEW, body={"code": gallery["code"]}))

    assert (grant.right, grant.owner_id, grant.tier) == ("view", account.id, "Traveller")


async def test_everybody_else_gets_one_answer(
    http: Any, make_gallery: Any, ask: Any, account: Any, other: Any
) -> None:
    anonymous = (await http("POST", "/v1/galleries")).json
    shared, private, deleted = (
        await make_gallery(),
        await make_gallery(visibility="private"),
        await make_gallery(),
    )
    await http("DELETE", f"/v1/galleries/{deleted['id']}", token=account.token)
    nowhere = {"id": str(uuid4())}

    answers = [
        *[await ask(gallery, other.token) for gallery in (anonymous, shared, private, deleted, nowhere)],
        *[await ask(gallery, account.token) for gallery in (anonymous, deleted, nowhere)],
    ]

    assert {outcome(answer) for answer in answers} == {(404, "gallery_not_found")}
    seen = {json.dumps({**answer.json, "request_id": ""}, sort_keys=True) for answer in answers}
    assert len(seen) == 1


async def test_a_bad_token_is_401_whatever_is_asked_for(make_gallery: Any, ask: Any, account: Any) -> None:
    gallery = await make_gallery()
    bad = [
        account.token_with(exp=1),
        account.token_with(key=SigningKey.generate()),
        account.token_with(aud="kappi-grant"),
        jwt.encode({"sub": str(account.id)}, "", algorithm="none"),
        "",
    ]
    for token in bad:
        for target in (gallery, {"id": str(uuid4())}):
            assert outcome(await ask(target, token)) == (401, AccessTokenInvalid.code)


async def test_a_grant_ends_with_the_token_it_was_given_for(
    make_gallery: Any, ask: Any, account: Any, clock: Any
) -> None:
    gallery = await make_gallery()
    ends_at = int(clock.now.timestamp()) + 20

    answer = await ask(gallery, account.token_with(exp=ends_at))

    assert answer.json["expires_in"] <= 20
    claims = jwt.decode(answer.json["grant"], options={"verify_signature": False})
    assert claims["exp"] <= ends_at


async def test_an_account_without_galleries_any_more_opens_none(
    processor: Any, record: Any, make_gallery: Any, ask: Any, account: Any, clock: Any
) -> None:
    gallery = await make_gallery()
    await processor.process(record(AccountDeleted(account_id=account.id, deleted_at=clock.now)))
    assert outcome(await ask(gallery, account.token)) == (404, "gallery_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"gallery_id": "x", "token": "t"}, "gallery_id"),
        ({"gallery_id": str(uuid4())}, "token"),
        ({"gallery_id": str(uuid4()), "token": 7}, "token"),
        ({}, "gallery_id"),
    ],
)
async def test_a_field_that_is_not_valid_is_named(http: Any, body: Any, field: str) -> None:
    answer = await http("POST", OWNER, body=body)
    assert outcome(answer) == (422, "validation_failed")
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_where_no_keys_can_be_had_it_says_so(http_on: Any, make_gallery: Any, account: Any) -> None:
    async def unreachable() -> bytes:
        raise ConnectionRefusedError

    gallery = await make_gallery()
    accounts = AccountVerifier(JwksSource(unreachable), clock=utc_now)
    http = http_on(accounts=accounts)
    answers = [
        await http("POST", OWNER, body={"gallery_id": gallery["id"], "token": account.token}),
        await http("GET", "/v1/galleries", token=account.token),
    ]
    assert {outcome(answer) for answer in answers} == {(503, "keys_unavailable")}
    # Requests without an account still work.
    assert (await http("POST", "/v1/galleries")).status == 201
    assert (await http("POST", VIEW, body={"code": gallery["code"]})).status == 200


async def test_instants_of_tokens_are_utc(make_gallery: Any, ask: Any, account: Any, clock: Any) -> None:
    gallery = await make_gallery()
    answer = await ask(gallery, account.token_with(exp=int((clock.now + timedelta(hours=2)).timestamp())))
    claims = jwt.decode(answer.json["grant"], options={"verify_signature": False})
    assert datetime.fromtimestamp(claims["exp"], UTC) - clock.now <= timedelta(seconds=60)
    assert answer.json["expires_in"] == 60
