"""The structs of request and answer bodies. The JSON Schemas of the OpenAPI document are derived from
them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kappi_media.domain.bulk import BulkOutcome
from kappi_media.domain.declarations import (
    Attributes,
    Caption,
    CompletedPart,
    FileDeclaration,
    Filename,
    Location,
    PartNumber,
    RequestBody,
    Tags,
)
from kappi_media.domain.parts import MAX_PARTS, Connection
from kappi_media.domain.upload_plan import (
    Instant,
    MultipartUpload,
    PromisedUpload,
    SignedPart,
    SignedUpload,
    SignedUrl,
)

MAX_BATCH = 100
MAX_PART_NUMBERS = 100
MAX_BULK_IDS = 1_000
MIN_LINK_S, MAX_LINK_S = 300, 30_000


class BatchDeclaration(RequestBody, frozen=True, kw_only=True):
    """Files to upload to one gallery. connection: how good the line is, `normal` by default; sizes the parts
    of large files."""

    files: Annotated[list[FileDeclaration], Meta(min_length=1, max_length=MAX_BATCH)]
    connection: Connection | None = None


class ItemChanges(RequestBody, frozen=True, kw_only=True):
    """What to change; what is left out stays, null clears. filename: what the original is downloaded as."""

    filename: Filename | UnsetType = UNSET
    caption: Caption | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    location: Location | UnsetType | None = UNSET
    attributes: Attributes | UnsetType | None = UNSET


class PromisedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the files asked for."""

    uploads: list[PromisedUpload]


class PartNumbers(RequestBody, frozen=True, kw_only=True):
    """Parts to sign."""

    numbers: Annotated[list[PartNumber], Meta(min_length=1, max_length=MAX_PART_NUMBERS)]


class SignedParts(msgspec.Struct, frozen=True, kw_only=True):
    """In the order asked for. expires_in: seconds until `expires_at`."""

    parts: list[SignedPart]
    expires_at: Instant
    expires_in: int


class Completion(RequestBody, frozen=True, kw_only=True):
    """parts: of a multipart upload; checked against what the store has where given, never needed."""

    parts: Annotated[list[CompletedPart], Meta(max_length=MAX_PARTS)] | None = None


class UploadStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an upload stands.

    state: `expired` is a pending one that took too long and is about to be swept. expires_at: of the signed
    URLs while pending, else of the upload. expires_in: seconds until then, 0 once it is over. single,
    multipart: fresh signed URLs, only while pending.
    """

    id: UUID
    media_id: UUID
    gallery_id: UUID
    state: Literal["pending", "completed", "rejected", "aborted", "expired"]
    method: Literal["single", "multipart"]
    filename: str
    content_type: str
    size: int
    expires_at: Instant
    expires_in: int
    created_at: Instant
    single: SignedUpload | UnsetType = UNSET
    multipart: MultipartUpload | UnsetType = UNSET
    rejection_reason: str | UnsetType = UNSET


class CameraView(msgspec.Struct, frozen=True, kw_only=True):
    """What took it, as the device calls itself."""

    make: str | None = None
    model: str | None = None


class PlaceView(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was taken: WGS 84, degrees, and metres above sea level."""

    latitude: float
    longitude: float
    altitude: float | None = None


