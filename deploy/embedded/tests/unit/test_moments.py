from datetime import UTC, datetime, timedelta

import pytest
from kappi_embedded.moments import BadMoment, parse_duration, parse_moment

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
def test_moments(text: str, moment: datetime) -> None:
    parsed = parse_moment(text, now=NOW)
    assert parsed == moment
    assert parsed.utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["tomorrow", "+31", "+d", "2027-01-31T12:00:00", "", "+1y"])
def test_what_is_no_moment_is_explained(text: str) -> None:
    with pytest.raises(BadMoment):
        parse_moment(text, now=NOW)


def test_durations() -> None:
    assert parse_duration("90s") == timedelta(seconds=90)
    assert parse_duration("2w") == timedelta(days=14)
