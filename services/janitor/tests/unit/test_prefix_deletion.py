"""Emptying a prefix, on a store that is a script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.storage import DeleteReport, ListedObject, ObjectPage, StorageUnavailable
from kappi_contracts.keys import gallery_prefix
from kappi_janitor.errors import KeysRefused, LeftBehind
from kappi_janitor.use_cases import prefix_deletion
from kappi_janitor.use_cases.prefix_deletion import KEY_ATTEMPTS, delete_prefix

GALLERY_ID = UUID(int=1)
PREFIX = gallery_prefix(GALLERY_ID)


class ScriptedStore:
    """Answers delete_versions_page with the reports in turn, then with the last one for ever."""

    def __init__(self, *reports: DeleteReport, left: Sequence[str] = ()) -> None:
        self.reports = list(reports)
        self.left = left
        self.calls: list[str] = []

    async def abort_multipart_uploads(self, prefix: str) -> int:
        self.calls.append(f"abort {prefix}")
        return 1

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        self.calls.append(f"delete {prefix}")
        return self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]

    async def list_page(
        self, prefix: str, *, token: str | None = None, after: str | None = None, limit: int = 1000
    ) -> ObjectPage:
        self.calls.append(f"list {prefix}")
        now = datetime(2026, 5, 1, tzinfo=UTC)
        objects = tuple(ListedObject(key=key, size_bytes=1, last_modified=now) for key in self.left[:limit])
        return ObjectPage(objects=objects, next_token=None)


NOTHING = DeleteReport(deleted=0)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_deletion, "KEY_PAUSE_S", 0.0)


async def run(store: Any) -> list[int]:
    removed: list[int] = []

    async def on_removed(objects: int) -> None:
        removed.append(objects)

    await delete_prefix(store, PREFIX, on_removed=on_removed)
    return removed


async def test_multiparts_first_then_pages_then_a_last_look() -> None:
    store = ScriptedStore(DeleteReport(deleted=1000), DeleteReport(deleted=7), NOTHING)
    assert await run(store) == [1000, 7]
    assert store.calls == [f"abort {PREFIX}", *[f"delete {PREFIX}"] * 3, f"list {PREFIX}"]


async def test_nothing_there_is_a_success() -> None:
    assert await run(ScriptedStore(NOTHING)) == []


async def test_a_key_that_fails_at_first_is_tried_again() -> None:
    refused = DeleteReport(deleted=0, failed={"k": "SlowDown"})
    store = ScriptedStore(
        DeleteReport(deleted=9, failed={"k": "SlowDown"}), refused, DeleteReport(deleted=1), NOTHING
    )
    assert await run(store) == [9, 1]


async def test_a_key_that_keeps_failing_is_told_with_its_reason() -> None:
    refused = DeleteReport(deleted=0, failed={f"{PREFIX}k": "AccessDenied"})
    store = ScriptedStore(refused)
    with pytest.raises(KeysRefused, match=rf"1 keys refused \(AccessDenied\), for example {PREFIX}k"):
        await run(store)
    assert store.calls.count(f"delete {PREFIX}") == KEY_ATTEMPTS


async def test_progress_renews_the_patience() -> None:
    mixed = DeleteReport(deleted=1, failed={"k": "SlowDown"})
    refused = DeleteReport(deleted=0, failed={"k": "SlowDown"})
    rounds = [refused] * (KEY_ATTEMPTS - 1)
    assert await run(ScriptedStore(*rounds, mixed, *rounds, DeleteReport(deleted=1), NOTHING)) == [1, 1]


async def test_something_left_behind_is_no_success() -> None:
    with pytest.raises(LeftBehind, match=f"{PREFIX}late"):
        await run(ScriptedStore(NOTHING, left=[f"{PREFIX}late"]))


async def test_a_store_that_is_away_is_not_swallowed() -> None:
    class Away(ScriptedStore):
        async def abort_multipart_uploads(self, prefix: str) -> int:
            raise StorageUnavailable("away")

    with pytest.raises(StorageUnavailable):
        await run(Away(NOTHING))


@pytest.mark.parametrize("prefix", ["", "/", "//", "galleries/", "galleries/a/", PREFIX[:-1], f"{PREFIX}a"])
async def test_what_could_hold_other_things_is_never_emptied(prefix: str) -> None:
    store = ScriptedStore(NOTHING)
    with pytest.raises(ValueError, match="not the prefix of"):
        await delete_prefix(store, prefix, on_removed=lambda _: pytest.fail("removed"))  # type: ignore[arg-type]
    assert store.calls == []
