"""Signed downloads that are the same within a time bucket, so that answers that contain them can be
cached.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from kappi_chassis.clock import Clock
from kappi_chassis.storage import UrlSigner
from kappi_chassis.time_left import seconds_left
from kappi_contracts.keys import gps_free_key, original_key, rendition_key, sidecar_key
from kappi_contracts.rendition_formats import StoredFormat

from kappi_media.domain.media import Item, ItemStatus, start_of_bucket
from kappi_media.domain.sidecars import SIDECAR_TYPE
from kappi_media.domain.upload_plan import SignedUrl
from kappi_media.rendition_urls import CountedDownloadUrls, RenditionUrls


class DownloadUrls:
    """Signs as of the start of the current bucket; the lifetime is longer by the bucket.

    lifetime: what every URL has left when it is issued, at least. on_request: signs for renditions that are
    not made yet. scanned_only: originals are withheld until a virus scanner has checked them, which is before
    they are ready. counted: signs URLs of originals in their place, which lead through the gateway; None for
    URLs at the store.
    """

    def __init__(
        self,
        signer: UrlSigner,
        *,
        clock: Clock,
        lifetime: timedelta,
        bucket: timedelta,
        on_request: RenditionUrls,
        scanned_only: bool = False,
        counted: CountedDownloadUrls | None = None,
    ) -> None:
        self._counted = counted
        self._scanned_only = scanned_only
        self._on_request = on_request
        self._signer = signer
        self._clock = clock
        self._bucket = bucket
        self._bare_lifetime = lifetime
        self._lifetime = lifetime + bucket
        self._left_s = int(lifetime.total_seconds())

    def as_of(self) -> datetime:
        """Returns the instant as of which all URLs are signed now."""
        return start_of_bucket(self._clock(), self._bucket)

    def as_of_end(self, expires_at: datetime) -> datetime:
        """Returns the instant as of which a URL with this end was signed."""
        return expires_at - self._lifetime

    def kept_until(self, as_of: datetime) -> datetime:
        """Returns the end of the bucket: an answer of `as_of` is served until then."""
        return as_of + self._bucket

    def may_go_to_its_uploader(self, status: ItemStatus) -> bool:
        """Returns whether an original in this state may be served to callers that may upload to its gallery.
        Other viewers get it when it is ready: until then its content is not checked.
        """
        return status == "ready" or (status == "processing" and not self._scanned_only)

    def original(self, item: Item, *, as_of: datetime) -> SignedUrl:
        """Returns the URL of the original under its own file name, with the type that was found in it.

        The store may have it under the declared type, which may be that of another picture format.
        """
        if self._counted is not None:
            return self._in_gateway(self._counted, item, location_free=False, as_of=as_of)
        key = original_key(item.gallery_id, item.id, item.folder)
        return self._signed(key, as_of, item.filename, item.content_type)

    def location_free(self, item: Item, *, as_of: datetime) -> SignedUrl:
        """Returns the URL of the copy without the original's place, under the original's file name."""
        if self._counted is not None:
            return self._in_gateway(self._counted, item, location_free=True, as_of=as_of)
        key = gps_free_key(item.gallery_id, item.id, item.folder)
        return self._signed(key, as_of, item.filename, item.content_type)

    def sidecar(self, item: Item, *, as_of: datetime) -> SignedUrl | None:
        """Returns the URL of the item's sidecar under its own name; None where downloads are counted, because
        it counts as none.
        """
        if self._counted is not None:
            return None
        key = sidecar_key(item.gallery_id, item.id, item.folder)
        return self._signed(key, as_of, item.sidecar_filename, SIDECAR_TYPE)

    def object(self, key: str, *, filename: str, content_type: str, as_of: datetime) -> SignedUrl:
        """Returns the URL of the object under a key, under a file name."""
        return self._signed(key, as_of, filename, content_type)

    def rendition(self, item: Item, size: str, *, as_of: datetime, fmt: StoredFormat = "jpeg") -> SignedUrl:
        key = rendition_key(item.gallery_id, item.id, size, fmt, folder=item.folder)
        return self._signed(key, as_of)

    def lasting(self, seconds: float, *, as_of: datetime) -> tuple[datetime, int]:
        """Returns when a URL expires that is used for so long, and the seconds left, at least."""
        longer = math.ceil(seconds)
        return as_of + self._lifetime + timedelta(seconds=longer), self._left_s + longer

    def film(self, item: Item, size: str, *, as_of: datetime, end: datetime) -> str:
        """Returns the URL of a film in a size, valid until `end`: a whole second."""
        key = rendition_key(item.gallery_id, item.id, size, "mp4", folder=item.folder)
        return self._signer.sign_get(key, now=as_of, lifetime=end - as_of).url

    def rendition_on_request(self, item: Item, size: str, *, as_of: datetime) -> SignedUrl:
        """Returns the URL of a rendition that is made when the URL is followed."""
        expires_at = as_of + self._lifetime
        return self._on_request.sign(item, size, expires_at=expires_at, expires_in=self._left_s)

    def object_until(
        self, end: datetime, *, now: datetime, key: str, filename: str, content_type: str
    ) -> SignedUrl:
        """Returns the URL of the object under a key, valid no longer than `end`: a whole second after `now`,
        as signatures begin on one.
        """
        begin = now.replace(microsecond=0)
        signed = self._signer.sign_get(
            key,
            now=begin,
            lifetime=min(self._bare_lifetime, end - begin),
            filename=filename,
            content_type=content_type,
        )
        return SignedUrl(signed.url, signed.expires_at, seconds_left(signed.expires_at, now=now))

    def _in_gateway(
        self, counted: CountedDownloadUrls, item: Item, *, location_free: bool, as_of: datetime
    ) -> SignedUrl:
        return counted.sign(
            item, location_free=location_free, expires_at=as_of + self._lifetime, expires_in=self._left_s
        )

    def _signed(
        self, key: str, as_of: datetime, filename: str | None = None, content_type: str | None = None
    ) -> SignedUrl:
        signed = self._signer.sign_get(
            key, now=as_of, lifetime=self._lifetime, filename=filename, content_type=content_type
        )
        return SignedUrl(signed.url, signed.expires_at, self._left_s)
