"""Migrations under difficult conditions: percent signs in passwords and folders, many migrators at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from kappi_chassis.db.migrations import migrate
from sqlalchemy.exc import DBAPIError

PASSWORD = "50%/a@b:c %20"

_ENV = """
from kappi_chassis.db.migrations import run_env
from sqlalchemy import MetaData
run_env(MetaData())
"""
_VERSION = """
from alembic import op
revision, down_revision, branch_labels, depends_on = "0001", None, None, None
def upgrade():
    op.execute("CREATE TABLE migrated (id int)")
    op.execute("SELECT pg_sleep(0.2)")
def downgrade():
    op.execute("DROP TABLE migrated")
"""


_INDEX = """
from kappi_chassis.db.migrations import create_index_concurrently
revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None
def upgrade():
    create_index_concurrently("ix_migrated_id", "migrated", ["id"])
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"made_up_{uuid4().hex}"
    versions = tmp_path / "100% awkward" / name / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions.parent.parent / "__init__.py").touch()
    (versions.parent / "env.py").write_text(_ENV)
    (versions / "0001_first.py").write_text(_VERSION)
    monkeypatch.syspath_prepend(str(tmp_path / "100% awkward"))
    return name


@pytest.fixture
def awkward_url(database_url: str) -> Iterator[str]:
    role = f"role_{uuid4().hex[:8]}"

    async def execute(*statements: str) -> None:
        connection = await asyncpg.connect(database_url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(
        execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'", f"GRANT ALL ON SCHEMA public TO {role}")
    )
    parts = urlsplit(database_url)
    where = f"{role}:{quote(PASSWORD, safe='')}@{parts.hostname}:{parts.port}"
    yield urlunsplit(parts._replace(netloc=where))
    asyncio.run(execute(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}"))


async def test_concurrent_migrators_migrate_once(package: str, awkward_url: str) -> None:
    folder = Path(next(path for path in sys.path if path.endswith("100% awkward")))
    (folder / package / "migrations/versions/0002_index.py").write_text(_INDEX)
    script = (
        "import asyncio, sys; sys.path.insert(0, sys.argv[3]);"
        "from kappi_chassis.db.migrations import migrate; asyncio.run(migrate(sys.argv[1], sys.argv[2]))"
    )
    others = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, package, awkward_url, str(folder))
        for _ in range(2)
    ]
    await asyncio.gather(migrate(package, awkward_url), migrate(package, awkward_url))
    assert [await other.wait() for other in others] == [0, 0]
    connection = await asyncpg.connect(awkward_url)
    assert await connection.fetchval("SELECT count(*) FROM migrated") == 0
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_migrated_id'::regclass"
    assert await connection.fetchval(valid)
    await connection.close()


async def test_an_index_whose_building_was_interrupted_is_built_anew(package: str, awkward_url: str) -> None:
    await migrate(package, awkward_url)
    folder = Path(next(path for path in sys.path if path.endswith("100% awkward")))
    unique = _INDEX.replace('["id"])', '["id"], where=text("1 / id > 0"))').replace(
        "\nrevision", "\nfrom sqlalchemy import text\nrevision"
    )
    index = folder / package / "migrations/versions/0002_index.py"
    index.write_text(unique)
    connection = await asyncpg.connect(awkward_url)
    await connection.execute("INSERT INTO migrated VALUES (0)")
    with pytest.raises(DBAPIError):
        await migrate(package, awkward_url)
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_migrated_id'::regclass"
    assert await connection.fetchval(valid) is False
    index.write_text(_INDEX)
    await migrate(package, awkward_url)
    assert await connection.fetchval(valid)
    await connection.close()


async def test_a_failed_migration_keeps_the_earlier_ones(package: str, awkward_url: str) -> None:
    folder = Path(next(path for path in sys.path if path.endswith("100% awkward")))
    second = _VERSION.replace('"0001", None', '"0002", "0001"').replace("(id int)", "(id missing)")
    (folder / package / "migrations/versions/0002_second.py").write_text(second)
    with pytest.raises(DBAPIError):
        await migrate(package, awkward_url)
    connection = await asyncpg.connect(awkward_url)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "0001"
    assert await connection.fetchval("SELECT count(*) FROM migrated") == 0
    await connection.close()
