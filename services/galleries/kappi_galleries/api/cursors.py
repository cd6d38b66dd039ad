"""Cursors, which encode the place where the next page begins and are opaque to clients."""

from __future__ import annotations

import base64
import itertools
import re
from typing import Final
from uuid import UUID

import msgspec
from kappi_chassis.problems import FieldError, ValidationFailed

from kappi_galleries.domain.posts import ListPosition, PostId

_MAX_COUNT: Final = 1 << 63
_SNAPSHOT: Final = re.compile(r"(\d{1,19}):(\d{1,19}):((?:\d{1,19}(?:,\d{1,19})*)?)", re.ASCII)


def cursor_after(last: UUID) -> str:
    """Returns the cursor of the page after the one that ends with this id."""
    return _packed(last.bytes)


def position_of(cursor: str) -> UUID:
    """Returns the id that a cursor encodes.

    Raises ValidationFailed for a cursor that this service did not issue.
    """
    try:
        return UUID(bytes=_unpacked(cursor))
    except ValueError as error:
        raise _invalid() from error


def cursor_after_post(position: ListPosition) -> str:
    """Returns the cursor of the page of posts after the one that ends at this position."""
    parts = (position.comment_count, position.post_id.hex, position.snapshot)
    return _packed(msgspec.json.encode(parts))


def post_position_of(cursor: str) -> ListPosition:
    """Returns the position that a cursor encodes.

    Raises ValidationFailed for a cursor that this service did not issue.
    """
    try:
        count, hexadecimal, snapshot = msgspec.json.decode(_unpacked(cursor), type=tuple[int, str, str])
        post_id = PostId(UUID(hex=hexadecimal))
    except (ValueError, msgspec.DecodeError) as error:
        raise _invalid() from error
    if not (0 <= count < _MAX_COUNT and is_snapshot(snapshot)):
        raise _invalid()
    return ListPosition(count, post_id, snapshot)


def is_snapshot(text: str) -> bool:
    """Whether PostgreSQL reads this text as a snapshot: `xmin:xmax:xip,xip`, ascending."""
    found = _SNAPSHOT.fullmatch(text)
    if found is None:
        return False
    first, end = int(found[1]), int(found[2])
    running = [int(each) for each in found[3].split(",")] if found[3] else []
    ascending = all(one < another for one, another in itertools.pairwise(running))
    inside = all(first <= each < end for each in running)
    return 0 < first <= end < _MAX_COUNT and ascending and inside


def _packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unpacked(cursor: str) -> bytes:
    """Returns the decoded bytes. Raises ValueError."""
    return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)


def _invalid() -> ValidationFailed:
    return ValidationFailed(
        "Pass on next_cursor as it came.",
        errors=(FieldError(field="cursor", code="cursor_invalid", message="not a cursor"),),
    )
