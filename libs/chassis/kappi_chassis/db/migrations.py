"""Alembic without an ini file: each service has `migrations/` in its package, run by a job."""

from __future__ import annotations

import asyncio
import threading
from importlib.resources import files
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, pool
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATION_LOCK = 0x6B61_7070_69  # one migrator at a time, whichever starts first
_one_at_a_time = threading.Lock()  # Alembic keeps the current migration in module globals


def alembic_config(package: str, url: str) -> Config:
    """Returns Alembic's configuration. package: the service's import name, for example `kappi_media`."""
    from alembic.config import Config  # only migrators need the import

    config = Config()
    folder = str(files(package) / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))  # an ini file's interpolation
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config


async def migrate(package: str, url: str) -> None:
    """Migrates a database to the newest schema. Concurrent calls are safe."""
    from alembic import command

    def upgrade() -> None:
        with _one_at_a_time:
            command.upgrade(alembic_config(package, url), "head")

    await asyncio.to_thread(upgrade)


def run_env(metadata: MetaData) -> None:
    """Runs the migrations: the body of every service's `migrations/env.py`.

    Each migration is a transaction of its own, so that its locks end before the next one begins.
    """
    from alembic import context

    url: str = context.config.attributes["url"]

    def apply(connection: Connection) -> None:
        # The session holds the lock and ends with the migrations.
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            compare_type=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()

    async def connect() -> None:
        engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=pool.NullPool
        )
        try:
            async with engine.connect() as connection:
                await connection.run_sync(apply)
        finally:
            await engine.dispose()

    asyncio.run(connect())
