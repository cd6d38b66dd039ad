"""The migrations create exactly the models' tables, and can be reverted."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from alembic import command
from kappi_chassis.db.migrations import alembic_config, migrate


async def test_models_and_migrations_agree(url: str) -> None:
    # Raises when a migration is missing.
    await asyncio.to_thread(command.check, alembic_config("kappi_galleries", url))


async def test_migrating_at_once_from_many_places_is_migrating_once(database_url: str) -> None:
    program = "import asyncio; from kappi_chassis.db.migrations import migrate; "
    program += f"asyncio.run(migrate('kappi_galleries', {database_url!r}))"

    async def elsewhere() -> int:
        return await (await asyncio.create_subprocess_exec(sys.executable, "-c", program)).wait()

    async def here() -> int:
        await migrate("kappi_galleries", database_url)
        return 0

    outcomes = await asyncio.gather(here(), here(), elsewhere(), elsewhere())

    assert set(outcomes) == {0}
    await asyncio.to_thread(command.check, alembic_config("kappi_galleries", database_url))


async def test_the_way_back_leaves_nothing(url: str, database: Any) -> None:
    await asyncio.to_thread(command.downgrade, alembic_config("kappi_galleries", url), "base")
    tables = await database.hot.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in tables} <= {"alembic_version"}
