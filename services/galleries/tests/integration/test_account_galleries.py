"""Galleries of accounts: their owners alone create, list, read, change and delete them."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any
from uuid import uuid4

import pytest
from kappi_chassis.auth import SigningKey
from kappi_chassis.auth.accounts import AccessTokenInvalid, AccessTokenMissing
from kappi_galleries.domain.credentials import new_access_key

pytestmark = pytest.mark.integration

GALLERIES = "/v1/galleries"
METHODS = ("GET", "PATCH", "DELETE")
INVALID = (401, AccessTokenInvalid.code)
MISSING = (401, AccessTokenMissing.code)


def path(gallery: Any) -> str:
    return f"{GALLERIES}/{gallery['id']}"


def outcome(answer: Any) -> tuple[int, str]:
    return answer.status, answer.json["code"]


def anonymised(answer: Any) -> Any:
    return {**answer.json, "request_id": ""}


@pytest.fixture
async def gallery(http: Any, account: Any) -> Any:
    return (await http("POST", GALLERIES, body={"title": "Lisbon"}, token=account.token)).json


@pytest.fixture
async def anonymous(http: Any) -> Any:
    return (await http("POST", GALLERIES, body={"title": "Porto"})).json


def unsigned(account: Any) -> str:
    _, claims, _ = account.token.split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=")
    return f"{header.decode()}.{claims}."


def bad_tokens(account: Any) -> dict[str, str]:
    return {
        "expired": account.token_with(exp=1),
        "signed by another key": account.token_with(key=SigningKey.generate()),
        "of another issuer": account.token_with(iss="somebody"),
        "for somebody else": account.token_with(aud="kappi-grant"),
        "of nobody": account.token_with(sub="nobody"),
        "alg none": unsigned(account),
        "tampered": account.token[:-4] + "AAAA",
        "nonsense": "nonsense",
    }


async def test_it_has_an_owner_a_code_and_no_end(
    http: Any, account: Any, clock: Any, database: Any, published: Any
) -> None:
    answer = await http("POST", GALLERIES, body={"title": "Lisbon"}, token=account.token)

    gallery = answer.json
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    assert "access_key" not in gallery or gallery["access_key"] is None
    assert (gallery["title"], gallery["visibility"], gallery["expires_at"]) == ("Lisbon", "shared", None)
    assert len(gallery["code"]) == 4
    assert gallery["url"].endswith(f"/g/{gallery['code']}")
    row = await database.hot.fetchrow("SELECT * FROM galleries")
    assert (row["owner_id"], row["access_key_hash"], row["expires_at"]) == (account.id, None, None)
    ((topic, sequence, event),) = await published()
    assert (topic, sequence) == ("GalleryCreated", 1)
    assert (event["owner_id"], event["expires_at"], event["visibility"]) == (str(account.id), None, "shared")


async def test_it_may_be_private_and_protected_from_the_start(
    http: Any, account: Any, published: Any
) -> None:
    body = {"visibility": "private", "password": "open sesame"}
    gallery = (await http("POST", GALLERIES, body=body, token=account.token)).json

    assert (gallery["visibility"], gallery["password_protected"]) == ("private", True)
    assert (gallery["code"], gallery["url"]) == (None, None)
    ((_, _, event),) = await published()
    assert event["visibility"] == "private"
    assert "sesame" not in json.dumps(event)


async def test_an_end_is_not_for_accounts(http: Any, account: Any, gallery: Any, database: Any) -> None:
    refused = [
        await http("POST", GALLERIES, body={"expires_in": 3_600}, token=account.token),
        await http("PATCH", path(gallery), body={"expires_in": 3_600}, token=account.token),
    ]

    for answer in refused:
        assert outcome(answer) == (422, "expiry_not_for_accounts")
        assert [error["field"] for error in answer.json["errors"]] == ["expires_in"]
    assert await database.hot.fetchval("SELECT count(*) FROM galleries") == 1


@pytest.mark.parametrize("body", [{"password": ""}, {"password": "a" * 1_025}, {"password": "a\u0000b"}])
async def test_a_password_that_is_none_is_refused(http: Any, account: Any, gallery: Any, body: Any) -> None:
    for method, where in (("POST", GALLERIES), ("PATCH", path(gallery))):
        answer = await http(method, where, body=body, token=account.token)
        assert outcome(answer) == (422, "validation_failed")
        assert [error["field"] for error in answer.json["errors"]] == ["password"]
        assert "a\u0000b" not in answer.json["detail"]


async def test_half_of_a_surrogate_pair_is_no_password(http: Any, account: Any) -> None:
    answer = await http("POST", GALLERIES, raw=b'{"password": "\\ud800"}', token=account.token)
    assert outcome(answer) == (422, "validation_failed")


async def test_a_refused_password_is_not_repeated_in_the_answer(http: Any, account: Any) -> None:
    answer = await http("POST", GALLERIES, body={"password": "se\u0007same"}, token=account.token)
    assert answer.status == 422
    assert b"same" not in answer.body


async def test_a_retried_creation_makes_one_gallery(http: Any, account: Any, other: Any) -> None:
    headers = {"idempotency-key": "gallery-of-today-and-no-other"}
    answers = await asyncio.gather(
        *(http("POST", GALLERIES, token=account.token, headers=headers) for _ in range(8))
    )
    elsewhere = await http("POST", GALLERIES, token=other.token, headers=headers)
    anonymously = await http("POST", GALLERIES, headers=headers)

    assert len({answer.body for answer in answers}) == 1
    ids = {answer.json["id"] for answer in (answers[0], elsewhere, anonymously)}
    assert len(ids) == 3


async def test_each_collision_makes_an_accounts_code_longer_too(make_http: Any, account: Any) -> None:
    http = make_http(code_alphabet="a", code_length=1)
    anonymous = (await http("POST", GALLERIES)).json["code"]
    codes = [(await http("POST", GALLERIES, token=account.token)).json["code"] for _ in range(2)]
    assert [anonymous, *codes] == ["a", "aa", "aaa"]


# Reading, changing and deleting.


async def test_the_owner_reads_changes_and_deletes(
    http: Any, account: Any, gallery: Any, published: Any
) -> None:
    read = await http("GET", path(gallery), token=account.token)
    changed = await http("PATCH", path(gallery), body={"title": "Sintra"}, token=account.token)
    deleted = await http("DELETE", path(gallery), token=account.token)
    again = await http("DELETE", path(gallery), token=account.token)

    # The same as the creation's answer, except for the key, which is not shown again.
    assert {name: value for name, value in gallery.items() if name != "access_key"} == read.json
    assert changed.json["title"] == "Sintra"
    assert (deleted.status, again.status) == (204, 204)
    assert [topic for topic, _, _ in await published()] == [
        *("GalleryCreated", "GalleryUpdated", "GalleryDeleted"),
    ]
    for method in ("GET", "PATCH"):
        gone = await http(method, path(gallery), body={"title": "back"}, token=account.token)
        assert outcome(gone) == (404, "gallery_not_found")


@pytest.mark.parametrize("method", METHODS)
async def test_other_accounts_learn_nothing(
    http: Any, account: Any, other: Any, gallery: Any, anonymous: Any, method: str
) -> None:
    private = (await http("POST", GALLERIES, body={"visibility": "private"}, token=account.token)).json
    deleted = (await http("POST", GALLERIES, token=account.token)).json
    await http("DELETE", path(deleted), token=account.token)
    targets = [gallery, private, deleted, anonymous, {"id": str(uuid4())}]

    answers = [
        await http(method, path(target), body={"title": "stolen"}, token=other.token) for target in targets
    ]

    assert {outcome(answer) for answer in answers} == {(404, "gallery_not_found")}
    assert all(anonymised(answer) == anonymised(answers[0]) for answer in answers)
    assert len({frozenset(set(answer.headers) - {"x-request-id"}) for answer in answers}) == 1
    assert (await http("GET", path(gallery), token=account.token)).json["title"] == "Lisbon"


@pytest.mark.parametrize("method", METHODS)
async def test_a_key_opens_no_accounts_gallery(http: Any, gallery: Any, anonymous: Any, method: str) -> None:
    for key in (new_access_key(), anonymous["access_key"], "nonsense"):
        answer = await http(method, path(gallery), key=key, body={"title": "stolen"})
        assert outcome(answer) == (403, "gallery_key_wrong")


@pytest.mark.parametrize("method", METHODS)
async def test_a_viewer_with_the_code_manages_nothing(http: Any, gallery: Any, method: str) -> None:
    headers = {"x-gallery-code": gallery["code"]}
    answer = await http(method, path(gallery), headers=headers, body={"title": "stolen"})
    assert outcome(answer) == (401, "gallery_key_missing")


async def test_a_bad_token_comes_before_everything_else(
    http: Any, account: Any, gallery: Any, anonymous: Any, database: Any
) -> None:
    nowhere = {"id": str(uuid4())}
    for name, token in bad_tokens(account).items():
        for method in METHODS:
            for target in (gallery, nowhere):
                answer = await http(method, path(target), body={"title": "x"}, token=token)
                assert outcome(answer) == INVALID, (name, method)
        # The right key beside it does not help: a client that sends a bad token believes that it is logged
        # in.
        answer = await http("GET", path(anonymous), key=anonymous["access_key"], token=token)
        assert outcome(answer) == INVALID, name
        for method, where in (
            ("POST", GALLERIES),
            ("GET", GALLERIES),
            ("POST", f"{path(anonymous)}/claim"),
            ("POST", f"{path(gallery)}/rotate-code"),
            ("POST", f"{path(anonymous)}/rotate-key"),
        ):
            answer = await http(method, where, key=anonymous["access_key"], token=token)
            assert outcome(answer) == INVALID, (name, where)
            assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert await database.hot.fetchval("SELECT max(version) FROM galleries") == 1
    assert await database.hot.fetchval("SELECT count(*) FROM galleries") == 2


@pytest.mark.parametrize("header", ["Basic YTpi", "", "token"])
async def test_another_scheme_is_no_way_to_be_anonymous(http: Any, header: str) -> None:
    answer = await http("POST", GALLERIES, headers={"authorization": header})
    assert outcome(answer) == MISSING


async def test_an_accounts_token_does_not_take_from_a_key(http: Any, account: Any, anonymous: Any) -> None:
    # An app that is logged in sends its token with every request.
    key = anonymous["access_key"]
    read = await http("GET", path(anonymous), key=key, token=account.token)
    changed = await http("PATCH", path(anonymous), key=key, token=account.token, body={"title": "Faro"})
    foreign = await http("GET", path(anonymous), key=new_access_key(), token=account.token)

    assert (read.status, changed.json["title"]) == (200, "Faro")
    assert outcome(foreign) == (403, "gallery_key_wrong")


@pytest.mark.parametrize("keep_code", [True, False])
async def test_a_private_gallery_hides_its_code_and_shows_the_same_again_if_asked_to(
    http: Any, account: Any, gallery: Any, published: Any, keep_code: bool
) -> None:
    hidden = await http("PATCH", path(gallery), body={"visibility": "private"}, token=account.token)
    read = await http("GET", path(gallery), token=account.token)
    closed = await http("POST", "/internal/grants/view", body={"code": gallery["code"]})
    body = {"visibility": "shared", "keep_code": keep_code}
    shown = await http("PATCH", path(gallery), body=body, token=account.token)
    opened = await http("POST", "/internal/grants/view", body={"code": gallery["code"]})

    for answer in (hidden, read):
        assert (answer.json["visibility"], answer.json["code"], answer.json["url"]) == ("private", None, None)
    assert outcome(closed) == (404, "gallery_not_found")
    assert ((shown.json["code"], shown.json["url"]) == (gallery["code"], gallery["url"])) == keep_code
    assert opened.status == (200 if keep_code else 404)
    renewed = await http("POST", "/internal/grants/view", body={"code": shown.json["code"]})
    assert renewed.status == 200
    events = [(sequence, event["visibility"]) for _, sequence, event in await published()]
    assert events == [(1, "shared"), (2, "private"), (3, "shared")]


@pytest.mark.parametrize("body", [{}, {"title": "Lisbon"}, {"visibility": "shared"}, {"password": None}])
async def test_a_change_that_changes_nothing_is_not_published(
    http: Any, account: Any, gallery: Any, published: Any, body: Any
) -> None:
    answer = await http("PATCH", path(gallery), body=body, token=account.token)

    assert (answer.status, answer.json["updated_at"]) == (200, gallery["updated_at"])
    assert len(await published()) == 1


# Listing.


async def _titles(http: Any, account: Any, query: str = "") -> tuple[list[str], str | None]:
    answer = await http("GET", f"{GALLERIES}{query}", token=account.token)
    assert answer.status == 200, answer.body
    return [item["title"] for item in answer.json["items"]], answer.json["next_cursor"]


async def test_mine_are_listed_the_newest_first_in_pages(
    http: Any, account: Any, other: Any, anonymous: Any
) -> None:
    for number in range(5):
        await http("POST", GALLERIES, body={"title": str(number)}, token=account.token)
        await http("POST", GALLERIES, body={"title": "another's"}, token=other.token)

    first, cursor = await _titles(http, account, "?limit=2")
    # Galleries created or deleted in the meantime neither repeat nor hide another one.
    await http("POST", GALLERIES, body={"title": "late"}, token=account.token)
    second, cursor = await _titles(http, account, f"?limit=2&cursor={cursor}")
    third, end = await _titles(http, account, f"?limit=2&cursor={cursor}")
    whole, no_more = await _titles(http, account)

    assert [first, second, third] == [["4", "3"], ["2", "1"], ["0"]]
    assert (end, no_more) == (None, None)
    assert whole == ["late", "4", "3", "2", "1", "0"]


async def test_a_full_last_page_is_the_last(http: Any, account: Any) -> None:
    for _ in range(2):
        await http("POST", GALLERIES, token=account.token)
    titles, cursor = await _titles(http, account, "?limit=2")
    assert (len(titles), cursor) == (2, None)


async def test_private_ones_are_listed_and_deleted_ones_are_not(
    http: Any, account: Any, gallery: Any
) -> None:
    await http("POST", GALLERIES, body={"title": "mine alone", "visibility": "private"}, token=account.token)
    await http("DELETE", path(gallery), token=account.token)

    answer = await http("GET", GALLERIES, token=account.token)

    (item,) = answer.json["items"]
    assert (item["title"], item["code"], item["visibility"]) == ("mine alone", None, "private")
    assert set(item) == set(gallery) - {"access_key"}


async def test_nobody_has_no_list(http: Any, anonymous: Any, account: Any) -> None:
    assert outcome(await http("GET", GALLERIES)) == MISSING
    assert outcome(await http("GET", GALLERIES, key=anonymous["access_key"])) == MISSING
    assert await _titles(http, account) == ([], None)


@pytest.mark.parametrize(
    ("query", "field"),
    [("?limit=0", "limit"), ("?limit=x", "limit"), ("?cursor=x", "cursor"), ("?cursor=%C3%A9", "cursor")],
)
async def test_a_page_that_cannot_be_is_refused(http: Any, account: Any, query: str, field: str) -> None:
    answer = await http("GET", f"{GALLERIES}{query}", token=account.token)
    assert outcome(answer) == (422, "validation_failed")
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_a_page_reads_its_rows_from_the_index(http: Any, account: Any, database: Any) -> None:
    from kappi_galleries.repository import galleries

    await database.hot.execute(
        "INSERT INTO galleries (id, code, visibility, owner_id, created_at, updated_at) "
        "SELECT gen_random_uuid(), 'filler' || n, 'shared', gen_random_uuid(), now(), now() "
        "FROM generate_series(1, 2000) n"
    )
    await http("POST", GALLERIES, token=account.token)
    await database.hot.execute("ANALYZE galleries")
    statement = galleries._PAGE_OF_OWNER.replace("$1", f"'{account.id}'").replace("$2", "NULL")
    plan = await database.hot.fetch(f"EXPLAIN {statement.replace('$3', '101')}")
    assert any("ix_galleries_owner_id" in row[0] for row in plan)
