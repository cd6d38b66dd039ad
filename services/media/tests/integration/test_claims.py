"""The reservation of an account's quota for an anonymous gallery that it claims."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import AccountCreated, GalleryDeleted, GalleryUpdated, TierChanged
from kappi_contracts.grants import Grant
from kappi_media.domain.media import AccountId
from kappi_media.use_cases.claims import RESERVED_FOR, SweepClaims
from kappi_media.use_cases.move_items import MoveTarget
from kappi_testkit.asgi import Answer
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Teller
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(16, 16), "JPEG")
SIZE = len(JPEG)

GalleryMaker = Callable[..., Gallery]
Allow = Callable[..., Awaitable[UUID]]


def file(size: int = SIZE) -> dict[str, Any]:
    return {"filename": "a.jpg", "size": size, "content_type": "image/jpeg"}


@pytest.fixture
def allow(tell: Teller, clock: Clock) -> Allow:
    """`await allow(quota_bytes, max_file_bytes=…)` returns an account of a tier of its own."""

    async def make(
        quota_bytes: int | None, *, max_file_bytes: int = 1 << 30, original_access: bool = True
    ) -> UUID:
        account_id = new_id()
        tier = TierChanged(
            name=f"of {account_id}",
            rendition_sizes=[200],
            original_access=original_access,
            expiring_links=False,
            max_file_bytes=max_file_bytes,
            quota_bytes=quota_bytes,
            deleted=False,
            changed_at=clock(),
        )
        await tell(tier)
        await tell(AccountCreated(account_id=account_id, tier=tier.name, created_at=clock()))
        return account_id

    return make


async def reserve(http: Http, gallery: Gallery, account_id: UUID, **request: Any) -> Answer:
    body = {"account_id": account_id, **request}
    return await http("POST", f"/internal/galleries/{gallery.id}/claim", body=body)


async def sign(http: Http, gallery: Gallery, *files: Any, key: str | None = None) -> Answer:
    return await http(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        grant=gallery.grant("contribute"),
        body={"files": files},
        headers={"Idempotency-Key": key} if key else {},
    )


def claimed(gallery: Gallery, account_id: UUID, clock: Clock) -> GalleryUpdated:
    return GalleryUpdated(
        gallery_id=gallery.id, owner_id=account_id, visibility="shared", expires_at=None, updated_at=clock()
    )


async def charged(database: Database, account_id: UUID) -> tuple[int, int]:
    """Returns the reserved and used bytes."""
    row = await database.hot.fetchrow(
        "SELECT reserved_bytes, used_bytes FROM accounts WHERE id = $1", account_id
    )
    return (row["reserved_bytes"], row["used_bytes"]) if row is not None else (0, 0)


async def test_what_a_gallery_holds_is_reserved_then_charged_once(
    client: Client, http: Http, gallery: Gallery, allow: Allow, database: Database, tell: Teller, clock: Clock
) -> None:
    account_id = await allow(3 * SIZE)
    await client.upload(gallery, JPEG)
    await client.sign(gallery, file(), file())
    for _ in range(2):
        assert (await reserve(http, gallery, account_id)).status == 204
        assert await charged(database, account_id) == (3 * SIZE, 0)
    assert await database.hot.fetchval("SELECT owner_id FROM contents") is None
    for _ in range(2):
        await tell(claimed(gallery, account_id, clock))
        assert await charged(database, account_id) == (2 * SIZE, SIZE)
    # The gallery is the account's already.
    assert (await reserve(http, gallery, account_id)).status == 204
    assert await charged(database, account_id) == (2 * SIZE, SIZE)
    another = await reserve(http, gallery, await allow(None))
    assert (another.status, another.code) == (403, "gallery_key_wrong")


async def test_a_gallery_beyond_the_quota_is_refused_and_nothing_changes(
    client: Client, http: Http, gallery: Gallery, allow: Allow, database: Database
) -> None:
    await client.upload(gallery, JPEG)
    await client.sign(gallery, file())
    account_id = await allow(2 * SIZE - 1)
    before = await database.hot.fetch("SELECT * FROM contents")
    refused = await reserve(http, gallery, account_id)
    assert refused.code == "quota_exceeded"
    assert f"holds {2 * SIZE} bytes" in refused.json["detail"]
    assert f"hold {2 * SIZE - 1} bytes" in refused.json["detail"]
    assert await database.hot.fetch("SELECT * FROM contents") == before
    assert await charged(database, account_id) == (0, 0)
    assert (await sign(http, gallery, file())).status == 201


@pytest.mark.parametrize("state", ["pending", "an item"])
async def test_a_file_beyond_the_tier_is_refused(
    client: Client, http: Http, gallery: Gallery, allow: Allow, state: str
) -> None:
    if state == "pending":
        await client.sign(gallery, file())
    else:
        await client.upload(gallery, JPEG)
    refused = await reserve(http, gallery, await allow(None, max_file_bytes=SIZE - 1))
    assert refused.code == "file_too_large"
    assert f"a file of {SIZE} bytes" in refused.json["detail"]
    assert (await reserve(http, gallery, await allow(None, max_file_bytes=SIZE))).status == 204


async def test_a_tier_that_withholds_originals_has_to_be_accepted(
    client: Client, http: Http, gallery: Gallery, allow: Allow, database: Database, tell: Teller, clock: Clock
) -> None:
    account_id = await allow(None, original_access=False)
    await client.upload(gallery, JPEG)
    refused = await reserve(http, gallery, account_id)
    assert (refused.status, refused.code) == (409, "tier_withholds")
    assert "lose the originals" in refused.json["detail"]
    assert await charged(database, account_id) == (0, 0)
    assert (await reserve(http, gallery, account_id, accept_tier=True)).status == 204
    await tell(claimed(gallery, account_id, clock))
    assert (await reserve(http, gallery, account_id)).status == 204, "it is the account's already"


async def test_a_gallery_does_not_grow_while_it_is_claimed(
    client: Client, http: Http, gallery: Gallery, make_gallery: GalleryMaker, allow: Allow, clock: Clock
) -> None:
    account_id = await allow(None)
    (pending,) = await client.sign(gallery, file())
    assert (await reserve(http, gallery, account_id)).status == 204
    for key in (None, "a-key-for-this"):
        refused = await sign(http, gallery, file(), key=key)
        assert (refused.status, refused.code) == (409, "claim_in_progress")
        assert refused.headers["retry-after"] == "1"
    assert (await sign(http, make_gallery(), file())).status == 201
    # Earlier reservations can still be completed.
    await client.put(pending, JPEG)
    assert (await client.complete(gallery, pending["id"])).status == 200
    # The claim was not committed.
    clock.pass_by(RESERVED_FOR + timedelta(seconds=1))
    assert (await sign(http, gallery, file(), key="a-key-for-this")).status == 201


async def test_another_account_waits_until_the_first_ones_time_is_over(
    client: Client, http: Http, gallery: Gallery, allow: Allow, database: Database, clock: Clock
) -> None:
    await client.upload(gallery, JPEG)
    first, second = await allow(SIZE), await allow(SIZE)
    assert (await reserve(http, gallery, first)).status == 204
    refused = await reserve(http, gallery, second)
    assert (refused.status, refused.code) == (409, "claim_in_progress")
    clock.pass_by(RESERVED_FOR + timedelta(seconds=1))
    assert (await reserve(http, gallery, second)).status == 204
    assert [await charged(database, each) for each in (first, second)] == [(0, 0), (SIZE, 0)]


@pytest.mark.parametrize("end", ["tick", "deletion"])
async def test_what_is_not_claimed_is_given_back(
    client: Client,
    http: Http,
    gallery: Gallery,
    allow: Allow,
    database: Database,
    outbox: Outbox,
    tell: Teller,
    clock: Clock,
    end: str,
) -> None:
    account_id, sweep = await allow(SIZE), SweepClaims(outbox)
    await client.upload(gallery, JPEG)
    assert (await reserve(http, gallery, account_id)).status == 204
    await sweep(clock())
    assert await charged(database, account_id) == (SIZE, 0), "its time is not over"
    if end == "tick":
        await sweep(clock() + RESERVED_FOR)
    else:
        await tell(GalleryDeleted(gallery_id=gallery.id, owner_id=None, reason="expired", deleted_at=clock()))
        refused = await reserve(http, gallery, account_id)
        assert (refused.status, refused.code) == (404, "gallery_not_found")
    assert await charged(database, account_id) == (0, 0)


async def test_an_empty_gallery_can_be_claimed_and_holds_what_comes_later(
    http: Http, gallery: Gallery, allow: Allow, database: Database, tell: Teller, clock: Clock
) -> None:
    account_id = await allow(SIZE)
    assert (await reserve(http, gallery, account_id)).status == 204
    await tell(claimed(gallery, account_id, clock))
    assert (await sign(http, gallery.of(account_id), file())).status == 201
    assert (await sign(http, gallery.of(account_id), file(1))).code == "quota_exceeded"
    assert await charged(database, account_id) == (SIZE, 0)


@pytest.mark.parametrize("way", ["upload", "move target"])
async def test_the_owners_first_call_may_come_before_the_news_of_the_claim(
    client: Client,
    http: Http,
    gallery: Gallery,
    allow: Allow,
    database: Database,
    outbox: Outbox,
    tell: Teller,
    clock: Clock,
    way: str,
) -> None:
    account_id = await allow(2 * SIZE)
    await client.upload(gallery, JPEG)
    assert (await reserve(http, gallery, account_id)).status == 204
    owned, expected = gallery.of(account_id), (0, SIZE)
    if way == "upload":
        assert (await sign(http, owned, file())).status == 201
        assert (await sign(http, owned, file(1))).code == "quota_exceeded"
        expected = (SIZE, SIZE)
    else:
        grant = Grant(
            gallery_id=owned.id, right="manage", tier="Basic", gallery=owned.public, owner_id=account_id
        )
        await MoveTarget(outbox)(grant, owner_id=AccountId(account_id))
    assert await charged(database, account_id) == expected
    await tell(claimed(gallery, account_id, clock))
    assert await charged(database, account_id) == expected


async def test_claims_and_uploads_at_once_never_go_beyond_the_quota(
    client: Client,
    make_http: Callable[..., Http],
    make_gallery: GalleryMaker,
    allow: Allow,
    database: Database,
    tell: Teller,
    clock: Clock,
) -> None:
    http, quota = make_http(max_in_flight=4_000), 10 * SIZE
    # Exceeding the quota at any time would be an error of the causing statement, and a 500 below.
    await database.hot.execute(
        f"ALTER TABLE accounts ADD CONSTRAINT never_over CHECK (reserved_bytes + used_bytes <= {quota})"
    )
    for _ in range(6):
        account_id = await allow(quota)
        own = make_gallery(owner_id=account_id, expires_at=None)
        found = [make_gallery() for _ in range(4)]
        for gallery in found:
            await client.sign(gallery, *[file()] * 3)

        async def claim(gallery: Gallery, account_id: UUID = account_id) -> Answer:
            answer = await reserve(http, gallery, account_id)
            if answer.status == 204:
                await asyncio.gather(
                    tell(claimed(gallery, account_id, clock)), sign(http, gallery.of(account_id), file())
                )
            return answer

        answers = await asyncio.gather(
            *(claim(gallery) for gallery in found),
            *(sign(http, gallery, file()) for gallery in found),
            *(sign(http, own, file()) for _ in range(4)),
        )
        refused = {answer.code for answer in answers if answer.status >= 400}
        assert refused <= {"quota_exceeded", "gallery_key_wrong", "claim_in_progress"}
        assert Counter(answer.status for answer in answers[: len(found)])[204] <= 3
        reserved = await database.hot.fetchval(
            "SELECT COALESCE(sum(size_bytes), 0)::bigint FROM uploads u JOIN contents c USING (gallery_id) "
            "WHERE c.owner_id = $1 AND u.state = 'pending'",
            account_id,
        )
        assert await charged(database, account_id) == (reserved, 0)
        assert reserved <= quota


async def test_a_question_that_is_none_is_refused(http: Http, gallery: Gallery) -> None:
    path = f"/internal/galleries/{gallery.id}/claim"
    for body in (None, {}, {"account_id": "x"}):
        assert (await http("POST", path, body=body)).status in {400, 422}


async def test_a_question_of_a_newer_version_is_understood(http: Http, gallery: Gallery) -> None:
    path = f"/internal/galleries/{gallery.id}/claim"
    assert (await http("POST", path, body={"account_id": str(new_id()), "more": 1})).status == 204
