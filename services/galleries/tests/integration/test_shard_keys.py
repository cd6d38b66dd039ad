"""The statements of hot calls name the key by which rows can be divided among databases (docs/scale.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.db import Database
from kappi_contracts.events import ItemCount, KindCount, MediaAccessed, MediaReady, TraitCount
from kappi_testkit.statements import (
    ShardKeys,
    constant_locks,
    recorded_statements,
    with_several_keys,
    without_key,
)

from .posting import Poster

pytestmark = pytest.mark.integration

KEYS = ShardKeys(
    columns={
        # A secret or a code finds a gallery by a unique index, which is a table of its own once rows are
        # divided.
        "galleries": {"id": "gallery", "code": "code", "access_key_hash": "secret", "owner_id": "account"},
        "used_codes": {"code": "code"},
        **{
            table: {"gallery_id": "gallery"}
            for table in ("gallery_items", "access_days", "access_trait_days", "access_item_days")
        },
        "access_total_days": {"gallery_id": "gallery"},
        **{
            table: {"account_id": "account"}
            for table in ("authors", "deleted_accounts", "suspended_accounts")
        },
        "posts": {"id": "post"},
        "comments": {"post_id": "post"},
    },
    # An event goes out from the database of its aggregate, and is recorded as handled there.
    local=frozenset({"outbox", "inbox"}),
)
ALL_POSTS = "The list of posts is one list over all posts, in the order of their comments."
ALL_GALLERIES = "The sums over all galleries: one row for a day and a trait, which all accesses change."
MOVED = "An item is found in whatever gallery an older event named, because items move between galleries."
WITHOUT_KEY = {
    ("items.find", "gallery_items"): MOVED,
    ("items.lock_galleries", "gallery_items"): MOVED,
    ("posts.first_page", "posts"): ALL_POSTS,
    ("statistics.add_totals", "access_total_days"): ALL_GALLERIES,
    ("statistics.add_items", "gallery_items"): MOVED,
}
NAMES = "It reads names and suspensions of accounts, which change seldom: a copy in each database is enough."
HELD = "It holds the author's row, so that the deletion of the account finds what it adds."
SEVERAL_KEYS = {
    "galleries.create": "A code is taken, and its gallery created, in one statement.",
    "comments.add": HELD,
    "comments.page": NAMES,
    "posts.draft": HELD,
    "posts.publish": HELD,
    "posts.first_page": NAMES,
    "posts.one": NAMES,
    "posts.author": NAMES,
}


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """Returns a database whose hot statements have one connection, so that all of them are recorded."""
    database = Database(url, pool_size=1)
    await database.start()
    yield database
    await database.close()


async def _galleries_called(http: Any, account: Any) -> UUID:
    made = await http("POST", "/v1/galleries", body={"title": "Lisbon"})
    grants = (("view", "code"), ("key", "access_key"))
    for kind, secret in grants:
        answer = await http("POST", f"/internal/grants/{kind}", body={secret: made.json[secret]})
        assert answer.status == 200
    owned = await http("POST", "/v1/galleries", body={}, token=account.token)
    body = {"gallery_id": owned.json["id"], "token": account.token}
    assert (await http("POST", "/internal/grants/owner", body=body)).status == 200
    assert (await http("GET", "/v1/galleries", token=account.token)).status == 200
    return UUID(made.json["id"])


async def _posts_called(poster: Poster, account: Any, other: Any) -> None:
    post = await poster.post(account)
    await poster.comment(other, post["id"])
    await poster.page()
    await poster.read(post["id"])
    assert (await poster._http("GET", f"/v1/posts/{post['id']}/comments")).status == 200


async def _told(processor: Any, record: Any, clock: Any, gallery_id: UUID) -> None:
    ready = MediaReady(
        media_id=new_id(),
        gallery_id=gallery_id,
        owner_id=None,
        kind="image",
        content_type="image/jpeg",
        size_bytes=1,
        width=1,
        height=1,
        duration_ms=None,
        ready_at=clock.now,
    )
    accessed = MediaAccessed(
        gallery_id=gallery_id,
        day=(clock.now - timedelta(days=1)).date(),
        kinds=(KindCount(kind="view", count=3),),
        traits=(TraitCount(trait="language", value="de", count=3),),
        items=(ItemCount(media_id=ready.media_id, kind="download", count=3),),
    )
    for event in (ready, accessed):
        await processor.process(record(event))


async def test_hot_statements_name_the_key_of_their_rows(
    http: Any, account: Any, other: Any, database: Database, processor: Any, record: Any, clock: Any
) -> None:
    poster = Poster(http)
    await poster.comment(other, (await poster.post(account))["id"])  # their names are stored
    async with recorded_statements(database) as statements:
        gallery_id = await _galleries_called(http, account)
        await _posts_called(poster, account, other)
        await _told(processor, record, clock, gallery_id)
    assert without_key(statements, KEYS) == WITHOUT_KEY.keys()
    assert with_several_keys(statements, KEYS).keys() == SEVERAL_KEYS.keys()
    assert constant_locks(statements) == set()
