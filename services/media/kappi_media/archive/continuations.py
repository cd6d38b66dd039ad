"""Recognises a continued archive, which is not counted as a new download."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from kappi_chassis.clock import Clock

LASTS: Final = timedelta(days=1)
_MAC_BYTES: Final = 16


class Continuations:
    """Extends the entity tag of a counted archive by a proof that it was counted.

    A client that continues repeats the tag, as RFC 9110, 13.1.5 asks of it, so no state is kept. secret: the
    same in every replica.
    """

    def __init__(self, secret: bytes, *, clock: Clock) -> None:
        self._key = hmac.digest(secret, b"continued archives", "sha256")
        self._clock = clock

    def tag(self, etag: str, *, gallery_id: UUID) -> str:
        """Returns the tag of an archive that is counted. etag: bare."""
        expires = str(int((self._clock() + LASTS).timestamp()))
        return f"{etag}-{expires}-{self._mac(etag, gallery_id, expires)}"

    def shown(self, headers: Mapping[str, str], *, etag: str, gallery_id: UUID) -> str | None:
        """Returns the tag of the same archive that a request repeats; None without a valid one.

        headers: by lower-case name.
        """
        for name in ("if-range", "if-match"):
            tag = headers.get(name, "").strip().strip('"')
            begin, _, mac = tag.rpartition("-")
            counted, _, expires = begin.rpartition("-")
            if (
                counted == etag
                and hmac.compare_digest(self._mac(etag, gallery_id, expires).encode(), mac.encode())
                and int(expires) > self._clock().timestamp()
            ):
                return tag
        return None

    def _mac(self, etag: str, gallery_id: UUID, expires: str) -> str:
        text = f"{gallery_id}\n{etag}\n{expires}"
        return hmac.digest(self._key, text.encode(), "sha256")[:_MAC_BYTES].hex()
