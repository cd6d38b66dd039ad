"""Deadlines are right in whatever order, and however often, the news comes."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.observability import metrics
from kappi_contracts.events import GalleryCreated, GalleryDeleted, GalleryUpdated

DAY = timedelta(days=1)


class Gallery:
    """The events of one gallery's life: created for 30 days, extended to 60, deleted."""

    def __init__(self, now: datetime) -> None:
        self.id: UUID = new_id()
        self.now = now

    def created(self) -> GalleryCreated:
        return GalleryCreated(
            gallery_id=self.id,
            owner_id=None,
            visibility="shared",
            expires_at=self.now + 30 * DAY,
            created_at=self.now,
        )

    def updated(self, expires_at: datetime | None) -> GalleryUpdated:
        return GalleryUpdated(
            gallery_id=self.id,
            owner_id=None,
            visibility="shared",
            expires_at=expires_at,
            updated_at=self.now,
        )

    def deleted(self) -> GalleryDeleted:
        return GalleryDeleted(gallery_id=self.id, owner_id=None, reason="requested", deleted_at=self.now)


@pytest.fixture
def gallery(janitor: Any) -> Gallery:
    return Gallery(janitor.clock())


async def state(janitor: Any, gallery: Gallery) -> tuple[datetime | None, int, bool]:
    """(deadline, sequence, deleted)"""
    (row,) = await janitor.query(
        "SELECT expires_at, sequence, deleted_at FROM due_galleries WHERE gallery_id = :id", id=gallery.id
    )
    return row.expires_at, row.sequence, row.deleted_at is not None


async def test_an_update_that_comes_before_the_creation_wins(janitor: Any, gallery: Gallery) -> None:
    await janitor.hear(gallery.updated(gallery.now + 60 * DAY), sequence=2)
    await janitor.hear(gallery.created(), sequence=1)
    assert await state(janitor, gallery) == (gallery.now + 60 * DAY, 2, False)


async def test_a_deletion_that_comes_before_the_creation_is_final(janitor: Any, gallery: Gallery) -> None:
    await janitor.hear(gallery.deleted(), sequence=2)
    await janitor.hear(gallery.created(), sequence=1)
    assert await state(janitor, gallery) == (None, 2, True)


async def test_a_claimed_gallery_is_never_due_again(janitor: Any, gallery: Gallery) -> None:
    await janitor.hear(gallery.created(), sequence=1)
    await janitor.hear(gallery.updated(None), sequence=2)
    assert await state(janitor, gallery) == (None, 2, False)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_every_order_with_duplicates_ends_the_same(janitor: Any, order: tuple[int, ...]) -> None:
    gallery = Gallery(janitor.clock())
    life = [
        (gallery.created(), 1),
        (gallery.updated(gallery.now + 60 * DAY), 2),
        (gallery.updated(gallery.now + 90 * DAY), 3),
        (gallery.deleted(), 4),
    ]
    for index in (*order, *order):
        event, sequence = life[index]
        await janitor.hear(event, sequence=sequence)
    _, sequence, deleted = await state(janitor, gallery)
    assert (sequence, deleted) == (4, True)
    purges = await janitor.query("SELECT prefix FROM purges WHERE gallery_id = :id", id=gallery.id)
    assert [row.prefix for row in purges] == [f"galleries/{gallery.id}/"]


async def test_a_batch_with_several_versions_keeps_the_newest(janitor: Any, gallery: Gallery) -> None:
    """Each event counts as it would alone: those that are not newer than the ones before are outdated."""
    other, gone = Gallery(janitor.clock()), Gallery(janitor.clock())
    await janitor.hear(other.updated(None), sequence=5)
    await janitor.hear(gone.deleted(), sequence=9)
    fates = {fate: metrics.CONSUMER_RECORDS.labels("GalleryUpdated", fate) for fate in ("done", "duplicate")}
    before = {fate: counter._value.get() for fate, counter in fates.items()}
    await janitor.hear_all(
        (gallery.updated(gallery.now + 60 * DAY), 2),
        (other.updated(other.now + 60 * DAY), 4),
        (gallery.updated(gallery.now + 90 * DAY), 4),
        (gone.updated(gone.now + 60 * DAY), 10),
        (gallery.updated(gallery.now + 70 * DAY), 3),
        (gallery.updated(gallery.now + 90 * DAY), 4),
        (other.updated(other.now + 70 * DAY), 6),
    )
    assert await state(janitor, gallery) == (gallery.now + 90 * DAY, 4, False)
    assert await state(janitor, other) == (other.now + 70 * DAY, 6, False)
    assert await state(janitor, gone) == (None, 9, True)
    assert {fate: counter._value.get() - before[fate] for fate, counter in fates.items()} == {
        "done": 3,
        "duplicate": 4,
    }


async def test_a_batch_of_deletions_is_one_purge_and_one_tombstone_each(
    janitor: Any, gallery: Gallery
) -> None:
    other = Gallery(janitor.clock())
    await janitor.hear(gallery.created(), sequence=1)
    await janitor.hear_all((gallery.deleted(), 2), (other.deleted(), 3), (gallery.deleted(), 2))
    assert await state(janitor, gallery) == (gallery.now + 30 * DAY, 2, True)
    assert await state(janitor, other) == (None, 3, True)
    purges = await janitor.query("SELECT gallery_id FROM purges")
    assert {row.gallery_id for row in purges} == {gallery.id, other.id}
    assert len(purges) == 2


async def test_poison_goes_to_the_dead_letters_and_the_next_record_is_handled(
    janitor: Any, gallery: Gallery
) -> None:
    from kappi_chassis.bus import Record

    headers = (("ce_specversion", b"1.0"), ("ce_type", b"gg.kappi.GalleryCreated.v1"))
    broken = Record(topic="GalleryCreated", partition=0, offset=7, key=b"k", value=b"{", headers=headers)
    await janitor.processor.process(broken)
    await janitor.hear(gallery.created(), sequence=1)
    assert [record.offset for record, _ in janitor.dead_letters.letters] == [7]
    assert (await state(janitor, gallery))[1] == 1
