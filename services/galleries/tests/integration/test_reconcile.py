"""Galleries, posts and counted items are compared with what media holds."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from kappi_chassis.db import Database
from kappi_chassis.reconcile import Check, Difference
from kappi_contracts.events import MediaReady
from kappi_contracts.reconciliation import HeldGallery, Named, ReadyItem, StoredPicture
from kappi_galleries.bootstrap import Dependencies, build_checks
from kappi_galleries.repository.reconcile import ReconcileQueries
from kappi_testkit.peer import FakePeer

pytestmark = pytest.mark.integration

THEN = datetime(2026, 5, 1, tzinfo=UTC)
Hear = Callable[..., Awaitable[None]]


@pytest.fixture
def media() -> FakePeer:
    return FakePeer()


@pytest.fixture
def checks(deps: Dependencies, media: Any) -> dict[str, Check]:
    return dict(build_checks(deps, media=media))


@pytest.fixture
async def gallery(http: Any, account: Any) -> UUID:
    return UUID((await http("POST", "/v1/galleries", token=account.token)).json["id"])


@pytest.fixture
def hears(processor: Any, record: Any) -> Hear:
    """`await hears(gallery_id, item_id, sequence=1)` tells of an item of 100 bytes."""

    async def hear(gallery_id: UUID, item_id: UUID, *, sequence: int = 1) -> None:
        event = MediaReady(
            media_id=item_id,
            gallery_id=gallery_id,
            kind="image",
            content_type="image/jpeg",
            size_bytes=100,
            width=4,
            height=3,
            duration_ms=None,
            ready_at=THEN,
        )
        await processor.process(record(event, sequence=sequence))

    return hear


def item(gallery_id: UUID, item_id: UUID, *, version: int = 1, size_bytes: int = 100) -> ReadyItem:
    return ReadyItem(
        media_id=item_id,
        gallery_id=gallery_id,
        version=version,
        size_bytes=size_bytes,
        contributor_id=None,
        moved=False,
    )


def held(gallery_id: UUID, **more: Any) -> HeldGallery:
    values: dict[str, Any] = {
        "gallery_id": gallery_id,
        "deleted": False,
        "owner_id": None,
        "location_free": False,
        "closed": False,
        "contributions_closed": False,
        "version": 0,
        "settled": True,
        **more,
    }
    return HeldGallery(**values)


async def found(check: Check) -> list[tuple[str, str]]:
    return [(each.kind, each.subject) for each in (await check.page("")).differences]


async def mend(check: Check) -> list[bool]:
    return [await check.repair(Difference(kind=kind, subject=about)) for kind, about in await found(check)]


async def counters(database: Database, gallery_id: UUID) -> tuple[int, int]:
    row = await database.hot.fetchrow(
        "SELECT item_count, size_bytes FROM galleries WHERE id = $1", gallery_id
    )
    return tuple(row)


async def told(database: Database, topic: str) -> list[Any]:
    rows = await database.hot.fetch("SELECT payload FROM outbox WHERE topic = $1 ORDER BY id", topic)
    return [json.loads(row["payload"]) for row in rows]


async def test_galleries_take_the_items_that_media_has(
    checks: dict[str, Check], media: FakePeer, gallery: UUID, hears: Hear, database: Database
) -> None:
    same, gone, new, larger = sorted(uuid4() for _ in range(4))
    for each in (same, gone, larger):
        # Of a version that media gave out before it was restored.
        await hears(gallery, each, sequence=9)
    media.rows["items"] = [
        item(gallery, same),
        item(gallery, new, version=3),
        item(gallery, larger, version=2, size_bytes=200),
        item(uuid4(), uuid4()),
    ]
    check = checks["galleries-items"]
    assert await found(check) == [
        ("item_gone", str(gone)),
        ("item_not_counted", str(new)),
        ("item_differs", str(larger)),
    ]
    assert await mend(check) == [True, True, True]
    assert await found(check) == []
    assert await counters(database, gallery) == (3, 400)
    assert await mend(check) == []


async def test_an_item_that_was_deleted_here_counts_again_if_media_has_it(
    checks: dict[str, Check], media: FakePeer, gallery: UUID, hears: Hear, database: Database
) -> None:
    item_id = uuid4()
    await hears(gallery, item_id)
    assert await mend(checks["galleries-items"]) == [True]
    assert await counters(database, gallery) == (0, 0)
    media.rows["items"] = [item(gallery, item_id)]
    assert await mend(checks["galleries-items"]) == [True]
    assert await counters(database, gallery) == (1, 100)


async def test_wrong_counters_are_corrected(
    checks: dict[str, Check], gallery: UUID, hears: Hear, database: Database
) -> None:
    await hears(gallery, uuid4())
    assert await found(checks["galleries-counters"]) == []
    await database.hot.execute("UPDATE galleries SET item_count = 7, size_bytes = 1")
    assert await mend(checks["galleries-counters"]) == [True]
    assert await counters(database, gallery) == (1, 100)


async def test_an_unknown_gallery_is_deleted_once_its_uploads_are_over(
    checks: dict[str, Check], media: FakePeer, database: Database
) -> None:
    unknown, check = uuid4(), checks["galleries"]
    media.rows["galleries"] = [held(unknown, settled=False)]
    assert await found(check) == [("gallery_unknown", str(unknown))]
    assert await mend(check) == [False]
    media.rows["galleries"] = [held(unknown)]
    assert await mend(check) == [True]
    (deleted,) = await told(database, "GalleryDeleted")
    assert deleted["gallery_id"] == str(unknown)


async def test_a_deletion_wins_on_either_side(
    checks: dict[str, Check], media: FakePeer, gallery: UUID, http: Any, account: Any, database: Database
) -> None:
    media.rows["galleries"] = [held(gallery, deleted=True, owner_id=account.id)]
    assert await mend(checks["galleries"]) == [True]
    assert (await http("GET", f"/v1/galleries/{gallery}", token=account.token)).status == 404
    assert await found(checks["galleries"]) == []

    media.rows["galleries"] = [held(gallery, owner_id=account.id)]
    assert await found(checks["galleries"]) == [("gallery_deleted_here", str(gallery))]
    assert await mend(checks["galleries"]) == [True]
    assert len(await told(database, "GalleryDeleted")) == 2


@pytest.mark.parametrize(
    "other", [{"closed": True}, {"owner_id": None}, {"location_free": True, "version": 7}]
)
async def test_a_gallery_that_media_shows_otherwise_is_published_again(
    checks: dict[str, Check],
    media: FakePeer,
    gallery: UUID,
    account: Any,
    database: Database,
    other: dict[str, Any],
) -> None:
    agreed: dict[str, Any] = {"owner_id": account.id, "contributions_closed": True}
    media.rows["galleries"] = [held(gallery, **agreed)]
    assert await found(checks["galleries"]) == []
    media.rows["galleries"] = [held(gallery, **agreed | other)]
    assert await mend(checks["galleries"]) == [True]
    (updated,) = await told(database, "GalleryUpdated")
    assert updated["owner_id"] == str(account.id)
    sequence = await database.hot.fetchval("SELECT max(sequence) FROM outbox WHERE topic = 'GalleryUpdated'")
    assert sequence == other.get("version", 1) + 1, "newer than what media knows"


async def test_posts_and_their_pictures(
    checks: dict[str, Check], media: FakePeer, account: Any, database: Database
) -> None:
    bare, unknown = sorted((uuid4(), uuid4()))
    await database.hot.execute(
        "INSERT INTO posts (id, author_id, state, created_at, version) VALUES ($1, $2, 'live', now(), 1)",
        *(bare, account.id),
    )
    picture = StoredPicture(post_id=unknown, account_id=account.id, settled=False)
    media.rows["pictures"] = [picture]
    check = checks["galleries-posts"]
    assert await found(check) == [
        ("post_without_picture", str(bare)),
        ("picture_without_post", str(unknown)),
    ]
    assert await mend(check) == [True, False]
    media.rows["pictures"] = [msgspec.structs.replace(picture, settled=True)]
    assert await mend(check) == [True]
    assert [each["post_id"] for each in await told(database, "PostDeleted")] == [str(bare), str(unknown)]


async def test_other_services_learn_deadlines_and_names(
    http: Any, database: Database, gallery: UUID, hears: Hear
) -> None:
    anonymous = (await http("POST", "/v1/galleries")).json
    queries = ReconcileQueries(database)
    (deadline,) = await queries.deadlines(UUID(int=0), 9)
    assert str(deadline.gallery_id) == anonymous["id"]
    item_id = uuid4()
    await hears(gallery, item_id)
    asked = Named(items=((gallery, item_id), (uuid4(), item_id)), post_ids=(uuid4(),))
    answer = await http("POST", "/internal/reconcile/named", body=msgspec.to_builtins(asked))
    assert msgspec.json.decode(answer.body, type=Named) == Named(items=((gallery, item_id),))
