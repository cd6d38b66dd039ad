"""A process is killed before each step of a write: an object is whole, with its metadata, or absent."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from kappi_chassis.storage import ObjectMissing
from kappi_chassis.storage.local_files import ObjectTree, ObjectWriter
from kappi_chassis.storage.local_multipart import MultipartTree
from kappi_chassis.storage.local_space import LocalSpace
from kappi_testkit.crash_points import survives

pytestmark = pytest.mark.integration

KEY = "galleries/g/m/original"
BEFORE, AFTER = b"before" * 5000, b"after" * 9000
TYPE_BEFORE, TYPE_AFTER = "text/x-before", "text/x-after"


def written(tree: ObjectTree, body: bytes, *, content_type: str) -> ObjectWriter:
    room = LocalSpace(tree.objects, reserve_bytes=0).reserve(len(body), use="service")
    writer = ObjectWriter(tree, KEY, content_type=content_type, room=room)
    writer.write(body)
    return writer


def create(root: Path) -> None:
    written(ObjectTree(root), AFTER, content_type=TYPE_AFTER).publish(replace=False)


def replace(root: Path) -> None:
    written(ObjectTree(root), AFTER, content_type=TYPE_AFTER).publish(replace=True)


def copy(root: Path) -> None:
    ObjectTree(root).copy("source", KEY, given_up=lambda: False)


def join(root: Path) -> None:
    uploads = MultipartTree(root, ObjectTree(root))
    (upload_id,) = os.listdir(root / "multiparts")
    uploads.complete(KEY, upload_id=upload_id, parts=uploads.parts(KEY, upload_id=upload_id))


def with_nothing(_: Path) -> None:
    pass


def with_an_object(root: Path) -> None:
    written(ObjectTree(root), BEFORE, content_type=TYPE_BEFORE).publish(replace=True)


def with_a_source(root: Path) -> None:
    with_an_object(root)
    tree = ObjectTree(root)
    room = LocalSpace(tree.objects, reserve_bytes=0).reserve(len(AFTER), use="service")
    source = ObjectWriter(tree, "source", content_type=TYPE_AFTER, room=room)
    source.write(AFTER)
    source.publish(replace=True)


def with_parts(root: Path) -> None:
    tree = ObjectTree(root)
    uploads = MultipartTree(root, tree)
    upload_id = uploads.create(KEY, content_type=TYPE_AFTER)
    for number, body in ((1, AFTER[:20_000]), (2, AFTER[20_000:])):
        room = LocalSpace(tree.objects, reserve_bytes=0).reserve(len(body), use="upload")
        part = ObjectWriter(tree, KEY, content_type="a/part", room=room, hashed_by="md5")
        part.write(body)
        part.publish_to(lambda file, n=number: uploads.place_part(file, KEY, upload_id=upload_id, number=n))  # type: ignore[misc]


def with_parts_in_place(root: Path) -> None:
    """The first part was sent twice, so that it has a file of its own."""
    tree = ObjectTree(root)
    uploads = MultipartTree(root, tree)
    upload_id = uploads.create(KEY, content_type=TYPE_AFTER, part_size_bytes=20_000)
    for number, body in ((1, b"x" * 20_000), (2, AFTER[20_000:]), (1, AFTER[:20_000])):
        room = LocalSpace(tree.objects, reserve_bytes=0).reserve(len(body), use="upload")
        slot = uploads.slot(KEY, upload_id=upload_id, number=number, size_bytes=len(body))
        part = ObjectWriter(tree, KEY, content_type="a/part", room=room, slot=slot)
        part.write(body)
        part.publish_to(lambda file, n=number: uploads.place_part(file, KEY, upload_id=upload_id, number=n))  # type: ignore[misc]
        part.discard()


def state(root: Path) -> str:
    tree = ObjectTree(root)
    try:
        opened = tree.open(KEY)
    except ObjectMissing:
        return "absent"
    body, head = opened.read_at(0, 1 << 20), opened.head
    opened.close()
    named = {(BEFORE, TYPE_BEFORE): "before", (AFTER, TYPE_AFTER): "after"}[body, head.content_type]
    assert head.size_bytes == len(body)
    is_joined = head.etag.endswith("-2")
    assert head.sha256 == (None if is_joined else sha256(body).digest())
    return named


@pytest.mark.parametrize(
    ("begun", "work", "earlier"),
    [
        (with_nothing, create, "absent"),
        (with_an_object, replace, "before"),
        (with_a_source, copy, "before"),
        (with_parts, join, "absent"),
        (with_parts_in_place, join, "absent"),
    ],
)
def test_killed_at_each_step(
    tmp_path: Path, begun: Callable[[Path], None], work: Callable[[Path], None], earlier: str
) -> None:
    states: list[str] = []
    for step in itertools.count(1):
        root = tmp_path / str(step)
        ObjectTree(root).prepare(stale_before=datetime.now(UTC))
        begun(root)
        acknowledged = survives(lambda root=root: work(root), step=step)  # type: ignore[misc]
        states.append(state(root))
        ObjectTree(root).prepare(stale_before=datetime.now(UTC) + timedelta(days=1))
        assert list((root / "incoming").iterdir()) == []
        assert states[-1] == state(root)
        if acknowledged:
            break
    # An object that exists stays.
    assert states == sorted(states, key=[earlier, "after"].index)
    assert set(states) == {earlier, "after"}
    assert states[-1] == "after"


def test_metadata_is_written_before_the_only_sync_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes and metadata are synced before the name, so they survive a crash of the machine."""
    calls: list[str] = []

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **options: Any) -> Any:
            calls.append(name)
            return call(*args, **options)

        return made

    tree = ObjectTree(tmp_path)
    tree.prepare(stale_before=datetime.now(UTC))
    with_an_object(tmp_path)  # makes its folder
    tree.delete([KEY])
    (tree.objects / KEY).parent.mkdir(parents=True)
    for name in ("setxattr", "fsync", "link"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    create(tmp_path)
    assert calls == ["setxattr", "fsync", "link", "fsync"]
