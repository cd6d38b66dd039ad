"""The bytes an account is charged for: never above its quota, and never too many for what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.bus import Processor
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.events import (
    AccountCreated,
    AccountDeleted,
    GalleryDeleted,
    GalleryUpdated,
    JanitorTick,
    TierChanged,
)
from kappi_contracts.keys import original_key
from kappi_testkit.events import RecordMaker
from kappi_testkit.faulty_store import FaultyStore
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller, Worker, redelivered
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(16, 16), "JPEG")
SIZE = len(JPEG)
NO_PICTURE = b"MZ" + bytes(SIZE - 2)
HOLLOW_GIF = b"GIF89a" + bytes(20)
Publications = Callable[..., Awaitable[list[Published]]]


def file(size: int = SIZE, content_type: str = "image/jpeg") -> dict[str, Any]:
    return {"filename": "a.jpg", "size": size, "content_type": content_type}


@pytest.fixture
def owner_id() -> UUID:
    return new_id()


@pytest.fixture
def owned(make_gallery: Callable[..., Gallery], owner_id: UUID) -> Gallery:
    return make_gallery(owner_id=owner_id, expires_at=None)


@pytest.fixture
def allow(tell: Teller, owner_id: UUID, clock: Clock) -> Callable[..., Awaitable[None]]:
    """`await allow(bytes)` sets the account's quota."""
    sequence = 0

    async def set_quota(quota_bytes: int | None) -> None:
        nonlocal sequence
        sequence += 1
        tier = TierChanged(
            name="Tight",
            rendition_sizes=[200],
            original_access=True,
            expiring_links=False,
            max_file_bytes=1 << 30,
            quota_bytes=quota_bytes,
            deleted=False,
            changed_at=clock(),
        )
        await tell(tier, sequence=sequence)
        await tell(AccountCreated(account_id=owner_id, tier="Tight", created_at=clock()))
        clock.pass_by(timedelta(seconds=3))

    return set_quota


async def charged(database: Database, owner_id: UUID) -> tuple[int, int]:
    """Returns the reserved and used bytes of an account, and checks that they are the correct sums."""
    kept = await database.hot.fetchrow(
        "SELECT reserved_bytes, used_bytes FROM accounts WHERE id = $1", owner_id
    )
    reserved = await database.hot.fetchval(
        "SELECT COALESCE(sum(size_bytes), 0)::bigint FROM uploads u JOIN contents c USING (gallery_id) "
        "WHERE c.owner_id = $1 AND u.state = 'pending'",
        owner_id,
    )
    used = await database.hot.fetchval(
        "SELECT COALESCE(sum(size_bytes), 0)::bigint FROM items i JOIN contents c USING (gallery_id) "
        "WHERE c.owner_id = $1 AND i.status <> 'rejected'",
        owner_id,
    )
    assert tuple(kept) == (reserved, used)
    return reserved, used


async def ask(http: Http, gallery: Gallery, *files: Any, key: str | None = None) -> Any:
    return await http(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        grant=gallery.grant("contribute"),
        body={"files": files},
        headers={"Idempotency-Key": key} if key else {},
    )


async def test_bytes_are_reserved_used_and_released(
    client: Client,
    http: Http,
    owned: Gallery,
    owner_id: UUID,
    database: Database,
    worker: Worker,
    published: Publications,
    tell: Teller,
    clock: Clock,
) -> None:
    first, second, third, fourth = await client.sign(owned, *([file()] * 4))
    assert await charged(database, owner_id) == (4 * SIZE, 0)
    for one in (first, second):
        await client.put(one, JPEG)
        assert (await client.complete(owned, one["id"])).status == 200
        assert (await client.complete(owned, one["id"])).status == 200
    assert await charged(database, owner_id) == (2 * SIZE, 2 * SIZE)

    for _ in range(2):
        await http("DELETE", f"/v1/uploads/{third['id']}", grant=owned.grant())
        assert await charged(database, owner_id) == (SIZE, 2 * SIZE)
    await http("DELETE", f"/v1/media/{first['media_id']}", grant=owned.grant())
    assert await charged(database, owner_id) == (SIZE, SIZE)

    clock.pass_by(timedelta(hours=25))
    for _ in range(2):
        await tell(JanitorTick(schedule="hourly", at=clock(), origin="timer"))
        assert await charged(database, owner_id) == (0, SIZE), fourth["id"]

    # Rejected by the worker: released then, and not again when it is deleted.
    hollow = await client.upload(owned, HOLLOW_GIF, content_type="image/gif")
    assert await charged(database, owner_id) == (0, SIZE + len(HOLLOW_GIF))
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    assert await charged(database, owner_id) == (0, SIZE)
    await http("DELETE", f"/v1/media/{hollow['id']}", grant=owned.grant())
    assert await charged(database, owner_id) == (0, SIZE)

    await client.sign(owned, file())
    deleted = GalleryDeleted(gallery_id=owned.id, owner_id=owner_id, reason="requested", deleted_at=clock())
    for _ in range(2):
        await tell(deleted)
        assert await charged(database, owner_id) == (0, 0)


