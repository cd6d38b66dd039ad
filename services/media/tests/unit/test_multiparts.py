"""Beginning uploads in the store: bounded, with a timeout, and without delaying their reservation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import pytest
from kappi_chassis.storage import ObjectStore, StorageRefused, StorageUnavailable
from kappi_media.domain.media import GalleryId, MediaId, Upload, UploadId
from kappi_media.domain.parts import PartPlan
from kappi_media.repository.multipart import MultipartQueries
from kappi_media.single_flight import SingleFlight
from kappi_media.use_cases.multipart import Multiparts, missing_parts, plan_of

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def upload(**changed: Any) -> Upload:
    made = Upload(
        id=UploadId(uuid4()),
        media_id=MediaId(uuid4()),
        gallery_id=GalleryId(uuid4()),
        filename="a.mp4",
        content_type="video/mp4",
        size_bytes=30 << 20,
        sha256=None,
        state="pending",
        rejection_reason=None,
        expires_at=NOW + timedelta(days=7),
        created_at=NOW,
        part_size_bytes=8 << 20,
    )
    return made._replace(**changed)


class Queries:
    """Rows in which another call may have been faster."""

    def __init__(self) -> None:
        self.others: dict[UploadId, str] = {}

    async def record_begun(
        self, uploads: Sequence[Upload], made: Mapping[UploadId, str]
    ) -> dict[UploadId, str]:
        return {each.id: self.others.get(each.id, made[each.id]) for each in uploads}


class Store:
    def __init__(self) -> None:
        self.at_once = self.most_at_once = self.made = 0
        self.failure: Exception | None = None
        self.stuck: set[str] = set()
        self.aborted: list[str] = []

    async def create_multipart(
        self, key: str, *, content_type: str, part_size_bytes: int | None = None
    ) -> str:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        if key in self.stuck:
            await asyncio.Event().wait()
        self.at_once -= 1
        if self.failure is not None:
            raise self.failure
        self.made += 1
        return f"id-{self.made}"

    async def abort_multipart(self, key: str, *, upload_id: str) -> None:
        self.aborted.append(upload_id)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def queries() -> Queries:
    return Queries()


def multiparts(store: Store, queries: Queries, **changed: Any) -> Multiparts:
    return Multiparts(
        cast("MultipartQueries", queries),
        store=cast("ObjectStore", store),
        joins=SingleFlight(),
        clock=lambda: NOW,
        **changed,
    )


async def test_a_hundred_begin_a_few_at_a_time(store: Store, queries: Queries) -> None:
    uploads = [upload() for _ in range(100)]
    begun = await multiparts(store, queries, begun_at_once=16).begin_all(uploads)
    assert set(begun) == {each.id for each in uploads}
    assert len(set(begun.values())) == 100
    assert store.most_at_once == 16


async def test_two_batches_share_the_slots(store: Store, queries: Queries) -> None:
    begin = multiparts(store, queries, begun_at_once=4).begin_all
    await asyncio.gather(begin([upload() for _ in range(20)]), begin([upload() for _ in range(20)]))
    assert store.most_at_once == 4


async def test_what_is_stuck_does_not_keep_the_others(store: Store, queries: Queries) -> None:
    uploads = [upload() for _ in range(3)]
    store.stuck.add(f"galleries/{uploads[1].gallery_id}/{uploads[1].media_id}/original")
    begun = await multiparts(store, queries, begin_timeout_s=0.05).begin_all(uploads)
    assert set(begun) == {uploads[0].id, uploads[2].id}


@pytest.mark.parametrize("failure", [StorageUnavailable("away"), StorageRefused("no")])
async def test_a_store_that_fails_begins_nothing(store: Store, queries: Queries, failure: Exception) -> None:
    store.failure = failure
    assert await multiparts(store, queries).begin_all([upload(), upload()]) == {}
    with pytest.raises(StorageUnavailable):
        await multiparts(store, queries).begun(upload())


async def test_who_was_slower_gives_up_its_own(store: Store, queries: Queries) -> None:
    one = upload()
    queries.others[one.id] = "theirs"
    assert (await multiparts(store, queries).begun(one)).multipart_id == "theirs"
    assert store.aborted == ["id-1"]


async def test_what_has_begun_is_left_alone(store: Store, queries: Queries) -> None:
    one = upload(multipart_id="x")
    assert await multiparts(store, queries).begun(one) is one
    assert store.made == 0


def test_missing_parts_are_the_first_ones() -> None:
    plan = PartPlan(size_bytes=100, part_size_bytes=10)
    assert missing_parts(plan, {1, 3}, limit=3) == [2, 4, 5]
    assert missing_parts(plan, range(1, 11), limit=3) == []
    assert missing_parts(plan, (), limit=100) == list(range(1, 11))


def test_one_put_has_no_plan() -> None:
    with pytest.raises(ValueError, match="no parts"):
        plan_of(upload(part_size_bytes=None))
