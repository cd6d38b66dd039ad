"""The numbers of advisory locks, one for each id of an account or an item."""

from __future__ import annotations

from uuid import UUID


def lock_of(account_or_item: UUID) -> int:
    """Returns the random half of the id as the bigint that names an advisory lock."""
    return int.from_bytes(account_or_item.bytes[8:], signed=True)
