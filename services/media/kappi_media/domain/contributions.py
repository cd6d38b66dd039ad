"""What contributors may add to galleries, and what they see of them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, NewType
from uuid import UUID

from kappi_media.domain.media import ReservationBudget

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
    """

    contributor: ReservationBudget
    gallery: ReservationBudget


class ContributionLimitReached(NamedTuple):
    """The limit that a batch of a contributor exceeds. held: what counts against it now."""

    whose: Literal["contributor", "gallery"]
    held: ReservationBudget
    limit: ReservationBudget
