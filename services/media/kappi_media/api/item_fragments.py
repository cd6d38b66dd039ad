"""Encodes items as JSON and caches them per version, tier and base URL. When one item of a page changes, the
others are not encoded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec
from kappi_chassis.base_url import told

from kappi_media.api.presentation import present_to_viewer
from kappi_media.domain.media import Item, ServedVariant
from kappi_media.domain.tiers import TierRules
from kappi_media.signed_urls import DownloadUrls

KEPT_ITEMS = 10_000

_encoder = msgspec.json.Encoder()


class ItemFragments:
    """The cache of one instant of signing. It is cleared when the next time bucket begins, or when it is
    full.
    """

    def __init__(self, urls: DownloadUrls) -> None:
        self._urls = urls
        self._as_of: datetime | None = None
        self._kept: dict[tuple[UUID, int, str, str | None], msgspec.Raw] = {}

    def kept(
        self, versions: Iterable[tuple[UUID, int]], *, as_of: datetime, rules: TierRules
    ) -> dict[UUID, msgspec.Raw]:
        """Returns the cached fragments of these (id, version)."""
        if as_of != self._as_of or len(self._kept) >= KEPT_ITEMS:
            self._kept.clear()
            self._as_of = as_of
        mark, base_url = rules.mark, told.get()
        found = {
            media_id: self._kept.get((media_id, version, mark, base_url)) for media_id, version in versions
        }
        return {media_id: fragment for media_id, fragment in found.items() if fragment is not None}

    def make(
        self,
        items: Iterable[Item],
        *,
        as_of: datetime,
        rules: TierRules,
        variants: Mapping[UUID, ServedVariant] = MappingProxyType({}),
    ) -> dict[UUID, msgspec.Raw]:
        """Encode items and cache them. variants: what is served for their originals, where it differs."""
        made: dict[UUID, msgspec.Raw] = {}
        for item in items:
            variant = variants.get(item.id, ServedVariant.ORIGINAL)
            shown = present_to_viewer(item, self._urls, as_of=as_of, rules=rules, variant=variant)
            fragment = msgspec.Raw(_encoder.encode(shown))
            made[item.id] = fragment
            if as_of == self._as_of:
                self._kept[item.id, item.version, rules.mark, told.get()] = fragment
        return made