async def test_galleries_deleted_in_one_batch_release_what_each_held(
    client: Client,
    gallery: Gallery,
    make_gallery: Callable[..., Gallery],
    owner_id: UUID,
    database: Database,
    processor: Processor,
    record: RecordMaker,
    clock: Clock,
) -> None:
    other_id = new_id()
    first, second, kept = [make_gallery(owner_id=owner_id, expires_at=None, code=code) for code in "abc"]
    others = make_gallery(owner_id=other_id, expires_at=None, code="d")
    for each in (first, second, kept, others, gallery):
        await client.upload(each, JPEG)
        await client.sign(each, file())
    deletions = [
        record(GalleryDeleted(gallery_id=each.id, owner_id=None, reason="requested", deleted_at=clock()))
        for each in (first, others, second, gallery)
    ]

    for _ in range(2):
        assert await processor.process_together([*deletions, deletions[0]]) == [True] * 5
        assert await charged(database, owner_id) == (SIZE, SIZE)
        assert await charged(database, other_id) == (0, 0)
    left = await database.hot.fetch("SELECT DISTINCT gallery_id FROM items JOIN uploads USING (gallery_id)")
    assert [row["gallery_id"] for row in left] == [kept.id]
    closed = await database.hot.fetch("SELECT gallery_id, version FROM contents WHERE deleted_at IS NOT NULL")
    assert {row["gallery_id"] for row in closed} == {first.id, second.id, others.id, gallery.id}


async def test_a_batch_beyond_the_quota_is_refused_as_a_whole(
    http: Http,
    owned: Gallery,
    owner_id: UUID,
    database: Database,
    allow: Callable[..., Awaitable[None]],
) -> None:
    await allow(3 * SIZE)
    assert (await ask(http, owned, file(), file())).status == 201
    for key in (None, "a-key-for-this"):
        answer = await ask(http, owned, file(), file(), key=key)
        assert (answer.status, answer.code) == (403, "quota_exceeded")
        assert str(3 * SIZE) in answer.json["detail"]
    assert await charged(database, owner_id) == (2 * SIZE, 0)
    # A refused call does not use up the key.
    assert (await ask(http, owned, file(), key="a-key-for-this")).status == 201
    assert (await ask(http, owned, file(1))).code == "quota_exceeded"
    await allow(3 * SIZE + 1)
    assert (await ask(http, owned, file(1))).status == 201
    await allow(None)
    assert (await ask(http, owned, file(1 << 30))).status == 201


async def test_a_retry_is_charged_once(
    http: Http, owned: Gallery, owner_id: UUID, database: Database
) -> None:
    answers = [await ask(http, owned, file(), key="the-same-key") for _ in range(3)]
    assert len({answer.json["uploads"][0]["id"] for answer in answers}) == 1
    assert await charged(database, owner_id) == (SIZE, 0)


async def test_a_quota_counts_all_galleries_of_an_account_and_no_other_accounts(
    http: Http,
    make_gallery: Callable[..., Gallery],
    owned: Gallery,
    owner_id: UUID,
    gallery: Gallery,
    allow: Callable[..., Awaitable[None]],
) -> None:
    await allow(2 * SIZE)
    assert (await ask(http, owned, file())).status == 201
    second = make_gallery(owner_id=owner_id)
    assert (await ask(http, second, file())).status == 201
    assert (await ask(http, second, file())).code == "quota_exceeded"
    assert (await ask(http, make_gallery(owner_id=new_id()), file())).status == 201
    assert (await ask(http, gallery, file())).status == 201, "nobody's gallery has no account to be full"


