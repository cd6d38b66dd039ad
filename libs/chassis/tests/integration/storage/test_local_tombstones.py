"""A deleted object does not come back through a URL that is still valid."""

from __future__ import annotations

import asyncio
import errno
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kappi_chassis.storage import ContentBinding, SignedRequest
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_tombstones import Tombstones
from kappi_testkit.eventually import eventually
from kappi_testkit.servers.local_store import ServedLocalStore
from kappi_testkit.signed_requests import answer_to, begun, call

pytestmark = pytest.mark.integration

LIFETIME = timedelta(minutes=15)
HOUR = timedelta(hours=1)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, 12, 17, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def folder() -> str:
    return f"galleries/{uuid.uuid4()}/{uuid.uuid4()}"


def signed(served: ServedLocalStore, key: str, size_bytes: int = 3) -> SignedRequest:
    binding = ContentBinding("image/png", size_bytes)
    return served.signer.sign_put(key, binding=binding, now=datetime.now(UTC), lifetime=LIFETIME)


@pytest.mark.parametrize("uploaded_before", [True, False])
@pytest.mark.parametrize("deleted_by", ["key", "folder", "gallery"])
async def test_a_valid_url_cannot_upload_a_deleted_object_again(
    served_local_store: ServedLocalStore, folder: str, deleted_by: str, uploaded_before: bool
) -> None:
    store, key = served_local_store.store, f"{folder}/original"
    request = signed(served_local_store, key)
    if uploaded_before:
        assert (await call(request, b"abc")).status == 200
    # Another process deletes, as the janitor does.
    other = LocalObjectStore(served_local_store.root)
    if deleted_by == "key":
        await other.delete_batch([key])
    else:
        await other.delete_versions_page(folder if deleted_by == "folder" else folder[:-36])
    await other.close()
    answer = await call(request, b"abc")
    assert (answer.status, b"<Code>AccessDenied</Code>" in answer.body) == (403, True)
    assert not await store.exists(key)
    # Other keys accept uploads, and services may store under the deleted key.
    neighbour = f"galleries/{uuid.uuid4()}/{uuid.uuid4()}/original"
    assert (await call(signed(served_local_store, neighbour), b"abc")).status == 200
    await store.put(key, b"abc", content_type="image/png")


async def test_an_upload_that_ends_after_the_deletion_leaves_no_object(
    served_local_store: ServedLocalStore, folder: str
) -> None:
    key = f"{folder}/original"
    with closing(begun(signed(served_local_store, key, 6), **{"content-length": "6"})) as connection:
        connection.sendall(b"abc")

        async def being_written() -> None:
            assert len(list((served_local_store.root / "incoming").iterdir())) == 1

        await eventually(being_written)
        await served_local_store.store.delete_versions_page(folder)
        connection.sendall(b"def")
        assert (await asyncio.to_thread(answer_to, connection)).status == 403
    assert not await served_local_store.store.exists(key)
    assert (await served_local_store.store.list_page(folder)).objects == ()


async def test_parts_of_a_deleted_object_are_refused(
    served_local_store: ServedLocalStore, folder: str
) -> None:
    """The upload may be begun after the deletion, before its service received the event."""
    store, key = served_local_store.store, f"{folder}/original"
    await store.delete_versions_page(folder)
    upload_id = await store.create_multipart(key, content_type="video/mp4")
    request = served_local_store.signer.sign_part(
        key, upload_id=upload_id, number=1, size_bytes=3, now=datetime.now(UTC), lifetime=LIFETIME
    )
    assert (await call(request, b"abc")).status == 403
    assert await store.list_parts(key, upload_id=upload_id) == ()
    await store.abort_multipart_uploads(folder)
    assert (await call(request, b"abc")).status == 404, "as before the deletion"


def tombstones(root: Path, clock: Clock) -> Tombstones:
    return Tombstones(root, kept_for=HOUR, now=clock)


