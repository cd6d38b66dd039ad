"""Prefixes that may be purged: the code and the database agree on them, and old rows go on."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from asyncpg import CheckViolationError
from kappi_chassis.clock import new_id
from kappi_chassis.db.migrations import alembic_config
from kappi_contracts.events import ObjectsPurged
from kappi_contracts.keys import folder_prefix, gallery_prefix, media_prefix, post_prefix
from kappi_janitor.domain import GalleryScope, check_purged_prefix
from kappi_janitor.repository.purges import PurgeRequest, request_purge

GALLERY_ID, MEDIA_ID, POST_ID = (UUID(f"0196a7c0-0000-7000-8000-00000000000{each}") for each in "abc")
GALLERY = gallery_prefix(GALLERY_ID)
ITEM = media_prefix(GALLERY_ID, MEDIA_ID)


async def enter(janitor: Any, prefix: str) -> None:
    scope = GalleryScope(gallery_id=GALLERY_ID, media_id=None, prefix=prefix)
    now = janitor.clock()
    async with janitor.deps.database.hot.transaction() as driver:
        await request_purge(driver, [PurgeRequest(id=new_id(), scope=scope, not_before=now)], now=now)


@pytest.mark.parametrize(
    "prefix",
    [
        GALLERY,
        ITEM,
        f"{ITEM}/",  # as the ledger held items before they moved
        folder_prefix(GALLERY_ID, MEDIA_ID),
        folder_prefix(GALLERY_ID, MEDIA_ID, 0),
        folder_prefix(GALLERY_ID, MEDIA_ID, 2**63 - 1),
        post_prefix(POST_ID),
    ],
)
async def test_what_may_be_purged(janitor: Any, prefix: str) -> None:
    check_purged_prefix(prefix)
    await enter(janitor, prefix)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "/",
        "galleries/",
        "galleries//",
        "galleries/x/",
        GALLERY.removesuffix("/"),
        GALLERY[:-2] + "/",
        GALLERY.upper(),
        f"{GALLERY}\n",
        f"\n{GALLERY}",
        f"x/{GALLERY}",
        f"{GALLERY}x/",
        f"{GALLERY}/",
        ITEM[:-1],  # of up to 16 items
        f"{ITEM}0",
        f"{ITEM}.",
        f"{ITEM}./",
        f"{ITEM}.1",  # of the folders 1, 10, 11, ...
        f"{ITEM}.-1/",
        f"{ITEM}.\u0661/",  # a digit, but not an ASCII one
        f"{ITEM}/renditions/",
        f"{ITEM}.1/renditions/",
        "posts/",
        post_prefix(POST_ID).removesuffix("/"),
        f"{post_prefix(POST_ID)}original",
        "renditions/x/",
    ],
)
async def test_what_could_hold_other_things_may_not(janitor: Any, prefix: str) -> None:
    with pytest.raises(ValueError, match="not the prefix of"):
        check_purged_prefix(prefix)
    with pytest.raises(CheckViolationError, match="prefix_may_be_purged"):
        await enter(janitor, prefix)


async def test_a_purge_from_before_items_moved_goes_on(janitor: Any) -> None:
    await janitor.fill(f"{ITEM}/", objects=2)
    await enter(janitor, f"{ITEM}/")
    assert await janitor.work() == 1
    (purged,) = await janitor.published(ObjectsPurged)
    assert (purged.event.objects, purged.event.prefix) == (2, f"{ITEM}/")


async def test_the_way_back_keeps_purges_of_items(janitor: Any, url: str) -> None:
    other = media_prefix(GALLERY_ID, new_id())
    for prefix in (GALLERY, ITEM, other, f"{other}/", f"{ITEM}.17/"):
        await enter(janitor, prefix)
    config = alembic_config("kappi_janitor", url)
    await asyncio.to_thread(command.downgrade, config, "0003")
    rows = await janitor.query("SELECT prefix FROM purges")
    assert {row.prefix for row in rows} == {GALLERY, f"{ITEM}/", f"{other}/", f"{ITEM}.17/"}
    await asyncio.to_thread(command.upgrade, config, "head")
    assert len(await janitor.query("SELECT prefix FROM purges")) == 4
