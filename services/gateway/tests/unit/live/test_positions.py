"""Positions as event ids."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st
from kappi_gateway.live.positions import Partition, Positions

OFFSETS = {("b", 0): 5, ("a", 1): 300, ("a", 0): 0}
CIPHER = AESSIV(bytes(32))


def positions_of(cluster: str, offsets: Mapping[Partition, int], *, cipher: AESSIV = CIPHER) -> Positions:
    return Positions(cluster, offsets, cipher=cipher)


@given(st.lists(st.integers(0, 2**62), min_size=3, max_size=3))
def test_an_id_is_read_as_it_was_written(offsets: list[int]) -> None:
    positions = positions_of("c", dict(zip(OFFSETS, offsets, strict=True)))
    assert positions.read(positions.event_id()) == positions.next


def test_gateways_that_read_the_same_have_the_same_id() -> None:
    here, there = positions_of("c", OFFSETS), positions_of("c", dict(reversed(OFFSETS.items())))
    assert here.event_id() == there.event_id()
    here.advance(here.index_of["b", 0], 5)
    assert here.event_id() != there.event_id()
    there.advance(there.index_of["b", 0], 5)
    assert here.event_id() == there.event_id()
    assert here.offset_of(("b", 0)) == 6


@pytest.mark.parametrize(
    "other",
    [
        positions_of("d", OFFSETS),
        positions_of("c", {**OFFSETS, ("a", 2): 0}),
        positions_of("c", {("a", 0): 0}),
    ],
    ids=["cluster", "more partitions", "fewer partitions"],
)
def test_an_id_of_other_partitions_is_not_read(other: Positions) -> None:
    assert positions_of("c", OFFSETS).read(other.event_id()) is None


def test_an_id_shows_no_offset_without_the_key() -> None:
    here, later = (positions_of("c", {**OFFSETS, ("b", 0): offset}) for offset in (5, 6))
    pairs = zip(*(urlsafe_b64decode(each.event_id() + b"==") for each in (here, later)), strict=True)
    assert sum(one != other for one, other in pairs) > 8
    foreign = positions_of("c", OFFSETS, cipher=AESSIV(bytes(31) + b"1"))
    assert foreign.read(here.event_id()) is None


@given(st.binary(min_size=1, max_size=80))
def test_anything_else_is_not_read_and_does_no_harm(content: bytes) -> None:
    positions = positions_of("c", OFFSETS)
    for event_id in (content, urlsafe_b64encode(CIPHER.encrypt(content, [positions.epoch]))):
        read = positions.read(event_id)
        assert read is None or len(read) == 3


def test_the_id_of_a_large_deployment_fits_into_a_header() -> None:
    offsets = {(f"topic {number % 7}", number // 7): 10**9 for number in range(84)}
    assert len(positions_of("c", offsets).event_id()) < 1_024
