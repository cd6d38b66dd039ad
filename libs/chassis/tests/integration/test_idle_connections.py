"""Connections that are not needed are closed, and those that are needed are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest
from kappi_chassis.db.idle_connections import IdleConnections
from kappi_testkit.eventually import eventually
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

pytestmark = pytest.mark.integration

BACKENDS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    found = create_async_engine(
        database_url.replace("postgresql://", "postgresql+asyncpg://", 1),
        pool_size=4,
        max_overflow=0,
        pool_timeout=30,
        pool_use_lifo=True,
    )
    yield found
    await found.dispose()


async def use(engine: AsyncEngine, *, at_once: int) -> None:
    async with AsyncExitStack() as borrowed:
        connections = [await borrowed.enter_async_context(engine.connect()) for _ in range(at_once)]
        for connection in connections:
            await connection.execute(text("SELECT 1"))


async def assert_backends(url: str, number: int) -> None:
    async def counted() -> None:
        connection = await asyncpg.connect(url)
        try:
            assert await connection.fetchval(BACKENDS) == number
        finally:
            await connection.close()

    await eventually(counted)


async def test_connections_beyond_those_in_use_lately_are_closed(
    engine: AsyncEngine, database_url: str
) -> None:
    idle = IdleConnections(engine)
    await use(engine, at_once=4)
    await idle.close_surplus()
    await assert_backends(database_url, 4)

    await use(engine, at_once=2)
    await idle.close_surplus()
    await assert_backends(database_url, 2)

    await idle.close_surplus()
    await assert_backends(database_url, 1)
    await idle.close_surplus()
    await assert_backends(database_url, 1)


async def test_the_kept_connection_is_the_one_that_is_lent_next(
    engine: AsyncEngine, database_url: str
) -> None:
    idle = IdleConnections(engine)
    await use(engine, at_once=4)
    for _ in range(2):
        await idle.close_surplus()
    for _ in range(3):
        await use(engine, at_once=1)
    assert idle.open == 1
    await assert_backends(database_url, 1)
    await use(engine, at_once=4)
    assert idle.open == 4


async def test_a_connection_in_use_is_never_closed(engine: AsyncEngine) -> None:
    idle = IdleConnections(engine)
    await use(engine, at_once=4)
    async with engine.connect() as busy:
        await busy.execute(text("CREATE TEMPORARY TABLE here (x int)"))
        for _ in range(2):
            await idle.close_surplus()
        assert (await busy.execute(text("SELECT count(*) FROM here"))).scalar_one() == 0
        assert idle.open == 1


async def test_connections_are_lent_while_others_are_closed(engine: AsyncEngine) -> None:
    idle = IdleConnections(engine)
    await use(engine, at_once=4)
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(use(engine, at_once=1))
            group.create_task(idle.close_surplus())
    assert 1 <= idle.open <= 4
