"""Finds the picture that stands for a gallery, as in link previews."""

from __future__ import annotations

from kappi_contracts.grants import PublicGallery

from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.domain.shares import Share
from kappi_media.domain.tiers import GRID_SIZE, TierRules
from kappi_media.domain.upload_plan import SignedUrl
from kappi_media.errors import CoverNotFound, GalleryNotFound, MediaNotFound
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.view import ViewQueries
from kappi_media.use_cases.renditions import Renditions


class ShowCover:
    """Returns the cover in the size of the grid, which every ready item has and every viewer may see."""

    def __init__(self, items: ItemQueries, *, view: ViewQueries, renditions: Renditions) -> None:
        self._items = items
        self._view = view
        self._renditions = renditions

    async def __call__(self, gallery: PublicGallery, *, rules: TierRules, share: Share) -> SignedUrl:
        """Returns the signed URL of the JPEG.

        Raises GalleryNotFound when the gallery is deleted, whatever the grant says, CoverNotFound, and what
        `MakeRendition` raises.
        """
        gallery_id = GalleryId(gallery.id)
        media_id = await self._cover_of(gallery, gallery_id)
        try:
            return await self._renditions(
                media_id, gallery_id, size=GRID_SIZE, fmt="jpeg", rules=rules, share=share
            )
        except MediaNotFound as gone:
            raise CoverNotFound from gone

    async def _cover_of(self, gallery: PublicGallery, gallery_id: GalleryId) -> MediaId:
        """Returns the named item; the first one where none is named, or it is not in the gallery any more."""
        if gallery.cover_media_id is not None:
            named = await self._items.find(MediaId(gallery.cover_media_id), gallery_id)
            if named is not None and named.status == "ready":
                return named.id
        if gallery.contributions == "drop":
            raise CoverNotFound  # viewers see no items, unless the manager shows one as cover
        first = await self._view.first_ready(gallery_id)
        if first is not None:
            return first
        if (await self._view.contents(gallery_id)).deleted:
            raise GalleryNotFound
        raise CoverNotFound
