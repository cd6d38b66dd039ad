"""The contributors of a gallery: holders of its code that may add items."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NewType
from uuid import UUID

from kappi_galleries.domain.galleries import GalleryId, clean_line

ContributorId = NewType("ContributorId", UUID)

MAX_NAME_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributor:
    """A contributor of one gallery. name: as it named itself. A removed contributor has no name and no key.

    version: grows with every removal; the sequence of the contributor's events.
    """

    id: ContributorId
    gallery_id: GalleryId
    name: str | None
    created_at: datetime
    removed_at: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedContributor:
    """A contributor as the gallery's manager sees it. item_count, size_bytes: of its ready items in this
    gallery.
    """

    id: ContributorId
    name: str | None
    created_at: datetime
    item_count: int
    size_bytes: int


def clean_name(text: str) -> str | None:
    """Returns the name as it is stored; None where nothing is left. Raises LineRefused."""
    return clean_line(text, kind="name", max_characters=MAX_NAME_CHARACTERS)
