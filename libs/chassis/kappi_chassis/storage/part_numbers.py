"""How many parts an object may have, and how they are numbered: S3's rules, kept by the local store too."""

from __future__ import annotations

MAX_PARTS = 10_000


def checked_part_number(number: int) -> int:
    """`number`. Raises ValueError for one that no part can have."""
    if not 1 <= number <= MAX_PARTS:
        raise ValueError(f"A part's number is 1 to {MAX_PARTS}, not {number}")
    return number
