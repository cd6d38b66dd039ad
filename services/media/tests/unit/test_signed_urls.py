from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.storage import SignedRequest
from kappi_media.domain.media import GalleryId, Item, MediaId, UploadId
from kappi_media.errors import RenditionUrlInvalid
from kappi_media.rendition_urls import RenditionUrls
from kappi_media.signed_urls import DownloadUrls

ON_REQUEST = RenditionUrls(public_url="https://kappi.example/", secret=b"s" * 32)
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
    urls = DownloadUrls(PlainSigner(), clock=clock, lifetime=TEN, bucket=FIVE, on_request=ON_REQUEST)
    seen = set()
    for _ in range(5 * 60):
        url = urls.original(shown, as_of=urls.as_of())
        assert TEN < url.expires_at - clock.now <= TEN + FIVE
        seen.add(url.url)
        clock.now += timedelta(seconds=1)
    assert len(seen) == 1
    assert urls.original(shown, as_of=urls.as_of()).url not in seen


def test_the_original_has_its_name_and_a_rendition_none() -> None:
    urls = DownloadUrls(PlainSigner(), clock=Clock(), lifetime=TEN, bucket=FIVE, on_request=ON_REQUEST)
    shown = item()
    assert urls.original(shown, as_of=urls.as_of()).url.endswith("a.jpg")
    assert "/renditions/400.jpg" in urls.rendition(shown, "400", as_of=urls.as_of()).url


def test_a_rendition_on_request_is_signed_for_one_item_size_and_time() -> None:
    clock, shown = Clock(), item()
    urls = DownloadUrls(PlainSigner(), clock=clock, lifetime=TEN, bucket=FIVE, on_request=ON_REQUEST)
    signed = urls.rendition_on_request(shown, "2048", as_of=urls.as_of())
    parts = urlsplit(signed.url)
    assert (parts.netloc, parts.path) == ("kappi.example", f"/v1/media/{shown.id}/renditions/2048")
    query = dict(parse_qsl(parts.query))
    ON_REQUEST.check(shown, "2048", **query, now=signed.expires_at - timedelta(seconds=1))
    later = str(int(query["expires"]) + 1)
    for other, size, changed, now in (
        (item(), "2048", query, clock.now),
        (shown._replace(gallery_id=GalleryId(new_id())), "2048", query, clock.now),
        (shown._replace(folder=2), "2048", query, clock.now),
        (shown, "400", query, clock.now),
        (shown, "2048", {**query, "expires": later}, clock.now),
        (shown, "2048", {**query, "signature": "é" * 32}, clock.now),
        (shown, "2048", {**query, "expires": "9" * 400}, clock.now),
        (shown, "2048", query, signed.expires_at),
    ):
        with pytest.raises(RenditionUrlInvalid):
            ON_REQUEST.check(other, size, **changed, now=now)
