"""Marks of handled dead letters: an offset and a set of bits, in the commit of a group."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.bus.handled_letters import MAX_METADATA_BYTES, HandledLetters, MarksFull


@given(
    offsets=st.lists(st.integers(min_value=0, max_value=300)),
    begin=st.integers(min_value=0, max_value=200),
)
def test_marks_are_the_set_of_handled_offsets(offsets: list[int], begin: int) -> None:
    marks = HandledLetters()
    for offset in offsets:
        marks = marks.with_offset(offset)
        marks = HandledLetters.read(marks.before, marks.metadata())
    assert {offset for offset in range(400) if offset in marks} == set(offsets)
    kept = marks.from_offset(begin)
    assert {offset for offset in range(begin, 400) if offset in kept} == {
        offset for offset in offsets if offset >= begin
    }
    assert marks.waiting(begin=begin, end=400) == len(set(range(begin, 400)) - set(offsets))
    assert kept.before not in kept


def test_letters_handled_in_order_need_no_metadata() -> None:
    marks = HandledLetters()
    for offset in (1, 0, 2):
        marks = marks.with_offset(offset)
    assert (marks.before, marks.metadata()) == (3, "")


@pytest.mark.parametrize("metadata", [None, "", "of another program", "1:\x00", "1:0000", "1:" + "~" * 90])
def test_unreadable_metadata_has_no_marks(metadata: str | None) -> None:
    assert HandledLetters.read(7, metadata) == HandledLetters(7)
    assert HandledLetters.read(-1, metadata) == HandledLetters(0)


def test_every_second_of_many_letters_fits_and_a_random_half_of_too_many_is_refused() -> None:
    regular = HandledLetters(0, sum(1 << offset for offset in range(1, 100_000, 2)))
    assert len(regular.metadata()) < MAX_METADATA_BYTES
    chosen = random.Random(1)
    half = HandledLetters(0, chosen.getrandbits(20_000) << 1)
    assert HandledLetters.read(0, half.metadata()) == half
    with pytest.raises(MarksFull, match="oldest"):
        HandledLetters(0, chosen.getrandbits(40_000) << 1).metadata()
