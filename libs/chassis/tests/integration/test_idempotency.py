from __future__ import annotations

import asyncio
import hashlib

import pytest
from kappi_chassis.db import Database
from kappi_chassis.idempotency import (
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    IdempotentCall,
    StoredAnswer,
)
from sqlalchemy import text

ANSWER = StoredAnswer(201, b'{"access_key": "kappi_secret"}')


def call(
    key: str = "a-client-made-uuid", *, body: bytes = b"{}", scope: str = "POST /v1/galleries"
) -> IdempotentCall:
    return IdempotentCall(secret=b"server secret", key=key, scope=scope, body=body)


async def perform(database: Database, request: IdempotentCall, answer: StoredAnswer = ANSWER) -> StoredAnswer:
    async with database.transaction() as connection:
        stored = await request.begin(connection)
        if stored is not None:
            return stored
        await connection.execute(text("INSERT INTO effects DEFAULT VALUES"))
        await request.store(connection, answer)
        return answer


@pytest.fixture
async def effects(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE effects (id int GENERATED ALWAYS AS IDENTITY)"))


async def count(database: Database) -> int:
    async with database.transaction() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM effects"))).scalar_one())


@pytest.mark.usefixtures("effects")
async def test_a_retry_gets_the_first_answer_and_no_second_effect(database: Database) -> None:
    first = await perform(database, call())
    again = await perform(database, call(), StoredAnswer(201, b"another"))
    assert first == again == ANSWER
    assert await count(database) == 1


@pytest.mark.usefixtures("effects")
async def test_concurrent_retries_have_one_effect(database: Database) -> None:
    answers = await asyncio.gather(
        *(perform(database, call(), StoredAnswer(201, str(number).encode())) for number in range(8))
    )
    assert len(set(answers)) == 1
    assert await count(database) == 1


@pytest.mark.usefixtures("effects")
async def test_a_failed_request_may_be_tried_again(database: Database) -> None:
    async def fails() -> None:
        async with database.transaction() as connection:
            assert await call().begin(connection) is None
            raise LookupError

    with pytest.raises(LookupError):
        await fails()
    assert await perform(database, call()) == ANSWER


@pytest.mark.usefixtures("effects")
async def test_another_body_under_the_same_key_is_refused(database: Database) -> None:
    await perform(database, call(body=b'{"title": "a"}'))
    with pytest.raises(IdempotencyKeyReused):
        await perform(database, call(body=b'{"title": "b"}'))


@pytest.mark.usefixtures("effects")
async def test_the_same_key_in_two_scopes_is_two_keys(database: Database) -> None:
    await perform(database, call(scope="POST /v1/galleries"))
    await perform(database, call(scope="POST /v1/posts"))
    assert await count(database) == 2


@pytest.mark.usefixtures("effects")
async def test_the_stored_answer_is_encrypted(database: Database) -> None:
    await perform(database, call())
    async with database.transaction() as connection:
        row = (await connection.execute(text("SELECT * FROM idempotency"))).one()
    stored = b"".join(bytes(value) for value in row if isinstance(value, (bytes, memoryview)))
    assert b"kappi_secret" not in stored
    assert b"a-client-made-uuid" not in stored


@pytest.mark.usefixtures("effects")
async def test_the_body_cannot_be_guessed_from_the_database(database: Database) -> None:
    body = b'{"password": "hunter2"}'
    await perform(database, call(body=body))
    async with database.transaction() as connection:
        fingerprint = (await connection.execute(text("SELECT fingerprint FROM idempotency"))).scalar_one()
    assert bytes(fingerprint) != hashlib.sha256(body).digest()


@pytest.mark.usefixtures("effects")
async def test_a_waiting_retry_runs_if_the_first_request_fails(database: Database) -> None:
    claimed, fail = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with database.transaction() as connection:
            assert await call().begin(connection) is None
            claimed.set()
            await fail.wait()
            raise LookupError

    failing = asyncio.create_task(first())
    await claimed.wait()
    waiting = asyncio.create_task(perform(database, call()))
    _, still = await asyncio.wait([waiting], timeout=0.2)
    assert still
    fail.set()
    with pytest.raises(LookupError):
        await failing
    assert await waiting == ANSWER
    assert await count(database) == 1


@pytest.mark.parametrize("key", ["short", "x" * 256, "with\nnewline"])
def test_unusable_keys_are_refused(key: str) -> None:
    with pytest.raises(IdempotencyKeyInvalid):
        call(key)


@pytest.mark.usefixtures("effects")
async def test_a_key_is_recognised_without_its_body(database: Database) -> None:
    async def known(request: IdempotentCall) -> bool:
        async with database.transaction() as connection:
            return await request.is_known(connection)

    assert not await known(call())
    await perform(database, call())
    assert await known(call(body=b"still to be read"))
    assert not await known(call("another-key"))
    assert not await known(call(scope="POST /v1/elsewhere"))
    assert (await perform(database, call())) == ANSWER
