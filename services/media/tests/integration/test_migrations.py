"""The migrations make exactly what the models say, and can be taken back."""

from __future__ import annotations

import asyncio

from alembic import command
from kappi_chassis.db import Database
from kappi_chassis.db.migrations import alembic_config


async def test_models_and_migrations_agree(url: str) -> None:
    # Raises when a migration would still have something to do.
    await asyncio.to_thread(command.check, alembic_config("kappi_media", url))


async def test_the_way_back_leaves_nothing(url: str, database: Database) -> None:
    await asyncio.to_thread(command.downgrade, alembic_config("kappi_media", url), "base")
    tables = await database.hot.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in tables} <= {"alembic_version"}
