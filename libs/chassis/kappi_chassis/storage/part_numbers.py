"""Number and numbering of an object's parts: S3's rules, which the local store follows, too."""

from __future__ import annotations

MAX_PARTS = 10_000


def checked_part_number(number: int) -> int:
    """Returns `number`. Raises ValueError if no part can have it."""
    if not 1 <= number <= MAX_PARTS:
        raise ValueError(f"A part's number is 1 to {MAX_PARTS}, not {number}")
    return number
