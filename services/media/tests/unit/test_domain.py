from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_chassis.clock import new_id
from kappi_media.domain.media import (
    Description,
    GalleryId,
    MediaId,
    Upload,
    UploadId,
    start_of_bucket,
    url_lifetime_left,
)

NOW = datetime(2026, 5, 1, 12, 7, 3, 500, tzinfo=UTC)
UPLOAD = Upload(
    id=UploadId(new_id()),
    media_id=MediaId(new_id()),
    gallery_id=GalleryId(new_id()),
    filename="a.jpg",
    content_type="image/jpeg",
    size_bytes=1,
    sha256=None,
    state="pending",
    rejection_reason=None,
    expires_at=NOW + timedelta(hours=24),
    created_at=NOW,
)


@given(
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants them naive
    minutes=st.integers(1, 60),
)
def test_a_bucket_holds_its_moment(moment: datetime, minutes: int) -> None:
    bucket = timedelta(minutes=minutes)
    start = start_of_bucket(moment, bucket)
    assert start <= moment < start + bucket
    assert start_of_bucket(start, bucket) == start


def test_a_bucket_is_the_same_everywhere_on_earth() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert start_of_bucket(elsewhere, timedelta(minutes=5)) == datetime(2026, 5, 1, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "expected_s"),
    [
        (timedelta(hours=1), 900),
        (timedelta(seconds=90.9), 90),
        (timedelta(seconds=0.2), 1),
        (-timedelta(1), 1),
    ],
)
def test_a_signed_upload_never_outlives_its_upload(left: timedelta, expected_s: int) -> None:
    granted = url_lifetime_left(NOW + left, now=NOW, lifetime=timedelta(minutes=15))
    assert granted == timedelta(seconds=expected_s)


def test_an_upload_is_open_while_pending_and_in_time() -> None:
    assert UPLOAD.is_open(NOW)
    assert not UPLOAD.is_open(UPLOAD.expires_at)
    for state in ("completed", "rejected", "aborted"):
        assert not UPLOAD._replace(state=state).is_open(NOW)


def test_a_description_that_says_nothing_is_empty() -> None:
    assert Description().is_empty
    for something in (
        Description(caption="x"),
        Description(tags=("x",)),
        Description(location="x"),
        Description(attributes={"x": None}),
    ):
        assert not something.is_empty
