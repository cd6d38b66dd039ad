"""Makes the uploads of a batch, which are reserved together, from its declared files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from kappi_chassis.clock import NewId
from kappi_chassis.problems import FieldError, ValidationFailed
from kappi_chassis.storage.disposition import safe_filename
from kappi_mediameta.probing import ACCEPTED

from kappi_media.domain.content_types import is_taken
from kappi_media.domain.contributions import ContributionLimits, Contributor
from kappi_media.domain.declarations import FileDeclaration
from kappi_media.domain.media import (
    AccountId,
    AddressId,
    DeclaredUpload,
    Description,
    GalleryId,
    MediaId,
    ReservationBudgets,
    Upload,
    UploadId,
)
from kappi_media.domain.parts import OBJECT_LIMIT_BYTES, SINGLE_PUT_LIMIT_BYTES, Connection, plan_parts
from kappi_media.domain.sidecars import MAX_SIDECAR_BYTES, SIDECAR_TYPE, is_sidecar, sidecars_of
from kappi_media.domain.tiers import TierRules
from kappi_media.errors import FileTooLarge, UnsupportedContentType

_NO_DESCRIPTION = Description()
_plain_name = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9 _.()-]{0,198}[A-Za-z0-9_)-]").fullmatch


class DeclaredBatch(NamedTuple):
    """Uploads about to be reserved; sidecars are in those of their pictures. in_order: an upload for each
    file of the batch, sidecars included.
    """

    uploads: list[DeclaredUpload]
    in_order: list[Upload]


class Batch(NamedTuple):
    """The files to reserve in one gallery, under the rules of its tier.

    owner_id: None for an anonymous gallery. address_id: of the client. contributor: the one that adds them,
    None for the gallery's manager.
    """

    gallery_id: GalleryId
    owner_id: AccountId | None
    address_id: AddressId
    rules: TierRules
    files: Sequence[FileDeclaration]
    connection: Connection = "normal"
    contributor: Contributor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationTerms:
    """The terms of reservations. budgets: of what is reserved for anonymous galleries. contribution_limits:
    of what contributors add.

    lifetime: of a reservation of one PUT, multipart_lifetime: of one in parts; a signed URL lives shorter,
    and so may a reservation of a contributor.
    multipart_above_bytes: larger files are sent in parts.
    """

    lifetime: timedelta
    multipart_lifetime: timedelta
    multipart_above_bytes: int
    budgets: ReservationBudgets
    contribution_limits: ContributionLimits


def declare_uploads(batch: Batch, terms: ReservationTerms, *, now: datetime, new_id: NewId) -> DeclaredBatch:
    """Returns the uploads of a batch. Raises FileTooLarge, UnsupportedContentType, ValidationFailed."""
    sidecars = _checked(batch.rules, batch.files)
    beside = frozenset(sidecars.values())
    lifetime, multipart_lifetime = terms.lifetime, terms.multipart_lifetime
    if batch.contributor is not None:
        most = terms.contribution_limits.pending_lifetime
        lifetime, multipart_lifetime = min(lifetime, most), min(multipart_lifetime, most)
    multipart_above = min(terms.multipart_above_bytes, SINGLE_PUT_LIMIT_BYTES)
    declared = []
    placed: dict[int, Upload] = {}
    for at, file in enumerate(batch.files):
        if at in beside:
            continue
        in_one = file.size <= multipart_above
        placed[at] = upload = Upload(
            UploadId(new_id()),
            MediaId(new_id()),
            batch.gallery_id,
            _name(file),
            file.content_type,
            file.size,
            _digest(file),
            "pending",
            None,
            now + (lifetime if in_one else multipart_lifetime),
            now,
            None if in_one else plan_parts(file.size, batch.connection).part_size_bytes,
        )
        sidecar = None
        if at in sidecars:
            beside_at = sidecars[at]
            sidecar = _sidecar(batch.files[beside_at], upload, UploadId(new_id()), now + lifetime)
            placed[beside_at] = sidecar
        declared.append(DeclaredUpload(upload, _description(file), sidecar))
    return DeclaredBatch(declared, [placed[at] for at in range(len(placed))])


def _sidecar(file: FileDeclaration, of: Upload, upload_id: UploadId, expires_at: datetime) -> Upload:
    return of._replace(
        id=upload_id,
        filename=_name(file),
        content_type=SIDECAR_TYPE,
        size_bytes=file.size,
        sha256=_digest(file),
        expires_at=expires_at,
        part_size_bytes=None,
        role="sidecar",
    )


def refused_files(rules: TierRules, files: Iterable[tuple[int, FileDeclaration]]) -> list[FieldError]:
    """Returns the errors of the files that are too large or of a type that is not taken. Each file is given
    with its place in the batch.
    """
    limit = _largest(rules)
    errors = []
    for number, file in files:
        beside = is_sidecar(file.filename)
        most = min(limit, MAX_SIDECAR_BYTES) if beside else limit
        if file.size > most:
            message = f"It has {file.size} bytes; the largest file taken here has {most}."
            errors.append(FieldError(f"files.{number}.size", FileTooLarge.code, message))
        if not beside and not is_taken(file.content_type):
            message = f"This type is not taken. Send {ACCEPTED}."
            errors.append(FieldError(f"files.{number}.content_type", UnsupportedContentType.code, message))
    return errors


def _checked(rules: TierRules, files: Sequence[FileDeclaration]) -> Mapping[int, int]:
    """Returns the places of sidecars by those of their pictures."""
    errors = tuple(refused_files(rules, enumerate(files)))
    if any(error.code == FileTooLarge.code for error in errors):
        raise FileTooLarge(f"The largest file allowed here has {_largest(rules)} bytes.", errors=errors)
    if errors:
        raise UnsupportedContentType(f"Send {ACCEPTED}.", errors=errors)
    sidecars, faults = sidecars_of(files)
    if faults:
        raise ValidationFailed("Send an XMP sidecar together with its picture.", errors=tuple(faults))
    return sidecars


def _largest(rules: TierRules) -> int:
    return min(rules.max_file_bytes, OBJECT_LIMIT_BYTES)


def _description(file: FileDeclaration) -> Description:
    if not (file.caption or file.tags or file.location or file.attributes):
        return _NO_DESCRIPTION
    return Description(file.caption, tuple(file.tags or ()), file.location, file.attributes or {})


def _name(file: FileDeclaration) -> str:
    return file.filename if _plain_name(file.filename) else safe_filename(file.filename)


def _digest(file: FileDeclaration) -> bytes | None:
    return bytes.fromhex(file.sha256) if file.sha256 is not None else None
