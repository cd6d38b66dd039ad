"""What an account stores, by day and type: exact, whatever happens to its items."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic import command
from kappi_chassis.auth import SigningKey
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_chassis.db.migrations import alembic_config
from kappi_contracts.events import GalleryDeleted, GalleryUpdated
from kappi_media.repository.usage import UsageQueries
from kappi_media.use_cases.catch_up_usage import CatchUpUsage
from kappi_testkit.auth import access_token
from kappi_testkit.media.harness import Client, Clock, Gallery, Http, Teller
from kappi_testkit.media.samples import encode, quadrants

pytestmark = pytest.mark.integration

PICTURE = encode(quadrants(33, 20), "JPEG")
_TRUTH = """
SELECT count(*) FROM (
  SELECT gallery_id, (created_at AT TIME ZONE 'UTC')::date AS day, content_type, count(*) AS item_count,
         sum(size_bytes) AS size_bytes
  FROM items WHERE status <> 'rejected' GROUP BY 1, 2, 3
) counted FULL JOIN usage_days kept USING (gallery_id, day, content_type, item_count, size_bytes)
WHERE counted.item_count IS NULL OR kept.item_count IS NULL
"""
_ADD = """
INSERT INTO items (id, gallery_id, upload_id, filename, content_type, size_bytes, etag, created_at)
SELECT id, $2, id, 'a', $3, $4, '"e"', $5 FROM unnest($1::uuid[]) AS id
"""


@pytest.fixture
def token(identity_key: SigningKey, clock: Clock) -> Callable[[UUID], str]:
    """`token(account_id)` returns an access token of that account."""

    def make(account_id: UUID) -> str:
        lasting = int(max(time.time(), clock().timestamp())) + 600
        return access_token(identity_key, account_id, {"tier": "Premium", "exp": lasting})

    return make


async def stats(http: Http, token: str, query: str = "") -> Any:
    answer = await http("GET", f"/v1/me/stats{query}", headers={"authorization": f"Bearer {token}"})
    assert answer.status == 200, answer.body
    return answer.json


async def owned(database: Database, account_id: UUID, gallery_id: UUID) -> None:
    await database.hot.execute("INSERT INTO accounts (id) VALUES ($1) ON CONFLICT DO NOTHING", account_id)
    await database.hot.execute(
        "INSERT INTO contents (gallery_id, owner_id) VALUES ($1, $2)", gallery_id, account_id
    )


async def test_it_is_told_by_kind_type_and_day(
    http: Http, database: Database, token: Callable[[UUID], str], clock: Clock
) -> None:
    ada, gallery_id, second = uuid4(), uuid4(), uuid4()
    for each in (gallery_id, second):
        await owned(database, ada, each)
    today = clock().date()
    for gallery, content_type, size, days_ago, count in (
        (gallery_id, "image/jpeg", 10, 0, 2),
        (second, "image/jpeg", 5, 0, 1),
        (gallery_id, "video/mp4", 100, 0, 1),
        (gallery_id, "image/png", 7, 3, 1),
        (gallery_id, "image/jpeg", 1000, 40, 1),
    ):
        ids = [new_id() for _ in range(count)]
        await database.hot.execute(_ADD, ids, gallery, content_type, size, clock() - timedelta(days=days_ago))
    found = await stats(http, token(ada))
    assert found["from"] == str(today - timedelta(days=29))
    assert found["to"] == str(today)
    assert found["totals"]["kinds"] == {
        "image": {"item_count": 4, "size_bytes": 32},
        "video": {"item_count": 1, "size_bytes": 100},
    }
    assert found["totals"]["types"]["image/jpeg"] == {"item_count": 3, "size_bytes": 25}
    assert [(day["day"], day["item_count"], day["size_bytes"]) for day in found["days"]] == [
        (str(today - timedelta(days=3)), 1, 7),
        (str(today), 4, 125),
    ]
    assert (found["library"]["item_count"], found["library"]["size_bytes"]) == (6, 1132)
    narrow = await stats(http, token(ada), f"?from={today}&to={today}")
    assert narrow["totals"]["item_count"] == 4
    assert narrow["library"] == found["library"]
    assert (await stats(http, token(uuid4())))["library"]["item_count"] == 0


async def test_a_claim_and_a_deletion_move_it_whole(
    client: Client, gallery: Gallery, tell: Teller, token: Callable[[UUID], str]
) -> None:
    ada = uuid4()
    for _ in range(2):
        await client.upload(gallery, PICTURE)
    assert (await stats(client.http, token(ada)))["library"]["item_count"] == 0
    now = datetime.now(UTC)
    await tell(
        GalleryUpdated(
            gallery_id=gallery.id, owner_id=ada, visibility="shared", expires_at=None, updated_at=now
        ),
        sequence=2,
    )
    found = await stats(client.http, token(ada))
    assert found["library"]["size_bytes"] == found["quota"]["used_bytes"] == 2 * len(PICTURE)
    await tell(
        GalleryDeleted(gallery_id=gallery.id, owner_id=ada, reason="requested", deleted_at=now), sequence=3
    )
    found = await stats(client.http, token(ada))
    assert found["library"] == {"item_count": 0, "size_bytes": 0, "kinds": {}, "types": {}}
    assert found["quota"]["used_bytes"] == 0


async def test_every_change_of_an_item_is_counted(database: Database, clock: Clock) -> None:
    first, second = uuid4(), uuid4()
    ids = [new_id() for _ in range(6)]
    await database.hot.execute(_ADD, ids, first, "image/jpeg", 10, clock())
    for change in (
        "UPDATE items SET content_type = 'image/png' WHERE id = $1",
        "UPDATE items SET status = 'rejected' WHERE id = $1",
        "UPDATE items SET content_type = 'image/gif' WHERE id = $1",
        "UPDATE items SET status = 'processing', size_bytes = 11 WHERE id = $1",
        "UPDATE items SET caption = 'Tram' WHERE id = $1",
        "DELETE FROM items WHERE id = $1",
    ):
        await database.hot.execute(change, ids[0])
        assert await database.hot.fetchval(_TRUTH) == 0, change
    await database.hot.execute("UPDATE items SET gallery_id = $1", second)
    assert await database.hot.fetchval(_TRUTH) == 0
    await database.hot.execute("UPDATE items SET status = 'rejected'")
    assert await database.hot.fetchval("SELECT count(*) FROM usage_days") == 0
    await database.hot.execute("DELETE FROM items")
    assert await database.hot.fetchval(_TRUTH) == 0


async def test_what_was_there_before_is_counted_later_and_uploads_do_not_wait(
    url: str, database: Database, clock: Clock
) -> None:
    """Items change before and after their gallery is counted."""
    config, first, second = alembic_config("kappi_media", url), uuid4(), uuid4()
    await asyncio.to_thread(command.downgrade, config, "0005")
    ids = [new_id() for _ in range(8)]
    for gallery_id, some in ((first, ids[:4]), (second, ids[4:])):
        await owned(database, uuid4(), gallery_id)
        await database.hot.execute(_ADD, some, gallery_id, "image/jpeg", 10, clock())
    await asyncio.to_thread(command.upgrade, config, "head")
    assert await database.hot.fetchval("SELECT count(*) FROM usage_days") == 0

    async def change(some: list[UUID], *, to: UUID) -> None:
        await database.hot.execute("DELETE FROM items WHERE id = $1", some[0])
        await database.hot.execute("UPDATE items SET content_type = 'image/png' WHERE id = $1", some[1])
        await database.hot.execute("UPDATE items SET gallery_id = $2 WHERE id = $1", some[2], to)
        await database.hot.execute(_ADD, [new_id()], first, "image/gif", 3, clock())

    usage = UsageQueries(database)
    await change(ids[:4], to=second)
    await usage.catch_up(first)
    await change(ids[4:], to=first)
    await CatchUpUsage(usage)()
    assert await database.hot.fetchval(_TRUTH) == 0
    for _ in range(2):
        await usage.catch_up(first)
    await database.hot.execute("UPDATE items SET size_bytes = 12")
    assert await database.hot.fetchval(_TRUTH) == 0


async def test_a_gallery_is_counted_once_while_others_upload_to_it(
    client: Client, gallery: Gallery, database: Database
) -> None:
    await client.upload(gallery, PICTURE)
    await database.hot.execute("DELETE FROM usage_days")
    await database.hot.execute("UPDATE contents SET usage_behind = true")
    usage = UsageQueries(database)
    await asyncio.gather(
        *(client.upload(gallery, PICTURE) for _ in range(6)), *(usage.catch_up(gallery.id) for _ in range(4))
    )
    assert await database.hot.fetchval(_TRUTH) == 0
    assert await database.hot.fetchval("SELECT sum(item_count) FROM usage_days") == 7


async def test_it_is_exact_however_many_upload_and_delete_at_once(
    client: Client, gallery: Gallery, database: Database
) -> None:
    rng = random.Random(7)

    async def journey() -> None:
        item = await client.upload(gallery, PICTURE)
        if rng.random() < 0.5:
            path = f"/v1/media/{item['id']}"
            assert (await client.http("DELETE", path, grant=gallery.grant())).status == 204

    await asyncio.gather(*(journey() for _ in range(30)))
    assert await database.hot.fetchval(_TRUTH) == 0


async def test_whose_it_is_is_told_by_the_token_alone(http: Http, token: Callable[[UUID], str]) -> None:
    for headers, status, code in (
        ({}, 401, "credentials_missing"),
        ({"authorization": "Bearer none"}, 401, "access_token_invalid"),
    ):
        answer = await http("GET", "/v1/me/stats", headers=headers)
        assert (answer.status, answer.json["code"]) == (status, code)
    answer = await http(
        "GET", "/v1/me/stats?from=yesterday", headers={"authorization": f"Bearer {token(uuid4())}"}
    )
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "from")
