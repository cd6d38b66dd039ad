from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from kappi_chassis.embedded.postgres import MAJOR
from kappi_embedded.backups import (
    BackupNote,
    BackupUnusable,
    copy_objects,
    read_note,
    unpack_cluster,
    write_note,
)


def note(**changed: object) -> BackupNote:
    values = {
        "version": "1",
        "postgres": MAJOR,
        "taken_at": "2026-05-01T00:00:00+00:00",
        "objects": "objects",
        "objects_copied": True,
        **changed,
    }
    return BackupNote(**values)  # type: ignore[arg-type]  # each value is of its field's type


def backup(folder: Path, *, checksum: str | None = None) -> Path:
    """Returns a backup of a cluster of one file."""
    packed, source = folder / "backup" / "postgres", folder / "source"
    packed.mkdir(parents=True)
    source.mkdir()
    (source / "PG_VERSION").write_text("18")
    for name, files in (("base.tar.gz", ["PG_VERSION"]), ("pg_wal.tar.gz", [])):
        with tarfile.open(packed / name, "w:gz") as archive:
            for each in files:
                archive.add(source / each, each)
    digest = checksum or hashlib.sha256(b"18").hexdigest()
    manifest = {"Files": [{"Path": "PG_VERSION", "Checksum": digest}]}
    (packed / "backup_manifest").write_text(json.dumps(manifest))
    (packed.parent / "password").write_text("secret")
    return packed.parent


def test_a_backup_is_unpacked_as_a_servers_folder(tmp_path: Path) -> None:
    unpack_cluster(backup(tmp_path), tmp_path / "restored")
    assert (tmp_path / "restored" / "cluster" / "PG_VERSION").read_text() == "18"
    assert (tmp_path / "restored" / "cluster" / "pg_wal").is_dir()
    assert (tmp_path / "restored" / "password").read_text() == "secret"


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="damaged: PG_VERSION"):
        unpack_cluster(backup(tmp_path, checksum="0" * 64), tmp_path / "restored")


def test_a_truncated_archive_is_found(tmp_path: Path) -> None:
    found = backup(tmp_path)
    (found / "postgres" / "base.tar.gz").write_bytes(b"\x1f\x8b\x08")
    with pytest.raises(BackupUnusable, match="cannot be unpacked"):
        unpack_cluster(found, tmp_path / "restored")


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_note(tmp_path, note())
    assert read_note(tmp_path) == note()


@pytest.mark.parametrize("text", [None, "", "{}", '{"version": 1, "more": 2}'])
def test_a_folder_without_a_whole_note_is_no_backup(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "backup.json").write_text(text)
    with pytest.raises(BackupUnusable, match="not a complete backup"):
        read_note(tmp_path)


def test_a_backup_of_another_major_version_is_refused(tmp_path: Path) -> None:
    write_note(tmp_path, note(postgres=MAJOR - 1))
    with pytest.raises(BackupUnusable, match=f"PostgreSQL {MAJOR - 1}"):
        read_note(tmp_path)


def test_objects_that_are_there_are_not_copied_again(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "x").write_text("x")
    assert copy_objects(source, target) == 1
    (source / "y").write_text("y")
    assert copy_objects(source, target) == 1
    assert (target / "a" / "b" / "x").read_text() == "x"
    assert sorted(path.name for path in target.rglob("*") if path.is_file()) == ["x", "y"]
