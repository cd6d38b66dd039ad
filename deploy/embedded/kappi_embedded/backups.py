"""Takes and reads backups of the embedded PostgreSQL.

A backup is a folder: `postgres/` as `pg_basebackup` writes it, `secrets/`, `password`, the objects if they
were copied, and `backup.json`. All databases are in one cluster, so they are of the same instant.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kappi_chassis.embedded.postgres import MAJOR, binaries

_NOTE: Final = "backup.json"


class BackupUnusable(RuntimeError):
    """The backup cannot be taken, read or used; the message states the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupNote:
    """The content of `backup.json`. taken_at: RFC 3339, before the first byte was read. objects: the folder
    of the objects, in the backup or where they were.
    """

    version: str
    postgres: int
    taken_at: str
    objects: str
    objects_copied: bool


def take_cluster(url: str, folder: Path) -> None:
    """Writes all databases of a running server, as of one instant. Raises BackupUnusable."""
    parts = urlsplit(url)
    run(
        "pg_basebackup",
        *("-h", parts.hostname or "", "-p", str(parts.port), "-U", parts.username or ""),
        *("-D", str(folder), "--format=tar", "--gzip", "--wal-method=stream", "--checkpoint=fast"),
        "--manifest-checksums=SHA256",
        password=parts.password,
    )


def copy_objects(source: Path, target: Path) -> int:
    """Copies files that the target does not have, with their attributes. Returns their number.

    An object never changes, and appears whole: a file of that name is the same object.
    """
    copied = 0
    for folder, _, names in os.walk(source):
        into = target / Path(folder).relative_to(source)
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            if not (into / name).exists():
                try:
                    shutil.copy2(Path(folder) / name, into / f".{name}.part")
                except FileNotFoundError:
                    continue  # deleted meanwhile
                (into / f".{name}.part").replace(into / name)
                copied += 1
    return copied


def copy_secrets(source: Path, target: Path) -> None:
    """Copies the secrets; files of the same names are replaced."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in source.iterdir():
        shutil.copy2(path, target / path.name)


def write_note(folder: Path, note: BackupNote) -> None:
    (folder / _NOTE).write_text(json.dumps(asdict(note), indent=2) + "\n")


def read_note(folder: Path) -> BackupNote:
    """Raises BackupUnusable, also for a backup of another major version of PostgreSQL."""
    try:
        note = BackupNote(**json.loads((folder / _NOTE).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise BackupUnusable(f"{folder} is not a complete backup: {_NOTE} is missing or damaged") from error
    if note.postgres != MAJOR:
        raise BackupUnusable(
            f"the backup is of PostgreSQL {note.postgres}, not {MAJOR}: restore it with the release "
            "that took it"
        )
    return note


def unpack_cluster(backup: Path, target: Path) -> None:
    """Unpacks a backup's files as a folder for `EmbeddedPostgres`, and checks them. Raises BackupUnusable."""
    packed, cluster = backup / "postgres", target / "cluster"
    cluster.mkdir(mode=0o700, parents=True)
    try:
        for name, into in (("base.tar.gz", cluster), ("pg_wal.tar.gz", cluster / "pg_wal")):
            into.mkdir(mode=0o700, exist_ok=True)
            with tarfile.open(packed / name) as archive:
                archive.extractall(into, filter="data")
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise BackupUnusable(f"{packed} cannot be unpacked: {error}") from error
    _check_files(cluster, json.loads((packed / "backup_manifest").read_bytes()))
    cluster.chmod(0o700)
    shutil.copy2(backup / "password", target / "password")


def _check_files(cluster: Path, manifest: Mapping[str, Any]) -> None:
    """Raises BackupUnusable for a missing or damaged file. The wheel's own `pg_verifybackup` crashes."""
    for each in manifest["Files"]:
        name = each["Path"] if "Path" in each else bytes.fromhex(each["Encoded-Path"]).decode()
        try:
            with (cluster / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise BackupUnusable(f"the backup is not complete: {name}: {error.strerror}") from error
        if digest != each["Checksum"]:
            raise BackupUnusable(f"the backup is damaged: {name}")


def move_database(name: str, *, source: str, target: str, folder: Path) -> None:
    """Replaces a database of one server by that of another. folder: has room for it for a while.

    source, target: URLs of the database. Raises BackupUnusable.
    """
    dump = folder / f"{name}.dump"
    run("pg_dump", "--format=custom", f"--file={dump}", source)
    try:
        run("dropdb", "--if-exists", "--force", f"--maintenance-db={_beside(target)}", name)
        run("createdb", f"--maintenance-db={_beside(target)}", name)
        run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={target}", str(dump))
    finally:
        dump.unlink(missing_ok=True)


def _beside(url: str) -> str:
    return urlsplit(url)._replace(path="/postgres").geturl()


def run(program: str, *arguments: str, password: str | None = None) -> None:
    """Runs a program of PostgreSQL to its end. Raises BackupUnusable with what it says."""
    environment: Mapping[str, str] = {"PATH": os.defpath, "LC_ALL": "C"}
    if password is not None:
        environment = {**environment, "PGPASSWORD": password}
    done = subprocess.run(  # noqa: S603 - a program of the wheel, without a shell
        [str(binaries() / program), *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BackupUnusable(f"{program}: {done.stderr.strip() or done.returncode}")
