"""The keys by which the items of a gallery are ordered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.clock import new_id
from kappi_media.domain import order
from kappi_media.domain.order import OrderTooFine, keys_between

# Until the year 6429, ids and keys begin with a byte below 0x80.
KEYS = st.binary(min_size=1, max_size=20).filter(lambda key: key[0] < 0x80 and key.strip(b"\0") != b"")
COUNTS = st.integers(1, 1_000)


@given(KEYS, KEYS, COUNTS)
def test_keys_stand_between_their_neighbours(one: bytes, other: bytes, count: int) -> None:
    low, high = sorted((one.rstrip(b"\0"), other.rstrip(b"\0")))
    if low == high:
        return
    keys = keys_between(low, high, count)
    assert len(keys) == count
    assert [low, *keys, high] == sorted({low, *keys, high})


@given(KEYS, COUNTS)
def test_keys_stand_at_either_end(key: bytes, count: int) -> None:
    first, last = keys_between(None, key, count), keys_between(key[:16], None, count)
    assert [*first, key] == sorted({*first, key})
    assert [key[:16], *last] == sorted({key[:16], *last})


def test_keys_without_neighbours_are_before_every_id() -> None:
    keys = [*keys_between(None, None, 1_000), new_id().bytes]
    assert keys == sorted(set(keys))


def test_later_items_come_after_those_moved_to_the_end() -> None:
    moved = keys_between(new_id().bytes, None, 1)
    assert moved[0] < keys_between(moved[0], None, 1)[0]


@pytest.mark.parametrize("end", ["front", "back"])
def test_keys_do_not_grow_at_an_end(end: str) -> None:
    key = new_id().bytes
    for _ in range(2_000):
        (key,) = keys_between(None, key, 1) if end == "front" else keys_between(key, None, 1)
    assert len(key) <= 8


@pytest.mark.parametrize("towards", ["low", "high"])
def test_keys_grow_by_a_bit_with_each_move_into_the_same_room(
    towards: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "MAX_KEY_BYTES", 100)
    low, high = sorted(new_id().bytes for _ in range(2))
    for _ in range(8 * (100 - 16)):
        (key,) = keys_between(low, high, 1)
        low, high = (key, high) if towards == "high" else (low, key)
    with pytest.raises(OrderTooFine):
        keys_between(low, high, 1 << 800)
