"""Cursors: where the next page begins, opaque to clients."""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

from kappi_chassis.problems import FieldError, ValidationFailed


def cursor_after(last: UUID) -> str:
    """The cursor of the page after the one that ends with this id."""
    return base64.urlsafe_b64encode(last.bytes).rstrip(b"=").decode()


def position_of(cursor: str) -> UUID:
    """The id a cursor was made of. Raises ValidationFailed for one that this service did not hand out."""
    try:
        return UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except (ValueError, binascii.Error) as error:
        raise ValidationFailed(
            "Pass on next_cursor as it came.",
            errors=(FieldError(field="cursor", code="cursor_invalid", message="not a cursor"),),
        ) from error
