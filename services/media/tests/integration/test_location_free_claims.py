"""Copies that a process was making when it died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.db import Database
from kappi_chassis.problems import Problem
from kappi_chassis.storage import StorageUnavailable
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.use_cases import build_copies
from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.errors import LocationFreePending
from kappi_media.rendering.failures import DecoderKilled
from kappi_media.use_cases import gps_free
from kappi_media.use_cases.gps_free import AT_ONCE, GpsFreeCopies
from kappi_mediameta.gps_free.edits import Patch, Unremovable
from kappi_mediameta.probing import RangedSource
from kappi_testkit.eventually import eventually
from kappi_testkit.media.harness import Client, Clock, Gallery
from kappi_testkit.media.samples import Shot, encode, quadrants

PLACED = encode(quadrants(64, 48), "JPEG", shot=Shot(place=(48.8577, 2.295, 35.0)))


@pytest.fixture
async def copies(deps: Dependencies) -> AsyncIterator[GpsFreeCopies]:
    copies = build_copies(deps)
    yield copies
    await copies.close()


@pytest.fixture
async def items(client: Client, gallery: Gallery, database: Database) -> list[MediaId]:
    """Returns ready items, one more than are copied at once."""
    uploaded: list[dict[str, Any]] = [await client.upload(gallery, PLACED) for _ in range(AT_ONCE + 1)]
    await database.hot.execute("UPDATE items SET status = 'ready', kind = 'image', width = 64, height = 48")
    return [MediaId(UUID(item["id"])) for item in uploaded]


async def test_copies_of_the_dead_do_not_hold_up_the_others(
    copies: GpsFreeCopies,
    gallery: Gallery,
    items: list[MediaId],
    database: Database,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gps_free, "TIMEOUT_S", 0.3)
    free, *held = items
    await database.hot.execute(
        "INSERT INTO rendition_claims (media_id, size, held_until) SELECT unnest($1::uuid[]), $2, $3",
        held,
        "location-free",
        clock() + timedelta(hours=1),
    )
    copies.want(GalleryId(gallery.id), items)

    async def made() -> None:
        assert [
            row["media_id"] for row in await database.hot.fetch("SELECT * FROM location_free_copies")
        ] == [free]

    await eventually(made)


async def test_a_photographs_copy_is_made_by_somebody_else_two_minutes_after_its_maker_died(
    copies: GpsFreeCopies,
    deps: Dependencies,
    gallery: Gallery,
    items: list[MediaId],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead = build_copies(deps)
    monkeypatch.setattr(dead, "_make", _dies)
    with pytest.raises(_Died):
        await dead(items[0], GalleryId(gallery.id))
    monkeypatch.setattr(gps_free, "TIMEOUT_S", 0.3)
    with pytest.raises(LocationFreePending):
        await copies(items[0], GalleryId(gallery.id))
    monkeypatch.setattr(gps_free, "TIMEOUT_S", 20.0)
    clock.pass_by(timedelta(minutes=2))
    somebody_else = build_copies(deps)  # another process, whose timeout has not begun
    assert (await somebody_else(items[0], GalleryId(gallery.id))).size_bytes == len(PLACED)


async def test_a_decoder_that_was_killed_is_not_held_against_the_original_but_given_a_rest(
    copies: GpsFreeCopies,
    deps: Dependencies,
    gallery: Gallery,
    items: list[MediaId],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gps_free, "TIMEOUT_S", 0.3)
    begun = 0

    async def killed(_: RangedSource) -> tuple[Patch, ...]:
        nonlocal begun
        begun += 1
        clock.pass_by(timedelta(minutes=5))  # it had stalled for longer than its lease
        raise DecoderKilled("ended with -9")

    unwell = build_copies(deps, killed)
    for _ in range(3):
        with pytest.raises(LocationFreePending):
            await unwell(items[0], GalleryId(gallery.id))
    await unwell.close()
    assert begun == 1, "what a file makes of a decoder is not repeated for all who ask"
    clock.pass_by(gps_free.REST)
    monkeypatch.setattr(gps_free, "TIMEOUT_S", 20.0)
    assert (await copies(items[0], GalleryId(gallery.id))).size_bytes == len(PLACED)


@pytest.mark.parametrize("ending", ["released", "impossible", "killed"])
async def test_one_that_lost_its_claim_leaves_the_next_ones_alone(
    deps: Dependencies,
    gallery: Gallery,
    items: list[MediaId],
    clock: Clock,
    database: Database,
    ending: str,
) -> None:
    failures = {"released": StorageUnavailable(), "impossible": Unremovable("so"), "killed": DecoderKilled()}
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: RangedSource) -> tuple[Patch, ...]:
        begun.set()
        await go_on.wait()
        raise failures[ending]

    lost = build_copies(deps, slow)
    first = asyncio.ensure_future(lost(items[0], GalleryId(gallery.id)))
    await asyncio.wait_for(begun.wait(), 20)
    next_ones = clock() + timedelta(hours=1)
    await database.hot.execute("UPDATE rendition_claims SET held_until = $1", next_ones)
    go_on.set()
    with pytest.raises(Problem):
        await first
    await lost.close()
    claim = await database.hot.fetchrow("SELECT held_until, failure FROM rendition_claims")
    assert claim is not None
    assert tuple(claim) == (next_ones, None)


class _Died(Exception):
    pass


async def _dies(*_: Any, **__: Any) -> None:
    raise _Died
