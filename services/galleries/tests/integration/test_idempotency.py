"""A creation is repeated because its answer was lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

CREATE = "/v1/galleries"
KEY = {"idempotency-key": "0f2b7f4e-6f0e-4c55-9a53-0d3d9b0f8a11"}


async def _counts(database: Any) -> tuple[int, int]:
    galleries: int = await database.hot.fetchval("SELECT count(*) FROM galleries")
    events: int = await database.hot.fetchval("SELECT count(*) FROM outbox")
    return galleries, events


async def test_a_repetition_gets_the_first_answer_again(http: Any, database: Any) -> None:
    first = await http("POST", CREATE, body={"title": "Lisbon"}, headers=KEY)
    again = await http("POST", CREATE, body={"title": "Lisbon"}, headers=KEY)

    assert first.status == again.status == 201
    assert first.body == again.body
    assert first.json["access_key"].startswith("kappi_")
    assert await _counts(database) == (1, 1)


async def test_twenty_at_once_make_one_gallery(http: Any, database: Any) -> None:
    answers = await asyncio.gather(
        *(http("POST", CREATE, body={"title": "Lisbon"}, headers=KEY) for _ in range(20))
    )

    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert await _counts(database) == (1, 1)


async def test_the_repeated_key_manages_the_gallery(http: Any) -> None:
    await http("POST", CREATE, headers=KEY)
    gallery = (await http("POST", CREATE, headers=KEY)).json
    assert (await http("GET", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"])).status == 200


async def test_another_body_under_the_same_key_is_refused(http: Any, database: Any) -> None:
    await http("POST", CREATE, body={"title": "Lisbon"}, headers=KEY)
    answer = await http("POST", CREATE, body={"title": "Porto"}, headers=KEY)

    assert (answer.status, answer.json["code"]) == (422, "idempotency_key_reused")
    assert b"kappi_" not in answer.body
    assert await _counts(database) == (1, 1)


async def test_other_keys_make_other_galleries(http: Any, database: Any) -> None:
    first = await http("POST", CREATE, headers=KEY)
    second = await http("POST", CREATE, headers={"idempotency-key": "another-key-than-the-one-above"})

    assert first.json["id"] != second.json["id"]
    assert await _counts(database) == (2, 2)


@pytest.mark.parametrize(
    "key",
    ["short", "x" * 256, "not\x01printable, though it is long", "12345678", "nineteen characters", "0" * 40],
)
async def test_an_unusable_key_is_refused(http: Any, database: Any, key: str) -> None:
    answer = await http("POST", CREATE, headers={"idempotency-key": key})

    assert (answer.status, answer.json["code"]) == (400, "idempotency_key_invalid")
    assert await _counts(database) == (0, 0)


async def test_a_refused_creation_does_not_use_up_its_key(http: Any, database: Any) -> None:
    refused = await http("POST", CREATE, body={"expires_in": 90 * 86_400}, headers=KEY)
    created = await http("POST", CREATE, body={"expires_in": 9 * 86_400}, headers=KEY)

    assert (refused.status, refused.json["code"]) == (422, "validation_failed")
    assert created.status == 201
    assert await _counts(database) == (1, 1)
