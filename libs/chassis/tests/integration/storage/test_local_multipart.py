"""Multipart uploads in the folder, beyond the contract: crashes, races, full disks."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha256
from pathlib import Path

import pytest
from kappi_chassis.storage import (
    MultipartMissing,
    ObjectExistsAlready,
    StorageRefused,
    StorageUnavailable,
    StoredPart,
)
from kappi_chassis.storage import local_multipart as multipart
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_copy import append
from kappi_chassis.storage.local_signing import PartBinding
from kappi_testkit.eventually import eventually
from kappi_testkit.servers.local_store import ServedLocalStore
from kappi_testkit.signed_requests import answer_to, begun, call

pytestmark = pytest.mark.integration

LIFETIME = timedelta(minutes=5)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalObjectStore]:
    store = LocalObjectStore(tmp_path)
    yield store
    await store.close()


async def put_part(store: LocalObjectStore, key: str, upload_id: str, number: int, body: bytes) -> StoredPart:
    part = PartBinding(upload_id, number, len(body))
    writer = await store.part_writer(key, part, hashed_by="sha256")
    writer.write(body)
    etag = await store.publish_part(writer, key, upload_id=upload_id, number=number)
    return StoredPart(number, len(body), etag)


async def begin(store: LocalObjectStore, key: str, bodies: Sequence[bytes]) -> tuple[str, list[StoredPart]]:
    upload_id = await store.create_multipart(key, content_type="video/mp4")
    parts = [
        await put_part(store, key, upload_id, number, body) for number, body in enumerate(bodies, start=1)
    ]
    return upload_id, parts


def incoming(served: ServedLocalStore) -> list[str]:
    return [path.name for path in (served.root / "incoming").iterdir()]


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def content(store: LocalObjectStore, key: str) -> bytes:
    return b"".join([chunk async for chunk in store.stream(key)])


async def test_parts_may_have_any_size(store: LocalObjectStore, tmp_path: Path) -> None:
    bodies = [b"a", b"", b"ccc" * 1000, b"dd"]
    upload_id, parts = await begin(store, "a/b", bodies)
    made = await store.complete_multipart("a/b", upload_id=upload_id, parts=parts)
    assert made.size_bytes == 3003
    digests = [sha256(body).digest()[:16] for body in bodies]
    assert [part.etag for part in parts] == [digest.hex() for digest in digests]
    assert made.etag == md5(b"".join(digests)).hexdigest() + "-4"
    assert await content(store, "a/b") == b"".join(bodies)
    assert list((tmp_path / "multiparts").iterdir()) == []
    assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize("why", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
async def test_parts_are_joined_on_file_systems_that_cannot_copy(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    bodies = [bytes([n]) * (3 << 20) for n in (1, 2)]
    upload_id, parts = await begin(store, "a", bodies)
    await store.complete_multipart("a", upload_id=upload_id, parts=parts)
    assert await content(store, "a") == b"".join(bodies)


async def test_a_full_disk_loses_no_part(store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [bytes([n]) * 5000 for n in (1, 2, 3)]
    upload_id, parts = await begin(store, "a", bodies)
    copy = os.copy_file_range
    copied: list[int] = []

    def full_after_one(source: int, target: int, count: int, *, offset_src: int) -> int:
        if copied:
            raise OSError(errno.ENOSPC, "full")
        copied.append(count)
        return copy(source, target, count, offset_src=offset_src)

    monkeypatch.setattr(os, "copy_file_range", full_after_one)
    with pytest.raises(StorageUnavailable):
        await store.complete_multipart("a", upload_id=upload_id, parts=parts)
    # Other callers see no change, and the chosen parts are recorded.
    assert await store.list_parts("a", upload_id=upload_id) == tuple(parts)
    with pytest.raises(StorageRefused):
        await store.complete_multipart("a", upload_id=upload_id, parts=parts[:1])
    writer = await store.part_writer("a", PartBinding(upload_id, 1, 0), hashed_by="sha256")
    with pytest.raises(MultipartMissing):
        await store.publish_part(writer, "a", upload_id=upload_id, number=1)
    writer.discard()
    monkeypatch.setattr(os, "copy_file_range", copy)
    await store.complete_multipart("a", upload_id=upload_id, parts=parts)
    assert await content(store, "a") == b"".join(bodies)


async def test_a_completion_stores_at_most_one_part_twice(
    store: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part_bytes, count = 1 << 20, 8
    upload_id, parts = await begin(store, "a", [bytes([n]) * part_bytes for n in range(count)])
    peaks: list[int] = []
    fsync = os.fsync

    def measured(descriptor: int) -> None:
        peaks.append(sum(path.stat().st_size for path in files_in(tmp_path)))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", measured)
    await store.complete_multipart("a", upload_id=upload_id, parts=parts)
    assert max(peaks) <= (count + 1) * part_bytes + 64 * 1024
    assert len(peaks) > count


_COMPLETING_PROGRAM = """
import asyncio, sys
from pathlib import Path
from kappi_chassis.storage.local import LocalObjectStore
async def main():
    store = LocalObjectStore(Path(sys.argv[1]))
    parts = await store.list_parts("a", upload_id=sys.argv[2])
    print("go", flush=True)
    await store.complete_multipart("a", upload_id=sys.argv[2], parts=parts)
    print("done", flush=True)
