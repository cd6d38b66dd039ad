from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kappi_chassis.clock import new_id
from kappi_chassis.storage import SignedRequest
from kappi_media.domain import GalleryId, Item, MediaId, UploadId
from kappi_media.signed_urls import DownloadUrls

TEN, FIVE = timedelta(minutes=10), timedelta(minutes=5)


class PlainSigner:
    """Shows what it was asked to sign."""

    def sign_put(self, key: str, *, binding: object, now: datetime, lifetime: timedelta) -> SignedRequest:
        raise AssertionError("nothing is uploaded here")

    def sign_part(
        self, key: str, *, upload_id: str, number: int, size_bytes: int, now: datetime, lifetime: timedelta
    ) -> SignedRequest:
        raise AssertionError("no upload here")

    def sign_get(
        self,
        key: str,
        *,
        now: datetime,
        lifetime: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> SignedRequest:
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
        sha256=None,
        width=1,
        height=1,
        duration_ms=None,
        taken_at=None,
        caption=None,
        tags=[],
        location=None,
        attributes={},
        placeholder=None,
        created_at=datetime(2026, 5, 1, tzinfo=UTC),
        version=1,
        renditions=["400"],
    )


def test_a_url_repeats_within_its_bucket_and_lives_long_enough_in_all_of_it() -> None:
    clock, shown = Clock(), item()
    urls = DownloadUrls(PlainSigner(), clock=clock, lifetime=TEN, bucket=FIVE)
    seen = set()
    for _ in range(5 * 60):
        url = urls.original(shown, as_of=urls.as_of())
        assert TEN < url.expires_at - clock.now <= TEN + FIVE
        seen.add(url.url)
        clock.now += timedelta(seconds=1)
    assert len(seen) == 1
    assert urls.original(shown, as_of=urls.as_of()).url not in seen


def test_the_original_has_its_name_and_a_rendition_none() -> None:
    urls = DownloadUrls(PlainSigner(), clock=Clock(), lifetime=TEN, bucket=FIVE)
    shown = item()
    assert urls.original(shown, as_of=urls.as_of()).url.endswith("a.jpg")
    assert "/renditions/400.jpg" in urls.rendition(shown, "400", as_of=urls.as_of()).url
