"""Which schema a database has and which one the code expects, without importing Alembic or a service."""

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
    """Where a service keeps its migrations. Raises ModuleNotFoundError: no such package, or it has none."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    folder = Path(next(iter(places))) / "migrations" / "versions" if places else None
    if folder is None or not folder.is_dir():
        raise ModuleNotFoundError(f"no package {package} with migrations")
    return folder


def newest_revisions(folder: Path) -> set[str]:
    """The revisions that no other follows: Alembic's heads."""
    known, followed = _read(folder)
    return known - followed


def lacks_migrations(folder: Path, current: set[str]) -> bool:
    """Whether a database at `current` is older than the code.

    One with a revision the code has never heard of was migrated by a newer release: nothing to wait for.
    """
    known, followed = _read(folder)
    return current <= known and current != known - followed


async def current_revisions(url: str) -> set[str]:
    """Empty: never migrated. Raises OSError, TimeoutError, asyncpg.PostgresError."""
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
    """(all revisions, those that another follows)."""
    known, followed = set(), set()
    for path in folder.glob("*.py"):
        text = path.read_text()
        if (revision := _REVISION.search(text)) is None:
            continue
        known.add(revision[1])
        if (down := _DOWN_REVISION.search(text)) is not None:
            followed.update(_QUOTED.findall(down[1]))
    return known, followed
