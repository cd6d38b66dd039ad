from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.storage import SignedRequest
from kappi_media import signed_urls
from kappi_media.domain import GalleryId, Item, MediaId, UploadId
from kappi_media.signed_urls import DownloadUrls

TEN, FIVE = timedelta(minutes=10), timedelta(minutes=5)


class CountingSigner:
    """Counts what it signs."""

    def __init__(self) -> None:
        self.signed = 0

    def sign_put(self, key: str, *, binding: object, now: datetime, lifetime: timedelta) -> SignedRequest:
        raise AssertionError("nothing is uploaded here")

    def sign_get(
        self,
        key: str,
        *,
        now: datetime,
        lifetime: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> SignedRequest:
        self.signed += 1
        return SignedRequest(f"{key}?{now.timestamp():.0f}&{filename}", "GET", {}, now + lifetime)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def item() -> Item:
    return Item(
        id=MediaId(new_id()),
        gallery_id=GalleryId(new_id()),
        upload_id=UploadId(new_id()),
        filename="a.jpg",
        content_type="image/jpeg",
        kind="image",
        status="ready",
        rejection_reason=None,
        size_bytes=1,
        width=1,
        height=1,
        duration_ms=None,
        taken_at=None,
        caption=None,
        tags=[],
        location=None,
        attributes={},
        created_at=datetime(2026, 5, 1, tzinfo=UTC),
        version=1,
        renditions=["400"],
    )


def test_a_url_repeats_within_its_bucket_and_lives_long_enough_in_all_of_it() -> None:
    signer, clock, shown = CountingSigner(), Clock(), item()
    urls = DownloadUrls(signer, clock=clock, lifetime=TEN, bucket=FIVE)
    seen = set()
    for _ in range(5 * 60):
        url = urls.original(shown, as_of=urls.as_of())
        assert TEN < url.expires_at - clock.now <= TEN + FIVE
        seen.add(url.url)
        clock.now += timedelta(seconds=1)
    assert len(seen) == signer.signed == 1
    assert urls.original(shown, as_of=urls.as_of()).url not in seen


def test_the_original_has_its_name_and_a_rendition_none() -> None:
    urls = DownloadUrls(CountingSigner(), clock=Clock(), lifetime=TEN, bucket=FIVE)
    shown = item()
    assert urls.original(shown, as_of=urls.as_of()).url.endswith("a.jpg")
    assert "/renditions/400.jpg" in urls.rendition(shown, "400", as_of=urls.as_of()).url


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_urls, "KEPT_URLS", 10)
    signer = CountingSigner()
    urls = DownloadUrls(signer, clock=Clock(), lifetime=TEN, bucket=FIVE)
    shown = [item() for _ in range(25)]
    for one in shown:
        urls.original(one, as_of=urls.as_of())
    assert signer.signed == 25
    urls.original(shown[0], as_of=urls.as_of())
    assert signer.signed == 26, "the oldest were let go"
    urls.original(shown[-1], as_of=urls.as_of())
    assert signer.signed == 26
