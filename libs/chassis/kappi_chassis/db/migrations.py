"""Alembic without an ini file: each service has `migrations/` in its package, run by a job."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, TextClause, pool
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATION_LOCK = 0x6B61_7070_69  # one migrator at a time, whichever starts first
_LOCK_POLL_S = 0.2
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


def create_index_concurrently(
    name: str, table: str, columns: Sequence[str | TextClause], *, where: TextClause | None = None
) -> None:
    """Builds an index while the table is read and written. What the migration did before is committed first,
    so it must bear being repeated. An index that an interrupted migration left is built anew.
    """
    from alembic import op

    with op.get_context().autocommit_block():
        op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_where=where, postgresql_concurrently=True)


def validate_check(name: str, table: str) -> None:
    """Checks the rows that were there before a constraint that was added NOT VALID. The table is read and
    written meanwhile, if the constraint was added by an earlier migration.
    """
    from alembic import op

    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def run_env(metadata: MetaData) -> None:
    """Runs the migrations: the body of every service's `migrations/env.py`.

    Each migration is a transaction of its own, so that its locks end before the next one begins.
    """
    from alembic import context

    url: str = context.config.attributes["url"]

    def apply(connection: Connection) -> None:
        # The session holds the lock and ends with the migrations. A statement that waited for it would be a
        # transaction that building an index concurrently waits for.
        while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({MIGRATION_LOCK})").scalar():
            connection.commit()
            time.sleep(_LOCK_POLL_S)
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
