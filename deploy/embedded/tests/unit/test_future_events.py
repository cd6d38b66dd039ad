from datetime import UTC, datetime, timedelta

import pytest
from kappi_embedded.time_args import BadMoment, parse_duration, parse_moment

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("+31d", NOW + timedelta(days=31)),
        ("-2h", NOW - timedelta(hours=2)),
        ("2027-01-31T12:00:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31T12:00:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_times_are_parsed(text: str, moment: datetime) -> None:
    parsed = parse_moment(text, now=NOW)
    assert parsed == moment
    assert parsed.utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["tomorrow", "+31", "+d", "2027-01-31T12:00:00", "", "+1y"])
def test_an_invalid_time_is_explained(text: str) -> None:
    with pytest.raises(BadMoment):
        parse_moment(text, now=NOW)


def test_durations_are_parsed() -> None:
    assert parse_duration("90s") == timedelta(seconds=90)
    assert parse_duration("2w") == timedelta(days=14)


@pytest.mark.parametrize(
    "text", ["+999999w", "-999999w", "0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00"]
)
def test_a_time_outside_the_calendar_is_explained(text: str) -> None:
    with pytest.raises(BadMoment, match="too far away"):
        parse_moment(text, now=datetime(2026, 5, 1, tzinfo=UTC))
