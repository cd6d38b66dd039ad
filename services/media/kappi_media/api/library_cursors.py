"""Cursors of the library's pages: the order and the last position, opaque to clients."""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from kappi_chassis.problems import FieldError, ValidationFailed

from kappi_media.domain.library import Order, Position

_ORDERS: Final = tuple(Order)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIZE_BYTES: Final = 25


def cursor_at(position: Position, order: Order) -> str:
    """Returns the cursor of the page after a position."""
    at_us = (position.at - _EPOCH) // timedelta(microseconds=1)
    raw = bytes([_ORDERS.index(order)]) + at_us.to_bytes(8, "big", signed=True) + position.item_id.bytes
    return _written(raw)


def position_after(cursor: str, order: Order) -> Position:
    """Returns the position in a cursor. Raises ValidationFailed for a cursor that this service did not issue,
    or that is of another order.
    """
    raw = _read(cursor)
    if len(raw) == _SIZE_BYTES and raw[0] == _ORDERS.index(order):
        with suppress(OverflowError):
            at = _EPOCH + timedelta(microseconds=int.from_bytes(raw[1:9], "big", signed=True))
            return Position(at, UUID(bytes=raw[9:]))
    raise _invalid()


def name_cursor(position: tuple[int, str]) -> str:
    """Returns the cursor of the page after a tag or a place. position: its count and its key."""
    count, key = position
    return _written(f"{count}:{key}".encode())


def name_position(cursor: str) -> tuple[int, str]:
    """Returns the position in a cursor of names. Raises ValidationFailed for one that this service did not
    issue.
    """
    with suppress(UnicodeDecodeError):
        count, found, key = _read(cursor).decode().partition(":")
        if found and count.isascii() and count.isdigit() and len(count) < 19 and "\x00" not in key:
            return int(count), key
    raise _invalid()


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _read(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise _invalid() from error


def _invalid() -> ValidationFailed:
    return ValidationFailed(
        "Pass on next_cursor as it came, with the same sort.",
        errors=(FieldError(field="cursor", code="cursor_invalid", message="not a cursor"),),
    )
