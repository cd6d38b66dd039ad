"""The latest changes of all galleries, from which an interrupted stream continues."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from kappi_gateway.live.changes import Change


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change with its place.

    number: its place among all changes here, from 1. index, offset: its place in a topic. sequence: its place
    in the history of its item or gallery.
    """

    change: Change
    number: int
    index: int
    offset: int
    sequence: int


class RecentChanges:
    """Holds at most `size` changes; the oldest are forgotten first.

    begins: the next offset of each partition when recording began.
    """

    def __init__(self, begins: Sequence[int], *, size: int) -> None:
        self._size = size
        self._kept: deque[Recorded] = deque()
        self._of_gallery: dict[UUID, deque[Recorded]] = {}
        self._complete_from = list(begins)
        self._sequences: dict[tuple[UUID, UUID | None], int] = {}

    def add(self, recorded: Recorded) -> bool:
        """Records a change. Returns False for one that was recorded before, or is older than a recorded one.

        Brokers deliver an event at least once, and there is no order across topics: the deletion of an item
        may arrive before its completion.
        """
        change = recorded.change
        subject = change.gallery_id, change.subject_id
        if recorded.sequence <= self._sequences.get(subject, 0):
            return False
        self._sequences[subject] = recorded.sequence
        self._kept.append(recorded)
        self._of_gallery.setdefault(change.gallery_id, deque()).append(recorded)
        if len(self._kept) > self._size:
            self._forget_oldest()
        return True

    def of(self, gallery_id: UUID) -> Sequence[Recorded]:
        """Returns the recorded changes of a gallery, the oldest first."""
        return self._of_gallery.get(gallery_id, ())

    def since(self, gallery_id: UUID, seen: Sequence[int]) -> list[Recorded] | None:
        """Returns the changes of a gallery after a position, None if some may be missing.

        seen: the next offset of each partition.
        """
        if any(offset < begin for offset, begin in zip(seen, self._complete_from, strict=True)):
            return None
        return [recorded for recorded in self.of(gallery_id) if recorded.offset >= seen[recorded.index]]

    def _forget_oldest(self) -> None:
        oldest = self._kept.popleft()
        change = oldest.change
        self._complete_from[oldest.index] = max(self._complete_from[oldest.index], oldest.offset + 1)
        own = self._of_gallery[change.gallery_id]
        own.popleft()
        if not own:
            del self._of_gallery[change.gallery_id]
        subject = change.gallery_id, change.subject_id
        if self._sequences.get(subject) == oldest.sequence:
            del self._sequences[subject]
