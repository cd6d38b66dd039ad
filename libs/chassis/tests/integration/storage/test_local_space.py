"""A store on a disk that becomes full refuses uploads, serves objects, and leaves no remains."""

from __future__ import annotations

import asyncio
import errno
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kappi_chassis.disk import DiskSpace
from kappi_chassis.storage import ContentBinding, SignedRequest, StorageFull
from kappi_chassis.storage import local_files as files
from kappi_chassis.storage.local_space import LocalSpace
from kappi_testkit.eventually import eventually
from kappi_testkit.servers.local_store import ServedLocalStore, serving_local_store
from kappi_testkit.signed_requests import Answer, answer_to, begun, call

pytestmark = pytest.mark.integration

MIB = 1 << 20
LIFETIME = timedelta(minutes=5)


class Disk:
    """Free space, set by the test instead of measured, and read again each time."""

    def __init__(self) -> None:
        self.free_bytes = 100 * MIB
        self._now_s = 0.0

    def measure(self, _: Path) -> DiskSpace:
        return DiskSpace(self.free_bytes, 1 << 30)

    def clock(self) -> float:
        self._now_s += 1.0
        return self._now_s


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def served(disk: Disk, tmp_path: Path) -> Iterator[ServedLocalStore]:
    space = LocalSpace(tmp_path, reserve_bytes=80 * MIB, measure=disk.measure, clock=disk.clock)
    with serving_local_store(tmp_path, space=space) as served:
        yield served


def signed(served: ServedLocalStore, size_bytes: int, key: str = "") -> SignedRequest:
    return served.signer.sign_put(
        key or f"galleries/{uuid.uuid4()}/original",
        binding=ContentBinding("image/png", size_bytes),
        now=datetime.now(UTC),
        lifetime=LIFETIME,
    )


def incoming(served: ServedLocalStore) -> list[str]:
    return [path.name for path in (served.root / "incoming").iterdir()]


def refused(answer: Answer) -> bool:
    return (
        answer.status == 507
        and b"<Code>InsufficientStorage</Code>" in answer.body
        and answer.headers["retry-after"] == "60"
    )


async def test_an_upload_beyond_the_reserve_is_refused_before_its_body(
    served: ServedLocalStore, disk: Disk
) -> None:
    request = signed(served, 30 * MIB)
    with closing(begun(request, **{"content-length": str(30 * MIB)})) as connection:
        connection.sendall(bytes(MIB))
        answer = await asyncio.to_thread(answer_to, connection)
        assert answer.status == 507
    assert incoming(served) == []
    disk.free_bytes = 120 * MIB
    assert (await call(request, bytes(30 * MIB))).status == 200


async def test_concurrent_uploads_each_claim_their_own_space(served: ServedLocalStore) -> None:
    with closing(begun(signed(served, 15 * MIB), **{"content-length": str(15 * MIB)})) as slow:
        slow.sendall(b"x")

        async def being_written() -> None:
            assert len(incoming(served)) == 1

        await eventually(being_written)
        assert refused(await call(signed(served, 6 * MIB), bytes(6 * MIB)))
        assert (await call(signed(served, 5 * MIB), bytes(5 * MIB))).status == 200

    async def given_back() -> None:
        assert (await call(signed(served, 6 * MIB), bytes(6 * MIB))).status == 200

    await eventually(given_back)


async def test_an_upload_ends_if_the_disk_fills_meanwhile(served: ServedLocalStore, disk: Disk) -> None:
    with closing(begun(signed(served, 10 * MIB), **{"content-length": str(10 * MIB)})) as connection:
        connection.sendall(bytes(2 * MIB))

        async def being_written() -> None:
            assert len(incoming(served)) == 1

        await eventually(being_written)
        disk.free_bytes = 79 * MIB
        connection.sendall(bytes(2 * MIB))
        answer = await asyncio.to_thread(answer_to, connection)
        assert answer.status == 507
    assert incoming(served) == []


async def test_a_part_beyond_the_reserve_is_refused(served: ServedLocalStore, disk: Disk) -> None:
    key = f"galleries/{uuid.uuid4()}/original"
    upload_id = await served.store.create_multipart(key, content_type="image/png")
    request = served.signer.sign_part(
        key,
        upload_id=upload_id,
        number=1,
        size_bytes=6 * MIB,
        now=datetime.now(UTC),
        lifetime=LIFETIME,
    )
    disk.free_bytes = 85 * MIB
    assert refused(await call(request, bytes(6 * MIB)))
    disk.free_bytes = 100 * MIB
    assert (await call(request, bytes(6 * MIB))).status == 200
    # Joining is work of the service: it may use half of the reserve, and is refused below that.
    parts = await served.store.list_parts(key, upload_id=upload_id)
    disk.free_bytes = 45 * MIB
    with pytest.raises(StorageFull):
        await served.store.complete_multipart(key, upload_id=upload_id, parts=parts)
    disk.free_bytes = 47 * MIB
    assert (await served.store.complete_multipart(key, upload_id=upload_id, parts=parts)).size_bytes


async def test_objects_are_read_and_deleted_on_a_full_disk(served: ServedLocalStore, disk: Disk) -> None:
    head = await served.store.put("a/b", b"kept", content_type="text/plain")
    disk.free_bytes = 0
    get = served.signer.sign_get("a/b", now=datetime.now(UTC), lifetime=LIFETIME)
    assert (await call(get)).body == b"kept"
    assert await served.store.head("a/b") == head
    assert (await served.store.delete_batch(["a/b"])).deleted == 1
    await served.store.ready()


async def test_services_may_use_half_of_the_reserve(served: ServedLocalStore, disk: Disk) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(MIB)

    store = served.store
    await store.put("a", bytes(MIB), content_type="text/plain")
    disk.free_bytes = 60 * MIB
    with pytest.raises(StorageFull):
        await store.check_room(1)
    await store.put("b", bytes(MIB), content_type="text/plain")
    await store.put_stream("c", chunks(), content_type="text/plain", replace=True)
    await store.copy("c", "d")
    disk.free_bytes = 40 * MIB
    for write in (
        store.put("e", bytes(MIB), content_type="text/plain"),
        store.put_stream("e", chunks(), content_type="text/plain", replace=True),
        store.copy("c", "e"),
    ):
        with pytest.raises(StorageFull):
            await write
    assert not await store.exists("e")
    assert incoming(served) == []


async def test_a_refusal_by_the_disk_itself_gives_the_same_error(
    served: ServedLocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process took the last byte within the second."""

    def without_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    request = signed(served, 3)
    with monkeypatch.context() as full:
        full.setattr(files, "finish", without_room)
        assert refused(await call(request, b"abc"))
    assert incoming(served) == []
    assert (await call(request, b"abc")).status == 200


async def test_a_file_that_cannot_be_closed_is_removed(tmp_path: Path) -> None:
    """Buffered bytes are written when a file is closed, and there is no room for them either."""
    tree = files.ObjectTree(tmp_path)
    tree.prepare(stale_before=datetime.now(UTC))
    room = LocalSpace(tmp_path, reserve_bytes=0).reserve(3, use="upload")
    writer = files.ObjectWriter(tree, "a", content_type="text/plain", room=room)
    writer.write(b"abc")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer._file.fileno())
    os.close(full)
    writer.discard()
    assert list(tree.incoming.iterdir()) == []
    assert room.left_bytes == 0
