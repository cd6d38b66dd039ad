"""The cursors of lists that show items in the order of their gallery."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias
from uuid import UUID

from kappi_chassis.pagination import cursor_after, cursor_of, fields_of, position_of
from kappi_chassis.problems import ValidationFailed
from msgspec import Meta

from kappi_media.domain.order import MAX_KEY_BYTES

_ID_BYTES: Final = 16
_SortKey: TypeAlias = Annotated[bytes, Meta(min_length=1, max_length=MAX_KEY_BYTES)]


def cursor_after_key(sort_key: bytes | None) -> str | None:
    """Returns the cursor of the page after a sort key; None without one."""
    if sort_key is None:
        return None
    # The sort key of most items is their id. Earlier versions, which may run beside this one, read only ids.
    return cursor_after(UUID(bytes=sort_key)) if len(sort_key) == _ID_BYTES else cursor_of(sort_key)


def sort_key_in(cursor: str | None) -> bytes | None:
    """Returns the sort key in a cursor; None without one, for the first page. Raises ValidationFailed."""
    if not cursor:
        return None
    try:
        return fields_of(cursor, tuple[_SortKey])[0]
    except ValidationFailed:
        position = position_of(cursor)
        return None if position is None else position.bytes
