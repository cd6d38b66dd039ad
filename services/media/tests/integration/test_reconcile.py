"""Items and pictures of posts are compared with the store, and sums with their rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.reconcile import Check, Difference
from kappi_contracts.events import AccountCreated
from kappi_contracts.keys import (
    folder_prefix,
    original_key,
    playback_pieces_prefix,
    post_picture_key,
    post_prefix,
    rendition_key,
    sidecar_key,
    small_piece,
)
from kappi_contracts.reconciliation import Named
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.reconciler import build_checks, build_pages
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Client, Clock, Gallery, Published, Teller, Worker, redelivered
from kappi_testkit.media.metadata_blocks import xmp_packet
from kappi_testkit.media.samples import encode, quadrants

pytestmark = pytest.mark.integration

PHOTO = encode(quadrants(640, 480), "JPEG")
WEEK = timedelta(days=7, minutes=1)
Publications = Callable[..., Awaitable[list[Published]]]


@dataclass(slots=True)
class Galleries:
    """The galleries service. named: what it still counts."""

    named: Named = field(default_factory=Named)

    async def still_named(self, asked: Named) -> Named:
        return Named(
            items=tuple(each for each in asked.items if each in self.named.items),
            post_ids=tuple(each for each in asked.post_ids if each in self.named.post_ids),
        )


@pytest.fixture
def galleries() -> Galleries:
    return Galleries()


@pytest.fixture
def checks(deps: Dependencies, make_settings: Any, galleries: Any) -> dict[str, Check]:
    return dict(build_checks(deps, make_settings(), galleries=galleries))


@pytest.fixture
def ready(client: Client, worker: Worker, published: Publications) -> Callable[..., Awaitable[UUID]]:
    async def upload(gallery: Gallery) -> UUID:
        item = await client.upload(gallery, PHOTO)
        await worker.process(redelivered((await published("UploadCompleted"))[-1]))
        return UUID(item["id"])

    return upload


async def found(check: Check, about: UUID) -> list[tuple[str, str]]:
    """Returns the differences about a gallery or a post. The store has objects of other tests."""
    after: str | None = ""
    differences: list[tuple[str, str]] = []
    while after is not None:
        page = await check.page(after)
        differences += [(each.kind, each.subject) for each in page.differences if str(about) in each.subject]
        after = page.after
    return differences


async def mend(check: Check, about: UUID) -> list[bool]:
    return [
        await check.repair(Difference(kind=kind, subject=subject))
        for kind, subject in await found(check, about)
    ]


async def test_what_agrees_is_no_difference(
    checks: dict[str, Check], gallery: Gallery, ready: Any, client: Client, store: FaultyStore
) -> None:
    await ready(gallery)
    (pending,) = await client.sign(
        gallery, {"filename": "b.jpg", "content_type": "image/jpeg", "size": len(PHOTO)}
    )
    assert await client.put(pending, PHOTO) == 200
    assert await found(checks["media-objects"], gallery.id) == []


async def test_an_item_without_original_is_deleted(
    checks: dict[str, Check], gallery: Gallery, ready: Any, store: FaultyStore, published: Publications
) -> None:
    item_id = await ready(gallery)
    key = original_key(gallery.id, item_id)
    await store.delete_batch([key])
    check = checks["media-objects"]
    assert await found(check, gallery.id) == [("original_missing", key)]
    assert await mend(check, gallery.id) == [True]
    (deleted,) = await published("MediaDeleted")
    assert (deleted.key, deleted.data["gallery_id"]) == (str(item_id), str(gallery.id))
    # What it left is purged by the janitor, after that event, and is no difference meanwhile.
    assert await found(check, gallery.id) == []


async def test_an_original_that_is_there_again_keeps_its_item(
    checks: dict[str, Check], gallery: Gallery, ready: Any, store: FaultyStore
) -> None:
    item_id = await ready(gallery)
    key = original_key(gallery.id, item_id)
    assert not await checks["media-objects"].repair(Difference(kind="original_missing", subject=key))
    assert await found(checks["media-objects"], gallery.id) == []


async def test_a_row_of_a_rendition_without_object_is_forgotten(
    checks: dict[str, Check], gallery: Gallery, ready: Any, store: FaultyStore, database: Database
) -> None:
    key = rendition_key(gallery.id, await ready(gallery), "400")
    await store.delete_batch([key])
    assert await found(checks["media-objects"], gallery.id) == [("rendition_missing", key)]
    assert await mend(checks["media-objects"], gallery.id) == [True]
    assert await database.hot.fetchval("SELECT count(*) FROM renditions") == 0


async def test_a_sidecar_is_named_from_its_declaration_on(
    checks: dict[str, Check],
    make_gallery: Callable[..., Gallery],
    client: Client,
    store: FaultyStore,
    database: Database,
    clock: Clock,
) -> None:
    gallery, xmp = make_gallery(owner_id=new_id(), expires_at=None), xmp_packet()
    picture, sidecar = await client.sign(
        gallery,
        {"filename": "a.jpg", "content_type": "image/jpeg", "size": len(PHOTO)},
        {"filename": "a.xmp", "content_type": "text/xml", "size": len(xmp)},
    )
    assert await client.put(picture, PHOTO) == await client.put(sidecar, xmp) == 200
    check, key = checks["media-objects"], sidecar_key(gallery.id, UUID(picture["media_id"]))
    assert await found(check, gallery.id) == []
    assert (await client.complete(gallery, picture["id"])).status == 200
    assert await found(check, gallery.id) == []
    assert (await client.complete(gallery, sidecar["id"])).json["sidecar"] is not None
    assert await found(check, gallery.id) == []

    await store.delete_batch([key])
    assert await found(check, gallery.id) == [("rendition_missing", key)]
    assert await mend(check, gallery.id) == [True]
    item = (await client.complete(gallery, picture["id"])).json
    assert item["sidecar"] is None
    charged = "SELECT used_bytes FROM accounts WHERE id = $1"
    assert await database.hot.fetchval(charged, gallery.owner_id) == len(PHOTO)
    assert (await checks["media-charges"].page("")).differences == []
    # Bytes that come by the old URL are no one's.
    await store.put(key, xmp, content_type="application/rdf+xml")
    assert await found(check, gallery.id) == [("object_unnamed", key)]
    clock.pass_by(WEEK)
    assert await mend(check, gallery.id) == [True]


async def test_objects_without_row_are_purged_when_they_are_old_and_not_named(
    checks: dict[str, Check],
    gallery: Gallery,
    ready: Any,
    store: FaultyStore,
    published: Publications,
    galleries: Galleries,
    clock: Clock,
) -> None:
    check, lost = checks["media-objects"], new_id()
    item_id = await ready(gallery)
    folders = [folder_prefix(gallery.id, lost), folder_prefix(gallery.id, item_id, 7)]
    for folder in folders:
        await store.put(f"{folder}original", b"x", content_type="image/jpeg")
    assert sorted(await found(check, gallery.id)) == sorted(("folder_unnamed", each) for each in folders)
    assert await mend(check, gallery.id) == [False, False], "they are young"

    clock.pass_by(WEEK)
    galleries.named = Named(items=((gallery.id, lost), (gallery.id, item_id)))
    assert await mend(check, gallery.id) == [False, False], "galleries names them"
    galleries.named = Named()
    assert await mend(check, gallery.id) == [True, True]
    unused = await published("ObjectsUnused")
    assert {(each.key, each.data["folder"]) for each in unused} == {(str(lost), None), (str(item_id), 7)}


async def test_an_object_in_the_folder_of_an_item_is_removed_when_it_is_old(
    checks: dict[str, Check], gallery: Gallery, ready: Any, store: FaultyStore, clock: Clock
) -> None:
    check = checks["media-objects"]
    key = rendition_key(gallery.id, await ready(gallery), "999")
    await store.put(key, b"x", content_type="image/jpeg")
    assert await found(check, gallery.id) == [("object_unnamed", key)]
    assert await mend(check, gallery.id) == [False]
    clock.pass_by(WEEK)
    assert await mend(check, gallery.id) == [True]
    assert await found(check, gallery.id) == []


async def test_pieces_of_a_film_that_is_being_made_are_named(
    checks: dict[str, Check],
    gallery: Gallery,
    ready: Callable[..., Awaitable[UUID]],
    store: FaultyStore,
    database: Database,
) -> None:
    media_id = await ready(gallery)
    key = playback_pieces_prefix(gallery.id, media_id) + "00000-a"
    for each in (key, small_piece(key)):
        await store.put(each, b"piece", content_type="application/octet-stream")
    await database.hot.execute(
        "INSERT INTO playbacks (media_id, gallery_id, tenant, anonymous, address, max_seconds, requested_at, "
        "due_at, pieces) VALUES ($1, $2, $2, true, 0, 60, now(), now(), '{00000-a,00001-a}')",
        media_id,
        gallery.id,
    )
    assert await found(checks["media-objects"], gallery.id) == []
    await database.hot.execute("DELETE FROM playbacks")
    unnamed = [("object_unnamed", key), ("object_unnamed", small_piece(key))]
    assert await found(checks["media-objects"], gallery.id) == unnamed


async def test_an_unknown_key_is_told_and_left(
    checks: dict[str, Check], gallery: Gallery, store: FaultyStore, clock: Clock
) -> None:
    key = f"galleries/{gallery.id}/notes.txt"
    await store.put(key, b"x", content_type="text/plain")
    clock.pass_by(WEEK)
    assert await found(checks["media-objects"], gallery.id) == [("key_unknown", key)]
    assert await mend(checks["media-objects"], gallery.id) == [False]
    await store.head(key)


async def test_pictures_of_posts_and_their_objects(
    checks: dict[str, Check], store: FaultyStore, database: Database, galleries: Galleries, clock: Clock
) -> None:
    check, lost, unknown, account = checks["media-pictures"], new_id(), new_id(), new_id()
    await database.hot.execute("INSERT INTO accounts (id, used_bytes) VALUES ($1, 9)", account)
    await database.hot.execute(
        "INSERT INTO post_pictures (post_id, account_id, state, size_bytes, picture_bytes, etag) "
        "VALUES ($1, $2, 'stored', 9, 9, 'x')",
        *(lost, account),
    )
    await store.put(post_picture_key(unknown), b"x", content_type="image/jpeg")
    assert await found(check, lost) == [("picture_missing", post_prefix(lost))]
    assert await mend(check, lost) == [True]
    assert await database.hot.fetchval("SELECT used_bytes FROM accounts WHERE id = $1", account) == 0

    assert await found(check, unknown) == [("picture_unnamed", post_prefix(unknown))]
    assert await mend(check, unknown) == [False]
    clock.pass_by(WEEK)
    galleries.named = Named(post_ids=(unknown,))
    assert await mend(check, unknown) == [False]
    galleries.named = Named()
    assert await mend(check, unknown) == [True]
    assert await found(check, unknown) == []


async def test_wrong_sums_are_corrected(
    checks: dict[str, Check],
    make_gallery: Callable[..., Gallery],
    ready: Any,
    client: Client,
    database: Database,
    tell: Teller,
    clock: Clock,
) -> None:
    owner = new_id()
    await tell(AccountCreated(account_id=owner, tier="Enterprise", created_at=clock()))
    gallery = make_gallery(owner_id=owner, expires_at=None)
    await ready(gallery)
    await client.sign(gallery, {"filename": "b.jpg", "content_type": "image/jpeg", "size": 5})
    sums = "SELECT used_bytes, reserved_bytes FROM accounts WHERE id = $1"
    right = await database.hot.fetchrow(sums, owner)
    counts, charges = checks["media-item-counts"], checks["media-charges"]
    assert await found(counts, gallery.id) + await found(charges, owner) == []

    await database.hot.execute("UPDATE accounts SET used_bytes = 1, reserved_bytes = 1 WHERE id = $1", owner)
    await database.hot.execute("UPDATE contents SET item_count = 9 WHERE gallery_id = $1", gallery.id)
    assert await mend(counts, gallery.id) + await mend(charges, owner) == [True, True]
    assert await found(counts, gallery.id) + await found(charges, owner) == []
    assert await database.hot.fetchrow(sums, owner) == right


async def test_other_services_read_pages(
    deps: Dependencies, make_settings: Any, gallery: Gallery, ready: Any, clock: Clock
) -> None:
    first, second = await ready(gallery), await ready(gallery)
    pages: Any = build_pages(deps, make_settings())
    assert [each.media_id for each in await pages["items"](UUID(int=0), 1)] == [first]
    assert [each.media_id for each in await pages["items"](first, 9)] == [second]
    (held,) = await pages["galleries"](UUID(int=0), 9)
    assert (held.gallery_id, held.deleted, held.settled) == (gallery.id, False, False)
    clock.pass_by(WEEK)
    (held,) = await pages["galleries"](UUID(int=0), 9)
    assert held.settled
    assert await pages["links"](UUID(int=0), 9) == await pages["pictures"](UUID(int=0), 9) == []
