"""POST /v1/accounts: its answers, the stored data, the refusals, and that every address is unique."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime
from typing import Any

import msgspec
import pytest

SIGN_UP = "/v1/accounts"
PASSWORD = "correct horse battery staple"
BODY = {"email": "Ada@Example.com", "password": PASSWORD, "display_name": "  Ada "}
KEY = {"idempotency-key": "0f2b7f4e-6f0e-4c55-9a53-0d3d9b0f8a11"}


async def _accounts(database: Any) -> int:
    count: int = await database.hot.fetchval("SELECT count(*) FROM accounts")
    return count


async def test_an_account_is_made_and_told_to_others(http: Any, clock: Any, published: Any) -> None:
    answer = await http("POST", SIGN_UP, body=BODY)

    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    account = answer.json
    assert set(account) == {
        *("id", "email", "display_name", "tier", "role", "created_at"),
        *("suspended_at", "suspension_reason"),
    }
    assert (account["display_name"], account["tier"], account["role"]) == ("Ada", "Traveller", "user")
    assert account["email"].lower() == "ada@example.com"
    assert datetime.fromisoformat(account["created_at"]) == clock.now
    ((topic, sequence, event),) = await published()
    assert (topic, sequence) == ("AccountCreated", 1)
    assert set(event) == {"account_id", "tier", "created_at"}
    assert (event["account_id"], event["tier"]) == (account["id"], "Traveller")


@pytest.mark.parametrize("email", ["ada@example.com", " ADA@EXAMPLE.COM ", "\uff41\uff44\uff41@example.com"])
async def test_an_address_is_taken_however_it_is_written(http: Any, database: Any, email: str) -> None:
    await http("POST", SIGN_UP, body=BODY)
    answer = await http("POST", SIGN_UP, body={**BODY, "email": email})

    assert (answer.status, answer.code) == (409, "email_taken")
    assert await _accounts(database) == 1
    assert await database.hot.fetchval("SELECT count(*) FROM outbox") == 1


async def test_twenty_sign_ups_of_one_address_make_one_account(http: Any, database: Any) -> None:
    answers = await asyncio.gather(*(http("POST", SIGN_UP, body=BODY) for _ in range(20)))

    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    assert await _accounts(database) == 1
    assert await database.hot.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_repetition_gets_the_first_answer_again(http: Any, database: Any) -> None:
    answers = await asyncio.gather(*(http("POST", SIGN_UP, body=BODY, headers=KEY) for _ in range(5)))

    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert await _accounts(database) == 1


async def test_another_body_under_the_same_key_is_refused(http: Any, database: Any) -> None:
    await http("POST", SIGN_UP, body=BODY, headers=KEY)
    answer = await http("POST", SIGN_UP, body={**BODY, "email": "eve@example.com"}, headers=KEY)

    assert (answer.status, answer.code) == (422, "idempotency_key_reused")
    assert await _accounts(database) == 1


async def test_under_a_used_key_nothing_is_hashed(
    http: Any, deps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await http("POST", SIGN_UP, body=BODY, headers=KEY)
    monkeypatch.setattr(deps.passwords, "hash", lambda *_, **__: pytest.fail("hashed"))
    again = await http("POST", SIGN_UP, body=BODY, headers=KEY)
    other = await http("POST", SIGN_UP, body={**BODY, "email": "eve@example.com"}, headers=KEY)

    assert (again.status, again.body) == (201, first.body)
    assert (other.status, other.code) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("changed", "field", "code"),
    [
        ({"email": "nobody"}, "email", "invalid_email"),
        ({"email": "a@b"}, "email", "invalid_email"),
        ({"email": "a\x00b@example.com"}, "email", "invalid_email"),
        ({"email": "a" * 300 + "@example.com"}, "email", "too_long"),
        ({"email": 7}, "email", "string_type"),
        ({"password": "short"}, "password", "too_short"),
        ({"password": "x" * 257}, "password", "too_long"),
        ({"password": "Password123"}, "password", "too_common"),
        ({"password": "aaaaaaaaaaaa"}, "password", "too_common"),
        ({"password": "ADA@example.com"}, "password", "is_email"),
        ({"password": None}, "password", "string_type"),
        ({"display_name": "a" * 101}, "display_name", "too_long"),
        ({"display_name": "a\u0000b"}, "display_name", "control_character"),
    ],
)
async def test_a_field_that_is_not_valid_is_named(
    http: Any, database: Any, changed: dict[str, Any], field: str, code: str
) -> None:
    answer = await http("POST", SIGN_UP, body={**BODY, **changed})

    assert (answer.status, answer.code) == (422, "validation_failed")
    assert [(error["field"], error["code"]) for error in answer.json["errors"]] == [(field, code)]
    assert await _accounts(database) == 0


@pytest.mark.parametrize("raw", [b'{"email": ', b"nonsense", b'{"email": "\xff"}'])
async def test_a_body_that_is_no_json_is_malformed(http: Any, raw: bytes) -> None:
    answer = await http("POST", SIGN_UP, raw=raw)
    assert (answer.status, answer.code) == (400, "malformed_json")


@pytest.mark.parametrize("key", ["short", "nineteen characters", "1" * 40])
async def test_an_unusable_key_is_refused(http: Any, database: Any, key: str) -> None:
    answer = await http("POST", SIGN_UP, body=BODY, headers={"idempotency-key": key})
    assert (answer.status, answer.code) == (400, "idempotency_key_invalid")
    assert await _accounts(database) == 0


async def test_neither_password_nor_anything_searchable_of_it_is_stored(http: Any, database: Any) -> None:
    await http("POST", SIGN_UP, body=BODY, headers=KEY)

    rows = [
        str(row)
        for table in ("accounts", "outbox", "idempotency")
        for row in await database.hot.fetch(f"SELECT * FROM {table}")
    ]
    assert len(rows) == 3
    assert not [row for row in rows if PASSWORD in row]
    plain_hash = hashlib.sha256(msgspec.json.encode(BODY)).digest()
    assert await database.hot.fetchval("SELECT fingerprint FROM idempotency") != plain_hash
    stored = await database.hot.fetchval("SELECT password_hash FROM accounts")
    assert stored.startswith("$argon2id$")


async def test_when_too_many_passwords_wait_the_next_is_turned_away(make_http: Any, database: Any) -> None:
    http = make_http(password_queue=2)
    bodies = [{**BODY, "email": f"a{number}@example.com"} for number in range(12)]
    answers = await asyncio.gather(*(http("POST", SIGN_UP, body=body) for body in bodies))

    refused = [answer for answer in answers if answer.status == 503]
    assert refused
    assert {answer.code for answer in refused} == {"busy"}
    assert {answer.headers["retry-after"] for answer in refused} == {"2"}
    assert await _accounts(database) == 12 - len(refused) > 0
