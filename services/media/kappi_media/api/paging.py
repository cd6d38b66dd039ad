"""Cursors of lists that are ordered by id: the last id, opaque to clients."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated
from uuid import UUID

from fastapi import Query
from kappi_chassis.problems import FieldError, ValidationFailed
from pydantic import AfterValidator

DEFAULT_LIMIT, MAX_LIMIT = 100, 500

Limit = Annotated[
    int,
    Query(ge=1, description=f"How many a page has; more than {MAX_LIMIT} are {MAX_LIMIT}"),
    AfterValidator(lambda limit: min(limit, MAX_LIMIT)),
]
"""The number of rows per page."""


def cursor_after(last: UUID) -> str:
    return base64.urlsafe_b64encode(last.bytes).rstrip(b"=").decode()


def position_of(cursor: str) -> UUID:
    """Returns the id in a cursor. Raises ValidationFailed for a cursor that this service did not issue."""
    try:
        return UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except (ValueError, binascii.Error) as error:
        raise ValidationFailed(
            "Pass on next_cursor as it came.",
            errors=(FieldError(field="cursor", code="cursor_invalid", message="not a cursor"),),
        ) from error


def limit_of(text: str | None) -> int:
    """Returns the number of rows per page, for a query that FastAPI does not parse. A larger number counts as
    the maximum.

    Raises ValidationFailed.
    """
    if text is None:
        return DEFAULT_LIMIT
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= 1:
        return min(int(text), MAX_LIMIT)
    raise ValidationFailed(
        "Look at: limit.",
        errors=(FieldError(field="limit", code="invalid", message=f"a number from 1 to {MAX_LIMIT}"),),
    )
