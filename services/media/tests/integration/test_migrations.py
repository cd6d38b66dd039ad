"""The migrations create exactly the tables of the models, and can be reverted."""

from __future__ import annotations

import asyncio
import re
from uuid import UUID

from alembic import command
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.db.migrations import alembic_config
from kappi_contracts.rendition_formats import STORED_FORMATS


async def test_models_and_migrations_agree(url: str) -> None:
    # Raises if another migration would be needed.
    await asyncio.to_thread(command.check, alembic_config("kappi_media", url))


async def test_the_table_takes_every_format_of_renditions(database: Database) -> None:
    # Alembic compares no checks.
    check = await database.hot.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_renditions_format_known'"
    )
    assert set(re.findall(r"'(\w+)'", check)) == set(STORED_FORMATS)


async def test_the_way_back_leaves_nothing(url: str, database: Database) -> None:
    await asyncio.to_thread(command.downgrade, alembic_config("kappi_media", url), "base")
    tables = await database.hot.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in tables} <= {"alembic_version"}


async def test_the_library_comes_to_galleries_that_are_there_without_a_rewrite(
    url: str, database: Database
) -> None:
    await asyncio.to_thread(command.downgrade, alembic_config("kappi_media", url), "0004")
    owned, anonymous, later = new_id(), new_id(), new_id()
    insert = "INSERT INTO contents (gallery_id, owner_id) VALUES ($1, $2)"
    await database.hot.executemany(insert, [(owned, new_id()), (anonymous, None)])
    where = "SELECT pg_relation_filenode('contents')"
    before = await database.hot.fetchval(where)
    await asyncio.to_thread(command.upgrade, alembic_config("kappi_media", url), "head")
    assert await database.hot.fetchval(where) == before
    await database.hot.execute(insert, later, new_id())
    rows = await database.hot.fetch("SELECT gallery_id, library_after FROM contents")
    assert dict(rows) == {owned: UUID(int=0), anonymous: UUID(int=0), later: None}
