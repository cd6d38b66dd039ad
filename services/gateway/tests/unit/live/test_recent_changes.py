"""Recent changes, from which streams continue."""

from __future__ import annotations

from uuid import UUID, uuid4

from kappi_gateway.live.changes import Change
from kappi_gateway.live.recent_changes import RecentChanges, Recorded

GALLERY, OTHER = uuid4(), uuid4()


class Recording:
    """Records changes on two partitions."""

    def __init__(self, size: int) -> None:
        self.changes = RecentChanges([10, 20], size=size)
        self._number = 0

    def add(
        self, index: int, offset: int, *, gallery: UUID = GALLERY, item: UUID | None = None, sequence: int = 1
    ) -> bool:
        self._number += 1
        change = Change(gallery, item or uuid4(), "item_ready", b"")
        return self.changes.add(Recorded(change, self._number, index, offset, sequence))

    def since(self, *seen: int, gallery: UUID = GALLERY) -> list[tuple[int, int]] | None:
        found = self.changes.since(gallery, seen)
        return None if found is None else [(each.index, each.offset) for each in found]


def test_the_changes_of_one_gallery_are_those_after_each_partitions_offset() -> None:
    recording = Recording(size=10)
    recording.add(0, 10)
    recording.add(1, 20)
    recording.add(0, 11, gallery=OTHER)
    recording.add(0, 12)
    assert recording.since(10, 20) == [(0, 10), (1, 20), (0, 12)]
    assert recording.since(11, 20) == [(1, 20), (0, 12)]
    assert recording.since(13, 21) == []
    assert recording.since(10, 20, gallery=OTHER) == [(0, 11)]
    assert recording.since(10, 20, gallery=uuid4()) == []


def test_what_was_before_the_beginning_is_unknown() -> None:
    recording = Recording(size=10)
    assert recording.since(9, 20) is None
    assert recording.since(10, 19) is None


def test_what_was_forgotten_is_unknown_for_every_gallery() -> None:
    recording = Recording(size=2)
    for offset in (10, 11, 12):
        recording.add(0, offset)
    assert recording.since(10, 20) is None
    assert recording.since(10, 20, gallery=OTHER) is None
    assert recording.since(11, 20) == [(0, 11), (0, 12)]


def test_what_is_older_than_recorded_is_not_recorded() -> None:
    recording, item = Recording(size=2), uuid4()
    assert recording.add(0, 10, item=item, sequence=2)
    assert not recording.add(1, 20, item=item, sequence=1)
    assert not recording.add(0, 11, item=item, sequence=2)
    assert recording.add(1, 21, item=item, gallery=OTHER, sequence=1), "another gallery's view of it"
    assert recording.add(0, 12, item=item, sequence=3)


def test_nothing_is_held_of_what_was_forgotten() -> None:
    recording = Recording(size=2)
    for offset in range(10, 110):
        recording.add(0, offset, gallery=uuid4())
    held = recording.changes
    assert [len(part) for part in (held._kept, held._of_gallery, held._sequences)] == [2, 2, 2]
