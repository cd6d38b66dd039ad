"""Expiring links: each is claimed once, by the first tick whose time is past its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.bus import Record
from kappi_chassis.clock import new_id
from kappi_contracts.events import GalleryCreated, GalleryExpired, JanitorTick, LinkCreated, LinkExpired
from kappi_janitor.repository import due_links
from kappi_janitor.use_cases import sweep_due

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


def tick(at: datetime) -> JanitorTick:
    return JanitorTick(schedule="hourly", at=at, origin="operator")


def link(janitor: Any, expires_at: datetime) -> LinkCreated:
    return LinkCreated(
        link_id=new_id(),
        media_id=new_id(),
        gallery_id=new_id(),
        expires_at=expires_at,
        created_at=janitor.clock(),
    )


async def create(janitor: Any, expires_at: datetime) -> LinkCreated:
    created = link(janitor, expires_at)
    await janitor.hear(created)
    return created


async def create_many(janitor: Any, count: int) -> set[UUID]:
    """All due an hour from now."""
    return {(await create(janitor, janitor.clock() + HOUR)).link_id for _ in range(count)}


async def claimed(janitor: Any) -> list[UUID]:
    return [each.event.link_id for each in await janitor.published(LinkExpired)]


async def test_a_claim_says_which_link_of_which_item_was_due_when(janitor: Any) -> None:
    now = janitor.clock()
    created = link(janitor, now + HOUR)
    await janitor.hear(created, sequence=3)
    await janitor.hear(tick(now + 2 * HOUR))
    (claim,) = await janitor.published(LinkExpired)
    assert claim.event == LinkExpired(
        link_id=created.link_id,
        media_id=created.media_id,
        expires_at=now + HOUR,
        as_of=now + 2 * HOUR,
        origin="operator",
    )
    assert claim.key == str(created.link_id)
    assert claim.sequence == 4, "after its creation in the link's history"


async def test_a_tick_claims_only_what_is_due_by_its_own_time(janitor: Any) -> None:
    now = janitor.clock()
    due = await create(janitor, now + HOUR)
    exactly = await create(janitor, now + DAY)
    later = await create(janitor, now + DAY + MICROSECOND)
    await janitor.hear(tick(now + HOUR - MICROSECOND))
    assert await claimed(janitor) == []
    await janitor.hear(tick(now + DAY))
    assert set(await claimed(janitor)) == {due.link_id, exactly.link_id}
    # A tick from the future claims what the wall clock would not.
    await janitor.hear(tick(now + 400 * DAY))
    assert (await claimed(janitor))[2:] == [later.link_id]


async def test_a_claimed_link_is_not_claimed_again(janitor: Any) -> None:
    await create_many(janitor, 1)
    first = await janitor.hear(tick(janitor.clock() + DAY))
    await janitor.hear(first.data, event_id=first.id)
    await janitor.hear(tick(janitor.clock() + 2 * DAY))
    assert len(await claimed(janitor)) == 1


@pytest.mark.parametrize("event_id", [None, new_id()], ids=["told anew", "delivered again"])
async def test_a_duplicate_neither_moves_the_deadline_nor_revives_a_claimed_link(
    janitor: Any, event_id: UUID | None
) -> None:
    created = link(janitor, janitor.clock() + HOUR)
    for _ in range(2):
        await janitor.hear(created, event_id=event_id)
    await janitor.hear(tick(janitor.clock() + DAY))
    await janitor.hear(created, event_id=event_id)
    await janitor.hear(tick(janitor.clock() + 2 * DAY))
    assert await claimed(janitor) == [created.link_id]


async def test_a_link_heard_of_after_its_deadline_is_claimed_by_the_next_tick(janitor: Any) -> None:
    now = janitor.clock()
    await janitor.hear(tick(now + 2 * HOUR))
    created = await create(janitor, now + HOUR)
    assert await claimed(janitor) == []
    await janitor.hear(tick(now + 3 * HOUR))
    assert await claimed(janitor) == [created.link_id]


async def test_links_and_galleries_are_claimed_by_the_same_tick(janitor: Any) -> None:
    due = await create(janitor, janitor.clock() + HOUR)
    gallery_id = new_id()
    await janitor.hear(
        GalleryCreated(
            gallery_id=gallery_id,
            owner_id=None,
            visibility="shared",
            expires_at=janitor.clock() + HOUR,
            created_at=janitor.clock(),
        )
    )
    await janitor.hear(tick(janitor.clock() + DAY))
    assert await claimed(janitor) == [due.link_id]
    assert [each.event.gallery_id for each in await janitor.published(GalleryExpired)] == [gallery_id]


async def test_more_than_a_page_is_claimed_once_each(janitor: Any) -> None:
    """The fixture's page is 3."""
    links = await create_many(janitor, 10)
    await janitor.hear(tick(janitor.clock() + DAY))
    found = await claimed(janitor)
    assert len(found) == 10
    assert set(found) == links


async def test_a_tick_interrupted_halfway_goes_on_where_it_was(
    janitor: Any, cancelled_in_call: Callable[[Any, str, int], None]
) -> None:
    links = await create_many(janitor, 7)
    cancelled_in_call(due_links, "expire_due_links", 3)
    event_id = new_id()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(janitor.hear(tick(janitor.clock() + DAY), event_id=event_id))
    assert len(await claimed(janitor)) == 6
    await janitor.hear(tick(janitor.clock() + DAY), event_id=event_id)
    found = await claimed(janitor)
    assert len(found) == 7
    assert set(found) == links


async def test_two_ticks_at_once_claim_each_link_once(janitor: Any) -> None:
    links = await create_many(janitor, 30)
    at = janitor.clock() + DAY
    await asyncio.gather(janitor.hear(tick(at)), janitor.hear(tick(at)))
    found = await claimed(janitor)
    assert len(found) == 30
    assert set(found) == links
    assert janitor.dead_letters.letters == []


async def test_poison_goes_to_the_dead_letters_and_the_next_link_is_kept(janitor: Any) -> None:
    headers = (("ce_specversion", b"1.0"), ("ce_type", b"gg.kappi.LinkCreated.v1"))
    broken = Record(topic="LinkCreated", partition=0, offset=7, key=b"k", value=b"{", headers=headers)
    await janitor.processor.process(broken)
    links = await create_many(janitor, 1)
    assert [record.offset for record, _ in janitor.dead_letters.letters] == [7]
    assert {row.link_id for row in await janitor.query("SELECT link_id FROM due_links")} == links


async def test_claimed_links_are_forgotten_by_the_wall_clock_and_live_ones_never(
    janitor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_due, "PRUNE_BATCH", 2)
    await create_many(janitor, 5)
    live = await create(janitor, janitor.clock() + 1000 * DAY)

    async def kept() -> int:
        return len(await janitor.query("SELECT 1 FROM due_links"))

    await janitor.hear(tick(janitor.clock() + 400 * DAY))
    assert (len(await claimed(janitor)), await kept()) == (5, 6)
    janitor.clock.pass_by(89 * DAY)
    await janitor.hear(tick(janitor.clock()))
    assert await kept() == 6
    janitor.clock.pass_by(2 * DAY)
    await janitor.hear(tick(janitor.clock()))
    (row,) = await janitor.query("SELECT link_id FROM due_links")
    assert row.link_id == live.link_id
