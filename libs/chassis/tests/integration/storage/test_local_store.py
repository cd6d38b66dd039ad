"""The folder beyond the contract: races, crashes, and keys that only it accepts."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kappi_chassis.storage import ObjectExistsAlready, ObjectMissing, StorageRefused, StorageUnavailable
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_attributes import NAME
from kappi_chassis.storage.local_files import ObjectTree, ObjectWriter
from kappi_chassis.storage.local_listing import objects_under
from kappi_chassis.storage.local_space import LocalSpace

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalObjectStore]:
    store = LocalObjectStore(tmp_path)
    yield store
    await store.close()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def write(tree: ObjectTree, key: str, body: bytes, *, replace: bool) -> None:
    room = LocalSpace(tree.objects).reserve(len(body), use="service")
    writer = ObjectWriter(tree, key, content_type="text/plain", room=room)
    try:
        writer.write(body)
        writer.publish(replace=replace)
    finally:
        writer.discard()


async def test_a_key_may_be_a_folder_of_another(store: LocalObjectStore) -> None:
    keys = ["a", "a/", "a/b", "a//b", "/a", "a/../b", "./a", "..", "a/.", "A", "\u0061\u0301", "á"]
    for key in keys:
        await store.put(key, key.encode(), content_type="text/plain")
    for key in keys:
        assert (await store.read(key, length=99)).body == key.encode()
    page = await store.list_page("")
    assert [found.key for found in page.objects] == sorted(keys, key=str.encode)
    assert (await store.delete_batch(["a", "a//b"])).deleted == 2
    left = await store.list_page("a")
    assert [found.key for found in left.objects] == ["a/", "a/.", "a/../b", "a/b", "a\u0301"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    keys=st.sets(
        st.lists(
            st.sampled_from(["", "a", "a-", "a0", "b", "é", "😀" * 30, "x" * 210, "x" * 199, "~"]),
            min_size=1,
            max_size=4,
        )
        .map("/".join)
        .filter(bool),
        max_size=20,
    ),
    prefix=st.sampled_from(["", "a", "a/", "a/a", "é", "x" * 205, "😀" * 20, "😀" * 30 + "/", "/", "a//"]),
    limit=st.integers(1, 7),
)
def test_a_listing_is_sorted_by_key(
    tmp_path_factory: pytest.TempPathFactory, keys: set[str], prefix: str, limit: int
) -> None:
    root = tmp_path_factory.mktemp("tree")
    tree = ObjectTree(root)
    for key in keys:
        write(tree, key, b"", replace=True)
    expected = sorted((key for key in keys if key.startswith(prefix)), key=str.encode)
    seen: list[str] = []
    after = None
    while True:
        listed = objects_under(tree.objects, prefix, after=after)
        page = [found.key for found, _ in zip(listed, range(limit), strict=False)]
        seen += page
        if not page:
            break
        after = page[-1]
    assert seen == expected
    assert tree.delete(keys) == {}
    assert list(tree.objects.iterdir() if tree.objects.exists() else []) == []


async def test_a_replaced_object_stays_whole_to_its_reader(store: LocalObjectStore) -> None:
    await store.put("a", b"old" * 1000, content_type="text/plain")
    chunks = store.stream("a", chunk_bytes=1000)
    begun = await anext(chunks)
    await store.put("a", b"new", content_type="text/plain")
    await store.delete_batch(["a"])
    assert begun + b"".join([chunk async for chunk in chunks]) == b"old" * 1000


async def test_a_deleted_object_leaves_no_file(store: LocalObjectStore, tmp_path: Path) -> None:
    keys = [f"galleries/{n % 3}/{n}/original" for n in range(30)]
    for key in keys:
        await store.put(key, b"x", content_type="text/plain")
    await store.delete_batch(keys)
    assert list((tmp_path / "files").iterdir()) == []
    assert list((tmp_path / "incoming").iterdir()) == []


def test_only_one_of_many_writers_creates_an_object(tmp_path: Path) -> None:
    tree = ObjectTree(tmp_path)
    writers = 8
    together = threading.Barrier(writers)

    def create(n: int) -> bool:
        together.wait()
        try:
            write(tree, "a/b", b"%d" % n * 1000, replace=False)
        except ObjectExistsAlready:
            return False
        return True

    with ThreadPoolExecutor(writers) as pool:
        for _ in range(20):
            assert sorted(pool.map(create, range(writers))) == [False] * (writers - 1) + [True]
            opened = tree.open("a/b")
            assert len(set(opened.read_at(0, 2000))) == 1
            opened.close()
            tree.delete(["a/b"])
    assert files_in(tmp_path) == []


def test_writes_succeed_while_their_folders_are_removed(tmp_path: Path) -> None:
    """Deletions remove empty folders at the same time; no write may fail or be lost."""
    tree = ObjectTree(tmp_path)
    stop = threading.Event()

    def churn(n: int) -> None:
        while not stop.is_set():
            write(tree, f"g/m/{n}/x", b"x", replace=True)
            tree.delete([f"g/m/{n}/x"])

    with ThreadPoolExecutor(4) as pool:
        churning = [pool.submit(churn, n) for n in range(3)]
        try:
            for n in range(150):
                key = f"g/m/{n % 5}/kept"
                write(tree, key, b"%d" % n, replace=True)
                opened = tree.open(key)
                assert opened.read_at(0, 9) == b"%d" % n
                opened.close()
                tree.delete([key])
        finally:
            stop.set()
        for each in churning:
            each.result()
    assert list(tree.objects.iterdir()) == []


_WRITER_PROGRAM = """
import sys, itertools
from pathlib import Path
from kappi_chassis.storage.local_space import LocalSpace
from kappi_chassis.storage.local_files import ObjectTree, ObjectWriter
tree = ObjectTree(Path(sys.argv[1]))
for n in itertools.count():
    key = f"g/{n % 7}/{n % 50}"
    room = LocalSpace(tree.objects).reserve(0, use="service")
    writer = ObjectWriter(tree, key, content_type="text/plain", room=room)
    for _ in range(5):
        writer.write(b"%06d" % n * 2000)
    writer.publish(replace=True)
    print(n, flush=True)
