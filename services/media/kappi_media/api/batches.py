"""Reads the body of a signing request. One answer names every faulty file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from kappi_chassis.problems import FieldError, MalformedJson, UnknownField, ValidationFailed

from kappi_media.api.faults import parsed
from kappi_media.api.reading import attribute_faults, decode, refusal
from kappi_media.api.schemas import MAX_BATCH, BatchDeclaration
from kappi_media.domain.declarations import FileDeclaration
from kappi_media.domain.tiers import TierRules
from kappi_media.use_cases.declare_uploads import refused_files

_batch = msgspec.json.Decoder(BatchDeclaration)
Numbered = Sequence[tuple[int, FileDeclaration]]


def read_batch(body: bytes, rules: TierRules) -> BatchDeclaration:
    """Returns the batch. rules: of the tier. Files that break them are reported together with other faults;
    without other faults, `SignBatch` checks them.

    Raises MalformedJson, UnknownField, ValidationFailed.
    """
    try:
        batch = decode(_batch, body)
    except (UnknownField, ValidationFailed) as refused:
        errors = [*refused.errors]
        files = _sound_files(body, errors)
    else:
        errors = []
        files = list(enumerate(batch.files))
    attributes = ((f"files.{number}.attributes", file.attributes or {}) for number, file in files)
    errors += attribute_faults(attributes)
    if not errors:
        return batch
    errors += refused_files(rules, files)
    raise refusal(sorted(errors, key=_number))


def _sound_files(body: bytes, errors: Sequence[FieldError]) -> Numbered:
    """Returns the files without a reported fault, with their places in the batch."""
    try:
        document: Any = parsed(body)
    except MalformedJson:
        return ()
    given = document.get("files") if isinstance(document, dict) else None
    if not isinstance(given, list) or len(given) > MAX_BATCH:
        return ()
    named = {_number(error) for error in errors}
    return [
        (number, msgspec.convert(file, FileDeclaration))
        for number, file in enumerate(given)
        if number not in named
    ]


def _number(error: FieldError) -> int:
    """Returns the number of the file; -1 for a fault of the batch itself."""
    first, *rest = error.field.split(".")
    return int(rest[0]) if first == "files" and rest and rest[0].isdigit() else -1
