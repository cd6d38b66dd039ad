"""Cursors of the list of posts."""

from __future__ import annotations

import itertools
import re
from typing import Final

from kappi_chassis.pagination import Count, Text, cursor_invalid, cursor_of, fields_of

from kappi_galleries.domain.posts import ListPosition, PostId

_END: Final = 1 << 63
_SNAPSHOT: Final = re.compile(r"(\d{1,19}):(\d{1,19}):((?:\d{1,19}(?:,\d{1,19})*)?)", re.ASCII)


def cursor_after_post(position: ListPosition) -> str:
    """Returns the cursor of the page of posts after the one that ends at this position."""
    return cursor_of(position.comment_count, position.post_id, position.snapshot)


def post_position_of(cursor: str) -> ListPosition:
    """Returns the position in a cursor.

    Raises ValidationFailed for a cursor that this service did not issue.
    """
    position = ListPosition(*fields_of(cursor, tuple[Count, PostId, Text]))
    if not is_snapshot(position.snapshot):
        raise cursor_invalid()
    return position


def is_snapshot(text: str) -> bool:
    """Whether PostgreSQL reads this text as a snapshot: `xmin:xmax:xip,xip`, ascending."""
    found = _SNAPSHOT.fullmatch(text)
    if found is None:
        return False
    first, end = int(found[1]), int(found[2])
    running = [int(each) for each in found[3].split(",")] if found[3] else []
    ascending = all(one < another for one, another in itertools.pairwise(running))
    inside = all(first <= each < end for each in running)
    return 0 < first <= end < _END and ascending and inside
