"""Shows, describes and deletes an item, and signs the download of its original."""

from __future__ import annotations

from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.observability.tracing import joining
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import MediaDeleted

from kappi_media.domain.media import UNMADE, Description, GalleryId, Item, MediaId, ServedVariant
from kappi_media.domain.tiers import TierRules
from kappi_media.domain.upload_plan import SignedUrl
from kappi_media.errors import DownloadUrlInvalid, MediaNotFound, MediaNotReady, OriginalNotInTier
from kappi_media.rendition_urls import CountedDownloadUrls
from kappi_media.repository.items import ItemQueries
from kappi_media.signed_urls import DownloadUrls
from kappi_media.use_cases.facts_from_tags import FactsOnRead
from kappi_media.use_cases.gps_free import GpsFreeCopies

_log = get_logger(__name__)


class Items:
    """Handles single items of the gallery that the caller's grant names. Items of other galleries are not
    found.
    """

    def __init__(
        self,
        items: ItemQueries,
        *,
        urls: DownloadUrls,
        copies: GpsFreeCopies,
        outbox: Outbox,
        clock: Clock,
        counted: CountedDownloadUrls,
        facts: FactsOnRead | None = None,
    ) -> None:
        self._counted = counted
        self._items = items
        self._copies = copies
        self._facts = facts
        self._urls = urls
        self._outbox = outbox
        self._clock = clock

    async def find(self, media_id: MediaId, gallery_id: GalleryId) -> Item:
        """Returns an item, also a rejected one, so that an uploader learns why. Raises MediaNotFound."""
        item = _there(await self._items.find(media_id, gallery_id))
        if self._facts is not None and await self._facts((item,)):
            item = _there(await self._items.find(media_id, gallery_id))
        return item

    async def gps_free_variant(self, item: Item) -> ServedVariant:
        """Returns what a viewer gets for the original in a gallery that hides places. A missing copy is
        requested.
        """
        variant = (await self._copies.variants([item.id]))[item.id]
        if variant in UNMADE and item.status == "ready":
            self._copies.want(item.gallery_id, [item.id])
        return variant

    async def describe(
        self,
        media_id: MediaId,
        gallery_id: GalleryId,
        *,
        description: Description,
        filename: str | None,
        fields: frozenset[str],
    ) -> Item:
        """Replace the named fields of the item's description, and its name if one is given. Raises
        MediaNotFound.
        """
        return _there(
            await self._items.describe(
                media_id, gallery_id, description=description, filename=filename, fields=fields
            )
        )

    async def delete(self, media_id: MediaId, gallery_id: GalleryId, *, owner_id: UUID | None) -> None:
        """Delete an item at once for all viewers; the janitor removes the bytes. owner_id: None if anonymous.

        Raises MediaNotFound.
        """
        now = self._clock()
        event = self._outbox.row(
            MediaDeleted(
                media_id=media_id,
                gallery_id=gallery_id,
                reason="requested",
                deleted_at=now,
                owner_id=owner_id,
            )
        )
        deleted = await self._items.delete(media_id, gallery_id, now=now, event=event)
        if deleted is None:
            raise MediaNotFound
        self._outbox.wake()
        with joining(deleted.traceparent, "delete item"):
            _log.debug("media.deleted", media_id=str(media_id))

    async def download(self, media_id: MediaId, gallery_id: GalleryId, *, rules: TierRules) -> SignedUrl:
        """Returns the signed URL of the original under its own name.

        Raises MediaNotFound (also if rejected), OriginalNotInTier, MediaNotReady (it is still to be checked).
        """
        item = await self._downloadable(media_id, gallery_id, rules=rules)
        if item.status != "ready":
            raise _not_ready()
        return self._urls.original(item, as_of=self._urls.as_of())

    async def download_as_uploader(
        self, media_id: MediaId, gallery_id: GalleryId, *, rules: TierRules
    ) -> SignedUrl:
        """As `download`, for callers that may upload to the gallery: also of an item that is still to be
        checked, unless a virus scanner has to check it first.
        """
        item = await self._downloadable(media_id, gallery_id, rules=rules)
        if not self._urls.may_go_to_its_uploader(item.status):
            raise _not_ready()
        return self._urls.original(item, as_of=self._urls.as_of())

    async def download_location_free(
        self, media_id: MediaId, gallery_id: GalleryId, *, rules: TierRules
    ) -> SignedUrl:
        """Returns the signed URL of a copy without the place where the original was made. The copy is made if
        needed.

        Raises as `download` and as `GpsFreeCopies` do.
        """
        item = await self._downloadable(media_id, gallery_id, rules=rules)
        handed = await self._copies(media_id, gallery_id)
        return self._urls.object(
            handed.key, filename=item.filename, content_type=item.content_type, as_of=self._urls.as_of()
        )

    async def counted_download(
        self, media_id: MediaId, *, expires: str, signature: str
    ) -> tuple[SignedUrl, GalleryId]:
        """Returns what a signed URL at the gateway leads to, and the gallery whose download it is.

        Raises DownloadUrlInvalid, and as `download_location_free` does.
        """
        found = await self._items.find_with_owner(media_id)
        if found is None:
            raise DownloadUrlInvalid("The item is gone.")
        item, _ = found
        location_free, ends_at = self._counted.check(
            item, expires=expires, signature=signature, now=self._clock()
        )
        if item.status != "ready":
            raise _not_ready()
        # The new URL needs no credential, so it must not outlive the URL that led to it.
        as_of = self._urls.as_of_end(ends_at)
        if not location_free:
            return self._urls.original(item, as_of=as_of), item.gallery_id
        copy = await self._copies(media_id, item.gallery_id)
        signed = self._urls.object(
            copy.key, filename=item.filename, content_type=item.content_type, as_of=as_of
        )
        return signed, item.gallery_id

    async def _downloadable(self, media_id: MediaId, gallery_id: GalleryId, *, rules: TierRules) -> Item:
        item = await self._items.find(media_id, gallery_id)
        if item is None or item.status == "rejected":
            raise MediaNotFound
        if not rules.original_access:
            raise OriginalNotInTier("Its renditions are available.")
        return item


def _not_ready() -> MediaNotReady:
    return MediaNotReady("It is still being checked; try again in a moment.")


def _there(item: Item | None) -> Item:
    if item is None:
        raise MediaNotFound
    return item
