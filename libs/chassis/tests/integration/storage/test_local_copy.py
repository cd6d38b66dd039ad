"""Copies in the folder, beyond the contract: crashes, races, full disks."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from kappi_chassis.storage import ObjectHead, ObjectMissing, StorageUnavailable, local_copy
from kappi_chassis.storage.local import LocalObjectStore
from kappi_chassis.storage.local_files import ObjectTree, ObjectWriter
from kappi_chassis.storage.local_space import LocalSpace

pytestmark = pytest.mark.integration

COPIED = bytes(range(256)) * 2000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalObjectStore]:
    store = LocalObjectStore(tmp_path)
    yield store
    await store.close()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def replace_by(tree: ObjectTree, key: str, body: bytes) -> None:
    room = LocalSpace(tree.objects).reserve(len(body), use="service")
    writer = ObjectWriter(tree, key, content_type="text/plain", room=room)
    try:
        writer.write(body)
        writer.publish(replace=True)
    finally:
        writer.discard()


async def content(store: LocalObjectStore, key: str) -> bytes:
    return b"".join([chunk async for chunk in store.stream(key)])


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_copy, "_STEP_BYTES", 100_000)


def before_step(monkeypatch: pytest.MonkeyPatch, wanted: int, happens: Callable[[], object]) -> None:
    """Calls a function before the n-th step of a copy."""
    steps = itertools.count(1)
    copy = os.copy_file_range

    def step(source: int, target: int, length: int, *, offset_src: int) -> int:
        if next(steps) == wanted:
            happens()
        return copy(source, target, length, offset_src=offset_src)

    monkeypatch.setattr(os, "copy_file_range", step)


async def test_a_copy_has_the_content_and_metadata_of_its_source(
    store: LocalObjectStore, tmp_path: Path
) -> None:
    before = await store.put("a", COPIED, content_type="text/x-a")
    copied = await store.copy("a", "b/c")
    assert copied == await store.head("b/c")
    assert (copied.etag, copied.sha256) == (before.etag, sha256(COPIED).digest())
    assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize("why", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
async def test_a_copy_on_file_systems_that_cannot_copy(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    await store.put("a", COPIED * 5, content_type="text/plain")
    await store.copy("a", "b")
    assert await content(store, "b") == COPIED * 5


@pytest.mark.usefixtures("small_steps")
async def test_a_failed_copy_leaves_the_old_object(
    store: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "full")

    await store.put("a", COPIED, content_type="text/plain")
    await store.put("b", b"before", content_type="text/css")
    await store.set_tags("b", {"n": "v"})
    for target in ("b", "c"):
        with monkeypatch.context() as failing:
            before_step(failing, 3, full)
            with pytest.raises(StorageUnavailable):
                await store.copy("a", target)
    assert await content(store, "b") == b"before"
    assert await store.tags("b") == {"n": "v"}
    assert len((await store.list_page("")).objects) == 2
    assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("fate", ["deleted", "replaced"])
async def test_a_copy_outlives_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: str) -> None:
    store, tree = LocalObjectStore(tmp_path), ObjectTree(tmp_path)
    await store.put("a", COPIED, content_type="text/plain")
    await store.set_tags("a", {"n": "v"})
    go = partial(tree.delete, ["a"]) if fate == "deleted" else partial(replace_by, tree, "a", b"new")
    before_step(monkeypatch, 3, go)
    await store.copy("a", "b")
    assert await content(store, "b") == COPIED
    assert await store.tags("b") == {"n": "v"}
    await store.close()


@pytest.mark.parametrize("fate", ["deleted", "replaced"])
async def test_tags_of_another_object_are_not_copied(
    store: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    tree = ObjectTree(tmp_path)
    await store.put("a", COPIED, content_type="text/plain")
    await store.set_tags("a", {"n": "v"})
    tags_of = ObjectTree._tags_of

    def look(self: ObjectTree, head: ObjectHead) -> dict[str, str]:
        if fate == "deleted":
            tree.delete(["a"])
        else:
            replace_by(tree, "a", b"new")
        return tags_of(self, head)

    monkeypatch.setattr(ObjectTree, "_tags_of", look)
    with pytest.raises(ObjectMissing if fate == "deleted" else StorageUnavailable):
        await store.copy("a", "b")
    with pytest.raises(ObjectMissing):
        await store.head("b")


@pytest.mark.usefixtures("small_steps")
async def test_a_cancelled_copy_stops(
    store: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying, cancelled = threading.Event(), threading.Event()

    def wait() -> None:
        copying.set()
        assert cancelled.wait(10)

    await store.put("a", COPIED, content_type="text/plain")
    before_step(monkeypatch, 3, wait)
    task = asyncio.create_task(store.copy("a", "b"))
    await asyncio.to_thread(copying.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cancelled.set()
    await store.close()  # which waits for the thread
    assert [path.name for path in files_in(tmp_path)] == ["a%."]


@pytest.mark.usefixtures("small_steps")
async def test_a_slow_copy_does_not_block_other_calls(
    store: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    copy = os.copy_file_range

    def stuck(source: int, target: int, length: int, *, offset_src: int) -> int:
        assert go_on.wait(10)
        return copy(source, target, length, offset_src=offset_src)

    await store.put("a", COPIED, content_type="text/plain")
    monkeypatch.setattr(os, "copy_file_range", stuck)
    copies = [asyncio.create_task(store.copy("a", f"copy/{n}")) for n in range(12)]
    await asyncio.sleep(0)
    await store.put("b", b"x", content_type="text/plain")
    assert await content(store, "a") == COPIED
    assert not any(task.done() for task in copies)
    go_on.set()
    await asyncio.gather(*copies)
    assert len((await store.list_page("copy/")).objects) == 12


_COPYING_PROGRAM = """
import os, sys, time
from pathlib import Path
from kappi_chassis.storage import local_copy
from kappi_chassis.storage.local_space import LocalSpace
from kappi_chassis.storage.local_files import ObjectTree
local_copy._STEP_BYTES = 100_000
copy = os.copy_file_range
def reported(*args, **options):
    print("step", flush=True)
    return copy(*args, **options)
os.copy_file_range = reported
ObjectTree(Path(sys.argv[1])).copy("a", "b", given_up=lambda: time.sleep(0.01))
print("done", flush=True)
"""


def kill_while_copying(root: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _COPYING_PROGRAM, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["step\n"] * 2
    process.kill()
    process.wait()
    assert "done" not in process.stdout.read()
    process.stdout.close()


async def test_a_killed_copy_is_invisible_and_its_files_are_swept(tmp_path: Path) -> None:
    now = [datetime.now(UTC)]
    store = LocalObjectStore(tmp_path, now=lambda: now[0])
    await store.put("a", COPIED, content_type="text/plain")
    kill_while_copying(tmp_path)
    assert [found.key for found in (await store.list_page("")).objects] == ["a"]
    assert len(list((tmp_path / "incoming").iterdir())) == 1
    now[0] += timedelta(hours=25)
    await store.ready()
    assert [path.name for path in files_in(tmp_path)] == ["a%."]
    await store.close()
