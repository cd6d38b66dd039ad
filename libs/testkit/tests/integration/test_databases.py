"""The databases that tests get are reused, and are restored to their first state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from kappi_testkit.servers.databases import DatabaseMaker, DatabasePool

pytestmark = pytest.mark.integration

SCHEMA = """
CREATE TABLE tier (name text PRIMARY KEY, position int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE account (id int PRIMARY KEY, tier text NOT NULL REFERENCES tier);
CREATE SEQUENCE code START 7;
INSERT INTO tier (name) VALUES ('Basic'), ('Premium');
"""


def migrate(url: str) -> None:
    asyncio.run(execute(url, SCHEMA))


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(url: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


@pytest.fixture
def pool(postgres_url: str) -> Iterator[DatabasePool]:
    run = uuid4().hex[:8]
    pool = DatabasePool(postgres_url, prefix=f"pool_{run}", template_prefix=f"pool_template_{run}")
    yield pool
    pool.close()
    pool.drop_templates()


@pytest.fixture
def make(pool: DatabasePool) -> Iterator[DatabaseMaker]:
    maker = DatabaseMaker(pool)
    yield maker
    maker.close()


async def test_a_reused_database_is_in_its_first_state(make: DatabaseMaker) -> None:
    url = make("tiers", migrate)
    await execute(
        url,
        "INSERT INTO account VALUES (1, 'Basic')",
        "DELETE FROM tier WHERE name = 'Premium'",
        "INSERT INTO tier (name) VALUES ('Gold')",
        "SELECT nextval('code')",
    )
    lingering = await asyncpg.connect(url)
    await lingering.execute("BEGIN; UPDATE account SET tier = 'Gold'")

    make.close()

    assert make("tiers", migrate) == url
    assert await fetch(url, "SELECT name, position FROM tier ORDER BY 1") == [("Basic", 1), ("Premium", 2)]
    assert await fetch(url, "SELECT * FROM account") == []
    assert await fetch(url, "SELECT nextval('code')") == [(7,)]
    await execute(url, "INSERT INTO tier (name) VALUES ('Gold')")
    assert await fetch(url, "SELECT position FROM tier WHERE name = 'Gold'") == [(3,)]
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await lingering.execute("SELECT 1")


async def test_two_databases_at_once_are_different(make: DatabaseMaker) -> None:
    assert make("tiers", migrate) != make("tiers", migrate)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE account ADD COLUMN name text",
        "ALTER TABLE account RENAME TO accounts",
        "ALTER TABLE account DROP CONSTRAINT account_tier_fkey",
        "CREATE INDEX ON account (tier)",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "INSERT INTO account VALUES (1, 'Basic'); ANALYZE account",
        "INSERT INTO account SELECT n, 'Basic' FROM generate_series(1, 200000) AS n",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''1MB''', current_database()); END $$",
    ],
)
async def test_a_database_that_cannot_be_restored_is_not_reused(make: DatabaseMaker, change: str) -> None:
    url = make("tiers", migrate)
    await execute(url, change)

    make.close()

    assert make("tiers", migrate) != url
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)


async def test_an_account_that_may_only_create_databases_gets_new_ones(
    make: DatabaseMaker, postgres_url: str
) -> None:
    role = f"creator_{uuid4().hex[:8]}"
    await execute(postgres_url, f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'creator'")
    address = urlsplit(postgres_url)
    limited = address._replace(netloc=f"{role}:creator@{address.netloc.rpartition('@')[2]}").geturl()
    pool = DatabasePool(limited, prefix=f"{role}_db", template_prefix=f"{role}_template")
    maker = DatabaseMaker(pool)
    url = maker("tiers", migrate)

    maker.close()

    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)
    pool.close()
    pool.drop_templates()
    await execute(postgres_url, f"DROP ROLE {role}")
