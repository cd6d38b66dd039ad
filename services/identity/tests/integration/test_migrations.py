"""The migrations create exactly the models' tables, seed the tiers, and can be reverted."""

from __future__ import annotations

import asyncio
from typing import Any

from alembic import command
from kappi_chassis.db.migrations import alembic_config
from kappi_identity.domain.tiers import PROTECTED_TIERS


async def test_models_and_migrations_agree(url: str) -> None:
    # Raises when a migration is missing.
    await asyncio.to_thread(command.check, alembic_config("kappi_identity", url))


async def test_the_tiers_that_others_rely_on_are_seeded(database: Any) -> None:
    rows = await database.hot.fetch("SELECT * FROM tiers")
    found = {row["name"]: row for row in rows}
    assert set(found) == PROTECTED_TIERS
    sizes = {name: row["rendition_sizes"] for name, row in found.items()}
    assert sizes == {
        "Anonymous": [200, 400],
        "Basic": [200],
        "Traveller": [200, 400, 2048],
        "Premium": [200, 400],
        "Enterprise": [200, 400],
    }
    assert {name for name, row in found.items() if row["original_access"]} == {
        "Anonymous",
        "Traveller",
        "Premium",
        "Enterprise",
    }
    assert {name for name, row in found.items() if row["expiring_links"]} == {"Enterprise"}
    assert found["Anonymous"]["quota_bytes"] is None
    assert not any(row["announced"] for row in rows)


async def test_the_way_back_leaves_nothing(url: str, database: Any) -> None:
    await asyncio.to_thread(command.downgrade, alembic_config("kappi_identity", url), "base")
    tables = await database.hot.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in tables} <= {"alembic_version"}
