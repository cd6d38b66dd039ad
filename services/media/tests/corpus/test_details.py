"""Exposure, lens, rating and title are read as ExifTool reads them, in all formats that have them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from kappi_mediameta.probing import SNIFF_BYTES, BytesSource, Details, Exposure, probe, sniff
from kappi_testkit.media.corpus.files import MADE, photographs
from kappi_testkit.media.corpus.oracles import run

_EXIF: Final = (
    *("-EXIF:LensMake=SIGMA", "-EXIF:LensModel=24-70mm F2.8 DG DN | Art 019", "-EXIF:ExposureTime=1/8000"),
    *("-EXIF:FNumber=1.78", "-EXIF:ISO=51200", "-EXIF:FocalLength=6.86", "-EXIF:FocalLengthIn35mmFormat=24"),
)
_XMP: Final = (
    *("-XMP-exifEX:LensModel=Summicron-M 50", "-XMP-exif:ExposureTime=30", "-XMP-exif:FNumber=5.6"),
    *("-XMP-exif:ISO=800", "-XMP-exif:FocalLength=50", "-XMP-exif:FocalLengthIn35mmFormat=75"),
    *("-XMP-xmp:Rating=4", "-XMP-dc:Title=Über dem Pass", "-XMP-GPano:ProjectionType=cylindrical"),
)
_IPTC: Final = ("-codedcharacterset=UTF8", "-IPTC:ObjectName=Höhe")
_CASES: Final = [
    *[(name, _EXIF) for name in ("progressive.jpg", "plain.png", "lossy.webp", "lzw.tif", "odd.heic")],
    *[(name, _XMP) for name in ("progressive.jpg", "plain.png", "animated.gif", "lossless.webp", "odd.heic")],
    *[(name, _XMP) for name in ("plain.avif", "tiled.tif", "x264-index-last.mp4", "turned.mov")],
    *[(name, _IPTC) for name in ("progressive.jpg", "tiled.tif")],
    ("progressive.jpg", (*_EXIF, *_XMP)),
]
_WANTED: Final = (
    *("-LensModel", "-LensMake", "-XMP-aux:Lens", "-ExposureTime", "-FNumber", "-ISO", "-FocalLength"),
    *(
        "-FocalLengthIn35mmFormat",
        "-Rating",
        "-XMP-dc:Title",
        "-IPTC:ObjectName",
        "-Title",
        "-XMP-GPano:ProjectionType",
    ),
)


def probed(path: Path) -> Details:
    body = path.read_bytes()
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    return asyncio.run(probe(BytesSource(body), fmt)).details


def read_with_exiftool(paths: list[Path]) -> dict[Path, dict[str, Any]]:
    listed = json.loads(run("exiftool", "-j", "-n", "-q", "-q", "-m", "--MakerNotes:all", *_WANTED, *paths))
    return {Path(read["SourceFile"]): read for read in listed}


def assert_same(found: Details, read: Mapping[str, Any]) -> None:
    exposure = found.exposure or Exposure()
    assert exposure.lens == read.get("LensModel", read.get("Lens", read.get("LensMake")))
    for value, name in (
        (exposure.exposure_time_s, "ExposureTime"),
        (exposure.aperture, "FNumber"),
        (exposure.iso, "ISO"),
        (exposure.focal_length_mm, "FocalLength"),
        (exposure.focal_length_35mm, "FocalLengthIn35mmFormat"),
    ):
        assert value == (pytest.approx(read[name], rel=1e-4) if read.get(name) else None), name
    assert found.rating == read.get("Rating")
    assert found.projection == read.get("ProjectionType")
    assert found.title == read.get("Title", read.get("ObjectName"))


@pytest.mark.parametrize(("name", "tags"), _CASES)
def test_what_exiftool_writes_is_read(
    name: str, tags: tuple[str, ...], corpus: Mapping[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(corpus[name].read_bytes())
    run("exiftool", "-q", "-overwrite_original", *tags, path)
    found = probed(path)
    assert found != Details()
    assert_same(found, read_with_exiftool([path])[path])


def test_the_files_of_the_corpus_are_read_alike(corpus: Mapping[str, Path]) -> None:
    readings = read_with_exiftool([corpus[name] for name in (*MADE, *photographs())])
    for path, read in readings.items():
        assert_same(probed(path), read)
