"""Parts that are written to their place in the object of a multipart upload."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kappi_chassis.storage.contract import MultipartMissing, StoredPart
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_files import ObjectWriter
from kappi_chassis.storage.local_signing import PartBinding

pytestmark = pytest.mark.integration

KEY = "a/b"
PART_BYTES = 10_000
BODIES = [b"1" * PART_BYTES, b"2" * PART_BYTES, b"3" * 777]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalObjectStore]:
    store = LocalObjectStore(tmp_path)
    yield store
    await store.close()


@pytest.fixture
async def upload_id(store: LocalObjectStore) -> str:
    return await store.create_multipart(KEY, content_type="video/mp4", part_size_bytes=PART_BYTES)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of what is copied between files."""
    copy = os.copy_file_range
    copied: list[int] = []

    def counted(source: int, target: int, count: int, *, offset_src: int) -> int:
        copied.append(count)
        return copy(source, target, count, offset_src=offset_src)

    monkeypatch.setattr(os, "copy_file_range", counted)
    return copied


async def writer_of(store: LocalObjectStore, upload_id: str, number: int, size_bytes: int) -> ObjectWriter:
    return await store.part_writer(KEY, PartBinding(upload_id, number, size_bytes), hashed_by="sha256")


async def publish(store: LocalObjectStore, upload_id: str, number: int, writer: ObjectWriter) -> StoredPart:
    etag = await store.publish_part(writer, KEY, upload_id=upload_id, number=number)
    writer.discard()
    return StoredPart(number, writer.size_bytes, etag)


async def send(store: LocalObjectStore, upload_id: str, number: int, body: bytes) -> StoredPart:
    writer = await writer_of(store, upload_id, number, len(body))
    for start in range(0, len(body), 500):
        writer.write(body[start : start + 500])
    return await publish(store, upload_id, number, writer)


async def joined(store: LocalObjectStore, upload_id: str, parts: list[StoredPart]) -> bytes:
    head = await store.complete_multipart(KEY, upload_id=upload_id, parts=parts)
    body = b"".join([chunk async for chunk in store.stream(KEY)])
    assert len(body) == head.size_bytes
    return body


async def test_completing_copies_nothing_whatever_the_order(
    store: LocalObjectStore, upload_id: str, copies: list[int], tmp_path: Path
) -> None:
    parts = [await send(store, upload_id, number, BODIES[number - 1]) for number in (3, 1, 2)]
    assert await store.list_parts(KEY, upload_id=upload_id) == tuple(
        sorted(parts, key=lambda part: part.number)
    )
    assert await joined(store, upload_id, parts) == b"".join(BODIES)
    assert copies == []
    assert list((tmp_path / "multiparts").iterdir()) == []
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_a_part_stays_until_its_replacement_is_whole(
    store: LocalObjectStore, upload_id: str, copies: list[int]
) -> None:
    parts = [await send(store, upload_id, number, body) for number, body in enumerate(BODIES, start=1)]
    interrupted = await writer_of(store, upload_id, 2, PART_BYTES)
    interrupted.write(b"x" * 5_000)
    interrupted.discard()
    assert await store.list_parts(KEY, upload_id=upload_id) == tuple(parts)
    parts[1] = await send(store, upload_id, 2, b"4" * PART_BYTES)
    assert await joined(store, upload_id, parts) == BODIES[0] + b"4" * PART_BYTES + BODIES[2]
    assert copies == [PART_BYTES]


async def test_an_interrupted_part_leaves_its_place_to_the_next_sender(
    store: LocalObjectStore, upload_id: str, copies: list[int]
) -> None:
    interrupted = await writer_of(store, upload_id, 1, PART_BYTES)
    interrupted.write(b"x" * 5_000)
    interrupted.discard()
    with pytest.raises(MultipartMissing):
        interrupted.write(b"x")
    parts = [await send(store, upload_id, number, body) for number, body in enumerate(BODIES, start=1)]
    assert await joined(store, upload_id, parts) == b"".join(BODIES)
    assert copies == []


