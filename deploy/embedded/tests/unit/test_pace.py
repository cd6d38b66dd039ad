import pytest
from kappi_embedded.client.pace import Pace

MIB = 1 << 20


def arrive(pace: Pace, count: int, *, seconds: float, size_bytes: int = 8 * MIB) -> None:
    for _ in range(count):
        pace.arrived(size_bytes=size_bytes, seconds=seconds)


def test_quick_parts_widen_the_way_up_to_what_was_asked_for() -> None:
    pace = Pace(widest=4)
    widths = []
    for _ in range(12):
        widths.append(pace.width)
        arrive(pace, 1, seconds=0.2)
    assert widths == [1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4]


def test_a_cut_narrows_it_to_one_part_on_connections_of_their_own() -> None:
    pace = Pace(widest=4)
    arrive(pace, 8, seconds=0.2)
    assert pace.width == 4
    assert not pace.fresh_connections
    pace.broke(after_s=0.1)
    assert pace.width == 1
    assert pace.fresh_connections


def test_after_a_cut_it_widens_only_while_parts_take_less_than_half_of_a_connections_life() -> None:
    pace = Pace(widest=4)
    pace.broke(after_s=1.0)  # of a connection that was older than its part: nothing is known of its life
    pace.broke(after_s=5.0)
    arrive(pace, 50, seconds=2.0)
    assert pace.width == 1, "two at once would take 4 of 5 seconds"
    arrive(pace, 7, seconds=0.5)
    assert pace.width == 2
    arrive(pace, 50, seconds=1.0)
    assert pace.width == 3 or pace.width == 4


def test_calm_is_waited_for_after_a_cut() -> None:
    pace = Pace(widest=4)
    pace.broke(after_s=60.0)
    arrive(pace, 7, seconds=0.1)
    assert pace.width == 1
    arrive(pace, 1, seconds=0.1)
    assert pace.width == 2


def test_more_at_once_are_given_up_when_they_are_no_faster() -> None:
    pace = Pace(widest=4)
    arrive(pace, 3, seconds=5.0)
    assert pace.width == 1, "not in the first seconds"
    arrive(pace, 1, seconds=5.0)
    assert pace.width == 2, "tried"
    arrive(pace, 2, seconds=10.0)
    assert pace.width == 1, "it is one link they share"
    arrive(pace, 50, seconds=5.0)
    assert pace.width == 1


def test_a_link_that_is_slow_for_each_connection_is_used_by_more() -> None:
    pace = Pace(widest=4)
    arrive(pace, 30, seconds=6.0)
    assert pace.width == 4


@pytest.mark.parametrize(("seconds", "connection"), [(30.0, "slow"), (2.0, "normal"), (0.1, "fast")])
def test_the_servers_word_for_the_link_is_measured(seconds: float, connection: str) -> None:
    pace = Pace(widest=1)
    assert pace.connection() == "normal"
    arrive(pace, 3, seconds=seconds)
    assert pace.connection() == connection
    pace.broke(after_s=1.0)
    assert pace.connection() == "slow"
