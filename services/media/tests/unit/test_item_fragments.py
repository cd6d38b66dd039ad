from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from kappi_chassis.clock import new_id
from kappi_chassis.storage.local_signing import LocalUrlSigner
from kappi_media.api import item_fragments
from kappi_media.api.item_fragments import ItemFragments
from kappi_media.api.schemas import ItemView
from kappi_media.domain.media import GalleryId, Item, ItemStatus, MediaId, UploadId
from kappi_media.domain.tiers import seeded
from kappi_media.rendition_urls import RenditionUrls
from kappi_media.signed_urls import DownloadUrls

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
RULES = seeded("Premium")


def an_item() -> Item:
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
        sha256=bytes(32),
        width=1,
        height=1,
        duration_ms=None,
        taken_at=NOW,
        caption="Hello",
        tags=["x"],
        location=None,
        attributes={"a": [1]},
        placeholder=b"hash",
        created_at=NOW,
        version=1,
        renditions=["400"],
    )


@pytest.fixture
def fragments() -> ItemFragments:
    signer = LocalUrlSigner(base_url="http://store/", secret=b"s" * 32)
    bucket = timedelta(minutes=5)
    on_request = RenditionUrls(public_url="http://kappi.example", secret=b"s" * 32)
    return ItemFragments(
        DownloadUrls(signer, clock=lambda: NOW, lifetime=2 * bucket, bucket=bucket, on_request=on_request)
    )


def test_a_fragment_is_the_item(fragments: ItemFragments) -> None:
    item = an_item()
    shown = msgspec.json.decode(fragments.make([item], as_of=NOW, rules=RULES)[item.id], type=ItemView)
    assert (shown.id, shown.caption, shown.attributes, shown.taken_at) == (item.id, "Hello", {"a": [1]}, NOW)
    assert shown.original is not None
    made_here = {size: "/v1/media/" in signed.url for size, signed in shown.renditions.items()}
    assert made_here == {"200": True, "400": False}, "the gateway's URL for what is not in the store"


@pytest.mark.parametrize("status", ["processing", "rejected"])
def test_what_is_not_ready_lists_what_is_made(fragments: ItemFragments, status: ItemStatus) -> None:
    item = an_item()._replace(status=status)
    shown = msgspec.json.decode(fragments.make([item], as_of=NOW, rules=RULES)[item.id], type=ItemView)
    assert set(shown.renditions) == {"400"}


def test_a_fragment_is_kept_for_its_version_and_its_bucket(fragments: ItemFragments) -> None:
    item = an_item()
    assert fragments.kept([(item.id, 1)], as_of=NOW, rules=RULES) == {}
    made = fragments.make([item], as_of=NOW, rules=RULES)
    assert fragments.kept([(item.id, 1)], as_of=NOW, rules=RULES) == made
    assert fragments.kept([(item.id, 2)], as_of=NOW, rules=RULES) == {}
    assert fragments.kept([(item.id, 1)], as_of=LATER, rules=RULES) == {}
    assert fragments.kept([(item.id, 1)], as_of=NOW, rules=RULES) == {}


def test_a_fragment_shows_what_its_tier_allows(fragments: ItemFragments) -> None:
    item, poor = an_item(), seeded("Basic")
    fragments.kept([], as_of=NOW, rules=RULES)
    rich_bytes = fragments.make([item], as_of=NOW, rules=RULES)[item.id]
    assert fragments.kept([(item.id, 1)], as_of=NOW, rules=poor) == {}
    shown = msgspec.json.decode(fragments.make([item], as_of=NOW, rules=poor)[item.id], type=ItemView)
    assert (shown.original, set(shown.renditions)) == (None, {"200"})
    assert shown.sha256 == "00" * 32
    assert fragments.kept([(item.id, 1)], as_of=NOW, rules=RULES) == {item.id: rich_bytes}
    # Tiers that show the same share cached fragments.
    assert fragments.kept([(item.id, 1)], as_of=NOW, rules=seeded("Enterprise")) == {item.id: rich_bytes}


def test_a_page_that_was_begun_in_the_last_bucket_keeps_nothing_for_this_one(
    fragments: ItemFragments,
) -> None:
    item = an_item()
    fragments.kept([], as_of=NOW, rules=RULES)
    fragments.kept([], as_of=LATER, rules=RULES)
    assert item.id in fragments.make([item], as_of=NOW, rules=RULES)
    assert fragments.kept([(item.id, 1)], as_of=LATER, rules=RULES) == {}


def test_what_is_kept_is_bounded(fragments: ItemFragments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_fragments, "KEPT_ITEMS", 10)
    items = [an_item() for _ in range(10)]
    fragments.kept([], as_of=NOW, rules=RULES)
    fragments.make(items, as_of=NOW, rules=RULES)
    assert fragments.kept([(items[0].id, 1)], as_of=NOW, rules=RULES) == {}, "full, so begun anew"
