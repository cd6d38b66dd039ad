"""The grants for codes and keys, and that answers reveal nothing to strangers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.auth import GrantVerifier, JwksSource, TokenVerifier
from kappi_chassis.clock import utc_now
from kappi_contracts.grants import GRANT_AUDIENCE, GRANT_ISSUER, Grant
from kappi_galleries.domain.credentials import new_access_key

VIEW, KEY = "/internal/grants/view", "/internal/grants/key"


@pytest.fixture
def clock(clock: Any) -> Any:
    """Returns the clock set to the current time, because verifiers read the wall clock."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def open_grant(http: Any) -> Any:
    """Opens a grant as another service does, with the published keys."""

    async def fetch() -> bytes:
        body: bytes = (await http("GET", "/internal/jwks.json")).body
        return body

    tokens = TokenVerifier(JwksSource(fetch), issuer=GRANT_ISSUER, audience=GRANT_AUDIENCE)
    verifier = GrantVerifier(tokens, clock=utc_now)

    async def opened(answer: Any) -> Grant:
        assert answer.status == 200, answer.body
        return await verifier.open(answer.json["grant"])

    return opened


async def _created(http: Any, *, token: str | None = None, **body: Any) -> Any:
    return (await http("POST", "/v1/galleries", body=body, token=token)).json


async def test_a_code_grants_a_view_with_the_public_face(http: Any, open_grant: Any) -> None:
    gallery = await _created(http, title="Lisbon")

    answer = await http("POST", VIEW, body={"code": gallery["code"]})
    grant = await open_grant(answer)

    assert answer.json["gallery_id"] == gallery["id"]
    assert answer.json["expires_in"] == 60
    assert answer.json["gallery_expires_at"] == gallery["expires_at"]
    assert (grant.right, grant.tier, grant.owner_id) == ("view", "Anonymous", None)
    assert grant.gallery_id == grant.gallery.id == UUID(gallery["id"])
    public = grant.gallery
    assert (public.code, public.url, public.title) == (gallery["code"], gallery["url"], "Lisbon")
    assert (public.visibility, public.password_protected, public.version) == ("shared", False, 1)
    assert public.expires_at == datetime.fromisoformat(gallery["expires_at"])
    assert not grant.allows("contribute")


async def test_a_grant_comes_with_what_the_page_says(http: Any) -> None:
    gallery = await _created(http, title="Lisbon", max_views=1)

    async def summary() -> Any:
        return (await http("POST", VIEW, body={"code": gallery["code"]})).json["summary"]

    said = {"title": "Lisbon", "item_count": 0, "size_bytes": 0, "used_up": False}
    assert await summary() == said
    await http("POST", f"/internal/galleries/{gallery['id']}/views")
    assert await summary() == {**said, "used_up": True}


async def test_a_code_may_be_typed_carelessly(http: Any) -> None:
    gallery = await _created(http)
    answer = await http("POST", VIEW, body={"code": f" {gallery['code'].upper()}\n"})
    assert answer.status == 200


async def test_an_access_key_grants_management(http: Any, open_grant: Any) -> None:
    gallery = await _created(http)
    grant = await open_grant(await http("POST", KEY, body={"access_key": gallery["access_key"]}))

    assert grant.right == "manage"
    assert grant.gallery_id == UUID(gallery["id"])


