"""The keys by which the items of a gallery are ordered, without I/O.

A key is a row of bytes that is compared from the left. It may have any length, so there is room between two
keys, and no other item has to be changed. An item that was never moved has the 16 bytes of its id as key; ids
are UUIDv7, whose first six bytes are the milliseconds at which the upload was declared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

MAX_KEY_BYTES: Final = 1_000
"""The length of a key at most. Each move between the same two items makes keys longer by one bit at most."""
FIRST_MOMENT: Final = 1 << 40
"""The milliseconds at which keys begin where no other key is near: before every id, and far from zero."""
_MOMENT_BYTES: Final = 6

Sorting = Literal["added", "taken", "filename"]


class OrderTooFine(ValueError):
    """There is no room for a key of `MAX_KEY_BYTES` between two keys."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Items, in their wanted order, and the item that they are to stand before; None for the end."""

    media_ids: tuple[UUID, ...]
    before: UUID | None


@dataclass(frozen=True, slots=True)
class Reordered:
    """The items that stand where they should, in their order, and the ids that name no visible item."""

    moved: tuple[UUID, ...] = ()
    not_found: tuple[UUID, ...] = ()


def keys_between(low: bytes | None, high: bytes | None, count: int) -> list[bytes]:
    """Returns `count` ascending keys between two neighbours. low, high: None where there is no neighbour.

    Raises OrderTooFine.
    """
    if high is None:
        # A later item has a later id, so it still comes last.
        moment = FIRST_MOMENT if low is None else _moment_of(low) + 1
        return _spread(_begin_of(moment), _begin_of(moment + 1), count)
    if low is None and (moment := _moment_of(high)) > 0:
        return _spread(_begin_of(moment - 1), _begin_of(moment), count)
    return _spread(low or b"", high, count)


def _spread(low: bytes, high: bytes, count: int) -> list[bytes]:
    """Returns the shortest keys that divide the room evenly."""
    for length in range(1, MAX_KEY_BYTES + 1):
        first, last = _number(low, length), _number(high, length)
        step = (last - first) // (count + 1)
        if step:
            # Without its last zeros a key is another one, but at the same place among all others.
            return [(first + step * nth).to_bytes(length, "big").rstrip(b"\0") for nth in range(1, count + 1)]
    raise OrderTooFine


def _number(key: bytes, length: int) -> int:
    return int.from_bytes(key[:length].ljust(length, b"\0"), "big")


def _moment_of(key: bytes) -> int:
    return _number(key, _MOMENT_BYTES)


def _begin_of(moment: int) -> bytes:
    return moment.to_bytes(_MOMENT_BYTES, "big")