async def test_a_writer_that_was_replaced_changes_nothing_after_the_completion(
    store: LocalObjectStore, upload_id: str
) -> None:
    replaced = await writer_of(store, upload_id, 1, PART_BYTES)
    replaced.write(b"x" * 500)
    parts = [await send(store, upload_id, number, body) for number, body in enumerate(BODIES, start=1)]
    replaced.write(b"x" * 500)
    assert await joined(store, upload_id, parts) == b"".join(BODIES)
    with pytest.raises(MultipartMissing):
        replaced.write(b"x" * 500)
    replaced.discard()
    assert (await store.read(KEY, length=1 << 20)).body == b"".join(BODIES)


async def test_writers_and_the_completion_exclude_each_other(
    store: LocalObjectStore, upload_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    placed = tmp_path / "multiparts" / upload_id / "placed"
    late = await writer_of(store, upload_id, 4, 1)
    looked: list[str] = []
    pwrite, utime = os.pwrite, os.utime

    def writing(descriptor: int, body: memoryview, offset: int) -> int:
        assert not can_lock(placed, fcntl.LOCK_EX)
        looked.append("writing")
        return pwrite(descriptor, body, offset)

    def joining(descriptor: int) -> None:
        assert not can_lock(placed, fcntl.LOCK_SH)
        with pytest.raises(MultipartMissing):
            late.write(b"x")
        looked.append("joining")
        utime(descriptor)

    monkeypatch.setattr(os, "pwrite", writing)
    monkeypatch.setattr(os, "utime", joining)
    parts = [await send(store, upload_id, 1, b"1")]
    assert await joined(store, upload_id, parts) == b"1"
    assert looked == ["writing", "joining"]
    late.discard()


def can_lock(path: Path, kind: int) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


async def test_a_part_is_durable_before_it_is_acknowledged(
    store: LocalObjectStore, upload_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    writer = await writer_of(store, upload_id, 1, PART_BYTES)
    writer.write(BODIES[0])
    monkeypatch.setattr(os, "fsync", noted)
    await publish(store, upload_id, 1, writer)
    folder = tmp_path / "multiparts" / upload_id
    assert synced[0] == folder / "placed"
    assert synced[1].parent == tmp_path / "incoming", "the part's own file, with its metadata"
    assert synced[2] == folder


@pytest.mark.parametrize("chosen", [[1], [2], [1, 3], [2, 3], [3], [1, 2]])
async def test_parts_that_are_left_out_are_dropped(
    store: LocalObjectStore, upload_id: str, chosen: list[int]
) -> None:
    parts = [await send(store, upload_id, number, body) for number, body in enumerate(BODIES, start=1)]
    wanted = [parts[number - 1] for number in chosen]
    assert await joined(store, upload_id, wanted) == b"".join(BODIES[number - 1] for number in chosen)


@pytest.mark.parametrize("bodies", [[b"1" * 20_000, b"2"], [b"1" * 30, b"2" * PART_BYTES, b"3"], [b"1", b""]])
async def test_parts_of_other_sizes_than_announced_are_joined(
    store: LocalObjectStore, upload_id: str, bodies: list[bytes]
) -> None:
    parts = [await send(store, upload_id, number, body) for number, body in enumerate(bodies, start=1)]
    assert await joined(store, upload_id, parts) == b"".join(bodies)


async def test_an_aborted_upload_refuses_its_writers(store: LocalObjectStore, upload_id: str) -> None:
    writer = await writer_of(store, upload_id, 1, PART_BYTES)
    writer.write(b"x")
    await store.abort_multipart(KEY, upload_id=upload_id)
    with pytest.raises(MultipartMissing):
        writer.write(b"x")
    writer.discard()
    with pytest.raises(MultipartMissing):
        await writer_of(store, upload_id, 1, PART_BYTES)