async def test_a_grant_shows_the_version_after_a_change(http: Any, open_grant: Any) -> None:
    gallery = await _created(http, title="Lisbon")
    await http("PATCH", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"], body={"title": "Porto"})

    grant = await open_grant(await http("POST", VIEW, body={"code": gallery["code"]}))
    assert (grant.gallery.title, grant.gallery.version) == ("Porto", 2)


async def test_unknown_private_expired_and_deleted_codes_answer_alike(
    http: Any, account: Any, clock: Any
) -> None:
    expired = await _created(http, expires_in=3_600)
    clock.pass_by(timedelta(hours=1))
    deleted = await _created(http)
    await http("DELETE", f"/v1/galleries/{deleted['id']}", key=deleted["access_key"])
    private = await _created(http, token=account.token)
    closed = await _created(http, token=account.token, password="sesame")
    for gallery in (private, closed):
        path = f"/v1/galleries/{gallery['id']}"
        await http("PATCH", path, token=account.token, body={"visibility": "private"})
    living = await _created(http)
    codes = [
        *("zzzzzzzz", "", "' OR 1=1", "💥"),
        *(gallery["code"] for gallery in (expired, deleted, private, closed)),
    ]

    answers = [
        await http("POST", VIEW, body={"code": code, **password})
        for code in codes
        for password in ({}, {"password": "sesame"}, {"password": "wrong"})
    ]

    seen = {json.dumps({**answer.json, "request_id": ""}, sort_keys=True) for answer in answers}
    assert {answer.status for answer in answers} == {404}
    assert len(seen) == 1
    assert answers[0].json["code"] == "gallery_not_found"
    assert len({frozenset(set(answer.headers) - {"x-request-id"}) for answer in answers}) == 1
    assert (await http("POST", VIEW, body={"code": living["code"]})).status == 200


async def test_only_the_holder_of_its_key_learns_that_a_gallery_is_gone(http: Any, clock: Any) -> None:
    deleted, expired = await _created(http), await _created(http, expires_in=3_600)
    await http("DELETE", f"/v1/galleries/{deleted['id']}", key=deleted["access_key"])
    clock.pass_by(timedelta(hours=1))

    for gallery in (deleted, expired):
        answer = await http("POST", KEY, body={"access_key": gallery["access_key"]})
        assert (answer.status, answer.json["code"]) == (404, "gallery_not_found")
    for stranger in (new_access_key(), "nonsense", ""):
        answer = await http("POST", KEY, body={"access_key": stranger})
        assert (answer.status, answer.json["code"]) == (403, "gallery_key_wrong")


async def test_a_grant_never_outlives_its_gallery(http: Any, open_grant: Any, clock: Any) -> None:
    gallery = await _created(http, expires_in=3_600)
    deadline = clock.now + timedelta(hours=1)
    clock.now = deadline - timedelta(seconds=20)

    for path, body in ((VIEW, {"code": gallery["code"]}), (KEY, {"access_key": gallery["access_key"]})):
        answer = await http("POST", path, body=body)
        assert answer.json["expires_in"] == 20
        claims = _claims(answer.json["grant"])
        assert datetime.fromtimestamp(claims["exp"], UTC) <= deadline


def _claims(token: str) -> Any:
    import jwt

    return jwt.decode(token, options={"verify_signature": False})


@pytest.mark.parametrize(
    ("path", "raw", "status", "code"),
    [
        (VIEW, b"{", 400, "malformed_json"),
        (VIEW, b"\xff", 400, "malformed_json"),
        (VIEW, b"{}", 422, "validation_failed"),
        (VIEW, b'{"code": 7}', 422, "validation_failed"),
        (KEY, b"", 400, "malformed_json"),
        (KEY, b'{"access_key": null}', 422, "validation_failed"),
    ],
)
async def test_internal_bodies_are_checked_too(
    http: Any, path: str, raw: bytes, status: int, code: str
) -> None:
    answer = await http("POST", path, raw=raw)
    assert (answer.status, answer.json["code"]) == (status, code)


async def test_the_key_set_holds_no_private_part(http: Any) -> None:
    (key,) = (await http("GET", "/internal/jwks.json")).json["keys"]
    assert set(key) == {"crv", "kty", "x", "kid", "alg", "use"}


async def test_a_view_is_one_indexed_row_read(http: Any, database: Any) -> None:
    from kappi_galleries.repository import galleries

    gallery = await _created(http)
    await database.hot.execute(
        "INSERT INTO galleries (id, code, visibility, access_key_hash, created_at, updated_at) "
        "SELECT gen_random_uuid(), 'filler' || n, 'shared', int8send(n), now(), now() "
        "FROM generate_series(1, 2000) n"
    )
    await database.hot.execute("ANALYZE galleries")
    plan = await database.hot.fetch(
        f"EXPLAIN {galleries._SHARED_BY_CODE}".replace("$1", f"'{gallery['code']}'")
        .replace("$2", "now()")
        .replace("$3", "now()")
    )
    assert "Index Scan using uq_galleries_code" in plan[0][0]
