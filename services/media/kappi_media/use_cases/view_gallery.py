"""Returns the items of a gallery as its viewers see them, page by page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.pagination import cut_page
from kappi_contracts.grants import PublicGallery

from kappi_media.domain.contributions import ContributorId
from kappi_media.domain.media import UNMADE, GalleryContents, GalleryId, Item, ServedVariant
from kappi_media.errors import GalleryNotFound
from kappi_media.repository.view import ViewQueries
from kappi_media.shared_reads import SharedReads
from kappi_media.use_cases.facts_from_tags import FactsOnRead
from kappi_media.use_cases.gps_free import GpsFreeCopies


class PageOfVersions(NamedTuple):
    """(id, version) of each item of a page, in the order of the gallery. next_after: the sort key after
    which the next page begins; None on the last one.
    """

    versions: Sequence[tuple[UUID, int]]
    next_after: bytes | None


class ViewGallery:
    """Reads the items of a gallery.

    facts: read from tags for items that are still being processed; None where no tags are read. copies:
    served in place of originals to viewers of galleries that hide places.
    """

    def __init__(self, view: ViewQueries, *, copies: GpsFreeCopies, facts: FactsOnRead | None = None) -> None:
        self._view = view
        self._contents = SharedReads(view.contents)
        self._facts = facts
        self._copies = copies

    async def contents(self, gallery: PublicGallery) -> GalleryContents:
        """Returns the version and the number of items of a gallery.

        Concurrent callers share a read. Raises GalleryNotFound when the gallery is deleted, whatever the
        grant says.
        """
        contents = await self._contents(GalleryId(gallery.id))
        if contents.deleted:
            raise GalleryNotFound
        return contents

    async def is_first(self, gallery: PublicGallery, *, after: bytes | None) -> bool:
        """Whether a page counts as a view. A made-up sort key counts, too: it could be before all items."""
        return after is None or not await self._view.has_item_with(GalleryId(gallery.id), after)

    async def item_count(
        self, gallery: PublicGallery, contents: GalleryContents, *, only_of: ContributorId | None
    ) -> int:
        """Returns the number of items that are shown. only_of: as of `page`."""
        if only_of is None:
            return contents.item_count
        return await self._view.count_of(only_of, GalleryId(gallery.id))

    async def page(
        self,
        gallery: PublicGallery,
        *,
        after: bytes | None,
        limit: int,
        only_of: ContributorId | None = None,
    ) -> PageOfVersions:
        """Returns one page. after: the sort key of the last item of the page before. only_of: the contributor
        whose items alone are shown; None for all items.
        """
        gallery_id = GalleryId(gallery.id)
        found = (
            await self._view.page(gallery_id, after=after, limit=limit + 1)
            if only_of is None
            else await self._view.page_of(only_of, gallery_id, after=after, limit=limit + 1)
        )
        page, last = cut_page(found, limit=limit)
        return PageOfVersions([(item.id, item.version) for item in page], last.sort_key if last else None)

    async def items(self, gallery: PublicGallery, media_ids: Collection[UUID]) -> Sequence[Item]:
        """Returns items of a gallery in no particular order; one that was deleted meanwhile is left out."""
        gallery_id = GalleryId(gallery.id)
        items = await self._view.items(gallery_id, list(media_ids))
        if self._facts is not None and await self._facts(items):
            items = await self._view.items(gallery_id, list(media_ids))
        return items

    async def variants(self, gallery: PublicGallery, items: Sequence[Item]) -> Mapping[UUID, ServedVariant]:
        """Returns what is served in place of the originals, where it differs. A missing copy is requested."""
        if not gallery.location_free:
            return {}
        variants = await self._copies.variants([item.id for item in items])
        unmade = [item.id for item in items if item.status == "ready" and variants[item.id] in UNMADE]
        self._copies.want(GalleryId(gallery.id), unmade)
        return variants
