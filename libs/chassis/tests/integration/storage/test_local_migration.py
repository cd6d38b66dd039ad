"""A folder of an older version becomes plain files, also after interruptions."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import uuid
from base64 import b64encode
from hashlib import md5, sha256
from pathlib import Path

import pytest
from kappi_chassis.storage import ObjectHead, StorageUnavailable, StoredPart, local_migration
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_folders import KeyedFolder
from kappi_chassis.storage.local_migration import migrate, needs_migration
from kappi_testkit.crash_points import survives

pytestmark = pytest.mark.integration

STORED_AT_S = 1_700_000_000
BODIES = {
    **{f"galleries/{n % 2}/{n}/original": bytes([n]) * (n * 700) for n in range(8)},
    "galleries/0/0/renditions/400.jpg": b"",
    "posts/1/original": b"ends with a footer" + b"kappi-object-1\n{}".ljust(1024),
    "Ü/" + "x" * 300: b"a long name",
}
UPLOAD_ID = uuid.UUID(int=7).hex


def old_file(path: Path, body: bytes, *, content_type: str, etag: str, digest: bytes | None) -> None:
    """A file as older versions wrote it."""
    told = {
        "content_type": content_type,
        "etag": etag,
        "sha256": None if digest is None else b64encode(digest).decode(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body + (b"kappi-object-1\n" + json.dumps(told).encode()).ljust(1024))
    os.utime(path, (STORED_AT_S, STORED_AT_S))


def old_object(root: Path, key: str, body: bytes) -> None:
    digest = sha256(body).digest()
    path = KeyedFolder(root / "objects").path(key)
    old_file(path, body, content_type="image/x-old", etag=digest.hex()[:32], digest=digest)


@pytest.fixture
def old_root(tmp_path: Path) -> Path:
    """Objects, tags of one, and an upload of two parts that is under way."""
    for key, body in BODIES.items():
        old_object(tmp_path, key, body)
    joined = KeyedFolder(tmp_path / "objects").path("joined")
    old_file(joined, b"joined", content_type="video/mp4", etag=f"{'0' * 32}-2", digest=None)
    (tmp_path / "tags").mkdir()
    etag = sha256(BODIES["posts/1/original"]).hexdigest()[:32]
    tags = tmp_path / "tags" / "posts" / "1" / "original%."
    tags.parent.mkdir(parents=True)
    tags.write_text(json.dumps({"etag": etag, "tags": {"kind": "image"}}))
    upload = tmp_path / "multiparts" / UPLOAD_ID
    for number in (1, 2):
        part = bytes([number]) * 3000
        old_file(
            upload / f"{number:05d}",
            part,
            content_type="application/octet-stream",
            etag=md5(part).hexdigest(),
            digest=None,
        )
    (upload / "upload").write_text(json.dumps({"key": "late", "content_type": "video/mp4"}))
    return tmp_path


def plain_files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root / "files")): path.read_bytes()
        for path in (root / "files").rglob("*")
        if path.is_file()
    }


def expected_files() -> dict[str, bytes]:
    files = KeyedFolder(Path())
    return {str(files.path(key)): body for key, body in {**BODIES, "joined": b"joined"}.items()}


async def expect_everything(root: Path) -> None:
    assert plain_files(root) == expected_files()
    assert not needs_migration(root)
    store = LocalObjectStore(root)
    await store.ready()
    for key, body in BODIES.items():
        head = await store.head(key)
        digest = sha256(body).digest()
        assert head == ObjectHead(
            key=key,
            size_bytes=len(body),
            etag=digest.hex()[:32],
            content_type="image/x-old",
            last_modified=head.last_modified,
            sha256=digest,
        )
    joined = await store.head("joined")
    assert (joined.etag, joined.sha256, joined.content_type) == (f"{'0' * 32}-2", None, "video/mp4")
    assert await store.tags("posts/1/original") == {"kind": "image"}
    parts = await store.list_parts("late", upload_id=UPLOAD_ID)
    assert [part.size_bytes for part in parts] == [3000, 3000]
    await store.complete_multipart("late", upload_id=UPLOAD_ID, parts=parts)
    assert (await store.read("late", length=9000)).body == b"\x01" * 3000 + b"\x02" * 3000
    await store.close()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_migration, "_BATCH_FILES", 4)


@pytest.mark.usefixtures("small_batches")
async def test_an_old_folder_becomes_plain_files(old_root: Path) -> None:
    assert needs_migration(old_root)
    assert list(migrate(old_root)) == [4, 8, 12]
    stored_at = {path.stat().st_mtime for path in (old_root / "files").rglob("*%.")}
    assert stored_at == {STORED_AT_S}
    await expect_everything(old_root)


@pytest.mark.usefixtures("small_batches")
async def test_a_migration_that_is_killed_repeatedly_continues(old_root: Path) -> None:
    kills = 0
    while not survives(lambda: list(migrate(old_root)), step=kills + 1):
        kills += 1
    assert kills >= 8
    await expect_everything(old_root)


@pytest.mark.usefixtures("small_batches")
def test_a_migration_continues_after_a_kill_at_any_step(
    old_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for step in itertools.count(1):
        root = tmp_path_factory.mktemp("killed") / "store"
        shutil.copytree(old_root, root)
        if survives(lambda root=root: list(migrate(root)), step=step):  # type: ignore[misc]
            break
        list(migrate(root))
        assert plain_files(root) == expected_files()
    assert step > 3 * len(BODIES)


async def test_the_folder_is_not_served_before_its_migration(old_root: Path) -> None:
    store = LocalObjectStore(old_root)
    with pytest.raises(StorageUnavailable, match="older version"):
        await store.ready()
    await store.close()


async def test_files_of_both_versions_are_kept(old_root: Path) -> None:
    store = LocalObjectStore(old_root)
    kept = await store.put("galleries/1/new/original", b"new", content_type="text/plain")
    foreign = old_root / "objects" / "galleries" / ".DS_Store"
    foreign.write_bytes(b"of another program")
    list(migrate(old_root))
    assert await store.head("galleries/1/new/original") == kept
    (old_root / "files" / "galleries" / "1" / "new" / "original%.").unlink()
    assert (old_root / "files" / "galleries" / ".DS_Store").read_bytes() == b"of another program"
    (old_root / "files" / "galleries" / ".DS_Store").unlink()
    await expect_everything(old_root)
    await store.close()


async def test_a_file_that_is_no_object_is_left_unchanged(tmp_path: Path) -> None:
    broken = b"kappi-object-1\n{".ljust(1024)
    files = {"short%.": b"x", "long%.": b"no footer" * 999, "broken%.": broken}
    (tmp_path / "objects").mkdir()
    for name, body in files.items():
        (tmp_path / "objects" / name).write_bytes(body)
    assert list(migrate(tmp_path)) == [3]
    assert plain_files(tmp_path) == files


async def test_a_completion_that_an_old_version_began_continues(old_root: Path) -> None:
    """Its file may have a footer already, or a part joined and removed."""
    upload = old_root / "multiparts" / UPLOAD_ID
    etags = [md5(bytes([number]) * 3000).hexdigest() for number in (1, 2)]
    plan = [{"number": n, "size_bytes": 3000, "etag": etag} for n, etag in enumerate(etags, start=1)]
    (upload / "plan").write_text(json.dumps(plan))
    old_file(upload / "whole", b"\x01" * 3000, content_type="video/mp4", etag="x", digest=None)
    (upload / "00001").unlink()
    list(migrate(old_root))
    store = LocalObjectStore(old_root)
    parts = [StoredPart(n, 3000, etag) for n, etag in enumerate(etags, start=1)]
    await store.complete_multipart("late", upload_id=UPLOAD_ID, parts=parts)
    assert (old_root / "files" / "late%.").read_bytes() == b"\x01" * 3000 + b"\x02" * 3000
    await store.close()
