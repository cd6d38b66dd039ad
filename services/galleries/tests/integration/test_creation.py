"""POST /v1/galleries: its answers, the stored data, the refusals, and that every code is unique."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from kappi_galleries.domain.credentials import ALPHABET, access_key_hash

CLIENTS = 16
CREATE = "/v1/galleries"


def _seconds(answer: Any) -> float:
    gallery = answer.json
    span = datetime.fromisoformat(gallery["expires_at"]) - datetime.fromisoformat(gallery["created_at"])
    return span.total_seconds()


async def test_an_anonymous_gallery_comes_with_code_link_and_key(http: Any, clock: Any) -> None:
    answer = await http("POST", CREATE, body={"title": "  Lisbon in May "})

    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    gallery = answer.json
    assert set(gallery) == {
        *("id", "code", "url", "title", "visibility", "password_protected", "expires_at", "created_at"),
        *("updated_at", "item_count", "size_bytes", "location_free", "access_key", "takedown_reason"),
        *("expires_in", "max_views", "views_used", "max_downloads", "downloads_used"),
        *("cover_media_id", "contributions"),
    }
    assert len(gallery["code"]) == 4
    assert set(gallery["code"]) <= set(ALPHABET)
    assert gallery["url"] == f"https://kappi.example/g/{gallery['code']}"
    assert gallery["title"] == "Lisbon in May"
    assert (gallery["visibility"], gallery["password_protected"]) == ("shared", False)
    assert (gallery["item_count"], gallery["size_bytes"]) == (0, 0)
    assert datetime.fromisoformat(gallery["created_at"]) == clock.now
    assert _seconds(answer) == timedelta(days=30).total_seconds()


@pytest.mark.parametrize(
    "request_", [{"raw": b""}, {"raw": b"null"}, {"raw": b"{}"}, {"body": {"title": " "}}]
)
async def test_everything_is_optional(http: Any, request_: dict[str, Any]) -> None:
    answer = await http("POST", CREATE, **request_)
    assert answer.status == 201
    assert answer.json["title"] is None


async def test_a_shorter_life_may_be_asked_for(http: Any) -> None:
    answer = await http("POST", CREATE, body={"expires_in": 3_600})
    assert _seconds(answer) == answer.json["expires_in"] == 3_600


async def test_the_event_is_committed_with_the_gallery(http: Any, published: Any) -> None:
    gallery = (await http("POST", CREATE)).json

    ((topic, sequence, event),) = await published()
    assert (topic, sequence) == ("GalleryCreated", 1)
    assert event["gallery_id"] == gallery["id"]
    assert event["owner_id"] is None
    assert datetime.fromisoformat(event["expires_at"]) == datetime.fromisoformat(gallery["expires_at"])


async def test_of_the_access_key_only_its_hash_is_stored(http: Any, database: Any) -> None:
    key = (await http("POST", CREATE, headers={"idempotency-key": "9f6d3c1e-6a0b-retry-of-today"})).json[
        "access_key"
    ]

    tables = ("galleries", "outbox", "idempotency")
    rows = [str(row) for table in tables for row in await database.hot.fetch(f"SELECT * FROM {table}")]
    assert rows
    assert not [row for row in rows if key in row or key.removeprefix("kappi_") in row]
    stored = await database.hot.fetchval("SELECT access_key_hash FROM galleries")
    assert stored == access_key_hash(key)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": "a" * 201}, "title"),
        ({"title": "a\u0007b"}, "title"),
        ({"title": 7}, "title"),
        ({"expires_in": 3_599}, "expires_in"),
        ({"expires_in": 30 * 86_400 + 1}, "expires_in"),
        ({"expires_in": "3600"}, "expires_in"),
        ({"expires_in": 10**18}, "expires_in"),
        ({"visibility": "public"}, "visibility"),
        ({"password": ""}, "password"),
    ],
)
async def test_a_field_that_is_not_valid_is_named(
    http: Any, database: Any, body: dict[str, Any], field: str
) -> None:
    answer = await http("POST", CREATE, body=body)

    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["code"] == "validation_failed"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert await database.hot.fetchval("SELECT count(*) FROM galleries") == 0


@pytest.mark.parametrize("raw", [b'{"title": ', b"nonsense", b'{"title": "\xff"}', b"[" * 100_000])
async def test_a_body_that_is_no_json_is_malformed(http: Any, raw: bytes) -> None:
    answer = await http("POST", CREATE, raw=raw)
    assert (answer.status, answer.json["code"]) == (400, "malformed_json")


async def test_half_of_a_surrogate_pair_is_no_title(http: Any) -> None:
    answer = await http("POST", CREATE, raw=b'{"title": "\\ud800"}')
    assert (answer.status, answer.json["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("body", [{"visibility": "private"}, {"password": "secret"}])
async def test_what_takes_an_account_is_refused_without_one(
    http: Any, database: Any, body: dict[str, Any]
) -> None:
    answer = await http("POST", CREATE, body=body)

    assert (answer.status, answer.json["code"]) == (422, "account_required")
    assert [error["field"] for error in answer.json["errors"]] == list(body)
    assert await database.hot.fetchval("SELECT count(*) FROM galleries") == 0


@pytest.mark.parametrize("retryable", [False, True])
async def test_each_collision_makes_the_code_one_longer(
    make_http: Any, database: Any, retryable: bool
) -> None:
    http = make_http(code_alphabet="a", code_length=1)

    codes = []
    for number in range(5):
        headers = {"idempotency-key": f"gallery-of-today-number-{number}"} if retryable else {}
        codes.append((await http("POST", CREATE, headers=headers)).json["code"])

    assert codes == ["a", "aa", "aaa", "aaaa", "aaaaa"]
    assert await database.hot.fetchval("SELECT count(*) FROM outbox") == 5


async def test_a_tiny_alphabet_under_concurrency_gives_no_code_twice(make_http: Any, database: Any) -> None:
    http = make_http(code_alphabet="ab", code_length=1)

    answers = await asyncio.gather(*(http("POST", CREATE) for _ in range(60)))

    codes = [answer.json["code"] for answer in answers]
    assert len(set(codes)) == 60
    lengths = Counter(map(len, codes))
    # Sixty galleries need more than the 2 + 4 + 8 + 16 codes of up to four characters.
    assert max(lengths) >= 5
    assert all(lengths[length] <= 2**length for length in lengths)
    assert await database.hot.fetchval("SELECT count(DISTINCT code) FROM galleries") == 60


async def test_when_no_code_is_free_nothing_is_stored(make_http: Any, database: Any) -> None:
    http = make_http(code_alphabet="a", code_length=16)
    for _ in range(17):
        assert (await http("POST", CREATE)).status == 201

    answer = await http("POST", CREATE)

    assert (answer.status, answer.json["code"]) == (503, "codes_exhausted")
    assert answer.headers["retry-after"] == "1"
    assert await database.hot.fetchval("SELECT count(*) FROM galleries") == 17
    assert await database.hot.fetchval("SELECT count(*) FROM outbox") == 17


async def test_the_code_of_a_deleted_gallery_is_never_given_again(make_http: Any) -> None:
    http = make_http(code_alphabet="a", code_length=1)
    first = (await http("POST", CREATE)).json
    await http("DELETE", f"/v1/galleries/{first['id']}", key=first["access_key"])

    assert (await http("POST", CREATE)).json["code"] == "aa"


async def test_ten_thousand_galleries_from_sixteen_clients(http: Any, database: Any) -> None:
    created: list[Any] = []

    async def client() -> None:
        for _ in range(10_000 // CLIENTS):
            answer = await http("POST", CREATE)
            created.append(answer.json)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))

    codes = {gallery["code"] for gallery in created}
    assert len(created) == len(codes) == 10_000
    assert len({gallery["access_key"] for gallery in created}) == 10_000
    assert set("".join(codes)) <= set(ALPHABET)
    # Some 60 collisions are expected among 810,000 codes; the chance of none is below 1e-20.
    assert {4, 5} <= {len(code) for code in codes} <= {4, 5, 6}
    assert await database.hot.fetchval("SELECT count(*) FROM galleries") == 10_000
    assert await database.hot.fetchval("SELECT count(DISTINCT key) FROM outbox") == 10_000


async def test_a_failure_of_the_database_leaks_nothing(http: Any, database: Any) -> None:
    await database.hot.execute("ALTER TABLE galleries RENAME TO elsewhere")

    answer = await http("POST", CREATE)

    assert answer.status == 500
    assert answer.json["code"] == "internal_error"
    assert b"galleries" not in answer.body.replace(b"/v1/galleries", b"")
    assert answer.json["request_id"] == answer.headers["x-request-id"]
