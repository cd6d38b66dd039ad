import pytest
from kappi_client.progress import Meter, clock_time, size


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_bytes_of_an_earlier_run_count_as_done_and_not_for_the_speed() -> None:
    clock = Clock()
    meter = Meter(300_000_000, clock=clock)
    meter.resumed_bytes = 60_000_000
    assert meter.line() == "60.0 of 300.0 MB, 60.0 MB were there before"
    clock.now += 100  # of hashing
    meter.moved(40_000_000)
    clock.now += 10
    meter.stored(40_000_000)
    assert meter.bytes_per_second() == 4_000_000
    assert meter.seconds_left() == 50
    assert meter.line() == "100.0 of 300.0 MB, 60.0 MB were there before, 4.0 MB/s, 0:00:50 left"


def test_the_speed_is_measured_over_the_last_seconds() -> None:
    clock = Clock()
    meter = Meter(1_000_000_000, clock=clock)
    meter.moved(500_000_000)
    meter.stored(500_000_000)
    clock.now += 30
    meter.stored(20_000_000)
    assert meter.bytes_per_second() == 1_000_000
    clock.now += 30
    assert meter.bytes_per_second() is None
    assert "left" not in meter.line()


def test_missing_bytes_are_subtracted() -> None:
    clock = Clock()
    meter = Meter(10_000_000, clock=clock)
    clock.now += 1
    meter.stored(10_000_000)
    meter.stored(-5_000_000)
    assert meter.there_bytes == 5_000_000
    assert meter.line().startswith("5.0 of 10.0 MB")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (7_300_000, "7.3 MB"),
        (5e12, "5.0 TB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_sizes_are_shown_in_decimal_units(count: float, text: str) -> None:
    assert size(count) == text


def test_times_are_shown_as_hours_minutes_seconds() -> None:
    assert [clock_time(each) for each in (0, 59.6, 3_725)] == ["0:00:00", "0:01:00", "1:02:05"]
