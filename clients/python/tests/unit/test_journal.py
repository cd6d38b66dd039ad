import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from kappi_client.files import LocalFile, find_files
from kappi_client.journal import (
    Identity,
    Journal,
    Journals,
    Known,
    Note,
    UploadRunning,
    journals_folder,
    read_note,
)

IDENTITY = Identity("http://x", ("/a",), None, None)


@pytest.fixture
def photo(tmp_path: Path) -> LocalFile:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    return find_files([tmp_path / "a.jpg"]).files[0]


def journal(path: Path, clock: float = 0.0) -> Journal:
    return Journal(path, Note(begun_at="then", creation_key="once"), clock=lambda: clock)


def test_a_saved_note_is_read_again(tmp_path: Path, photo: LocalFile) -> None:
    first = journal(tmp_path / "note")
    first.note.gallery = {"id": "g", "code": "abcd", "url": "u", "access_key": "k"}
    first.remember(photo, "ab" * 32)
    first.declares("key", [photo], {"files": []})
    between = read_note(tmp_path / "note")
    assert between == first.note
    assert between is not None
    assert between.declaration is not None
    assert between.declaration.idempotency_key == "key"
    first.declared([{"id": "u1", "media_id": "m1"}])
    after = read_note(tmp_path / "note")
    assert after is not None
    assert after.declaration is None
    assert [known.upload_id for known in after.files.values()] == ["u1"]


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Journals(tmp_path / "new" / "shares").held(IDENTITY) as path:
            journal(path).save()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_changed_file_is_not_a_known_file(tmp_path: Path, photo: LocalFile) -> None:
    noted = journal(tmp_path / "note")
    known = noted.remember(photo, "ab" * 32)
    assert noted.known(photo) is known
    assert noted.changed(photo) is None
    photo.path.write_bytes(b"phota")
    os.utime(photo.path, ns=(photo.modified_ns, photo.modified_ns + 1))
    again = find_files([photo.path]).files[0]
    assert noted.known(again) is None
    assert noted.changed(again) is known


def test_completions_are_saved_once_a_second_at_most(tmp_path: Path, photo: LocalFile) -> None:
    now = [0.0]
    noted = Journal(tmp_path / "note", Note(begun_at="then", creation_key="once"), clock=lambda: now[0])
    known = noted.remember(photo, "ab" * 32)
    noted.save()
    noted.completed(known)
    assert [each.completed for each in saved(tmp_path / "note")] == [False]
    now[0] = 1.5
    noted.completed(known)
    assert [each.completed for each in saved(tmp_path / "note")] == [True]


def saved(path: Path) -> list[Known]:
    note = read_note(path)
    assert note is not None
    return list(note.files.values())


def test_two_processes_cannot_share_the_same_files_at_once(tmp_path: Path) -> None:
    journals = Journals(tmp_path)
    with journals.held(IDENTITY), pytest.raises(UploadRunning), Journals(tmp_path).held(IDENTITY):
        pass
    with journals.held(IDENTITY) as path:
        journal(path).save()
    with journals.held(IDENTITY) as path:
        Journal(path, Note("then", "once"), clock=lambda: 0.0).delete()
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_deleting_removes_drafts_of_killed_processes(tmp_path: Path) -> None:
    noted = journal(tmp_path / "note")
    noted.save()
    (tmp_path / ".note.4711").write_text("{")
    noted.delete()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2}', '{"version": 1}', '{"version": 1, "files": {}}']
)
def test_an_unreadable_note_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "note").write_text(text)
    assert read_note(tmp_path / "note") is None
    assert read_note(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    "other",
    [
        Identity("http://y", ("/a",), None, None),
        Identity("http://x", ("/b",), None, None),
        Identity("http://x", ("/a", "/b"), None, None),
        Identity("http://x", ("/a",), "title", None),
        Identity("http://x", ("/a",), None, 3600),
    ],
)
def test_different_commands_have_different_notes(other: Identity) -> None:
    assert other.name != IDENTITY.name
    assert Identity("http://x", ("/a",), None, None).name == IDENTITY.name


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"KAPPI_DATA_DIR": "/data", "HOME": "/home/me"}, "/data/shares"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/me"}, "/state/kappi/shares"),
        ({"XDG_STATE_HOME": "not/absolute", "HOME": "/home/me"}, "/home/me/.local/state/kappi/shares"),
        ({"HOME": "/home/me"}, "/home/me/.local/state/kappi/shares"),
    ],
)
def test_the_folder_of_notes_follows_the_environment(environ: Mapping[str, str], folder: str) -> None:
    assert journals_folder(environ) == Path(folder)
