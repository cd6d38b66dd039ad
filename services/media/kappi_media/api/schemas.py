"""The structs of request and answer bodies. The JSON Schemas of the OpenAPI document are derived from
them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from kappi_mediameta.probing.facts import Projection
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
    SidecarView,
    SignedPart,
    SignedUpload,
    SignedUrl,
)

MAX_BATCH = 100
MAX_PART_NUMBERS = 100
MAX_BULK_IDS = 1_000
MIN_LINK_S, MAX_LINK_S = 300, 30_000
MAX_LINK_CAP = 1_000_000


class BatchDeclaration(RequestBody, frozen=True, kw_only=True):
    """Files to upload to one gallery. connection: the quality of the connection, `normal` by default; it
    determines the size of the parts of large files.
    """

    files: Annotated[list[FileDeclaration], Meta(min_length=1, max_length=MAX_BATCH)]
    connection: Connection | None = None


class ItemChanges(RequestBody, frozen=True, kw_only=True):
    """The fields to change. Fields that are left out stay; null clears a field. filename: the name of the
    original when it is downloaded.
    """

    filename: Filename | UnsetType = UNSET
    caption: Caption | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    location: Location | UnsetType | None = UNSET
    attributes: Attributes | UnsetType | None = UNSET


class PromisedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The uploads, in the order of the files."""

    uploads: list[PromisedUpload]


class PartNumbers(RequestBody, frozen=True, kw_only=True):
    """The numbers of the parts to sign."""

    numbers: Annotated[list[PartNumber], Meta(min_length=1, max_length=MAX_PART_NUMBERS)]


class SignedParts(msgspec.Struct, frozen=True, kw_only=True):
    """The signed parts, in the requested order. expires_in: seconds until `expires_at`."""

    parts: list[SignedPart]
    expires_at: Instant
    expires_in: int


class Completion(RequestBody, frozen=True, kw_only=True):
    """Completes an upload. parts: of a multipart upload; optional, compared with those in the store."""

    parts: Annotated[list[CompletedPart], Meta(max_length=MAX_PARTS)] | None = None


class SidecarWaiting(msgspec.Struct, frozen=True, kw_only=True):
    """An XMP sidecar is stored; its picture is not completed yet."""

    status: Literal["waiting"] = "waiting"


class UploadStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of an upload.

    state: `expired` is a pending upload that took too long and will be removed. expires_at: of the signed
    URLs while pending, else of the upload. expires_in: seconds until then, 0 once it is over. single,
    multipart: new signed URLs, only while pending.
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
    """The device that took the item, by the names that it gives itself."""

    make: str | None = None
    model: str | None = None


class ExposureView(msgspec.Struct, frozen=True, kw_only=True):
    """How the device took the item, as far as it recorded it.

    lens: its name. aperture: the f-number. focal_length_35mm: of the same view on 35 mm film, in mm.
    """

    lens: str | None = None
    exposure_time_s: float | None = None
    aperture: float | None = None
    iso: int | None = None
    focal_length_mm: float | None = None
    focal_length_35mm: float | None = None


class PlaceView(msgspec.Struct, frozen=True, kw_only=True):
    """The place where the item was taken: WGS 84, in degrees, and metres above sea level."""

    latitude: float
    longitude: float
    altitude: float | None = None


class ItemContributor(msgspec.Struct, frozen=True, kw_only=True):
    """The contributor that added the item. name: as it named itself."""

    id: UUID
    name: str | None


