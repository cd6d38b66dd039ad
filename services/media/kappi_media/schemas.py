"""Bodies as they travel: what clients send and what they get. JSON Schema of the OpenAPI comes from here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kappi_media.parts import MAX_PARTS, Connection
from kappi_media.probing.facts import MAX_CAPTION_CHARS, MAX_KEYWORD_CHARS, MAX_KEYWORDS

MAX_BATCH = 100
MAX_PART_NUMBERS = 100
MAX_TAGS = MAX_KEYWORDS
MAX_BULK_IDS = 1_000
MAX_ATTRIBUTES_BYTES = 4_096
MAX_ATTRIBUTES_DEPTH = 64
MIN_LINK_S, MAX_LINK_S = 300, 30_000

Instant = Annotated[datetime, Meta(tz=True)]
"""A UTC instant. Only of one with a zone does msgspec's schema say that it is a time."""

Filename = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        description="Any script; path separators are replaced",
        examples=["DSC_0412.jpg"],
    ),
]
SizeBytes = Annotated[int, Meta(ge=1, description="Exact size in bytes", examples=[4183212])]
ContentType = Annotated[str, Meta(min_length=3, max_length=100, examples=["image/jpeg"])]
Sha256Hex = Annotated[
    str,
    Meta(
        pattern="^[0-9A-Fa-f]{64}$",
        description="SHA-256 of the content, 64 hexadecimal digits; checked when given",
    ),
]
PartNumber = Annotated[int, Meta(ge=1, le=MAX_PARTS, examples=[1])]
Caption = Annotated[str, Meta(max_length=MAX_CAPTION_CHARS, examples=["Sunrise at the pass"])]
Tag = Annotated[str, Meta(min_length=1, max_length=MAX_KEYWORD_CHARS)]
Tags = Annotated[list[Tag], Meta(max_length=MAX_TAGS, examples=[["alps", "2026"]])]
Location = Annotated[str, Meta(max_length=200, description="A place name", examples=["Chamonix"])]
Attributes = Annotated[
    dict[str, Any],
    Meta(
        description=f"Free-form JSON of your own, {MAX_ATTRIBUTES_BYTES} bytes at most, nested "
        f"{MAX_ATTRIBUTES_DEPTH} deep at most",
        examples=[{"album": "day 3"}],
    ),
]


class RequestBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every JSON body that clients send, and of the objects in it.

    A field that may be left out may be null, because some generated clients send null for what is not given.
    """


class FileDeclaration(RequestBody, frozen=True, kw_only=True):
    """One file about to be uploaded. The signed URL takes exactly this content type and size."""

    filename: Filename
    size: SizeBytes
    content_type: ContentType
    sha256: Sha256Hex | None = None
    caption: Caption | None = None
    tags: Tags | None = None
    location: Location | None = None
    attributes: Attributes | None = None


class PostedFile(RequestBody, frozen=True, kw_only=True):
    """A small file in the body itself. content_type: told from the file's name and its first bytes where it
    is left out."""

    filename: Filename
    content_base64: Annotated[str, Meta(description="The file in base64, with padding")]
    content_type: ContentType | None = None
    sha256: Sha256Hex | None = None
    caption: Caption | None = None
    tags: Tags | None = None
    location: Location | None = None
    attributes: Attributes | None = None


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


class SignedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """One request that puts the file into the store: this method, these headers exactly, the file as body."""

    url: str
    http_method: Literal["PUT"]
    headers: dict[str, str]


class SignedPart(msgspec.Struct, frozen=True, kw_only=True):
    """A PUT of one part, with nothing but these headers; its answer's `ETag` names what came."""

    number: int
    url: str
    headers: dict[str, str]


class PresentPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part the store has. size: in bytes."""

    number: int
    size: int
    etag: str


class MultipartUpload(msgspec.Struct, frozen=True, kw_only=True):
    """The file in parts 1 to `part_count`, each of `part_size` bytes but the last, which has the rest.

    present: parts the store has, where it was asked. parts: signed URLs of the first that are missing; ask
    for those of others when their turn comes. Empty while the store is away.
    """

    part_size: int
    part_count: int
    present: list[PresentPart] | UnsetType = UNSET
    parts: list[SignedPart]


class PromisedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload to carry out: `single` or `multipart`, as `method` says.

    expires_at: of the signed URLs; ask for the upload to get fresh ones. expires_in: seconds until then.
    state: only in the answer to a repeated request, where the upload has ended since; then there is nothing
    to send. duplicate_of: an item
    of the gallery with the declared SHA-256; a client that does not want it twice aborts the upload.
    """

    id: UUID
    media_id: UUID
    method: Literal["single", "multipart"]
    expires_at: Instant
    expires_in: int
    single: SignedUpload | UnsetType = UNSET
    multipart: MultipartUpload | UnsetType = UNSET
    state: Literal["completed", "rejected", "aborted", "expired"] | UnsetType = UNSET
    duplicate_of: UUID | UnsetType = UNSET


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


class CompletedPart(RequestBody, frozen=True, kw_only=True):
    """A part as its sender believes it came. etag: with or without the quotes of the header."""

    number: PartNumber
    etag: Annotated[str, Meta(min_length=1, max_length=200)]


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


class SignedUrl(msgspec.Struct, frozen=True):
    """A GET without credentials until `expires_at`; Range and conditional requests work.

    expires_in: seconds that are left when the answer comes, at least: some answers are kept for minutes.
    """

    url: str
    expires_at: Instant
    expires_in: int


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


class BulkOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one item. pending: it will be moved soon. code: why it was refused, as in a problem
    document."""

    id: UUID
    status: Literal["done", "pending", "refused"]
    code: str | UnsetType = UNSET


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
