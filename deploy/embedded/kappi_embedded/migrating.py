"""Databases at the newest schema: looked at cheaply, migrated only when behind."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from pathlib import Path

import asyncpg

from kappi_embedded.plan import ServiceSpec

_TIMEOUT_S = 10.0
_REVISION = re.compile(r"^revision(?:\s*:[^=]+)?\s*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)
_DOWN_REVISION = re.compile(r"^down_revision(?:\s*:[^=]+)?\s*=\s*(.+)$", re.MULTILINE)
_QUOTED = re.compile(r"[\"']([^\"']+)[\"']")


async def bring_up_to_date(service: ServiceSpec, url: str) -> bool:
    """Migrate the service's database if it is not at the newest revision; returns whether it was not.

    Raises OSError, asyncpg.PostgresError, and what Alembic raises for a database newer than this code.
    """
    # Importing Alembic and walking its scripts costs half a second per service; this costs milliseconds.
    if await _current(url) == newest_revisions(versions_folder(service.package)):
        return False
    from kappi_chassis.db.migrations import migrate

    await migrate(service.package, url)
    return True


def versions_folder(package: str) -> Path:
    """Where a service keeps its migrations; found without importing the service."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no package {package}")
    return Path(next(iter(spec.submodule_search_locations))) / "migrations" / "versions"


def newest_revisions(folder: Path) -> set[str]:
    """The revisions that no other follows: Alembic's heads."""
    known, followed = set(), set()
    for path in folder.glob("*.py"):
        text = path.read_text()
        if (revision := _REVISION.search(text)) is None:
            continue
        known.add(revision[1])
        if (down := _DOWN_REVISION.search(text)) is not None:
            followed.update(_QUOTED.findall(down[1]))
    return known - followed


async def _current(url: str) -> set[str]:
    async with asyncio.timeout(_TIMEOUT_S):
        connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return set()
    finally:
        await connection.close(timeout=2)
    return {row["version_num"] for row in rows}
