"""Uploads and items, without I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Literal, NamedTuple, NewType
from uuid import UUID

from kappi_contracts.keys import original_key, sidecar_key
from kappi_mediameta.probing.facts import EmbeddedFilm

AccountId = NewType("AccountId", UUID)
GalleryId = NewType("GalleryId", UUID)
MediaId = NewType("MediaId", UUID)
UploadId = NewType("UploadId", UUID)
LinkId = NewType("LinkId", UUID)
PostId = NewType("PostId", UUID)
AddressId = NewType("AddressId", UUID)
"""A keyed hash of a client's address."""

Kind = Literal["image", "video"]
UploadState = Literal["pending", "completed", "rejected", "aborted"]
UploadRole = Literal["original", "sidecar"]
ItemStatus = Literal["processing", "ready", "rejected"]


@dataclass(frozen=True, slots=True)
class Description:
    """The uploader's description of a file. attributes: any JSON object."""

    caption: str | None = None
    tags: tuple[str, ...] = ()
    location: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.caption or self.tags or self.location or self.attributes)


class Upload(NamedTuple):
    """A reservation of one object. size_bytes, content_type, sha256 (raw digest): as declared.

    part_size_bytes: None for one PUT. multipart_id: the store's, once the upload has begun there.
    traceparent: of the request that declared it. role: a sidecar has the media_id of its picture. It is a
    tuple, as `Item` is: a hundred are made for one request, at a third of the cost of a frozen dataclass.
    """

    id: UploadId
    media_id: MediaId
    gallery_id: GalleryId
    filename: str
    content_type: str
    size_bytes: int
    sha256: bytes | None
    state: UploadState
    rejection_reason: str | None
    expires_at: datetime
    created_at: datetime
    part_size_bytes: int | None = None
    multipart_id: str | None = None
    traceparent: str | None = None
    role: UploadRole = "original"

    @property
    def key(self) -> str:
        """Returns the key of its object in the store."""
        key = sidecar_key if self.role == "sidecar" else original_key
        return key(self.gallery_id, self.media_id)

    def is_open(self, now: datetime) -> bool:
        """Returns whether bytes may still arrive for it."""
        return self.state == "pending" and now < self.expires_at


class DeclaredUpload(NamedTuple):
    """An upload about to be reserved, with the description of its content, and its sidecar."""

    upload: Upload
    description: Description
    sidecar: Upload | None = None

    @property
    def size_bytes(self) -> int:
        """Returns what is charged for it."""
        return self.upload.size_bytes + (self.sidecar.size_bytes if self.sidecar is not None else 0)


class ReservationBudget(NamedTuple):
    """The files and bytes that may be reserved and not completed at the same time."""

    files: int
    bytes: int


class ReservationBudgets(NamedTuple):
    """The budgets. address: of one client address, over all anonymous galleries. gallery: of one anonymous
    gallery.
    """

    address: ReservationBudget
    gallery: ReservationBudget


class Charge(NamedTuple):
    """The bytes an account is charged for: reserved by pending uploads, used by items."""

    reserved_bytes: int
    used_bytes: int


class Item(NamedTuple):
    """A completed upload: a picture or a film of a gallery.

    width, height: pixels as displayed; None, like kind and the other facts, until probed. version: grows with
    every change, and is the sequence of the item's events. renditions: sizes that are stored as JPEG.
    placeholder: ThumbHash. sha256: raw digest, None when neither the client declared it nor the store
    computed it. The fields from codec on are as read from the file: taken_offset_minutes east of UTC, camera
    {make, model}, gps {latitude, longitude, altitude}, details as in mediameta's `Details`, None where the
    file has none of them. live_partner_id: the other half of a Live Photo. raw_partner_id: the picture of a
    camera RAW, or the camera RAW of a picture. folder: of its objects, part of their keys. told_by_file:
    whether its caption, and which of its tags, were read from the file and not written by people here;
    {caption, tags}. contributor_id, contributor_name: of the contributor that added it.
    sidecar_filename: once its sidecar is stored. sidecar_bytes: from the declaration on.
    """

    id: MediaId
    gallery_id: GalleryId
    upload_id: UploadId
    filename: str
    content_type: str
    kind: Kind | None
    status: ItemStatus
    rejection_reason: str | None
    size_bytes: int
    sha256: bytes | None
    width: int | None
    height: int | None
    duration_ms: int | None
    taken_at: datetime | None
    caption: str | None
    tags: list[str]
    location: str | None
    attributes: dict[str, Any]
    placeholder: bytes | None
    created_at: datetime
    version: int
    renditions: list[str]
    codec: str | None = None
    taken_offset_minutes: int | None = None
    camera: dict[str, Any] | None = None
    gps: dict[str, Any] | None = None
    live_partner_id: MediaId | None = None
    folder: int | None = None
    told_by_file: dict[str, Any] | None = None
    contributor_id: UUID | None = None
    contributor_name: str | None = None
    details: dict[str, Any] | None = None
    raw_partner_id: MediaId | None = None
    sidecar_filename: str | None = None
    sidecar_bytes: int = 0

    @property
    def film(self) -> EmbeddedFilm | None:
        """Returns where the film of a motion photo is in its original, and in a copy without the place."""
        found = self.details.get("film") if self.details is not None else None
        return EmbeddedFilm(**found) if found is not None else None


class ServedVariant(Enum):
    """What is served for an original to a viewer that may have originals."""

    ORIGINAL = auto()
    UNCHANGED = auto()
    """The original, because it contains no place."""
    LOCATION_FREE = auto()
    """The copy without the place."""
    NOTHING_YET = auto()
    """Nothing yet: the copy is still to be made, or the original to be checked."""
    NOTHING = auto()
    """Nothing: the copy cannot be made."""


UNMADE = frozenset({ServedVariant.NOTHING_YET, ServedVariant.NOTHING})


@dataclass(frozen=True, slots=True)
class GalleryContents:
    """A gallery as this service records it. version: grows with every change of its items.

    item_count: visible items, without rejected ones. deleted: a tombstone.
    """

    version: int
    item_count: int
    deleted: bool


NO_CONTENTS = GalleryContents(version=0, item_count=0, deleted=False)


def start_of_bucket(now: datetime, bucket: timedelta) -> datetime:
    """Returns the latest multiple of `bucket` since the epoch that is not after `now`; aware, UTC."""
    seconds = int(bucket.total_seconds())
    return datetime.fromtimestamp(int(now.timestamp()) // seconds * seconds, UTC)


def url_lifetime_left(expires_at: datetime, *, now: datetime, lifetime: timedelta) -> timedelta:
    """Returns the lifetime of a signed upload made now, in whole seconds: not beyond its upload's
    `expires_at`.
    """
    left = min(lifetime, expires_at - now)
    return timedelta(seconds=max(1, int(left.total_seconds())))