class ItemView(msgspec.Struct, frozen=True, kw_only=True):
    """A picture or a film of a gallery.

    width, height: pixels as displayed, null until processed. original: null where the gallery's tier keeps
    originals back, and until the item is `ready`; those who may upload to the gallery get it before, with the
    item itself. renditions: by size, those that are made and in the tier. sha256: of the original,
    hexadecimal; null where it is not known. placeholder: a ThumbHash in base64, to be shown until the
    picture is there; null until processed.
    taken_at: by the device's clock; taken_offset_minutes: how far east of UTC that was set, null where the
    device did not say: then `taken_at` is its local time. gps: null where the original is kept back, too.
    live_partner_id: the film of a Live Photo's picture, the picture of its film.
    rejection_reason: why a `rejected` item is none; pages of a gallery never show those.
    """

    id: UUID
    gallery_id: UUID
    filename: str
    content_type: str
    kind: Literal["image", "video"] | None
    status: Literal["processing", "ready", "rejected"]
    size: int
    sha256: str | None
    width: int | None
    height: int | None
    duration_ms: int | None
    codec: str | None
    taken_at: Instant | None
    taken_offset_minutes: int | None
    camera: CameraView | None
    gps: PlaceView | None
    live_partner_id: UUID | None
    caption: str | None
    tags: list[str]
    location: str | None
    attributes: dict[str, Any]
    placeholder: str | None
    created_at: Instant
    original: SignedUrl | None
    renditions: dict[str, SignedUrl]
    rejection_reason: str | UnsetType = UNSET


class SharedGallery(msgspec.Struct, frozen=True, kw_only=True):
    """A gallery as anyone with its code sees it.

    location_free: originals come as copies that do not tell where they were made. expires_in: seconds until
    `expires_at`, at least: the answer may be minutes old.
    """

    id: UUID
    code: str | None
    url: str | None
    title: str | None
    visibility: Literal["shared", "private"]
    password_protected: bool
    location_free: bool
    expires_at: Instant | None
    expires_in: int | None
    created_at: Instant
    item_count: int


SHARED_GALLERY: dict[str, Any] = {
    "code": "k7dm",
    "url": "https://kappi.example/g/k7dm",
    "title": "Three days in the Alps",
    "visibility": "shared",
    "password_protected": False,
    "location_free": False,
    "expires_at": "2026-07-01T10:00:00Z",
    "expires_in": 2592000,
    "created_at": "2026-06-01T10:00:00Z",
    "item_count": 1,
}
"""An example of a gallery, without its id."""


class SharedGalleryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Items in the order they were declared for upload. next_cursor: null on the last page."""

    gallery: SharedGallery
    items: list[ItemView]
    next_cursor: str | None


class LibraryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Items of an account, in the order asked for. next_cursor: null on the last page; a page may hold fewer
    items than asked for, even none, and have one."""

    items: list[ItemView]
    next_cursor: str | None


class UsedTag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag of an account's items. item_count: how many have it."""

    tag: str
    item_count: int


class UsedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A place that items of an account were given. item_count: how many have it."""

    location: str
    item_count: int


class TagPage(msgspec.Struct, frozen=True, kw_only=True):
    """Tags of an account. next_cursor: null on the last page."""

    items: list[UsedTag]
    next_cursor: str | None


class PlacePage(msgspec.Struct, frozen=True, kw_only=True):
    """Places of an account. next_cursor: null on the last page."""

    items: list[UsedPlace]
    next_cursor: str | None


class BulkChange(RequestBody, frozen=True, kw_only=True):
    """What to do with up to 1,000 items. tags: to add, or to take away; for these two actions only.
    gallery_id: where to move them to; for this action only."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_BULK_IDS)]
    action: Literal["tag", "untag", "move", "delete"]
    tags: Tags | None = None
    gallery_id: UUID | None = None


class BulkResults(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome for each id, in the order of the ids; an id that came twice has one."""

    results: list[BulkOutcome]


class LinkRequest(RequestBody, frozen=True, kw_only=True):
    """valid_for: seconds from now."""

    valid_for: Annotated[int, Meta(ge=MIN_LINK_S, le=MAX_LINK_S, examples=[3600])]


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """An expiring link. It works before `expires_at`, not from then on. expires_in: seconds until then.
    valid_for: seconds, as asked for."""

    id: UUID
    expires_at: Instant
    expires_in: int
    valid_for: int
    created_at: Instant


class NewLink(LinkView, frozen=True, kw_only=True):
    """A link that was just made. link: the address to pass on; it is never shown again."""

    link: str


class LinkPage(msgspec.Struct, frozen=True, kw_only=True):
    """Links in the order they were made. next_cursor: null on the last page."""

    items: list[LinkView]
    next_cursor: str | None
