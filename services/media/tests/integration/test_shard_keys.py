"""The statements of hot calls name the key by which rows can be divided among databases (docs/scale.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from kappi_chassis.db import Database
from kappi_testkit.media.harness import Client, Gallery, Http
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.statements import (
    ShardKeys,
    constant_locks,
    recorded_statements,
    with_several_keys,
    without_key,
)

JPEG = encode(quadrants(64, 48), "JPEG")
FILM = {"filename": "a.mp4", "content_type": "video/mp4", "size": 40 << 20}
KEYS = ShardKeys(
    columns={
        **{table: {"gallery_id": "gallery"} for table in ("contents", "uploads", "items")},
        "accounts": {"id": "account"},
        "promise_budgets": {"holder": "address or gallery"},
        "renditions": {"media_id": "item"},
        "location_free_copies": {"media_id": "item"},
        "sidecars": {"media_id": "item"},
    },
    # An event goes out from the database of its aggregate, which has a relay of its own.
    local=frozenset({"outbox"}),
    copied=frozenset({"tiers"}),
)
RENDITIONS = "Rows of an item's renditions name the item alone: they need the gallery's id, too."
CHARGED = "It charges the owner's account in the statement that changes the gallery."
SEVERAL_KEYS = {
    "uploads.promise": CHARGED,
    "completion.complete": CHARGED,
    "view.items": RENDITIONS,
    "items.find": RENDITIONS,
}


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """Returns a database whose hot statements have one connection, so that all of them are recorded."""
    database = Database(url, pool_size=1)
    await database.start()
    yield database
    await database.close()


async def _added(client: Client, gallery: Gallery) -> str:
    """Returns the id of an item that is not checked yet."""
    declared = {"filename": "a.jpg", "content_type": "image/jpeg", "size": len(JPEG)}
    picture, _ = await client.sign(gallery, declared, FILM)
    await client.put(picture, JPEG)
    return str((await client.complete(gallery, picture["id"])).json["id"])


async def _shown(client: Client, http: Http, gallery: Gallery, media_id: str) -> None:
    assert (await client.view(gallery, "limit=1")).status == 200
    for path in ("", "/download"):
        answer = await http("GET", f"/v1/media/{media_id}{path}", grant=gallery.grant("view"))
        assert answer.status in {200, 302}, answer.body


async def test_hot_statements_name_the_key_of_their_rows(
    client: Client, http: Http, make_gallery: Callable[..., Gallery], database: Database
) -> None:
    owned = make_gallery(owner_id=uuid4())
    await client.upload(owned, JPEG)  # the first upload also records the owner
    galleries = (make_gallery(), owned)
    async with recorded_statements(database) as added:
        items = [await _added(client, gallery) for gallery in galleries]
    await database.hot.execute("UPDATE items SET status = 'ready', kind = 'image', width = 64, height = 48")
    async with recorded_statements(database) as shown:
        for gallery, media_id in zip(galleries, items, strict=True):
            await _shown(client, http, gallery, media_id)
    statements = added + shown
    assert without_key(statements, KEYS) == set()
    assert with_several_keys(statements, KEYS).keys() == SEVERAL_KEYS.keys()
    assert constant_locks(statements) == set()