asyncio.run(main())
"""


def test_a_completion_that_is_killed_continues(tmp_path: Path) -> None:
    moments = random.Random(3)
    bodies = [bytes([n]) * 400_000 for n in range(60)]
    interrupted = 0
    for attempt in range(8):
        root = tmp_path / str(attempt)

        async def prepare(root: Path = root) -> str:
            store = LocalObjectStore(root)
            upload_id, _ = await begin(store, "a", bodies)
            await store.close()
            return upload_id

        upload_id = asyncio.run(prepare())
        process = subprocess.Popen(
            [sys.executable, "-c", _COMPLETING_PROGRAM, str(root), upload_id],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(moments.uniform(0, 0.1))  # the time of the kill, not a wait for an effect
        process.kill()
        process.wait()
        interrupted += process.stdout.read() == ""
        process.stdout.close()

        async def finish(root: Path = root, upload_id: str = upload_id) -> None:
            store = LocalObjectStore(root)
            try:
                parts = await store.list_parts("a", upload_id=upload_id)
                assert [part.size_bytes for part in parts] == [400_000] * 60
                await store.complete_multipart("a", upload_id=upload_id, parts=parts)
            except (MultipartMissing, ObjectExistsAlready):
                pass  # the object was there before the kill
            assert await content(store, "a") == b"".join(bodies)
            await store.abort_multipart_uploads("")
            await store.close()

        asyncio.run(finish())
    assert interrupted


async def test_two_stores_complete_one_upload(store: LocalObjectStore, tmp_path: Path) -> None:
    other = LocalObjectStore(tmp_path)
    bodies = [bytes([n]) * 100_000 for n in range(5)]
    for n in range(10):
        key = f"g/{n}"
        upload_id, parts = await begin(store, key, bodies)
        outcomes = await asyncio.gather(
            *(
                each.complete_multipart(key, upload_id=upload_id, parts=parts)
                for each in (store, other, store)
            ),
            return_exceptions=True,
        )
        failures = [each for each in outcomes if isinstance(each, BaseException)]
        assert len(failures) == 2
        assert all(isinstance(each, MultipartMissing | ObjectExistsAlready) for each in failures)
        assert await content(other, key) == b"".join(bodies)
    await other.close()


async def test_completing_and_aborting_at_once_has_one_outcome(store: LocalObjectStore) -> None:
    for n in range(20):
        key = f"g/{n}"
        upload_id, parts = await begin(store, key, [b"x" * 1000] * 3)
        completed, aborted = await asyncio.gather(
            store.complete_multipart(key, upload_id=upload_id, parts=parts),
            store.abort_multipart(key, upload_id=upload_id),
            return_exceptions=True,
        )
        assert await store.exists(key) == (not isinstance(completed, BaseException))
        if isinstance(completed, BaseException):
            assert isinstance(completed, MultipartMissing)
        assert aborted is None or isinstance(aborted, StorageUnavailable)
        with pytest.raises(MultipartMissing):
            await store.list_parts(key, upload_id=upload_id)


@pytest.mark.parametrize("names_read", ["before", "after"])
async def test_a_join_that_begins_during_a_listing_hides_no_part(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, names_read: str
) -> None:
    upload_id, parts = await begin(store, "a/b", [b"one", b"two"])
    stored = multipart._stored

    def stored_and_joined_meanwhile(folder: Path) -> tuple[StoredPart, ...]:
        monkeypatch.setattr(multipart, "_stored", stored)
        names = os.listdir(folder)
        multipart._plan(folder, parts)
        (folder / "00001").unlink()
        if names_read == "before":
            monkeypatch.setattr(os, "listdir", lambda _: names)
        return stored(folder)

    monkeypatch.setattr(multipart, "_stored", stored_and_joined_meanwhile)
    assert await store.list_parts("a/b", upload_id=upload_id) == tuple(parts)


async def test_an_upload_that_ends_during_a_listing_is_missing(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id, _ = await begin(store, "a/b", [b"one", b"two"])
    stored = multipart._stored

    def stored_and_ended(folder: Path) -> tuple[StoredPart, ...]:
        found = stored(folder)
        folder.rename(folder.with_name("ended"))
        return found[:1]

    monkeypatch.setattr(multipart, "_stored", stored_and_ended)
    with pytest.raises(MultipartMissing):
        await store.list_parts("a/b", upload_id=upload_id)


async def test_a_long_completion_does_not_block_other_calls(store: LocalObjectStore, tmp_path: Path) -> None:
    upload_id, parts = await begin(store, "a", [b"x"])
    with (tmp_path / "multiparts" / upload_id / "upload").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        completing = asyncio.create_task(store.complete_multipart("a", upload_id=upload_id, parts=parts))
        for _ in range(20):
            writer = await store.part_writer("a", PartBinding(upload_id, 2, 0), hashed_by="sha256")
            with pytest.raises(StorageUnavailable):
                await store.publish_part(writer, "a", upload_id=upload_id, number=2)
            writer.discard()
            with pytest.raises(StorageUnavailable):
                await store.abort_multipart("a", upload_id=upload_id)
        assert await store.list_parts("a", upload_id=upload_id) == tuple(parts)
        assert not completing.done()
    await completing
    assert await content(store, "a") == b"x"


async def test_uploads_and_tags_survive_a_restart(store: LocalObjectStore, tmp_path: Path) -> None:
    upload_id, parts = await begin(store, "a", [b"one", b"two"])
    await store.put("t", b"x", content_type="text/plain")
    await store.set_tags("t", {"kind": "image"})
    again = LocalObjectStore(tmp_path)
    await again.ready()
    assert await again.list_parts("a", upload_id=upload_id) == tuple(parts)
    assert await again.tags("t") == {"kind": "image"}
    await again.complete_multipart("a", upload_id=upload_id, parts=parts)
    assert await content(again, "a") == b"onetwo"
    assert [found.key for found in (await again.list_page("")).objects] == ["a", "t"]
    await again.delete_batch(["a", "t"])
    assert [file.parent.name for file in files_in(tmp_path)] == ["tombstones"]
    await again.close()


async def test_abandoned_uploads_are_swept(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    store = LocalObjectStore(tmp_path, now=lambda: now)
    old_id, _ = await begin(store, "old", [b"x"])
    new_id, parts = await begin(store, "new", [b"x"])
    old = (now - timedelta(days=14, hours=1)).timestamp()
    os.utime(tmp_path / "multiparts" / old_id, (old, old))
    # The remains of an ended upload, as a crash leaves them.
    (tmp_path / "incoming" / "ended-x").mkdir()
    (tmp_path / "incoming" / "ended-x" / "00001").write_bytes(b"x")
    os.utime(tmp_path / "incoming" / "ended-x", (old, old))
    await store.ready()
    with pytest.raises(MultipartMissing):
        await store.list_parts("old", upload_id=old_id)
    assert await store.list_parts("new", upload_id=new_id) == tuple(parts)
    assert list((tmp_path / "incoming").iterdir()) == []
    await store.close()


@pytest.mark.parametrize("upload_id", ["", "..", "../objects", "x" * 32, "0" * 31, "0" * 32, "/etc", "\0"])
async def test_upload_ids_cannot_name_paths_outside_the_folder(
    store: LocalObjectStore, upload_id: str
) -> None:
    await store.put("a", b"x", content_type="text/plain")
    with pytest.raises(MultipartMissing):
        await store.list_parts("a", upload_id=upload_id)
    await store.abort_multipart("a", upload_id=upload_id)
    assert await store.exists("a")


async def test_tags_of_another_object_are_ignored(store: LocalObjectStore, tmp_path: Path) -> None:
    await store.put("a", b"x", content_type="text/plain")
    await store.set_tags("a", {"kind": "image"})
    left_over = (tmp_path / "tags" / "a%.").read_bytes()
    await store.put("a", b"another", content_type="text/plain")
    assert await store.tags("a") == {}
    (tmp_path / "tags").mkdir(exist_ok=True)
    (tmp_path / "tags" / "a%.").write_bytes(left_over)
    assert await store.tags("a") == {}


def test_a_part_file_that_lost_bytes_is_an_error(tmp_path: Path) -> None:
    short, whole = tmp_path / "short", tmp_path / "whole"
    short.write_bytes(b"abc")
    with (
        short.open("rb", buffering=0) as source,
        whole.open("w+b", buffering=0) as target,
        pytest.raises(StorageUnavailable),
    ):
        append(source, 10, whole=target)


# Over HTTP.


async def test_browsers_see_the_etag_of_a_part(served_local_store: ServedLocalStore) -> None:
    store, signer = served_local_store.store, served_local_store.signer
    key = f"galleries/{uuid.uuid4()}/original"
    upload_id = await store.create_multipart(key, content_type="video/mp4")
    request = signer.sign_part(
        key, upload_id=upload_id, number=1, size_bytes=3, now=datetime.now(UTC), lifetime=LIFETIME
    )
    answer = await call(request, b"abc")
    assert answer.status == 200
    (part,) = await store.list_parts(key, upload_id=upload_id)
    assert answer.headers["etag"] == f'"{part.etag}"'
    assert "etag" in answer.headers["access-control-expose-headers"]
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_an_interrupted_part_leaves_the_old_part(served_local_store: ServedLocalStore) -> None:
    store, signer = served_local_store.store, served_local_store.signer
    key = f"galleries/{uuid.uuid4()}/original"
    upload_id, parts = await begin(store, key, [b"before"])
    request = signer.sign_part(
        key, upload_id=upload_id, number=1, size_bytes=1 << 22, now=datetime.now(UTC), lifetime=LIFETIME
    )
    with closing(begun(request, **{"content-length": str(1 << 22)})) as connection:
        connection.sendall(bytes(3 << 20))

        async def being_written() -> None:
            assert len(incoming(served_local_store)) == 1

        await eventually(being_written)

    async def gone() -> None:
        assert incoming(served_local_store) == []

    await eventually(gone)
    assert await store.list_parts(key, upload_id=upload_id) == tuple(parts)


async def test_a_part_is_refused_if_its_upload_is_aborted_meanwhile(
    served_local_store: ServedLocalStore,
) -> None:
    store, signer = served_local_store.store, served_local_store.signer
    key = f"galleries/{uuid.uuid4()}/original"
    upload_id = await store.create_multipart(key, content_type="video/mp4")
    request = signer.sign_part(
        key, upload_id=upload_id, number=1, size_bytes=6, now=datetime.now(UTC), lifetime=LIFETIME
    )
    with closing(begun(request, **{"content-length": "6"})) as connection:
        connection.sendall(b"abc")

        async def being_written() -> None:
            assert len(incoming(served_local_store)) == 1

        await eventually(being_written)
        await store.abort_multipart(key, upload_id=upload_id)
        connection.sendall(b"def")
        answer = await asyncio.to_thread(answer_to, connection)
        assert answer.status == 404
    assert incoming(served_local_store) == []