def test_tombstones_outlive_the_process(tmp_path: Path) -> None:
    clock = Clock()
    tombstones(tmp_path, clock).add_prefix("galleries/a")
    tombstones(tmp_path, clock).add_keys(["posts/1/original", "line\nbreak", "\ud800"])
    again = tombstones(tmp_path, clock)
    for key in ("galleries/a", "galleries/a/original", "galleries/a.7/x", "posts/1/original", "line\nbreak"):
        assert again.covers(key), key
    for key in ("galleries/", "galleries/b/original", "posts/1/original2", "posts/1/", "line", "break"):
        assert not again.covers(key), key


def test_one_process_sees_the_deletions_of_another(tmp_path: Path) -> None:
    clock = Clock()
    one, other = tombstones(tmp_path, clock), tombstones(tmp_path, clock)
    for number in range(100):
        adding, looking = (one, other) if number % 2 else (other, one)
        assert not looking.covers(f"{number}/x")
        adding.add_prefix(f"{number}/")
        assert looking.covers(f"{number}/x")


def test_a_crash_in_the_middle_of_a_line_costs_that_line_only(tmp_path: Path) -> None:
    clock = Clock()
    tombstones(tmp_path, clock).add_prefix("a/")
    (file,) = (tmp_path / "tombstones").iterdir()
    with file.open("ab") as torn:
        torn.write(b'\n["prefix", "b/')
    watching = tombstones(tmp_path, clock)
    assert not watching.covers("b/x")
    tombstones(tmp_path, clock).add_prefix("c/")
    assert watching.covers("a/x")
    assert watching.covers("c/x")
    assert tombstones(tmp_path, clock).covers("c/x")


def test_tombstones_last_for_their_lifetime(tmp_path: Path) -> None:
    clock = Clock()
    recorded = tombstones(tmp_path, clock)
    recorded.add_prefix("a/")
    clock.now += HOUR
    recorded.add_prefix("b/")  # a new file, which sweeps
    assert recorded.covers("a/x"), "the tombstone is an hour old, and still valid"
    for _ in range(20):
        recorded.sweep()
        clock.now += timedelta(minutes=5)
    assert not recorded.covers("a/x")
    clock.now += HOUR
    recorded.sweep()
    assert not recorded.covers("b/x")
    assert list((tmp_path / "tombstones").iterdir()) == []


@pytest.mark.parametrize("disk_fails", [False, True])
def test_threads_that_wait_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk_fails: bool
) -> None:
    recorded, syncs, fsync = tombstones(tmp_path, Clock()), 0, os.fsync
    recorded.add_prefix("first/")

    def sync(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        while syncs == 1 and len(recorded._waiting) < 7:
            time.sleep(0.001)
        if disk_fails:
            raise OSError(errno.EIO, "I/O error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    with ThreadPoolExecutor(8) as threads:
        additions = [threads.submit(recorded.add_prefix, f"{number}/") for number in range(8)]
    assert syncs == 2
    assert [isinstance(each.exception(), OSError) for each in additions] == [disk_fails] * 8
    assert disk_fails or all(recorded.covers(f"{number}/x") for number in range(8))


def test_repeated_deletions_do_not_grow_the_file(tmp_path: Path) -> None:
    """A purge deletes page by page and may be repeated."""
    clock = Clock()
    recorded = tombstones(tmp_path, clock)
    for _ in range(50):
        recorded.add_prefix("galleries/a")
        recorded.add_keys(["b", "c"])
    (file,) = (tmp_path / "tombstones").iterdir()
    assert file.stat().st_size < 200


async def test_objects_are_deleted_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalObjectStore(tmp_path)
    await store.put("a/x", b"x", content_type="text/plain")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert (await store.delete_versions_page("a/")).deleted == 1
    assert not await store.exists("a/x")
    await store.close()


async def test_the_store_sweeps_tombstones(tmp_path: Path) -> None:
    clock = Clock()
    store = LocalObjectStore(tmp_path, refuses_deleted_for=HOUR, now=clock)
    await store.delete_versions_page("a/")
    clock.now += 3 * HOUR
    await store.ready()
    assert list((tmp_path / "tombstones").iterdir()) == []
    await store.close()
