"""Positions as event ids."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_gateway.live.positions import Positions

OFFSETS = {("b", 0): 5, ("a", 1): 300, ("a", 0): 0}


@given(st.lists(st.integers(0, 2**62), min_size=3, max_size=3))
def test_an_id_is_read_as_it_was_written(offsets: list[int]) -> None:
    positions = Positions("c", dict(zip(OFFSETS, offsets, strict=True)))
    assert positions.read(positions.event_id()) == positions.next


def test_gateways_that_read_the_same_have_the_same_id() -> None:
    here, there = Positions("c", OFFSETS), Positions("c", dict(reversed(OFFSETS.items())))
    assert here.event_id() == there.event_id()
    here.advance(here.index_of["b", 0], 5)
    assert here.event_id() != there.event_id()
    there.advance(there.index_of["b", 0], 5)
    assert here.event_id() == there.event_id()
    assert here.offset_of(("b", 0)) == 6


@pytest.mark.parametrize(
    "other",
    [Positions("d", OFFSETS), Positions("c", {**OFFSETS, ("a", 2): 0}), Positions("c", {("a", 0): 0})],
    ids=["cluster", "more partitions", "fewer partitions"],
)
def test_an_id_of_other_partitions_is_not_read(other: Positions) -> None:
    assert Positions("c", OFFSETS).read(other.event_id()) is None


@given(st.binary(max_size=80))
def test_anything_else_is_not_read_and_does_no_harm(content: bytes) -> None:
    positions = Positions("c", OFFSETS)
    for event_id in (content, urlsafe_b64encode(positions.epoch + content)):
        read = positions.read(event_id)
        assert read is None or len(read) == 3


def test_the_id_of_a_large_deployment_fits_into_a_header() -> None:
    offsets = {(f"topic {number % 7}", number // 7): 10**9 for number in range(84)}
    assert len(Positions("c", offsets).event_id()) < 1_024