class ItemView(msgspec.Struct, frozen=True, kw_only=True):
    """A picture or a film of a gallery.

    width, height: pixels as displayed, null until processed. original: null if the gallery's tier has no
    access to originals, and until the item is `ready`; callers that may upload to the gallery get it before.
    renditions: by size, those that are made and in the tier. sha256: of the original, hexadecimal; null if it
    is not known. placeholder: a ThumbHash in base64, to be shown until the picture is loaded; null until
    processed. taken_at: by the device's clock. taken_offset_minutes: the offset of that clock east of UTC;
    null if the device did not record it: then `taken_at` is its local time. gps: null if the original is not
    available. rating: 1 to 5 in the file, 0 for no rating, -1 for a picture that is rejected. title: in the
    file; null, as the caption from a file, where places are hidden. projection: of a panorama or of a film
    all around; null for what is flat. motion: whether a motion photo has its film in its file.
    live_partner_id: the film of a Live Photo's picture, or the picture of its film. raw_partner_id: the JPEG
    or HEIC of a camera RAW's shot, or the camera RAW of its picture. sidecar: the XMP file that was uploaded
    with it; null where there is none, or the original as uploaded is not available. contributor: null for an
    item that the gallery's manager added. rejection_reason: why the item is `rejected`; pages of a gallery
    never show rejected items.
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
    exposure: ExposureView | None
    rating: int | None
    title: str | None
    projection: Projection | None
    motion: bool
    gps: PlaceView | None
    live_partner_id: UUID | None
    raw_partner_id: UUID | None
    contributor: ItemContributor | None
    caption: str | None
    tags: list[str]
    location: str | None
    attributes: dict[str, Any]
    placeholder: str | None
    created_at: Instant
    original: SignedUrl | None
    sidecar: SidecarView | None
    renditions: dict[str, SignedUrl]
    rejection_reason: str | UnsetType = UNSET


class SharedGallery(msgspec.Struct, frozen=True, kw_only=True):
    """A gallery as its viewers see it.

    location_free: originals are served as copies without the place where they were made. expires_in: seconds
    until `expires_at`, at least: the answer may be minutes old. cover_media_id: the item that its manager
    named as cover; null where the first ready one is. contributions: whether holders of the code may become
    contributors; in `drop`, each of them sees its own items alone, and viewers see none. item_count: of the
    items that are shown.
    """

    id: UUID
    code: str | None
    url: str | None
    title: str | None
    visibility: Literal["shared", "private"]
    password_protected: bool
    location_free: bool
    contributions: Literal["closed", "open", "drop"]
    expires_at: Instant | None
    expires_in: int | None
    created_at: Instant
    cover_media_id: UUID | None
    item_count: int


SHARED_GALLERY: dict[str, Any] = {
    "code": "k7dm",
    "url": "https://kappi.example/g/k7dm",
    "title": "Three days in the Alps",
    "visibility": "shared",
    "password_protected": False,
    "location_free": False,
    "contributions": "closed",
    "expires_at": "2026-07-01T10:00:00Z",
    "expires_in": 2592000,
    "created_at": "2026-06-01T10:00:00Z",
    "cover_media_id": None,
    "item_count": 1,
}
"""An example of a gallery, without its id."""


class SharedGalleryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Items in the order of the gallery: as they were declared for upload, unless its manager reordered them.
    next_cursor: null on the last page.
    """

    gallery: SharedGallery
    items: list[ItemView]
    next_cursor: str | None


class ManagedItemPage(msgspec.Struct, frozen=True, kw_only=True):
    """Items of a gallery in its order, as its manager sees them. next_cursor: null on the last page."""

    items: list[ItemView]
    next_cursor: str | None


class LibraryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Items of an account, in the requested order. next_cursor: null on the last page; another page may have
    fewer items than requested, even none.
    """

    items: list[ItemView]
    next_cursor: str | None


class UsedTag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag of an account's items. item_count: the number of items that have it."""

    tag: str
    item_count: int


class UsedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A place that items of an account were given. item_count: the number of items that have it."""

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
    """A change of up to 1,000 items. tags: to add or to remove, for these two actions only. gallery_id: the
    gallery to move them to, for this action only.
    """

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_BULK_IDS)]
    action: Literal["tag", "untag", "move", "delete"]
    tags: Tags | None = None
    gallery_id: UUID | None = None


class BulkResults(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome for each id, in the order of the ids; an id that was sent twice has one."""

    results: list[BulkOutcome]


class OrderChange(RequestBody, frozen=True, kw_only=True):
    """A change of a gallery's order: either `ids`, or `sort`. ids: of up to 1,000 items, in their wanted
    order. before: the item that they are to stand before; null for the end. sort: puts all items once in this
    order.
    """

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_BULK_IDS)] | None = None
    before: UUID | None = None
    sort: Literal["added", "taken", "filename"] | None = None


class OrderChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome. moved: the items that stand where they should. not_found: ids of no visible item of the
    gallery. Both are empty after a sort.
    """

    moved: list[UUID]
    not_found: list[UUID]


LinkCap = Annotated[int, Meta(ge=1, le=MAX_LINK_CAP, examples=[5])] | None


class PendingPlayback(msgspec.Struct, frozen=True, kw_only=True):
    """A film that is not playable yet."""

    state: Annotated[
        Literal["waiting", "making"], Meta(description="`waiting`: for its turn, or for another attempt")
    ]
    progress: Annotated[float, Meta(ge=0, le=1, description="The part of the film that is made")]


class LinkRequest(RequestBody, frozen=True, kw_only=True):
    """The request of an expiring link. valid_for: seconds from now. max_views, max_downloads: the number of
    times that the link leads to the original; then it answers as one that has expired. A link has no page, so
    following it is a view and a download, and the smaller number counts.
    """

    valid_for: Annotated[int, Meta(ge=MIN_LINK_S, le=MAX_LINK_S, examples=[3600])]
    max_views: LinkCap = None
    max_downloads: LinkCap = None


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """An expiring link. It works before `expires_at`, not from then on. expires_in: seconds until then.
    valid_for: seconds, as requested. views_used, downloads_used: how often it was followed, while it has the
    cap; 0 without it.
    """

    id: UUID
    expires_at: Instant
    expires_in: int
    valid_for: int
    created_at: Instant
    max_views: int | None
    views_used: int
    max_downloads: int | None
    downloads_used: int


class NewLink(LinkView, frozen=True, kw_only=True):
    """A new link. link: the address to pass on; it is never shown again."""

    link: str


class LinkPage(msgspec.Struct, frozen=True, kw_only=True):
    """Links in the order they were made. next_cursor: null on the last page."""

    items: list[LinkView]
    next_cursor: str | None
