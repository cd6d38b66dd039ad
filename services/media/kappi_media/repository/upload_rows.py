"""The rows of a batch as one JSON document: asyncpg would take longer to encode seven arrays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.json import encode
from msgspec.structs import asdict

from kappi_media.domain.contributions import Contributor
from kappi_media.domain.media import DeclaredUpload, Description, Upload


class _Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    id: UUID
    media_id: UUID
    filename: str
    content_type: str
    size_bytes: int
    sha256: str | None = None
    description: Description | None = None
    # Set only if it differs from most of the batch.
    expires_at: datetime | None = None
    part_size_bytes: int | None = None
    posted: bool = False
    sidecar_bytes: int = 0


class _SidecarRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    id: UUID
    media_id: UUID
    filename: str
    size_bytes: int
    sha256: str | None = None
    expires_at: datetime


class _ContributedRow(_Row, kw_only=True, omit_defaults=True):
    contributor_id: UUID
    contributor_name: str | None = None


def upload_rows(
    declared: Sequence[DeclaredUpload], *, usual_expiry: datetime, posted: bool, by: Contributor | None
) -> str:
    """Returns the rows of uploads. usual_expiry: of most of them. by: the contributor that adds them."""
    rows = [_row(one, usual_expiry, posted=posted) for one in declared]
    if by is None:
        return encode(rows).decode()
    of_contributor = [
        _ContributedRow(**asdict(row), contributor_id=by.id, contributor_name=by.name) for row in rows
    ]
    return encode(of_contributor).decode()


def sidecar_rows(declared: Sequence[DeclaredUpload]) -> str:
    """Returns the rows of the sidecars among the uploads."""
    return encode([_sidecar_row(one.sidecar) for one in declared if one.sidecar is not None]).decode()


def _row(one: DeclaredUpload, usual_expiry: datetime, *, posted: bool) -> _Row:
    upload, description, sidecar = one
    return _Row(
        id=upload.id,
        media_id=upload.media_id,
        filename=upload.filename,
        content_type=upload.content_type,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256.hex() if upload.sha256 is not None else None,
        description=None if description.is_empty else description,
        expires_at=upload.expires_at if upload.expires_at != usual_expiry else None,
        part_size_bytes=upload.part_size_bytes,
        posted=posted,
        sidecar_bytes=sidecar.size_bytes if sidecar is not None else 0,
    )


def _sidecar_row(sidecar: Upload) -> _SidecarRow:
    return _SidecarRow(
        id=sidecar.id,
        media_id=sidecar.media_id,
        filename=sidecar.filename,
        size_bytes=sidecar.size_bytes,
        sha256=sidecar.sha256.hex() if sidecar.sha256 is not None else None,
        expires_at=sidecar.expires_at,
    )
