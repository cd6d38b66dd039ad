from __future__ import annotations

import asyncio

from alembic import command
from kappi_chassis.db.migrations import alembic_config


async def test_models_and_migrations_agree(url: str) -> None:
    """`alembic check` finds nothing to generate, and the way down is a way back."""
    config = alembic_config("kappi_janitor", url)
    await asyncio.to_thread(command.check, config)
    await asyncio.to_thread(command.downgrade, config, "base")
    await asyncio.to_thread(command.upgrade, config, "head")
    await asyncio.to_thread(command.check, config)
