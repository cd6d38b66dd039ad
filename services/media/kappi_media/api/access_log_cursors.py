"""Cursors of the access log: the hour and the random id of the last line, opaque to clients."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from uuid import UUID

from kappi_chassis.problems import FieldError, ValidationFailed

from kappi_media.repository.accesses import LogPosition

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_HOUR_BYTES, _ID_BYTES = 4, 16
_LAST_HOUR = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _HOUR


def cursor_after(last: LogPosition) -> str:
    """Returns the cursor of the page after a line."""
    hours = (last.hour - _EPOCH) // _HOUR
    return base64.urlsafe_b64encode(hours.to_bytes(_HOUR_BYTES) + last.id.bytes).rstrip(b"=").decode()


def position_of(cursor: str) -> LogPosition:
    """Returns the position in a cursor. Raises ValidationFailed for a cursor that this service did
    not issue.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise _no_cursor() from error
    hours = int.from_bytes(raw[:_HOUR_BYTES])
    if len(raw) != _HOUR_BYTES + _ID_BYTES or hours > _LAST_HOUR:
        raise _no_cursor()
    return LogPosition(_EPOCH + hours * _HOUR, UUID(bytes=raw[_HOUR_BYTES:]))


def _no_cursor() -> ValidationFailed:
    return ValidationFailed(
        "Pass on next_cursor as it came.",
        errors=(FieldError(field="cursor", code="cursor_invalid", message="not a cursor"),),
    )
