"""All databases, or one, go back in time, and docs/runbooks/restore.md is followed step by step."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from kappi_testkit.eventually import eventually
from kappi_testkit.media.samples import encode, quadrants

from tests.e2e.phone import File, Gallery, Phone
from tests.e2e.stacks import StackUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OLD = timedelta(days=30)


def photo(name: str) -> File:
    return File(f"{name}.jpg", "image/jpeg", encode(quadrants(320 + len(name), 240), "JPEG"))


@pytest.fixture
async def visitor(own_stack: StackUnderTest) -> AsyncIterator[Phone]:
    async with Phone(own_stack.base_url, secrets=own_stack.secrets) as visitor:
        yield visitor


@dataclass(frozen=True, slots=True)
class Life:
    """Galleries of before and after the backup. kept, removed, later: items of `home`."""

    home: Gallery
    kept: list[str]
    removed: str
    given_up: Gallery
    later: str
    afterwards: Gallery
    last: str


@pytest.fixture
async def life(own_stack: StackUnderTest, visitor: Phone, tmp_path: Path) -> Life:
    """A backup in `tmp_path / "backup"`, and changes after it."""
    home, given_up = await visitor.create_gallery(title="home"), await visitor.create_gallery()
    *kept, removed = await visitor.upload(home, photo("a"), photo("bb"), photo("ccc"))
    await visitor.upload(given_up, photo("dddd"))
    await visitor.until_ready(home, 3)
    await visitor.until_ready(given_up, 1)
    await own_stack.running.wait_idle()
    saved = own_stack.kappi("backup", str(tmp_path / "backup"))
    assert saved.returncode == 0, saved.stderr

    (await visitor.ask("DELETE", f"/v1/media/{removed}", headers=home.key)).ok(204)
    (await visitor.ask("DELETE", f"/v1/galleries/{given_up.id}", headers=given_up.key)).ok(204)
    (later,) = await visitor.upload(home, photo("eeeee"))
    afterwards = await visitor.create_gallery()
    (last,) = await visitor.upload(afterwards, photo("ffffff"))
    await visitor.until_ready(home, 3)
    await visitor.until_ready(afterwards, 1)
    await own_stack.running.wait_idle()

    async def purged() -> None:
        keys = stored(own_stack)
        assert not [key for key in keys if removed in key or given_up.id in key]

    await eventually(purged, 30)
    return Life(home, kept, removed, given_up, later, afterwards, last)


async def test_everything_is_restored_after_the_databases_are_lost(
    own_stack: StackUnderTest, visitor: Phone, life: Life, tmp_path: Path
) -> None:
    stack = own_stack.running
    stack.stop()
    shutil.rmtree(stack.data_dir / "postgres")
    restored = own_stack.kappi("restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    stack.start()
    await stack.wait_idle()
    # Without a comparison: the deleted item is back, and its original is not.
    assert {item["id"] for item in await visitor.items(life.home.code)} == {*life.kept, life.removed}
    age(own_stack, life.later)

    found = own_stack.kappi("reconcile", "--json")
    assert found.returncode == 1
    assert differences(found.stdout, "media-objects")["original_missing"]["found"] == 2
    refused = own_stack.kappi("reconcile", "--repair")
    assert "--yes" in refused.stderr
    mended = own_stack.kappi("reconcile", "--repair", "--yes", "--json")
    # What was stored within the last week stays: a database that is newer could name it.
    assert differences(mended.stdout, "media-objects")["folder_unnamed"] == {"found": 2, "repaired": 1}
    assert mended.returncode == 1
    assert [key for key in stored(own_stack) if life.last in key]

    age(own_stack, life.last)
    mended = own_stack.kappi("reconcile", "--repair", "--yes", "--json")
    assert mended.returncode == 0, mended.stdout
    await check_consistency(own_stack)
    assert {item["id"] for item in await visitor.items(life.home.code)} == set(life.kept)
    assert await visitor.items(life.given_up.code) == []
    (await visitor.ask("GET", f"/v1/g/{life.afterwards.code}")).problem(404, "gallery_not_found")
    await check_home(visitor, life.home, life.kept)


@pytest.mark.parametrize("database", ["identity", "galleries", "media", "janitor"])
async def test_one_database_is_restored(
    own_stack: StackUnderTest, visitor: Phone, life: Life, tmp_path: Path, database: str
) -> None:
    stack = own_stack.running
    stack.stop()
    restored = own_stack.kappi("restore", str(tmp_path / "backup"), "--database", database)
    assert restored.returncode == 0, restored.stderr
    stack.start()
    await stack.wait_idle()
    age(own_stack, life.later, life.last)
    await query(own_stack, "media", "UPDATE uploads SET created_at = created_at - $1::interval", OLD)

    mended = own_stack.kappi("reconcile", "--repair", "--yes", "--json")

    assert mended.returncode == 0, mended.stdout
    await check_consistency(own_stack)
    assert {item["id"] for item in await visitor.items(life.home.code)} == (
        set(life.kept) if database == "media" else {*life.kept, life.later}
    )
    (await visitor.ask("GET", f"/v1/g/{life.given_up.code}")).problem(404, "gallery_not_found")
    afterwards = await visitor.ask("GET", f"/v1/g/{life.afterwards.code}")
    assert afterwards.status == (404 if database == "galleries" else 200)
    await check_home(visitor, life.home, life.kept)


async def check_home(visitor: Phone, home: Gallery, kept: Collection[str]) -> None:
    """Asserts that a gallery of before is whole, and that it goes on: uploads, deletions, counts."""
    for media_id in kept:
        download = await visitor.ask("GET", f"/v1/media/{media_id}/download", headers=home.key)
        assert (await visitor.ask("GET", download.ok()["url"])).status == 200
    before = (await visitor.ask("GET", f"/v1/galleries/{home.id}", headers=home.key)).ok()["item_count"]
    (one,) = await visitor.upload(home, photo("afterwards"))
    await visitor.until_ready(home, before + 1)
    (await visitor.ask("DELETE", f"/v1/media/{one}", headers=home.key)).ok(204)

    async def counted() -> None:
        shown = (await visitor.ask("GET", f"/v1/galleries/{home.id}", headers=home.key)).ok()
        assert shown["item_count"] == before

    await eventually(counted, 20)


async def check_consistency(stack: StackUnderTest) -> None:
    """Asserts, by its own queries, that rows, objects and counters agree."""
    await stack.running.wait_idle()

    async def agree() -> None:
        items = await query(stack, "media", "SELECT id, gallery_id, status, size_bytes FROM items")
        living = {(str(row["gallery_id"]), str(row["id"])): row for row in items}
        folders = {tuple(key.split("/")[1:3]) for key in stored(stack)}
        assert folders == living.keys()
        galleries = await query(
            stack, "galleries", "SELECT id, item_count, size_bytes FROM galleries WHERE deleted_at IS NULL"
        )
        sums: dict[str, list[int]] = {str(row["id"]): [0, 0] for row in galleries}
        for (gallery_id, _), row in living.items():
            sums[gallery_id][0] += 1
            sums[gallery_id][1] += row["size_bytes"]
        assert {str(row["id"]): [row["item_count"], row["size_bytes"]] for row in galleries} == sums
        due = await query(
            stack,
            "janitor",
            "SELECT gallery_id FROM due_galleries WHERE deleted_at IS NULL AND expires_at IS NOT NULL",
        )
        assert {str(row["gallery_id"]) for row in due} == sums.keys()

    await eventually(agree, 30)
    letters = stack.kappi("dlq", "list")
    assert letters.returncode == 0, letters.stdout


async def query(stack: StackUnderTest, service: str, statement: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(stack.running.database_url(service))
    try:
        rows: list[Any] = await connection.fetch(statement, *values)
        return rows
    finally:
        await connection.close()


def stored(stack: StackUnderTest) -> list[str]:
    """Returns the paths of all stored objects."""
    root = stack.running.data_dir / "objects" / "files"
    return [str(path.relative_to(root)) for path in root.glob("galleries/*/*/**/*") if path.is_file()]


def age(stack: StackUnderTest, *media_ids: str) -> None:
    """Makes the objects of items a month old."""
    then = time.time() - OLD.total_seconds()
    root = stack.running.data_dir / "objects" / "files"
    for key in stored(stack):
        if any(media_id in key for media_id in media_ids):
            os.utime(root / key, (then, then))


def differences(report: str, check: str) -> Any:
    return next(each["differences"] for each in json.loads(report)["checks"] if each["check"] == check)
