"""The claims of grants: rights on one gallery, given by the galleries service for a minute (ADR-0003)."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

GRANT_ISSUER = "kappi-galleries"
GRANT_AUDIENCE = "kappi-grant"
GRANT_HEADER = "x-kappi-grant"

COUNTED_HEADER = "x-kappi-counted"
"""The header by which the media service names the count that an answer needs, as `counted_access` builds it.
The gateway gives the answer only after that count, and does not pass the header on.
"""

ACCESS_HEADER = "x-kappi-access"
"""The header by which the media service names the access that is recorded for statistics once it is counted,
as `recorded_access` builds it. The gateway does not pass it on.
"""

Right = Literal["view", "contribute", "manage"]
"""Ordered: each includes the ones before it."""

_RANK: dict[Right, int] = {"view": 0, "contribute": 1, "manage": 2}


AccessCount = Literal["views", "downloads", "previews"]
"""`previews` counts nothing, but is refused like the others once a cap is reached."""
RecordedAccess = Literal["view", "download", "archive"]


def counted_access(count: AccessCount, gallery_id: UUID) -> str:
    """Returns the value of COUNTED_HEADER: the path of the count below the galleries service's address."""
    return f"/internal/galleries/{gallery_id}/{count}"


def recorded_access(kind: RecordedAccess, gallery_id: UUID, media_id: UUID | None = None) -> str:
    """Returns the value of ACCESS_HEADER: the path of the record below the media service's address."""
    path = f"/internal/galleries/{gallery_id}/accesses/{kind}"
    return path if media_id is None else f"{path}/{media_id}"


Contributions = Literal["closed", "open", "drop"]
"""Whether holders of the code may add items. In `drop`, a contributor sees only its own."""


class PublicGallery(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a gallery that each of its viewers sees. `version` grows with every change.

    location_free: viewers get copies of originals without the place of capture. capped,
    downloads_capped: views, or downloads, are counted by the galleries service before they are answered.
    cover_media_id: the item that the manager named as cover; it may be gone.
    """

    id: UUID
    code: str | None
    url: str | None
    title: str | None
    visibility: Literal["shared", "private"]
    password_protected: bool
    expires_at: datetime | None
    created_at: datetime
    version: int
    location_free: bool = False
    capped: bool = False
    downloads_capped: bool = False
    cover_media_id: UUID | None = None
    contributions: Contributions = "closed"


class Contributor(msgspec.Struct, frozen=True):
    """A contributor of a gallery. name: as it named itself, None without one."""

    id: UUID
    name: str | None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of a grant token. tier: name of the tier whose rules apply to the request.

    owner_id: the account that owns the gallery, None if anonymous. contributor: the holder of the
    contributor key that the grant was given for; its right is `contribute`, and concerns its own uploads and
    items alone.
    """

    gallery_id: UUID
    right: Right
    tier: str
    gallery: PublicGallery
    owner_id: UUID | None = None
    contributor: Contributor | None = None

    def allows(self, needed: Right) -> bool:
        return _RANK[self.right] >= _RANK[needed]
