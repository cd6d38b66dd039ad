"""The requests that carry out an upload, and the URL of a download, as clients get them.

A hundred are made for one answer, so they are encoded without conversion.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

Instant = Annotated[datetime, Meta(tz=True)]
"""A UTC instant. msgspec's schema marks only a type with a zone as a time."""


class SignedUrl(msgspec.Struct, frozen=True):
    """A GET without credentials until `expires_at`; Range and conditional requests work.

    expires_in: seconds that are left when the answer arrives, at least: some answers are cached for minutes.
    """

    url: str
    expires_at: Instant
    expires_in: int


class SidecarView(msgspec.Struct, frozen=True, kw_only=True):
    """The XMP sidecar that was uploaded with a picture. size: in bytes. url: a GET without credentials until
    `expires_at`; expires_in: seconds until then, at least.
    """

    filename: str
    size: int
    url: str
    expires_at: Instant
    expires_in: int


class SignedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """The request that stores the file: this method, exactly these headers, the file as the body."""

    url: str
    http_method: Literal["PUT"]
    headers: dict[str, str]


class SignedPart(msgspec.Struct, frozen=True, kw_only=True):
    """A PUT of one part, with only these headers. The `ETag` of its answer identifies what arrived."""

    number: int
    url: str
    headers: dict[str, str]


class PresentPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that the store has. size: in bytes."""

    number: int
    size: int
    etag: str


class MultipartUpload(msgspec.Struct, frozen=True, kw_only=True):
    """The file in parts 1 to `part_count`, each of `part_size` bytes except the last, which has the rest.

    present: parts that the store has, if it was asked. parts: signed URLs of the first missing parts; request
    the others when they are needed. Empty while the store is unavailable.
    """

    part_size: int
    part_count: int
    present: list[PresentPart] | UnsetType = UNSET
    parts: list[SignedPart]


class PromisedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload to carry out: `single` or `multipart`, as `method` says.

    expires_at: of the signed URLs; get the upload for new ones. expires_in: seconds until then. state: only
    in the answer to a repeated request, if the upload has ended since; then there is nothing to send.
    duplicate_of: an item of the gallery with the declared SHA-256; a client that does not want it twice
    aborts the upload. sidecar: the file is the XMP sidecar of the picture with this media_id.
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
    sidecar: bool | UnsetType = UNSET
