import math

import pytest
from kappi_embedded.client.rhythm import Rhythm

PART_S = 1.3


def sent(rhythm: Rhythm, *, cut_every_s: float, until: float, part_s: float = PART_S) -> tuple[int, float]:
    """(parts arrived, seconds spent on parts that were cut), on a link that is cut so often."""
    now, arrived, wasted_s = 0.7, 0, 0.0
    while now < until:
        now += rhythm.hold_s(now, expected_s=part_s if arrived else None)
        next_cut = (now // cut_every_s + 1) * cut_every_s if math.isfinite(cut_every_s) else math.inf
        if now + part_s <= next_cut:
            rhythm.arrived(now, now + part_s)
            arrived += 1
            now += part_s
        else:
            rhythm.cut(next_cut)
            wasted_s += next_cut - now
            now = next_cut + 0.1
    return arrived, wasted_s


@pytest.mark.parametrize("part_s", [0.8, 1.3, 1.8, 2.1])
def test_regular_cuts_are_foreseen(part_s: float) -> None:
    arrived, wasted_s = sent(Rhythm(), cut_every_s=5.0, until=100.0, part_s=part_s)
    assert wasted_s / (arrived * part_s) < 0.12
    assert arrived >= 0.9 * 20 * ((5.0 - 0.3) // part_s), "next to nothing is lost by waiting"


def test_a_link_that_is_not_cut_any_more_is_used_again() -> None:
    rhythm = Rhythm()
    rhythm.cut(5.0)
    rhythm.cut(10.0)
    assert rhythm.hold_s(14.0, expected_s=PART_S) > 0
    arrived, wasted_s = sent(rhythm, cut_every_s=math.inf, until=80.0)
    assert wasted_s == 0
    assert arrived >= 45, "of 61 that fit"
    assert rhythm.hold_s(99.9, expected_s=PART_S) == 0


def test_parts_longer_than_the_time_between_cuts_are_tried_all_the_same() -> None:
    rhythm = Rhythm()
    rhythm.cut(2.0)
    rhythm.cut(4.0)
    assert rhythm.hold_s(4.5, expected_s=3.0) == 0


def test_parts_cut_together_are_one_cut_and_one_cut_is_no_rhythm() -> None:
    rhythm = Rhythm()
    rhythm.cut(5.0)
    rhythm.cut(5.01)
    rhythm.cut(5.02)
    assert rhythm.hold_s(9.5, expected_s=1.0) == 0
