"""Replacing codes and access keys by new ones."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from kappi_galleries.domain.credentials import ALPHABET, access_key_hash, new_access_key

pytestmark = pytest.mark.integration

VIEW = "/internal/grants/view"


@pytest.fixture
async def gallery(http: Any) -> Any:
    return (await http("POST", "/v1/galleries", body={"title": "Lisbon"})).json


@pytest.fixture
async def mine(http: Any, account: Any) -> Any:
    return (await http("POST", "/v1/galleries", token=account.token)).json


def path(gallery: Any, what: str = "") -> str:
    return f"/v1/galleries/{gallery['id']}{what}"


def outcome(answer: Any) -> tuple[int, str]:
    return answer.status, "" if answer.status == 200 else answer.json["code"]


async def _looks(http: Any, code: str) -> int:
    status: int = (await http("POST", VIEW, body={"code": code})).status
    return status


async def test_the_holder_of_the_key_gives_it_a_new_code(http: Any, gallery: Any, published: Any) -> None:
    answer = await http("POST", path(gallery, "/rotate-code"), key=gallery["access_key"])

    code = answer.json["code"]
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert code != gallery["code"]
    assert set(code) <= set(ALPHABET)
    assert answer.json == {"code": code, "url": f"https://kappi.example/g/{code}"}
    assert (await _looks(http, gallery["code"]), await _looks(http, code)) == (404, 200)
    assert [(topic, sequence) for topic, sequence, _ in await published()] == [
        ("GalleryCreated", 1),
        ("GalleryUpdated", 2),
    ]
    read = await http("GET", path(gallery), key=gallery["access_key"])
    assert (read.json["code"], read.json["title"]) == (code, "Lisbon")


async def test_so_does_its_owner_also_while_it_is_private(http: Any, account: Any, mine: Any) -> None:
    rotated = await http("POST", path(mine, "/rotate-code"), token=account.token)
    await http("PATCH", path(mine), token=account.token, body={"visibility": "private"})
    hidden = await http("POST", path(mine, "/rotate-code"), token=account.token)
    shown = await http("PATCH", path(mine), token=account.token, body={"visibility": "shared"})

    assert hidden.json == {"code": None, "url": None}
    assert len({mine["code"], rotated.json["code"], shown.json["code"]}) == 3
    assert [await _looks(http, each.json["code"]) for each in (rotated, shown)] == [404, 200]


async def test_a_gallery_gets_so_many_new_codes_a_day(
    make_http: Any, account: Any, other: Any, clock: Any
) -> None:
    http = make_http(code_changes_per_day=2)
    mine, foreign = [
        (await http("POST", "/v1/galleries", token=each.token)).json for each in (account, other)
    ]

    async def rotate(gallery: Any, token: str) -> Any:
        return await http("POST", path(gallery, "/rotate-code"), token=token)

    async def show(visibility: str, **more: bool) -> Any:
        return await http("PATCH", path(mine), token=account.token, body={"visibility": visibility, **more})

    assert (await rotate(mine, account.token)).status == 200
    clock.pass_by(timedelta(hours=1))
    assert ((await show("private")).status, (await show("shared")).status) == (200, 200)
    for refused in (await rotate(mine, account.token), [await show("private"), await show("shared")][1]):
        assert outcome(refused) == (429, "too_many_codes")
        assert int(refused.headers["retry-after"]) == 23 * 3600
    assert (await show("shared", keep_code=True)).status == 200
    assert (await rotate(foreign, other.token)).status == 200, "another gallery has its own"
    clock.pass_by(timedelta(hours=23))
    assert [(await rotate(mine, account.token)).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("what", ["/rotate-code", "/rotate-key"])
async def test_nobody_else_rotates(
    http: Any, account: Any, other: Any, gallery: Any, mine: Any, published: Any, what: str
) -> None:
    foreign = (await http("POST", "/v1/galleries")).json
    nowhere = {"id": str(uuid4())}
    refusals = [
        (gallery, {}, (401, "gallery_key_missing")),
        (gallery, {"key": new_access_key()}, (403, "gallery_key_wrong")),
        (gallery, {"key": "nonsense"}, (403, "gallery_key_wrong")),
        (gallery, {"key": foreign["access_key"]}, (403, "gallery_key_wrong")),
        (nowhere, {"key": foreign["access_key"]}, (403, "gallery_key_wrong")),
        (mine, {"key": foreign["access_key"]}, (403, "gallery_key_wrong")),
    ]
    if what == "/rotate-code":
        refusals += [(each, {"token": other.token}, (404, "gallery_not_found")) for each in (mine, nowhere)]
    else:
        # An account's gallery has no key that its owner could replace.
        refusals += [(mine, {"token": account.token}, (401, "gallery_key_missing"))]

    for target, credentials, expected in refusals:
        answer = await http("POST", path(target, what), **credentials)
        assert outcome(answer) == expected, (target, credentials)
    assert {topic for topic, _, _ in await published()} == {"GalleryCreated"}


@pytest.mark.parametrize("what", ["/rotate-code", "/rotate-key"])
async def test_nothing_is_rotated_that_is_gone(http: Any, gallery: Any, what: str) -> None:
    await http("DELETE", path(gallery), key=gallery["access_key"])
    answer = await http("POST", path(gallery, what), key=gallery["access_key"])
    assert outcome(answer) == (404, "gallery_not_found")


async def test_an_old_code_is_never_given_again(make_http: Any, account: Any, database: Any) -> None:
    http = make_http(code_alphabet="a", code_length=1)
    first = (await http("POST", "/v1/galleries")).json
    rotated = await http("POST", path(first, "/rotate-code"), key=first["access_key"])
    anonymous = (await http("POST", "/v1/galleries")).json
    retried = await http(
        "POST", "/v1/galleries", headers={"idempotency-key": "a-creation-that-may-be-retried"}
    )
    owned = (await http("POST", "/v1/galleries", token=account.token)).json

    codes = [each["code"] for each in (first, rotated.json, anonymous, retried.json, owned)]
    assert codes == ["a", "aa", "aaa", "aaaa", "aaaaa"]
    assert await _looks(http, "a") == 404


async def test_rotations_and_creations_at_once_never_share_a_code(make_http: Any, database: Any) -> None:
    http = make_http(code_alphabet="ab", code_length=1)
    galleries = [(await http("POST", "/v1/galleries")).json for _ in range(6)]

    answers = await asyncio.gather(
        *(http("POST", path(each, "/rotate-code"), key=each["access_key"]) for each in galleries * 3),
        *(http("POST", "/v1/galleries") for _ in range(18)),
    )

    codes = [each["code"] for each in galleries] + [answer.json["code"] for answer in answers]
    assert {answer.status for answer in answers} == {200, 201}
    assert len(set(codes)) == len(codes) == 42
    assert await database.hot.fetchval("SELECT count(*) FROM used_codes") == 42


async def test_when_no_code_is_free_the_old_one_stays(make_http: Any, published: Any) -> None:
    http = make_http(code_alphabet="a", code_length=16)
    galleries = [(await http("POST", "/v1/galleries")).json for _ in range(17)]
    first = galleries[0]

    answer = await http("POST", path(first, "/rotate-code"), key=first["access_key"])

    assert (outcome(answer), answer.headers["retry-after"]) == ((503, "codes_exhausted"), "1")
    assert await _looks(http, first["code"]) == 200
    assert {topic for topic, _, _ in await published()} == {"GalleryCreated"}


async def test_a_gallery_of_an_older_release_keeps_its_code_to_itself(make_http: Any, database: Any) -> None:
    http = make_http(code_alphabet="a", code_length=1)
    gallery = (await http("POST", "/v1/galleries")).json
    # The gallery was created after the migration, by a replica of the older release.
    await database.hot.execute("DELETE FROM used_codes")

    second = (await http("POST", "/v1/galleries")).json
    await http("POST", path(gallery, "/rotate-code"), key=gallery["access_key"])
    third = (await http("POST", "/v1/galleries")).json

    assert (second["code"], third["code"]) == ("aa", "aaaa")


# Keys.


async def test_a_new_key_takes_the_place_of_the_old_one(
    http: Any, gallery: Any, published: Any, database: Any
) -> None:
    old = gallery["access_key"]
    answer = await http("POST", path(gallery, "/rotate-key"), key=old)
    new = answer.json["access_key"]

    assert answer.status == 200
    assert set(answer.json) == {"access_key"}
    assert answer.headers["cache-control"] == "no-store"
    assert outcome(await http("GET", path(gallery), key=old)) == (403, "gallery_key_wrong")
    assert (await http("GET", path(gallery), key=new)).json["code"] == gallery["code"]
    for key, status in ((old, 403), (new, 200)):
        grant = await http("POST", "/internal/grants/key", body={"access_key": key})
        assert grant.status == status
    assert [(topic, sequence) for topic, sequence, _ in await published()][-1] == ("GalleryUpdated", 2)
    assert await database.hot.fetchval("SELECT access_key_hash FROM galleries") == access_key_hash(new)
    assert new not in str(await published())


async def test_a_lost_new_key_comes_back_to_whoever_repeats_the_request(
    http: Any, gallery: Any, database: Any
) -> None:
    headers, old = {"idempotency-key": "rotation-of-the-key-of-today"}, gallery["access_key"]
    first, second = await asyncio.gather(
        *(http("POST", path(gallery, "/rotate-key"), key=old, headers=headers) for _ in range(2))
    )
    new = first.json["access_key"]
    # A client with another key, or with the old one but without the same Idempotency-Key, does not get the
    # new key.
    stranger = await http("POST", path(gallery, "/rotate-key"), key=new_access_key(), headers=headers)
    without = await http("POST", path(gallery, "/rotate-key"), key=old)

    assert first.body == second.body
    assert outcome(stranger) == outcome(without) == (403, "gallery_key_wrong")
    assert (await http("GET", path(gallery), key=new)).status == 200
    rows = [str(row) for row in await database.hot.fetch("SELECT * FROM idempotency")]
    assert not [row for row in rows if new.removeprefix("kappi_") in row]


async def test_of_rotations_at_once_one_wins(http: Any, gallery: Any) -> None:
    answers = await asyncio.gather(
        *(http("POST", path(gallery, "/rotate-key"), key=gallery["access_key"]) for _ in range(6))
    )

    outcomes = sorted(outcome(answer) for answer in answers)
    assert outcomes == [(200, "")] + [(403, "gallery_key_wrong")] * 5
    (winner,) = [answer for answer in answers if answer.status == 200]
    assert (await http("GET", path(gallery), key=winner.json["access_key"])).status == 200


async def test_a_retried_rotation_gives_one_code(http: Any, account: Any, mine: Any) -> None:
    headers = {"idempotency-key": "rotation-of-the-key-of-today"}
    answers = await asyncio.gather(
        *(http("POST", path(mine, "/rotate-code"), token=account.token, headers=headers) for _ in range(4))
    )
    assert len({answer.body for answer in answers}) == 1
    assert await _looks(http, answers[0].json["code"]) == 200
