"""The janitor proposes expiries, and the galleries service decides."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_contracts.events import GalleryExpired
from kappi_galleries.repository import tombstones
from kappi_galleries.use_cases.expire_galleries import MOST_ITEMS

pytestmark = pytest.mark.integration

MONTH = timedelta(days=30)


@pytest.fixture
async def gallery(http: Any) -> Any:
    return (await http("POST", "/v1/galleries", body={"title": "Lisbon"})).json


def expired(gallery: Any, *, as_of: datetime) -> GalleryExpired:
    return GalleryExpired(
        gallery_id=UUID(gallery["id"]),
        expires_at=datetime.fromisoformat(gallery["expires_at"]),
        as_of=as_of,
        origin="operator",
    )


async def _read(http: Any, gallery: Any) -> int:
    status: int = (await http("GET", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"])).status
    return status


async def test_a_due_gallery_is_deleted(
    processor: Any, record: Any, http: Any, gallery: Any, clock: Any, published: Any
) -> None:
    clock.pass_by(MONTH)
    await processor.process(record(expired(gallery, as_of=clock.now)))

    topic, sequence, event = (await published())[-1]
    assert (topic, sequence) == ("GalleryDeleted", 2)
    assert (event["gallery_id"], event["reason"]) == (gallery["id"], "expired")
    assert await _read(http, gallery) == 404


async def test_due_is_measured_at_as_of_not_by_the_wall_clock(
    processor: Any, record: Any, http: Any, gallery: Any, clock: Any, published: Any
) -> None:
    # An operator's tick is in the future: the clock here has not moved.
    await processor.process(record(expired(gallery, as_of=clock.now + MONTH)))

    topic, _, event = (await published())[-1]
    assert topic == "GalleryDeleted"
    assert datetime.fromisoformat(event["deleted_at"]) == clock.now
    assert await _read(http, gallery) == 404


async def test_a_claim_as_of_a_moment_before_the_deadline_is_ignored(
    processor: Any, record: Any, http: Any, gallery: Any, clock: Any, published: Any
) -> None:
    almost = datetime.fromisoformat(gallery["expires_at"]) - timedelta(microseconds=1)
    await processor.process(record(expired(gallery, as_of=almost)))

    assert [topic for topic, _, _ in await published()] == ["GalleryCreated"]
    assert await _read(http, gallery) == 200


async def test_an_extended_gallery_is_not_deleted(
    processor: Any, record: Any, http: Any, gallery: Any, clock: Any, published: Any, dead_letters: Any
) -> None:
    clock.pass_by(MONTH - timedelta(hours=1))
    await http(
        "PATCH", f"/v1/galleries/{gallery['id']}", key=gallery["access_key"], body={"expires_in": 86_400}
    )
    clock.pass_by(timedelta(hours=2))

    # The claim is about the gallery's former deadline.
    await processor.process(record(expired(gallery, as_of=clock.now)))

    assert [topic for topic, _, _ in await published()] == ["GalleryCreated", "GalleryUpdated"]
    assert await _read(http, gallery) == 200
    assert not dead_letters.letters


async def test_an_accounts_gallery_never_expires(
    processor: Any, record: Any, http: Any, account: Any, clock: Any, published: Any
) -> None:
    mine = (await http("POST", "/v1/galleries", token=account.token)).json
    claim = expired({**mine, "expires_at": clock.now.isoformat()}, as_of=clock.now + 12 * MONTH)

    await processor.process(record(claim))

    assert [topic for topic, _, _ in await published()] == ["GalleryCreated"]


async def test_claims_that_repeat_delete_once(
    processor: Any, record: Any, gallery: Any, clock: Any, published: Any
) -> None:
    as_of = clock.now + MONTH
    same = record(expired(gallery, as_of=as_of))
    next_tick = record(expired(gallery, as_of=as_of + timedelta(hours=1)), sequence=2)

    await asyncio.gather(*(processor.process(each) for each in (same, same, next_tick)))

    assert [topic for topic, _, _ in await published()] == ["GalleryCreated", "GalleryDeleted"]


async def test_a_claim_and_an_extension_at_once_end_in_one_of_two_ways(
    processor: Any, record: Any, http: Any, gallery: Any, clock: Any, published: Any
) -> None:
    # The tick is ahead of the clock here, so either side may lock the row first; never do both succeed.
    claim = processor.process(record(expired(gallery, as_of=clock.now + MONTH)))
    path = f"/v1/galleries/{gallery['id']}"
    clock.pass_by(timedelta(seconds=1))
    extension = http("PATCH", path, key=gallery["access_key"], body={"expires_in": 30 * 86_400})

    _, answer = await asyncio.gather(claim, extension)

    topics = [topic for topic, _, _ in await published()]
    if answer.status == 200:
        assert topics == ["GalleryCreated", "GalleryUpdated"]
        assert await _read(http, gallery) == 200
    else:
        assert answer.status == 404
        assert topics == ["GalleryCreated", "GalleryDeleted"]
        assert await _read(http, gallery) == 404


async def test_a_claim_about_an_unknown_gallery_has_no_effect(
    processor: Any, record: Any, clock: Any, dead_letters: Any, gallery: Any
) -> None:
    stray = record(expired({**gallery, "id": str(uuid4())}, as_of=clock.now))
    await processor.process(stray)
    assert dead_letters.letters == []


async def test_claims_in_one_batch_have_the_effects_that_they_have_alone(
    processor: Any, record: Any, http: Any, clock: Any, published: Any
) -> None:
    first, second, kept = [(await http("POST", "/v1/galleries", body={"title": "A"})).json for _ in "123"]
    before = len(await published())
    as_of = clock.now + MONTH
    twice = record(expired(first, as_of=as_of))
    unknown = record(expired({**first, "id": str(uuid4())}, as_of=as_of))
    again = record(expired(second, as_of=as_of + timedelta(hours=1)), sequence=2)
    rest = [record(expired(second, as_of=as_of)), record(expired(kept, as_of=as_of - timedelta(hours=1)))]

    assert await processor.process_together([twice, unknown, twice, *rest, again]) == [True] * 6

    deleted = (await published())[before:]
    assert [(topic, event["gallery_id"], sequence) for topic, sequence, event in deleted] == [
        ("GalleryDeleted", first["id"], 2),
        ("GalleryDeleted", second["id"], 2),
    ]
    assert [await _read(http, each) for each in (first, second, kept)] == [404, 404, 200]


async def test_galleries_of_too_many_items_are_left_for_one_by_one(
    processor: Any, record: Any, http: Any, clock: Any, published: Any, database: Any
) -> None:
    two = [(await http("POST", "/v1/galleries")).json for _ in "12"]
    await database.hot.execute("UPDATE galleries SET item_count = $1", MOST_ITEMS // 2 + 1)
    claims = [record(expired(each, as_of=clock.now + MONTH)) for each in two]

    assert await processor.process_together(claims) == [False, False]

    assert [await _read(http, each) for each in two] == [200, 200]
    for each in claims:
        await processor.process(each)
    assert [await _read(http, each) for each in two] == [404, 404]


async def test_a_batch_that_crashes_before_its_commit_is_repeated_whole(
    processor: Any, record: Any, http: Any, clock: Any, published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = [(await http("POST", "/v1/galleries")).json for _ in "12"]
    claims = [record(expired(each, as_of=clock.now + MONTH)) for each in two]

    async def crash(*_: Any) -> None:
        raise OSError("crashed")

    with monkeypatch.context() as patched:
        patched.setattr(tombstones, "tombstone_statistics", crash)
        assert await processor.process_together(claims) == [False, False]
    assert [topic for topic, _, _ in await published()] == ["GalleryCreated"] * 2

    assert await processor.process_together(claims) == [True, True]
    # It is delivered again, because the offset was not committed.
    assert await processor.process_together(claims) == [True, True]
    assert [topic for topic, _, _ in await published()] == ["GalleryCreated"] * 2 + ["GalleryDeleted"] * 2
