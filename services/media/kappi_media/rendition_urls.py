"""Signed URLs at the gateway: of renditions that are made when the URL is followed, of downloads that are
counted then, and of playlists.

A picture on a page is requested without a credential, so the URL is the credential: for one item in one
folder, one purpose, and a time.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Final

from kappi_chassis.base_url import base_url
from kappi_chassis.problems import Forbidden

from kappi_media.domain.media import Item
from kappi_media.domain.upload_plan import SignedUrl
from kappi_media.errors import DownloadUrlInvalid, PlaylistUrlInvalid, RenditionUrlInvalid

EXPIRES, SIGNATURE = "expires", "signature"
_SIGNATURE_BYTES: Final = 16
_SECOND_DIGITS: Final = 12
_LOCATION_FREE: Final = {False: "original", True: "location-free"}


class _ItemUrls:
    """Signs and checks URLs of one kind. public_url: the public address of the gateway. secret: the same in
    every replica.
    """

    _kind: bytes
    _refusal: type[Forbidden]

    def __init__(self, *, public_url: str, secret: bytes) -> None:
        self._public_url = public_url
        self._key = hmac.digest(secret, self._kind, "sha256")

    def _sign(
        self, item: Item, purpose: str, path: str, *, expires_at: datetime, expires_in: int
    ) -> SignedUrl:
        expires = str(int(expires_at.timestamp()))
        signature = self._signature(item, purpose, expires)
        url = f"{base_url(self._public_url)}/v1/media/{item.id}/{path}"
        return SignedUrl(f"{url}{EXPIRES}={expires}&{SIGNATURE}={signature}", expires_at, expires_in)

    def _signed_for(self, item: Item, purpose: str, *, expires: str, signature: str) -> bool:
        return hmac.compare_digest(self._signature(item, purpose, expires).encode(), signature.encode())

    def _end(self, expires: str, *, is_signed: bool, now: datetime) -> datetime:
        if not is_signed or not (expires.isascii() and expires.isdigit() and len(expires) <= _SECOND_DIGITS):
            raise self._refusal("It was not signed for this. Get the item again.")
        ends_at = datetime.fromtimestamp(int(expires), UTC)
        if now >= ends_at:
            raise self._refusal("It has expired. Get the item again.")
        return ends_at

    def _signature(self, item: Item, purpose: str, expires: str) -> str:
        # Each move of an item has a folder of its own, so no URL of its old gallery is valid in the new one.
        text = f"{item.id}\n{item.gallery_id}\n{item.folder}\n{purpose}\n{expires}"
        return hmac.digest(self._key, text.encode(), "sha256")[:_SIGNATURE_BYTES].hex()


class RenditionUrls(_ItemUrls):
    """Signs and checks URLs of renditions."""

    _kind, _refusal = b"rendition urls", RenditionUrlInvalid

    def sign(self, item: Item, size: str, *, expires_at: datetime, expires_in: int) -> SignedUrl:
        """Returns the URL. expires_at: a whole second. expires_in: the seconds left when the answer arrives,
        at least.
        """
        return self._sign(item, size, f"renditions/{size}?", expires_at=expires_at, expires_in=expires_in)

    def check(self, item: Item, size: str, *, expires: str, signature: str, now: datetime) -> datetime:
        """Returns when the URL expires. Raises RenditionUrlInvalid: not signed here, not for this rendition,
        or expired.
        """
        is_signed = self._signed_for(item, size, expires=expires, signature=signature)
        return self._end(expires, is_signed=is_signed, now=now)


class PlaylistUrls(_ItemUrls):
    """Signs and checks URLs of the playlists of a film."""

    _kind, _refusal = b"playlist urls", PlaylistUrlInvalid

    def sign(self, item: Item, *, expires_at: datetime, expires_in: int) -> SignedUrl:
        """As `RenditionUrls.sign`."""
        return self._sign(item, "playlist", "playback.m3u8?", expires_at=expires_at, expires_in=expires_in)

    def check(self, item: Item, *, expires: str, signature: str, now: datetime) -> datetime:
        """As `RenditionUrls.check`. Raises PlaylistUrlInvalid."""
        is_signed = self._signed_for(item, "playlist", expires=expires, signature=signature)
        return self._end(expires, is_signed=is_signed, now=now)


class CountedDownloadUrls(_ItemUrls):
    """Signs and checks URLs that hand out an original, or its copy without the place, and count it."""

    _kind, _refusal = b"download urls", DownloadUrlInvalid

    def sign(self, item: Item, *, location_free: bool, expires_at: datetime, expires_in: int) -> SignedUrl:
        """As `RenditionUrls.sign`. location_free: the URL is of the copy without the place."""
        purpose, path = _LOCATION_FREE[location_free], "download?redirect=true&"
        return self._sign(item, purpose, path, expires_at=expires_at, expires_in=expires_in)

    def check(self, item: Item, *, expires: str, signature: str, now: datetime) -> tuple[bool, datetime]:
        """Returns whether the URL is of the copy without the place, and when it expires. Raises
        DownloadUrlInvalid.
        """
        location_free = self._signed_for(item, _LOCATION_FREE[True], expires=expires, signature=signature)
        is_signed = location_free or self._signed_for(
            item, _LOCATION_FREE[False], expires=expires, signature=signature
        )
        return location_free, self._end(expires, is_signed=is_signed, now=now)
