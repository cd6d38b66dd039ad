"""Copies of files with a place in XMP, IPTC or text chunks: the prober reads it, but not in the copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest
from kappi_mediameta.probing import BytesSource, Probe, probe, sniff
from kappi_testkit.media.located_files import without_place
from kappi_testkit.media.metadata_blocks import (
    FULL_XMP,
    WITH_XMP,
    exif_block,
    jpeg,
    photoshop,
    png,
    profile_text,
    records,
)
from kappi_testkit.media.samples import Shot

_IPTC = photoshop(records([(120, b"At Champ de Mars"), (25, b"Paris"), (90, b"Paris")]))
_SHOT = Shot(taken="2024:07:05 12:11:12", place=(48.5, -21.25, 100.0))
_TOLD: Final[Mapping[str, bytes]] = {
    **{name: make(FULL_XMP) for name, make in WITH_XMP.items()},
    "jpeg-iptc": jpeg(iptc=_IPTC),
    "jpeg-description": jpeg(exif=exif_block([(0x010E, 2, b"Champ de Mars\x00")])),
    **{
        f"png-{kind}": png((b"tEXt", f"Raw profile type {kind}\x00".encode() + profile_text(kind, body)))
        for kind, body in (("exif", _SHOT.exif()), ("APP1", _SHOT.exif()), ("iptc", _IPTC))
    },
}


async def probed(body: bytes) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt is not None
    return await probe(BytesSource(body), fmt)


@pytest.mark.parametrize("body", _TOLD.values(), ids=_TOLD)
async def test_a_copy_tells_neither_place_nor_words(body: bytes) -> None:
    before = await probed(body)
    assert before.location or before.caption or before.keywords
    copy = await without_place(body)
    assert len(copy) == len(body)
    after = await probed(copy)
    assert (after.location, after.caption, after.keywords) == (None, None, ())
    assert (after.width, after.height) == (before.width, before.height)
    for told in (b"Nebel", b"46,33", b"Champ de Mars", b"Paris", b"436861"):
        assert told not in copy


async def test_a_date_in_the_form_of_iso_8601_stays_as_exif_writes_it() -> None:
    dated = exif_block(details=[(0x9003, 2, b"2024-07-05T12:11:12+02:00\x00")], gps=[(1, 2, b"N\x00")])
    copy = await without_place(jpeg(exif=dated))
    assert b"2024:07:05 12:11:12\x00" in copy
    after = await probed(copy)
    assert after.taken_at is not None
    assert (after.taken_at.hour, after.taken_offset_minutes) == (12, None)
