"""The cursors of lists that show items in the order of their gallery."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias
from uuid import UUID

from kappi_chassis.pagination import cursor_after, cursor_of, fields_of, position_of
from kappi_chassis.problems import ValidationFailed
from msgspec import Meta

from kappi_media.domain.order import MAX_KEY_BYTES

_ID_BYTES: Final = 16
_Place: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=MAX_KEY_BYTES)]


def cursor_at(place: bytes | None) -> str | None:
    """Returns the cursor of the page after a place; None without one."""
    if place is None:
        return None
    # The place of most items is their id. Earlier versions, which may run beside this one, read only ids.
    return cursor_after(UUID(bytes=place)) if len(place) == _ID_BYTES else cursor_of(place)


def place_in(cursor: str | None) -> bytes | None:
    """Returns the place in a cursor; None without one, for the first page. Raises ValidationFailed."""
    if not cursor:
        return None
    try:
        return fields_of(cursor, tuple[_Place])[0]
    except ValidationFailed:
        position = position_of(cursor)
        return None if position is None else position.bytes
