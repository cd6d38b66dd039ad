"""The migrations create exactly the models' tables, seed the tiers, and can be reverted."""

from __future__ import annotations

import asyncio
from typing import Any

from alembic import command
from kappi_chassis.db.migrations import alembic_config
from kappi_contracts.tiers import TIER_SEEDS, TierSeed


async def test_models_and_migrations_agree(url: str) -> None:
    # Raises when a migration is missing.
    await asyncio.to_thread(command.check, alembic_config("kappi_identity", url))


async def test_the_tiers_that_others_rely_on_are_seeded(database: Any) -> None:
    rows = await database.hot.fetch("SELECT * FROM tiers")
    found = {
        TierSeed(
            name=row["name"],
            rendition_sizes=tuple(row["rendition_sizes"]),
            original_access=row["original_access"],
            expiring_links=row["expiring_links"],
            max_file_bytes=row["max_file_bytes"],
            quota_bytes=row["quota_bytes"],
        )
        for row in rows
    }
    assert found == set(TIER_SEEDS)
    assert not any(row["announced"] for row in rows)


async def test_the_way_back_leaves_nothing(url: str, database: Any) -> None:
    await asyncio.to_thread(command.downgrade, alembic_config("kappi_identity", url), "base")
    tables = await database.hot.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in tables} <= {"alembic_version"}
