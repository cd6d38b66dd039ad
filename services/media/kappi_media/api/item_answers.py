"""Shows one item to the bearer of a grant."""

from __future__ import annotations

from kappi_contracts.grants import Grant

from kappi_media.api.access import is_counted, is_told_no_places, is_uploader
from kappi_media.api.presentation import present_item, present_to_viewer
from kappi_media.api.schemas import ItemView
from kappi_media.domain.media import Item, ServedVariant
from kappi_media.signed_urls import DownloadUrls
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.items import Items


class ItemAnswers:
    """Returns the view of an item, the same in all answers. counted_urls: for callers whose downloads count
    against a cap.
    """

    def __init__(
        self, items: Items, *, tier: GoverningTier, urls: DownloadUrls, counted_urls: DownloadUrls
    ) -> None:
        self._items = items
        self._tier = tier
        self._urls = urls
        self._counted_urls = counted_urls

    async def __call__(self, item: Item, grant: Grant) -> ItemView:
        variant = ServedVariant.ORIGINAL
        if is_told_no_places(grant):
            variant = await self._items.gps_free_variant(item)
        present = present_item if is_uploader(grant, added_by=item.contributor_id) else present_to_viewer
        rules = await self._tier.of(grant)
        urls = self._counted_urls if is_counted(grant) else self._urls
        return present(item, urls, as_of=urls.as_of(), rules=rules, variant=variant)