async def test_two_thousand_uploads_at_once_fill_the_quota_exactly(
    client: Client,
    make_http: Callable[..., Http],
    make_gallery: Callable[..., Gallery],
    owner_id: UUID,
    database: Database,
    store: FaultyStore,
    clock: Clock,
    tell: Teller,
    allow: Callable[..., Awaitable[None]],
) -> None:
    room = 600
    quota = room * SIZE
    await allow(quota)
    # Exceeding the quota at any time would be an error of the causing statement, and a 500 below.
    await database.hot.execute(
        f"ALTER TABLE accounts ADD CONSTRAINT never_over CHECK (reserved_bytes + used_bytes <= {quota})"
    )
    http = make_http(max_in_flight=4_000)
    galleries = [make_gallery(owner_id=owner_id) for _ in range(5)]
    outcomes: dict[str, int] = {}

    async def upload(number: int) -> None:
        gallery = galleries[number % len(galleries)]
        fate = ("complete", "abort", "reject", "abandon", "delete")[number // 5 % 5]
        signed = await ask(http, gallery, file(), key=f"upload-{number}" if number % 7 == 0 else None)
        if signed.status == 403:
            assert signed.code == "quota_exceeded"
            outcomes["refused"] = outcomes.get("refused", 0) + 1
            return
        assert signed.status == 201, signed.body
        outcomes[fate] = outcomes.get(fate, 0) + 1
        (promised,) = signed.json["uploads"]
        await end(gallery, promised, fate)

    async def end(gallery: Gallery, promised: Any, fate: str) -> None:
        path = f"/v1/uploads/{promised['id']}"
        if fate == "abandon":
            return
        if fate == "abort":
            assert (await http("DELETE", path, grant=gallery.grant())).status == 204
            return
        body = NO_PICTURE if fate == "reject" else JPEG
        key = original_key(gallery.id, UUID(promised["media_id"]))
        await store.put(key, body, content_type="image/jpeg")
        # Two phones at once, or one that repeats itself: it counts once.
        answers = await asyncio.gather(
            *(http("POST", f"{path}/complete", grant=gallery.grant()) for _ in "ab")
        )
        assert {answer.status for answer in answers} == {422 if fate == "reject" else 200}
        if fate == "delete":
            gone = await http("DELETE", f"/v1/media/{promised['media_id']}", grant=gallery.grant())
            assert gone.status == 204

    await asyncio.gather(*(upload(number) for number in range(2_000)))

    assert outcomes["refused"] > 0
    assert sum(outcomes.values()) == 2_000
    reserved, used = await charged(database, owner_id)
    assert (reserved, used) == (outcomes["abandon"] * SIZE, outcomes["complete"] * SIZE)

    clock.pass_by(timedelta(hours=25))
    await tell(JanitorTick(schedule="hourly", at=clock(), origin="timer"))
    assert await charged(database, owner_id) == (0, used)
    # All failed calls released their room, to the byte.
    left = quota - used
    assert (await ask(http, galleries[0], file(left + 1))).code == "quota_exceeded"
    assert (await ask(http, galleries[0], file(left))).status == 201
    assert (await ask(http, galleries[0], file(1))).code == "quota_exceeded"


def claimed(gallery: Gallery, owner_id: UUID, clock: Clock) -> GalleryUpdated:
    return GalleryUpdated(
        gallery_id=gallery.id, owner_id=owner_id, visibility="shared", expires_at=None, updated_at=clock()
    )


async def test_a_claim_moves_what_the_gallery_holds(
    client: Client,
    http: Http,
    gallery: Gallery,
    owner_id: UUID,
    database: Database,
    tell: Teller,
    clock: Clock,
    worker: Worker,
    published: Publications,
    allow: Callable[..., Awaitable[None]],
) -> None:
    await allow(2 * SIZE)
    kept = await client.upload(gallery, JPEG)
    await client.upload(gallery, JPEG)
    await client.upload(gallery, HOLLOW_GIF, content_type="image/gif")
    for event in await published("UploadCompleted"):
        await worker.process(redelivered(event))
    (pending,) = await client.sign(gallery, file())
    (aborted,) = await client.sign(gallery, file())
    await http("DELETE", f"/v1/uploads/{aborted['id']}", grant=gallery.grant())

    for _ in range(2):
        await tell(claimed(gallery, owner_id, clock))
        # Above the quota: existing items stay, new ones are refused.
        assert await charged(database, owner_id) == (SIZE, 2 * SIZE)
    owned = gallery.of(owner_id)
    assert (await ask(http, owned, file(1))).code == "quota_exceeded"
    answer = await ask(http, gallery, file())
    assert (answer.status, answer.code) == (403, "gallery_key_wrong"), "its key is void"
    # An upload from before the claim can still be completed.
    await client.put(pending, JPEG)
    assert (await client.complete(gallery, pending["id"])).status == 200
    for media_id in (kept["id"], pending["media_id"]):
        await http("DELETE", f"/v1/media/{media_id}", grant=owned.grant())
    assert await charged(database, owner_id) == (0, SIZE)
    assert (await ask(http, owned, file())).status == 201
    # A gallery with an owner never changes its owner.
    await tell(claimed(gallery, new_id(), clock))
    assert await charged(database, owner_id) == (SIZE, SIZE)


async def test_the_owners_first_upload_may_come_before_the_news_of_the_claim(
    client: Client,
    http: Http,
    gallery: Gallery,
    owner_id: UUID,
    database: Database,
    tell: Teller,
    clock: Clock,
) -> None:
    await client.upload(gallery, JPEG)
    owned = gallery.of(owner_id)
    assert (await ask(http, owned, file(), key="a-key-for-this")).status == 201
    assert await charged(database, owner_id) == (SIZE, SIZE)
    await tell(claimed(gallery, owner_id, clock))
    assert await charged(database, owner_id) == (SIZE, SIZE)


async def test_a_claim_amid_everything_else_counts_each_byte_once(
    client: Client,
    make_http: Callable[..., Http],
    make_gallery: Callable[..., Gallery],
    database: Database,
    store: FaultyStore,
    tell: Teller,
    clock: Clock,
) -> None:
    http = make_http(max_in_flight=4_000)
    for _ in range(12):
        # An account without any event yet: its row is inserted meanwhile.
        gallery, owner_id = make_gallery(), new_id()
        uploads = (await ask(http, gallery, *([file()] * 24))).json["uploads"]
        for one in uploads[:12]:
            key = original_key(gallery.id, UUID(one["media_id"]))
            await store.put(key, JPEG, content_type="image/jpeg")
        for one in uploads[:4]:
            await http("POST", f"/v1/uploads/{one['id']}/complete", grant=gallery.grant())

        await asyncio.gather(
            *(http("DELETE", f"/v1/media/{one['media_id']}", grant=gallery.grant()) for one in uploads[:4]),
            *(
                http("POST", f"/v1/uploads/{one['id']}/complete", grant=gallery.grant())
                for one in uploads[4:12]
            ),
            tell(claimed(gallery, owner_id, clock)),
            *(http("DELETE", f"/v1/uploads/{one['id']}", grant=gallery.grant()) for one in uploads[12:20]),
            *(ask(http, gallery.of(owner_id), file(), file()) for _ in range(4)),
            *(ask(http, gallery, file()) for _ in range(4)),
        )
        await charged(database, owner_id)


async def test_a_deleted_account_takes_nothing_and_is_charged_for_nothing_in_the_end(
    client: Client, http: Http, owned: Gallery, owner_id: UUID, database: Database, tell: Teller, clock: Clock
) -> None:
    await client.upload(owned, JPEG)
    await client.sign(owned, file())
    await tell(AccountDeleted(account_id=owner_id, deleted_at=clock()), sequence=2)
    answer = await ask(http, owned, file())
    assert (answer.status, answer.code) == (404, "gallery_not_found")
    await tell(
        GalleryDeleted(gallery_id=owned.id, owner_id=owner_id, reason="account_deleted", deleted_at=clock())
    )
    assert await charged(database, owner_id) == (0, 0)


async def test_a_claim_of_a_deleted_gallery_changes_nothing(
    client: Client, gallery: Gallery, owner_id: UUID, database: Database, tell: Teller, clock: Clock
) -> None:
    await client.upload(gallery, JPEG)
    await tell(GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="expired", deleted_at=clock()))
    await tell(claimed(gallery, owner_id, clock))
    assert await charged(database, owner_id) == (0, 0)
    assert await database.hot.fetchval("SELECT owner_id FROM contents") is None
