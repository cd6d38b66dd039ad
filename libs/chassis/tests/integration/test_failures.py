"""The meaning of real database errors, as SQLAlchemy wraps them and as asyncpg raises them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from kappi_chassis.bus.processor import is_poison, is_transient
from kappi_chassis.db import Database, driver_of
from kappi_testkit.eventually import eventually
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

UNSTORABLE = {
    "nul": ("SELECT CAST(:value AS text)", "a\x00b"),
    "surrogate": ("SELECT CAST(:value AS text)", "\ud800"),
    "too large a number": ("SELECT CAST(:value AS bigint)", 1 << 70),
}


@pytest.mark.parametrize(("statement", "value"), UNSTORABLE.values(), ids=UNSTORABLE)
async def test_a_value_that_fits_no_column_is_poison(database: Database, statement: str, value: Any) -> None:
    async def run() -> None:
        async with database.transaction() as connection:
            await connection.execute(text(statement), {"value": value})

    async def run_hot() -> None:
        await database.hot.execute(statement.replace(":value", "$1"), value)

    for attempt in (run, run_hot):
        with pytest.raises(Exception) as failure:
            await attempt()
        assert is_poison(failure.value)
        assert not is_transient(failure.value)


async def test_a_nul_inside_json_is_poison(database: Database) -> None:
    statement = text("SELECT :value").bindparams(bindparam("value", type_=JSONB))

    async def run() -> None:
        async with database.transaction() as connection:
            await connection.execute(statement, {"value": {"a": "\x00"}})

    with pytest.raises(Exception) as failure:
        await run()
    assert is_poison(failure.value)


async def test_a_connection_that_dropped_is_transient(database: Database) -> None:
    async def run() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(Exception) as failure:
        await run()
    assert is_transient(failure.value)


async def test_a_pool_that_is_empty_is_transient(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kappi_chassis.db.database.COMMAND_TIMEOUT_S", 2.0)
    small = Database(url, pool_size=1)
    await small.start()
    try:
        async with small.transaction():
            with pytest.raises(Exception) as failure:
                async with small.transaction():
                    pass
    finally:
        await small.close()
    assert is_transient(failure.value)


async def test_connections_that_died_while_idle_are_replaced(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("SELECT 1"))
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
    await database.hot.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def noticed() -> None:
        assert raw.is_closed()

    await eventually(noticed)
    async with database.transaction() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1


async def test_the_error_of_a_failed_statement_does_not_contain_its_values(database: Database) -> None:
    async def run() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT CAST(:value AS int) / 0"), {"value": 31337})

    with pytest.raises(Exception, match="division by zero") as failure:
        await run()
    assert "31337" not in str(failure.value)


async def test_the_drivers_own_statements_are_part_of_the_transaction(database: Database) -> None:
    """The rule includes the first statement of a transaction, which SQLAlchemy did not send itself."""
    with suppress(ConnectionError):
        async with database.transaction() as connection:
            driver = await driver_of(connection)
            await driver.execute("CREATE TABLE halfway (id int)")
            raise ConnectionError("killed")
    assert await database.hot.fetchval("SELECT to_regclass('halfway')") is None
