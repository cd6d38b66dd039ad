"""`kappi backup` and `kappi restore`: the data of one machine, saved while it runs and put back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import asyncpg
from kappi_chassis.clock import utc_now
from kappi_chassis.embedded.accounts import NoAccount
from kappi_chassis.embedded.postgres import MAJOR, EmbeddedPostgres, PostgresUnavailable

from kappi_embedded.backups import (
    BackupNote,
    BackupUnusable,
    copy_objects,
    copy_secrets,
    move_database,
    read_note,
    take_cluster,
    unpack_cluster,
    write_note,
)
from kappi_embedded.commands.terminal import fail, out, plural
from kappi_embedded.data_dir import DataDir, DataDirInUse, DataDirUnusable
from kappi_embedded.plan import WITH_DATABASE, data_dir_from
from kappi_embedded.restored import prepare_restored
from kappi_embedded.stack import NotRunning, running_note
from kappi_embedded.up import shown

_NAMES = tuple(service.name for service in WITH_DATABASE)
_EXPLAINED = (
    BackupUnusable,
    DataDirInUse,
    DataDirUnusable,
    NoAccount,
    NotRunning,
    PostgresUnavailable,
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
)


def backup(folder: Path, *, environ: Mapping[str, str]) -> int:
    """Saves the databases and secrets of the stack that runs here; its objects are named, not copied.

    Returns the exit status.
    """
    return _explained(lambda: _backup(folder, environ, copies=False))


def backup_with_objects(folder: Path, *, environ: Mapping[str, str]) -> int:
    """As `backup`, with a copy of every object."""
    return _explained(lambda: _backup(folder, environ, copies=True))


def restore(folder: Path, *, databases: Sequence[str], environ: Mapping[str, str]) -> int:
    """Puts a backup back into the data folder, whose stack must be stopped. databases: names of services;
    none for everything. Returns the exit status.
    """
    return _explained(lambda: _restore(folder, databases, environ))


def _explained(work: Callable[[], None]) -> int:
    try:
        work()
    except _EXPLAINED as error:
        return fail(str(error) or type(error).__name__)
    return 0


def _backup(folder: Path, environ: Mapping[str, str], *, copies: bool) -> None:
    note, data = running_note(environ), DataDir(data_dir_from(environ))
    if note is None:
        raise NotRunning(f"Kappi is not running here ({data.root}): a backup is taken while it runs")
    if not note.embedded_postgres:
        raise BackupUnusable("its PostgreSQL runs elsewhere: save it there (docs/runbooks/restore.md)")
    if folder.exists():
        raise BackupUnusable(f"{folder} exists: name a new folder")
    building = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700, parents=True)
    taken_at = utc_now()
    take_cluster(next(iter(note.databases.values())), building / "postgres")
    shutil.copy2(data.postgres / "password", building / "password")
    copy_secrets(data.secrets, building / "secrets")
    # After the databases: an object that a row names is there, unless it was deleted meanwhile.
    if copies:
        count = copy_objects(data.objects, building / "objects")
        out.print(f"{plural(count, 'object')} copied", markup=False)
    write_note(
        building,
        BackupNote(
            version=version("kappi-embedded"),
            postgres=MAJOR,
            taken_at=taken_at.isoformat(),
            objects="objects" if copies else str(data.objects),
            objects_copied=copies,
        ),
    )
    building.rename(folder)
    out.print(f"Saved in {shown(folder)}, as of {taken_at.isoformat(timespec='seconds')}.", markup=False)


def _restore(folder: Path, databases: Sequence[str], environ: Mapping[str, str]) -> None:
    if unknown := [name for name in databases if name not in _NAMES]:
        raise BackupUnusable(f"there is no database {unknown[0]!r}; there are: {', '.join(_NAMES)}")
    note, data = read_note(folder), DataDir(data_dir_from(environ))
    with data.held():
        building = data.root / "postgres.restored"
        shutil.rmtree(building, ignore_errors=True)
        unpack_cluster(folder, building)
        if databases:
            asyncio.run(_move(databases, building, data))
            shutil.rmtree(building)
        else:
            asyncio.run(_prepare(building))
            _put_in_place(building, data)
            copy_secrets(folder / "secrets", data.secrets)
        if note.objects_copied:
            copy_objects(folder / note.objects, data.objects)
        # Without it the next start sends everything in the outboxes again.
        data.settled.unlink(missing_ok=True)
    out.print(
        f"Restored as of {note.taken_at}: {', '.join(databases) or 'everything'}. Now start Kappi, and when "
        "it is up: kappi reconcile --repair",
        markup=False,
    )


async def _prepare(building: Path) -> None:
    server = EmbeddedPostgres(building)
    await asyncio.to_thread(server.start)
    try:
        await prepare_restored({name: server.url(name) for name in _NAMES})
    finally:
        await asyncio.to_thread(server.stop)


async def _move(databases: Sequence[str], building: Path, data: DataDir) -> None:
    saved, current = EmbeddedPostgres(building), EmbeddedPostgres(data.postgres)
    try:
        await asyncio.to_thread(saved.start)
        await asyncio.to_thread(current.start)
        for name in databases:
            await asyncio.to_thread(
                move_database, name, source=saved.url(name), target=current.url(name), folder=building
            )
        await prepare_restored({name: current.url(name) for name in databases})
    finally:
        for server in (saved, current):
            await asyncio.to_thread(server.stop)


def _put_in_place(building: Path, data: DataDir) -> None:
    """Replaces the cluster; the old one is kept beside it."""
    if data.postgres.exists():
        kept = data.root / f"postgres.before-{utc_now():%Y%m%dT%H%M%S}"
        data.postgres.rename(kept)
        out.print(f"The former databases are in {shown(kept)}; remove them when all is well.", markup=False)
    building.rename(data.postgres)
