"""The fields with which a client declares a file, their types and their bounds."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from kappi_mediameta.probing.facts import MAX_CAPTION_CHARS, MAX_KEYWORD_CHARS, MAX_KEYWORDS
from msgspec import Meta

from kappi_media.domain.parts import MAX_PARTS

MAX_TAGS = MAX_KEYWORDS
MAX_ATTRIBUTES_BYTES = 4_096
MAX_ATTRIBUTES_DEPTH = 64

Filename = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        description="A name in any script; path separators are replaced",
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

    A field that may be left out may be null, because some generated clients send null for missing fields.
    """


class FileDeclaration(RequestBody, frozen=True, kw_only=True):
    """A file to upload. The signed URL accepts exactly this content type and size."""

    filename: Filename
    size: SizeBytes
    content_type: ContentType
    sha256: Sha256Hex | None = None
    caption: Caption | None = None
    tags: Tags | None = None
    location: Location | None = None
    attributes: Attributes | None = None


class PostedFile(RequestBody, frozen=True, kw_only=True):
    """A small file in the body itself. content_type: determined by the file's name and its first bytes if
    it is left out.
    """

    filename: Filename
    content_base64: Annotated[str, Meta(description="The file in base64, with padding")]
    content_type: ContentType | None = None
    sha256: Sha256Hex | None = None
    caption: Caption | None = None
    tags: Tags | None = None
    location: Location | None = None
    attributes: Attributes | None = None


class CompletedPart(RequestBody, frozen=True, kw_only=True):
    """A part as its sender knows it. etag: with or without the quotes of the header."""

    number: PartNumber
    etag: Annotated[str, Meta(min_length=1, max_length=200)]
