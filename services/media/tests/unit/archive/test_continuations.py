from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from kappi_media.archive.continuations import LASTS, Continuations

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
GALLERY, OTHER = UUID(int=1), UUID(int=2)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def continuations(clock: Clock) -> Continuations:
    return Continuations(b"s" * 32, clock=clock)


@pytest.mark.parametrize("header", ["if-range", "if-match"])
def test_the_tag_of_a_counted_archive_is_known_until_it_ends(
    continuations: Continuations, clock: Clock, header: str
) -> None:
    tag = continuations.tag("a-1", gallery_id=GALLERY)
    headers = {header: f'"{tag}"'}
    assert continuations.shown(headers, etag="a-1", gallery_id=GALLERY) == tag
    clock.now = NOW + LASTS - timedelta(seconds=1)
    assert continuations.shown(headers, etag="a-1", gallery_id=GALLERY) == tag
    clock.now = NOW + LASTS
    assert continuations.shown(headers, etag="a-1", gallery_id=GALLERY) is None


def test_it_is_of_one_archive_of_one_gallery_and_one_deployment(
    continuations: Continuations, clock: Clock
) -> None:
    headers = {"if-range": f'"{continuations.tag("a-1", gallery_id=GALLERY)}"'}
    assert continuations.shown(headers, etag="a-2", gallery_id=GALLERY) is None
    assert continuations.shown(headers, etag="a-1", gallery_id=OTHER) is None
    elsewhere = Continuations(b"t" * 32, clock=clock)
    assert elsewhere.shown(headers, etag="a-1", gallery_id=GALLERY) is None


@pytest.mark.parametrize(
    "text", ["", '""', '"a-1"', '"a-1-9"', '"a-1--"', '"a-1-x-y"', '"a-1-é-é"', "*", "-", "--"]
)
def test_other_texts_are_no_tags(continuations: Continuations, text: str) -> None:
    assert continuations.shown({"if-range": text}, etag="a-1", gallery_id=GALLERY) is None
