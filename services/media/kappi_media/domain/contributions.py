"""What contributors may add to galleries, and what they see of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, NamedTuple, NewType
from uuid import UUID

from kappi_media.domain.media import ReservationBudget, ReservationBudgets

ContributorId = NewType("ContributorId", UUID)

NO_CONTRIBUTOR: Final = ContributorId(UUID(int=0))
"""The id that no contributor has: a caller that is shown only this contributor's items is shown none."""


class Contributor(NamedTuple):
    """A contributor, as a grant names it. name: as it named itself.

    gallery_version: of the gallery that the grant describes. sees_own_only: nothing of others is shown to it.
    """

    id: ContributorId
    name: str | None
    gallery_version: int
    sees_own_only: bool


class ContributionLimits(NamedTuple):
    """The files and bytes that may be added, pending uploads included. contributor: by one contributor.
    gallery: by all contributors of one gallery.

    pending: of these, those that are not completed, for a client address in all galleries, and for a gallery.
    pending_quota_percent: of the quota of the gallery's owner, for the pending bytes of a gallery.
    pending_lifetime: until an upload of a contributor that was not completed is abandoned.
    """

    contributor: ReservationBudget
    gallery: ReservationBudget
    pending: ReservationBudgets
    pending_quota_percent: int
    pending_lifetime: timedelta

    def pending_of_gallery(self, quota_bytes: int | None) -> ReservationBudget:
        """Returns what may be pending in one gallery. quota_bytes: of its owner; None for no limit."""
        files, size_bytes = self.pending.gallery
        if quota_bytes is not None:
            size_bytes = min(size_bytes, quota_bytes * self.pending_quota_percent // 100)
        return ReservationBudget(files, size_bytes)


LimitHolder = Literal["contributor", "gallery", "pending_address", "pending_gallery"]
"""The holder of a limit. The last two have one on what is not completed."""


class ContributionLimitReached(NamedTuple):
    """The limit that a batch of a contributor exceeds. held: what counts against it now. adds: the batch."""

    whose: LimitHolder
    held: ReservationBudget
    limit: ReservationBudget
    adds: ReservationBudget

    @property
    def is_too_large(self) -> bool:
        """Whether the batch exceeds the limit by itself."""
        return self.adds.files > self.limit.files or self.adds.bytes > self.limit.bytes
