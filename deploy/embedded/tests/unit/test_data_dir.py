import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from kappi_chassis.auth import SigningKey
from kappi_embedded.data_dir import (
    DataDir,
    DataDirInUse,
    DataDirUnusable,
    RunningService,
    RunNote,
    write_private,
)

NOTE = RunNote(
    pid=os.getpid(),
    url="http://localhost:8000",
    started_at="2026-01-01T00:00:00+00:00",
    kafka_bootstrap="127.0.0.1:1",
    embedded_broker=True,
    embedded_postgres=True,
    event_secret="a-secret-of-the-events",
    s3_endpoint=None,
    databases={"media": "postgresql://kappi:secret@127.0.0.1/media"},
    services={"media": RunningService(pid=8, port=1, ops_port=2)},
)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_secrets_are_created_once_and_are_private(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "a folder")
    with data.held():
        first, other, key = data.secret("store"), data.secret("media-idempotency"), data.grant_key()
        assert len(first) >= 32
        assert first != other
        again = DataDir(data.root)
        assert again.secret("store") == first
        assert again.grant_key().read_bytes() == key.read_bytes()
    SigningKey.from_pem(key.read_text())
    assert {mode_of(path) for path in data.secrets.iterdir()} == {0o600}
    assert {mode_of(path) for path in (data.secrets, data.objects, data.logs)} == {0o700}


def test_a_folder_is_held_by_one_supervisor(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    with data.held():
        assert data.in_use()
        with pytest.raises(DataDirInUse, match="KAPPI_DATA_DIR"), DataDir(tmp_path).held():
            pytest.fail("held twice")
    assert not data.in_use()


def test_checking_whether_a_folder_is_in_use_does_not_block_a_start(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    with data.held():
        pass
    assert not data.in_use()
    with data.held():
        assert data.in_use()


def test_the_note_is_valid_only_while_its_writer_runs(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    with data.held():
        assert data.read_note() is None
        data.write_note(NOTE)
        assert mode_of(data.run_note) == 0o600
        assert data.read_note() == NOTE
    assert not data.run_note.exists()
    data.write_note(NOTE)  # as a killed supervisor leaves it
    assert data.read_note() is None
    with data.held():
        assert data.read_note() is None, "the next supervisor holds the folder and is not ready"


def test_the_note_of_a_killed_supervisor_is_invalid_while_the_next_one_starts(
    tmp_path: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as killed:
        killed.wait()
    data = DataDir(tmp_path)
    with data.held():
        data.write_note(replace(NOTE, pid=killed.pid))
        assert data.read_note() is None


def test_a_file_in_place_of_the_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataDirUnusable, match="KAPPI_DATA_DIR"), DataDir(tmp_path / "data").held():
        pytest.fail("held a file")


def test_a_failed_write_keeps_the_old_file_and_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "note"
    write_private(path, "old")

    def without_room(_: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", without_room)
    with pytest.raises(OSError, match="no space"):
        write_private(path, "new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("note", "old")]