"""


def test_objects_are_whole_or_absent_after_a_kill_at_any_time(tmp_path: Path) -> None:
    tree = ObjectTree(tmp_path)
    moments = random.Random(7)
    acknowledged = 1
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER_PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["0\n", "1\n"]
        time.sleep(moments.uniform(0, 0.03))  # the time of the kill, not a wait for an effect
        process.kill()
        acknowledged = max([acknowledged, *map(int, process.stdout.read().split("\n")[:-1])])
        process.wait()
        process.stdout.close()
        for found in objects_under(tree.objects, ""):
            opened = tree.open(found.key)
            body = opened.read_at(0, 1 << 20)
            opened.close()
            assert found.size_bytes == len(body) == 60_000
            assert len({body[at : at + 6] for at in range(0, 60_000, 6)}) == 1
    assert {found.key for found in objects_under(tree.objects, "")} >= {
        f"g/{n % 7}/{n % 50}" for n in range(min(acknowledged, 50))
    }


async def test_files_of_dead_writers_are_swept_and_those_in_progress_stay(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    store = LocalObjectStore(tmp_path, now=lambda: now)
    await store.ready()
    (tmp_path / "incoming" / "dead").write_bytes(b"half")
    old = (now - timedelta(hours=25)).timestamp()
    os.utime(tmp_path / "incoming" / "dead", (old, old))
    writer = await store.writer("a", content_type="text/plain", size_bytes=5)
    await store.ready()
    assert len(files_in(tmp_path)) == 1
    writer.write(b"whole")
    writer.publish(replace=False)
    assert (await store.read("a", length=9)).body == b"whole"
    await store.close()


async def test_a_disk_that_fails_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "files").write_bytes(b"a file where a folder should be")
    store = LocalObjectStore(tmp_path)
    with pytest.raises(StorageUnavailable):
        await store.ready()
    with pytest.raises(StorageUnavailable):
        await store.put("a/b", b"x", content_type="text/plain")
    with pytest.raises(StorageUnavailable) as caught:
        await store.head("a/secret-name")
    assert "secret-name" not in str(caught.value)
    await store.close()


async def test_a_file_that_lost_its_attribute_is_served(store: LocalObjectStore, tmp_path: Path) -> None:
    """A person's backup program may lose attributes."""
    for key in ("g/400.webp", "g/original"):
        await store.put(key, b"picture", content_type="image/webp")
        os.removexattr(tmp_path / "files" / f"{key}%.", NAME)
        head = await store.head(key)
        assert (head.size_bytes, head.sha256) == (7, None)
        assert head.content_type == ("image/webp" if key == "g/400.webp" else "application/octet-stream")
        assert (await store.head(key)).etag == head.etag
        assert (await store.read(key, length=99)).body == b"picture"
        copied = await store.copy(key, f"{key}/copy")
        assert (copied.etag, copied.content_type) == (head.etag, head.content_type)
        assert await store.head(f"{key}/copy") == copied


async def test_the_attribute_of_a_changed_file_is_ignored(store: LocalObjectStore, tmp_path: Path) -> None:
    stored = await store.put("a.png", b"x", content_type="image/x-a")
    (tmp_path / "files" / "a.png%.").write_bytes(b"longer")
    head = await store.head("a.png")
    assert (head.size_bytes, head.content_type, head.sha256) == (6, "image/png", None)
    assert head.etag != stored.etag


async def test_an_attribute_of_another_program_is_ignored(store: LocalObjectStore, tmp_path: Path) -> None:
    await store.put("a", b"x", content_type="text/plain")
    for value in (b"", b"\xff", b"\x91\x01"):
        os.setxattr(tmp_path / "files" / "a%.", NAME, value)
        assert (await store.head("a")).content_type == "application/octet-stream"


async def test_files_of_other_programs_are_no_objects(store: LocalObjectStore, tmp_path: Path) -> None:
    await store.put("a", b"x", content_type="text/plain")
    (tmp_path / "files" / ".DS_Store").write_bytes(b"whatever")
    with pytest.raises(ObjectMissing):
        await store.head(".DS_Store")
    assert [found.key for found in (await store.list_page("")).objects] == ["a"]


async def test_a_file_system_without_attributes_is_reported(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(StorageUnavailable, match="no extended attributes"):
        await store.ready()
    with pytest.raises(StorageUnavailable):
        await store.put("a", b"x", content_type="text/plain")
    assert not await store.exists("a")


async def test_content_types_that_cannot_be_headers_are_refused(store: LocalObjectStore) -> None:
    for content_type in ("a\nb", "é", "x" * 256, ""):
        with pytest.raises(StorageRefused):
            await store.put("a", b"x", content_type=content_type)


async def test_two_stores_share_a_folder(store: LocalObjectStore, tmp_path: Path) -> None:
    other = LocalObjectStore(tmp_path)
    await asyncio.gather(
        *(
            each.put(f"g/{n}", b"%d" % n, content_type="text/plain")
            for n in range(40)
            for each in (store, other)
        )
    )
    assert len((await other.list_page("g/")).objects) == 40
    await asyncio.gather(store.delete_versions_page("g/"), other.delete_versions_page("g/"))
    assert (await store.list_page("g/")).objects == ()
    await other.close()
