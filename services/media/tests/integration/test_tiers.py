"""The rules of a tier, with its events in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.events import AccountCreated, AccountDeleted, AccountTierChanged, Event, TierChanged
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Published, Teller, Worker, redelivered
from kappi_testkit.media.samples import encode, quadrants

JPEG = encode(quadrants(64, 48), "JPEG")
GIB = 1 << 30
Publications = Callable[..., Awaitable[list[Published]]]


def tier(clock: Clock, name: str = "Studio", **changed: Any) -> TierChanged:
    values: dict[str, Any] = {
        "rendition_sizes": [123, 777],
        "original_access": True,
        "expiring_links": True,
        "max_file_bytes": 1_000_000,
        "quota_bytes": None,
        "deleted": False,
        **changed,
    }
    return TierChanged(name=name, changed_at=clock(), **values)


@pytest.fixture
def owner_id() -> UUID:
    return new_id()


@pytest.fixture
def owned(make_gallery: Callable[..., Gallery], owner_id: UUID) -> Gallery:
    return make_gallery(owner_id=owner_id, expires_at=None)


async def largest_file(http: Http, gallery: Gallery) -> int:
    """Returns the limit in the refusal of a huge file."""
    answer = await http(
        "POST",
        f"/v1/galleries/{gallery.id}/uploads",
        grant=gallery.grant(),
        body={"files": [{"filename": "a.jpg", "content_type": "image/jpeg", "size": 1 << 50}]},
    )
    assert (answer.status, answer.code) == (413, "file_too_large")
    return int(answer.json["detail"].split(" has ")[1].split()[0])


async def test_the_owners_tier_governs_and_a_change_shows_within_seconds(
    client: Client, http: Http, owned: Gallery, owner_id: UUID, clock: Clock, tell: Teller
) -> None:
    assert await largest_file(http, owned) == 5 * GIB, "of an account nothing is known of"
    await tell(tier(clock))
    await tell(AccountCreated(account_id=owner_id, tier="Basic", created_at=clock()))
    await tell(AccountTierChanged(account_id=owner_id, tier="STUDIO", changed_at=clock()), sequence=2)
    clock.pass_by(timedelta(seconds=3))
    assert await largest_file(http, owned) == 1_000_000
    await tell(tier(clock, max_file_bytes=77), sequence=2)
    clock.pass_by(timedelta(seconds=3))
    assert await largest_file(http, owned) == 77


async def test_an_anonymous_gallery_has_a_tier_that_can_be_changed_too(
    http: Http, gallery: Gallery, clock: Clock, tell: Teller
) -> None:
    assert await largest_file(http, gallery) == 5 * GIB
    await tell(tier(clock, "Anonymous", max_file_bytes=9))
    clock.pass_by(timedelta(seconds=3))
    assert await largest_file(http, gallery) == 9


async def test_no_tier_goes_beyond_what_an_object_holds(
    http: Http, owned: Gallery, owner_id: UUID, clock: Clock, tell: Teller
) -> None:
    await tell(tier(clock, max_file_bytes=6 * 1024 * GIB))
    await tell(AccountCreated(account_id=owner_id, tier="Studio", created_at=clock()))
    assert await largest_file(http, owned) == 5 * 1024 * GIB


async def test_old_news_changes_nothing(
    database: Database, owner_id: UUID, clock: Clock, tell: Teller
) -> None:
    created = AccountCreated(account_id=owner_id, tier="Basic", created_at=clock())
    changed = AccountTierChanged(account_id=owner_id, tier="Studio", changed_at=clock())
    deleted = AccountDeleted(account_id=owner_id, deleted_at=clock())
    news: list[tuple[Event, int]] = [(changed, 3), (created, 1), (changed, 2), (deleted, 4), (changed, 3)]
    seen = []
    for event, sequence in news:
        await tell(event, sequence=sequence)
        row = await database.hot.fetchrow("SELECT tier, sequence, deleted_at IS NOT NULL FROM accounts")
        seen.append(tuple(row))
    assert seen == [("Studio", 3, False)] * 3 + [(None, 4, True)] * 2

    for size, sequence in ((1, 5), (2, 4), (3, 6)):
        await tell(tier(clock, rendition_sizes=[size]), sequence=sequence)
    # The tier is created again after its deletion, in another spelling: it is still one tier.
    await tell(tier(clock, "studio", rendition_sizes=[4], deleted=True), sequence=5)
    row = await database.hot.fetchrow("SELECT name, rendition_sizes, sequence FROM tiers")
    assert tuple(row) == ("Studio", [3], 6)


async def test_a_deletion_heard_of_first_leaves_a_tombstone(
    database: Database, owner_id: UUID, clock: Clock, tell: Teller
) -> None:
    await tell(AccountDeleted(account_id=owner_id, deleted_at=clock()), sequence=2)
    await tell(AccountCreated(account_id=owner_id, tier="Basic", created_at=clock()), sequence=1)
    row = await database.hot.fetchrow("SELECT tier, deleted_at IS NOT NULL FROM accounts")
    assert tuple(row) == (None, True)


@pytest.mark.parametrize("visibility", ["private", "shared"])
async def test_an_item_lists_the_sizes_that_its_gallery_has(
    client: Client,
    http: Http,
    owned: Gallery,
    owner_id: UUID,
    clock: Clock,
    tell: Teller,
    worker: Worker,
    published: Publications,
    visibility: str,
) -> None:
    await tell(tier(clock))
    await tell(AccountCreated(account_id=owner_id, tier="Studio", created_at=clock()))
    owned = owned.changed(visibility=visibility)
    item = await client.upload(owned, JPEG)
    path = f"/v1/media/{item['id']}"
    assert (await http("GET", path, grant=owned.grant("view"))).json["renditions"] == {}, "not ready"
    await worker.process(redelivered((await published("UploadCompleted"))[0]))
    listed = (await http("GET", path, grant=owned.grant("view"))).json["renditions"]
    stored = {size for size, signed in listed.items() if "/v1/media/" not in signed["url"]}
    if visibility == "private":
        assert (set(listed), stored) == ({"123", "777"}, set())
    else:
        assert (set(listed), stored) == ({"123", "400", "777", "2048"}, {"400"})


async def test_a_tier_without_originals_shows_none_to_anyone(
    client: Client,
    http: Http,
    owned: Gallery,
    owner_id: UUID,
    clock: Clock,
    tell: Teller,
    worker: Worker,
    published: Publications,
) -> None:
    await tell(AccountCreated(account_id=owner_id, tier="Basic", created_at=clock()))
    item = await client.upload(owned, JPEG, sha256=hashlib.sha256(JPEG).hexdigest())
    assert item["original"] is None
    assert item["sha256"] == hashlib.sha256(JPEG).hexdigest()
    (completed,) = await published("UploadCompleted")
    await worker.process(redelivered(completed))
    path = f"/v1/media/{item['id']}"
    for right in ("view", "manage"):
        answer = await http("GET", f"{path}/download", grant=owned.grant(right))
        assert (answer.status, answer.code) == (403, "original_not_in_tier")
        assert (await http("GET", path, grant=owned.grant(right))).json["original"] is None
    poor = await client.view(owned)
    assert poor.json["items"][0]["original"] is None

    await tell(AccountTierChanged(account_id=owner_id, tier="Premium", changed_at=clock()), sequence=2)
    clock.pass_by(timedelta(seconds=3))
    # The page did not change, but the visible part of it did.
    rich = await client.view(owned, if_none_match=poor.headers["etag"])
    assert rich.status == 200
    assert rich.json["items"][0]["original"]["url"]
    assert (await http("GET", f"{path}/download", grant=owned.grant("view"))).status == 200

    await tell(AccountTierChanged(account_id=owner_id, tier="Basic", changed_at=clock()), sequence=3)
    clock.pass_by(timedelta(seconds=3))
    shown = (await client.view(owned)).json["items"][0]
    assert shown["original"] is None
    assert {"400", "2048"} <= set(shown["renditions"]), "there is always a picture to show"


async def test_a_tier_may_allow_more_than_one_put_can_carry(
    client: Client, owned: Gallery, owner_id: UUID, clock: Clock, tell: Teller
) -> None:
    await tell(tier(clock, max_file_bytes=6 << 40))
    await tell(AccountTierChanged(account_id=owner_id, tier="Studio", changed_at=clock()))
    sizes = [5 * GIB, 5 * GIB + 1, 100 * GIB, 5 << 40]
    files = [{"filename": "a.mov", "content_type": "video/quicktime", "size": size} for size in sizes]
    for promised, size in zip(await client.sign(owned, *files), sizes, strict=True):
        multipart = promised["multipart"]
        assert multipart["part_count"] <= 10_000
        assert (multipart["part_count"] - 1) * multipart["part_size"] < size
        assert size <= multipart["part_count"] * multipart["part_size"]
    # S3 stores no larger object, whatever the tier.
    assert await largest_file(client.http, owned) == 5 << 40
