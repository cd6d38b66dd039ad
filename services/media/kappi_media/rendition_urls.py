"""Signed URLs of renditions that are made when the URL is followed.

A picture on a page is requested without a credential, so the URL is the credential: for one item in one
folder, one size, and a time.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Final

from kappi_chassis.base_url import base_url

from kappi_media.domain.media import Item
from kappi_media.domain.upload_plan import SignedUrl
from kappi_media.errors import RenditionUrlInvalid

EXPIRES, SIGNATURE = "expires", "signature"
_SIGNATURE_BYTES: Final = 16
_SECOND_DIGITS: Final = 12


class RenditionUrls:
    """Signs and checks URLs of renditions. public_url: the public address of the gateway. secret: the same in
    every replica.
    """

    def __init__(self, *, public_url: str, secret: bytes) -> None:
        self._public_url = public_url
        self._key = hmac.digest(secret, b"rendition urls", "sha256")

    def sign(self, item: Item, size: str, *, expires_at: datetime, expires_in: int) -> SignedUrl:
        """Returns the URL. expires_at: a whole second. expires_in: the seconds left when the answer arrives,
        at least.
        """
        expires = str(int(expires_at.timestamp()))
        signature = self._signature(item, size, expires)
        path = f"/v1/media/{item.id}/renditions/{size}?{EXPIRES}={expires}&{SIGNATURE}={signature}"
        return SignedUrl(base_url(self._public_url) + path, expires_at, expires_in)

    def check(self, item: Item, size: str, *, expires: str, signature: str, now: datetime) -> datetime:
        """Returns when the URL expires. Raises RenditionUrlInvalid: not signed here, not for this rendition,
        or expired.
        """
        good = hmac.compare_digest(self._signature(item, size, expires).encode(), signature.encode())
        if not good or not (expires.isascii() and expires.isdigit() and len(expires) <= _SECOND_DIGITS):
            raise RenditionUrlInvalid("It was not signed for this rendition. Get the item again.")
        ends_at = datetime.fromtimestamp(int(expires), UTC)
        if now >= ends_at:
            raise RenditionUrlInvalid("It has expired. Get the item again.")
        return ends_at

    def _signature(self, item: Item, size: str, expires: str) -> str:
        # Each move of an item has a folder of its own, so no URL of its old gallery is valid in the new one.
        text = f"{item.id}\n{item.gallery_id}\n{item.folder}\n{size}\n{expires}"
        return hmac.digest(self._key, text.encode(), "sha256")[:_SIGNATURE_BYTES].hex()
