"""Encodes and caches the page of a gallery, which is the most frequent call.

One row decides whether the gallery exists and at which version. The body is a pure function of that version,
the gallery's public data, what its tier shows, the requested page, the URLs' time bucket and their base URL.
So it is cached, compressed. Where items are hidden, the shown items take the place of the version, which
would tell how much others add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final, NamedTuple
from uuid import UUID
from zlib import crc32

import msgspec
from kappi_chassis.base_url import told
from kappi_contracts.grants import PublicGallery

from kappi_media import metrics
from kappi_media.api.compression import Coding, compress
from kappi_media.api.item_cursor import cursor_after_key
from kappi_media.api.item_fragments import ItemFragments
from kappi_media.api.page_cache import PageCache
from kappi_media.api.presentation import present_gallery
from kappi_media.api.schemas import SharedGallery
from kappi_media.domain.contributions import NO_CONTRIBUTOR, ContributorId
from kappi_media.domain.media import GalleryContents
from kappi_media.domain.tiers import TierRules
from kappi_media.signed_urls import DownloadUrls
from kappi_media.use_cases.view_gallery import ViewGallery

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The requested page. after: the sort key of the last item of the page before. known_tags: the raw
    `If-None-Match`. only_of: the contributor whose items alone are shown; None for all items.
    """

    limit: int
    after: bytes | None
    coding: Coding
    known_tags: str
    only_of: ContributorId | None = None


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """The answer. body: in the requested coding; None when the client's own copy is still current."""

    body: bytes | None
    etag: str


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """A `SharedGalleryPage` whose items are already encoded."""

    gallery: SharedGallery
    items: list[msgspec.Raw]
    next_cursor: str | None


class _Listed(NamedTuple):
    """The items of a page, as in `PageOfVersions`. item_count: of all that are shown."""

    versions: Sequence[tuple[UUID, int]]
    next_after: bytes | None
    item_count: int

    @property
    def digest(self) -> str:
        return blake2b(_encoder.encode(self), digest_size=8).hexdigest()


_NOTHING: Final = _Listed((), None, 0)


class GalleryPages:
    """Returns encoded pages of galleries, from the cache where possible."""

    def __init__(
        self, view: ViewGallery, *, urls: DownloadUrls, counted_urls: DownloadUrls, cache: PageCache
    ) -> None:
        """Builds the pages. counted_urls: for galleries with a cap on downloads."""
        self._view = view
        self._urls = urls
        self._cache = cache
        # By whether downloads are counted, and whether places are hidden.
        self._fragments = {
            (capped, location_free): ItemFragments(counted_urls if capped else urls)
            for capped in (False, True)
            for location_free in (False, True)
        }

    async def __call__(self, gallery: PublicGallery, page: PageRequest, *, rules: TierRules) -> PageAnswer:
        """Returns the page. Raises GalleryNotFound when the gallery is deleted, whatever the grant says."""
        contents = await self._view.contents(gallery)
        own = None if page.only_of is None else await self._listed(gallery, contents, page)
        state = contents.version if own is None else own.digest
        as_of, base_url = self._urls.as_of(), told.get()
        # The tag is weak: the same page in another coding is the same page. The time bucket is part of it,
        # because a client must not keep a copy whose URLs expire, and so is the base URL, because the client
        # may have used another address earlier.
        seen_from = "" if base_url is None else f".{crc32(base_url.encode()):08x}"
        seen_by = "" if page.only_of is None else f".{page.only_of.hex}"
        moment = f"{state}.{gallery.version}.{int(as_of.timestamp())}"
        etag = f'W/"{moment}.{rules.mark}{seen_from}{seen_by}"'
        if page.known_tags and names(page.known_tags, etag):
            metrics.VIEWS.labels("not_modified").inc()
            return PageAnswer(None, etag)
        key = (
            gallery.id,
            state,
            gallery.version,
            as_of,
            base_url,
            rules.mark,
            page.limit,
            page.after,
            page.coding,
            page.only_of,
        )
        body = self._cache.kept(key)
        if body is not None:
            metrics.VIEWS.labels("cached").inc()
            return PageAnswer(body, etag)
        body = await self._cache.build(
            key, lambda: self._build(gallery, contents, own, page=page, as_of=as_of, rules=rules)
        )
        metrics.VIEWS.labels("built").inc()
        return PageAnswer(body, etag)

    async def _build(
        self,
        gallery: PublicGallery,
        contents: GalleryContents,
        own: _Listed | None,
        *,
        page: PageRequest,
        as_of: datetime,
        rules: TierRules,
    ) -> bytes:
        versions, next_after, item_count = own or await self._listed(gallery, contents, page)
        fragments = self._fragments[gallery.downloads_capped, gallery.location_free]
        shown = fragments.kept(versions, as_of=as_of, rules=rules)
        if missing := [media_id for media_id, _ in versions if media_id not in shown]:
            items = await self._view.items(gallery, missing)
            variants = await self._view.variants(gallery, items)
            shown |= fragments.make(items, as_of=as_of, rules=rules, variants=variants)
        document = _Page(
            gallery=present_gallery(gallery, item_count=item_count, kept_until=self._urls.kept_until(as_of)),
            # An item deleted between the two reads is left out; then the version has changed already.
            items=[shown[media_id] for media_id, _ in versions if media_id in shown],
            next_cursor=cursor_after_key(next_after),
        )
        return compress(_encoder.encode(document), page.coding)

    async def _listed(self, gallery: PublicGallery, contents: GalleryContents, page: PageRequest) -> _Listed:
        if page.only_of == NO_CONTRIBUTOR:
            return _NOTHING
        versions, next_after = await self._view.page(
            gallery, after=page.after, limit=page.limit, only_of=page.only_of
        )
        count = await self._view.item_count(gallery, contents, only_of=page.only_of)
        return _Listed(versions, next_after, count)


def names(header: str, etag: str) -> bool:
    """Returns whether an `If-None-Match` names a weak tag (RFC 9110, 13.1.2)."""
    if header.strip() == "*":
        return True
    bare = etag.removeprefix("W/")
    return any(tag.strip().removeprefix("W/") == bare for tag in header.split(","))
