"""Every file of the corpus is read as ExifTool, FFprobe and ImageMagick read it."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import exifread
import pytest
from kappi_mediameta.probing import SNIFF_BYTES, BytesSource, MediaFormat, Probe, probe, sniff
from kappi_testkit.media.corpus.files import MADE, photographs
from kappi_testkit.media.corpus.formats_page import Row, page
from kappi_testkit.media.corpus.oracles import Reading, read_with_tools
from kappi_testkit.media.corpus.pictures import LIVE_ID

_PLACE_TOLERANCE = 1e-4  # degrees: 3GPP writes sixteen bits of fraction
_MORE = "KAPPI_TEST_MORE_MEDIA"
_REFRESH = "KAPPI_TEST_REFRESH_FORMATS"
_TEXT = Path(__file__).with_name("formats.md")
_PAGE = Path(__file__).parents[4] / "docs" / "formats.md"


def probed(path: Path) -> tuple[MediaFormat, Probe]:
    body = path.read_bytes()
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    return fmt, asyncio.run(probe(BytesSource(body), fmt))


def assert_same(found: Probe, read: Reading) -> None:
    assert read.sizes_agree, "the tools differ among themselves"
    assert (found.kind, found.width, found.height) == (read.kind, read.width, read.height)
    if read.duration_ms is not None and (found.animated or found.kind == "video"):
        assert found.duration_ms == pytest.approx(read.duration_ms, abs=read.frame_ms + 1)
    assert found.taken_at == read.taken_at
    assert found.taken_offset_minutes == read.offset_minutes
    place = (found.location.latitude, found.location.longitude) if found.location else None
    assert place == (pytest.approx(read.place, abs=_PLACE_TOLERANCE) if read.place else None)
    camera = found.camera
    assert ((camera.make, camera.model) if camera else (None, None)) == read.camera
    assert found.live_id == read.live_id


@pytest.mark.parametrize("name", [*MADE, *photographs()])
def test_a_file_is_read_as_the_tools_read_it(
    name: str, corpus: Mapping[str, Path], readings: Mapping[str, Reading]
) -> None:
    _, found = probed(corpus[name])
    assert_same(found, readings[name])


def test_exif_is_read_as_exifread_reads_it(corpus: Mapping[str, Path]) -> None:
    """ExifRead, the library that was not chosen (ADR-0015), checks the reader."""
    compared = 0
    for path in corpus.values():
        # ExifRead fails on BigTIFF, on EXIF as Pillow puts it into WebP, and on libheif's HEIC.
        if path.suffix not in (".jpg", ".tif", ".png") or path.name == "big.tif":
            continue
        with path.open("rb") as file:
            tags = exifread.process_file(file, details=False)
        _, found = probed(path)
        compared += "EXIF DateTimeOriginal" in tags
        written = str(tags.get("EXIF DateTimeOriginal", "")) or None
        assert (found.taken_at is not None) == (written is not None), path.name
        if found.taken_at is not None:
            local = found.taken_at + timedelta(minutes=found.taken_offset_minutes or 0)
            assert local.strftime("%Y:%m:%d %H:%M:%S") == written
        assert (found.camera.model if found.camera else None) == (str(tags.get("Image Model", "")) or None)
        turned = tags.get("Image Orientation")
        assert [found.orientation] == (turned.values if turned is not None else [1]), path.name
    assert compared >= 8


def test_the_corpus_holds_every_format_and_every_turn(corpus: Mapping[str, Path]) -> None:
    formats: Counter[str] = Counter()
    turns: dict[str, set[int]] = {}
    lives = set()
    for path in corpus.values():
        fmt, found = probed(path)
        formats[fmt.name] += 1
        turns.setdefault(fmt.name, set()).add(found.orientation)
        lives |= {(found.kind, found.live_id)} if found.live_id else set()
    assert formats.total() >= 60
    assert set(formats) == {fmt.name for fmt in MediaFormat}
    assert turns["JPEG"] == turns["HEIC"] == turns["JXL"] == set(range(1, 9))
    assert turns["MP4"] >= {1, 3, 6, 8}
    assert lives == {("image", LIVE_ID), ("video", LIVE_ID)}


def test_the_page_about_formats_says_what_is_read(corpus: Mapping[str, Path]) -> None:
    written = page(_TEXT.read_text("utf-8"), [Row(name, *probed(corpus[name])) for name in MADE])
    if os.environ.get(_REFRESH):
        _PAGE.write_text(written, "utf-8")
    assert _PAGE.read_text("utf-8") == written, f"refresh it with {_REFRESH}=1"


@pytest.mark.skipif(_MORE not in os.environ, reason=f"{_MORE} names no folder")
def test_files_of_your_own_are_read_as_the_tools_read_them() -> None:
    """Reads all files of a folder: photographs of a phone, sample data of other packages."""
    paths = [path for path in sorted(Path(os.environ[_MORE]).rglob("*")) if path.is_file()]
    known = [path for path in paths if sniff(path.read_bytes()[:SNIFF_BYTES]) is not None]
    assert known, "no picture or film there"
    wrong = []
    for path, read in read_with_tools(known).items():
        try:
            assert_same(probed(path)[1], read)
        except AssertionError as difference:
            wrong.append(f"{path}: {difference}")
    assert wrong == []
