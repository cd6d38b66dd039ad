"""Copies looked at by the programs that wrote the place: it is gone, and the picture is the same."""

from __future__ import annotations

from pathlib import Path

import pillow_heif
import pytest
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing import BytesSource, is_supported, probe, sniff
from kappi_testkit.media.located_files import FILES, content_hash, tags_of, tells_place, without_place

pillow_heif.register_heif_opener()


@pytest.mark.parametrize("name", FILES)
async def test_the_place_is_gone_and_the_picture_is_the_same(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path)
    original = path.read_bytes()
    before = tags_of(path)
    assert [tag for tag in before if tells_place(tag)], "a file without a place proves nothing"

    copy = await without_place(original)
    assert len(copy) == len(original)
    copied = path.with_stem("copy")
    copied.write_bytes(copy)
    after = tags_of(copied)
    assert [tag for tag in after if tells_place(tag)] == []
    for told in (b"48.85", b"+48.8577", b"Champ de Mars", b"Kappi", b"Stays", b"stays"):
        assert told not in copy
    # What describes the picture itself is as it was.
    for tag in KEPT:
        if path.suffix == ".tif" and tag.startswith("ExifIFD"):
            continue  # a TIFF keeps its picture's fields alone
        assert after.get(tag) == before.get(tag), tag
    digest = content_hash(path)
    assert digest.strip()
    assert content_hash(copied) == digest


KEPT = (
    *("IFD0:Main:Orientation", "ExifIFD:Main:DateTimeOriginal", "ICC_Profile:Main:ProfileDescription"),
    *("PNG:Main:ImageWidth", "RIFF:VP8:ImageWidth", "GIF:Main:FrameCount", "IFD0:Main:Compression"),
    *("Track1:Main:ImageWidth", "Track1:Main:MatrixStructure", "QuickTime:Main:Duration"),
)


@pytest.mark.parametrize("name", FILES)
async def test_a_copy_has_nothing_more_to_take_out(name: str, tmp_path: Path) -> None:
    copy = await without_place(FILES[name](tmp_path).read_bytes())
    assert await find_location(BytesSource(copy)) == ()
    fmt = sniff(copy)
    assert fmt is not None
    if is_supported(fmt):
        assert (await probe(BytesSource(copy), fmt)).location is None
