"""The schema revision of a database and that of the code, read without importing Alembic or a service."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from pathlib import Path

import asyncpg

_TIMEOUT_S = 10.0
_REVISION = re.compile(r"^revision(?:\s*:[^=]+)?\s*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)
_DOWN_REVISION = re.compile(r"^down_revision(?:\s*:[^=]+)?\s*=\s*(.+)$", re.MULTILINE)
_QUOTED = re.compile(r"[\"']([^\"']+)[\"']")


def versions_folder(package: str) -> Path:
    """Returns the folder of a service's migrations.

    Raises ModuleNotFoundError if there is no package or folder.
    """
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    folder = Path(next(iter(places))) / "migrations" / "versions" if places else None
    if folder is None or not folder.is_dir():
        raise ModuleNotFoundError(f"no package {package} with migrations")
    return folder


def newest_revisions(folder: Path) -> set[str]:
    """Returns the revisions without successor: Alembic's heads."""
    known, followed = _read(folder)
    return known - followed


def lacks_migrations(folder: Path, current: set[str]) -> bool:
    """Whether a database at `current` is older than the code.

    A database with an unknown revision was migrated by a newer release and is not older.
    """
    known, followed = _read(folder)
    return current <= known and current != known - followed


async def current_revisions(url: str) -> set[str]:
    """Returns the database's revisions; empty if it was never migrated.

    Raises OSError, TimeoutError, asyncpg.PostgresError.
    """
    async with asyncio.timeout(_TIMEOUT_S):
        connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return set()
    finally:
        await connection.close(timeout=2)
    return {row["version_num"] for row in rows}


def _read(folder: Path) -> tuple[set[str], set[str]]:
    """Returns all revisions, and those with a successor."""
    known, followed = set(), set()
    for path in folder.glob("*.py"):
        text = path.read_text()
        if (revision := _REVISION.search(text)) is None:
            continue
        known.add(revision[1])
        if (down := _DOWN_REVISION.search(text)) is not None:
            followed.update(_QUOTED.findall(down[1]))
    return known, followed
