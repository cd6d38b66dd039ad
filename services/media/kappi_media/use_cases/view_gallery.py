"""The items of a gallery as its viewers see them, page by page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.pagination import cut_page
from kappi_contracts.grants import PublicGallery

from kappi_media.domain.media import UNMADE, GalleryContents, GalleryId, Item, ServedVariant
from kappi_media.errors import GalleryNotFound
from kappi_media.repository.view import ViewQueries
from kappi_media.use_cases.facts_from_tags import FactsOnRead
from kappi_media.use_cases.gps_free import GpsFreeCopies


class PageOfVersions(NamedTuple):
    """(id, version) of each item of a page, in the order of the gallery. next_after: for the page after."""

    versions: Sequence[tuple[UUID, int]]
    next_after: UUID | None


class ViewGallery:
    """facts: read from tags for items that are still in work; None where no tags are read. copies: given to
    viewers of some galleries in place of originals."""

    def __init__(self, view: ViewQueries, *, copies: GpsFreeCopies, facts: FactsOnRead | None = None) -> None:
        self._view = view
        self._facts = facts
        self._copies = copies

    async def contents(self, gallery: PublicGallery) -> GalleryContents:
        """Raises GalleryNotFound when the gallery is deleted, whatever the grant says."""
        contents = await self._view.contents(GalleryId(gallery.id))
        if contents.deleted:
            raise GalleryNotFound
        return contents

    async def page(self, gallery: PublicGallery, *, after: UUID | None, limit: int) -> PageOfVersions:
        """after: the last id of the page before."""
        found = await self._view.page(GalleryId(gallery.id), after=after, limit=limit + 1)
        page, last = cut_page(found, limit=limit)
        return PageOfVersions(page, last[0] if last else None)

    async def items(self, media_ids: Collection[UUID]) -> Sequence[Item]:
        """In no order; an item that was deleted meanwhile is left out."""
        items = await self._view.items(list(media_ids))
        if self._facts is not None and await self._facts(items):
            items = await self._view.items(list(media_ids))
        return items

    async def variants(self, gallery: PublicGallery, items: Sequence[Item]) -> Mapping[UUID, ServedVariant]:
        """What is served for originals, where it is not these. A copy that is not there yet is made from now
        on."""
        if not gallery.location_free:
            return {}
        variants = await self._copies.variants([item.id for item in items])
        unmade = [item.id for item in items if item.status == "ready" and variants[item.id] in UNMADE]
        self._copies.want(GalleryId(gallery.id), unmade)
        return variants
