"""Texts, times and places that ExifTool writes into files of all formats are read as ExifTool reads them, by
the guidelines of the Metadata Working Group; also after ImageMagick has converted a file.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from kappi_mediameta.probing import SNIFF_BYTES, BytesSource, Probe, probe, sniff
from kappi_testkit.media.corpus.oracles import run
from kappi_testkit.media.located_files import tells_place, without_place

_XMP: Final = (
    *("-XMP-dc:Description=Über dem Pass & weiter", "-XMP-dc:Subject=alps", "-XMP-dc:Subject=Nebel"),
    *("-XMP-photoshop:DateCreated=1985:07:05 12:11:12+02:00", "-XMP-photoshop:City=Andermatt"),
    *("-XMP-exif:GPSLatitude=46.5586", "-XMP-exif:GPSLongitude=-8.3375", "-XMP-exif:GPSAltitude=2469"),
)
_IPTC: Final = (
    *("-codedcharacterset=UTF8", "-IPTC:Caption-Abstract=By IPTC: Höhe", "-IPTC:Keywords=iptc"),
    *("-IPTC:Keywords=Höhe", "-IPTC:DateCreated=1986:01:02", "-IPTC:TimeCreated=03:04:05+01:00"),
)
_STALE_DIGEST: Final = ("-IPTCDigest=00000000000000000000000000000001",)
_SAME_DIGEST: Final = ("-IPTCDigest=new",)
_EXIF: Final = ("-EXIF:ImageDescription=By EXIF", "-EXIF:DateTimeOriginal=2001:02:03 04:05:06")
_TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "xmp": _XMP,
    "iptc": _IPTC,
    "both": (*_XMP, *_IPTC),
    "changed since": (*_XMP, *_IPTC, *_STALE_DIGEST),
    "same": (*_XMP, *_IPTC, *_SAME_DIGEST),
    "all": (*_XMP, *_IPTC, *_EXIF),
}
_FORMATS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("progressive.jpg", "lzw.tif"), tuple(_TAGS)),
    **dict.fromkeys(
        ("plain.png", "animated.gif", "lossless.webp", "odd.heic", "plain.avif", "tiled.tif"), ("xmp",)
    ),
    **dict.fromkeys(("x264-index-last.mp4", "x264-index-first.mp4", "turned.mov", "plain.m4v"), ("xmp",)),
}
_CASES: Final = [(name, tags) for name, listed in _FORMATS.items() for tags in listed]


def probed(path: Path) -> Probe:
    body = path.read_bytes()
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    return asyncio.run(probe(BytesSource(body), fmt))


def annotated(source: Path, folder: Path, *tags: str) -> Path:
    path = folder / source.name
    path.write_bytes(source.read_bytes())
    run("exiftool", "-q", "-overwrite_original", *tags, path)
    return path


def read_by_the_guidelines(path: Path) -> dict[str, Any]:
    wanted = ("-MWG:Description", "-MWG:Keywords", "-MWG:DateTimeOriginal", "-XMP-exif:GPSLatitude")
    (read,) = json.loads(run("exiftool", "-j", "-n", "-use", "MWG", *wanted, "-XMP-exif:GPSLongitude", path))
    result: dict[str, Any] = read
    return result


@pytest.mark.parametrize(("name", "tags"), _CASES, ids=[" ".join(case) for case in _CASES])
def test_words_are_read_as_exiftool_reads_them(
    name: str, tags: str, corpus: Mapping[str, Path], tmp_path: Path
) -> None:
    path = annotated(corpus[name], tmp_path, *_TAGS[tags])
    found, read = probed(path), read_by_the_guidelines(path)
    assert found.caption == read["Description"]
    assert list(found.keywords) == read["Keywords"]
    assert found.taken_at == instant(read["DateTimeOriginal"])
    if "GPSLatitude" in read:
        assert found.location is not None
        place = found.location.latitude, found.location.longitude
        assert place == pytest.approx((read["GPSLatitude"], read["GPSLongitude"]), abs=1e-6)


def instant(written: str) -> datetime:
    time = datetime.fromisoformat(written[:10].replace(":", "-") + "T" + written[11:])
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


@pytest.mark.parametrize("extension", ["png", "webp", "tif", "jpg"])
def test_words_are_read_in_what_imagemagick_makes_of_a_file(
    extension: str, corpus: Mapping[str, Path], tmp_path: Path
) -> None:
    source = annotated(corpus["progressive.jpg"], tmp_path, *_XMP, *_IPTC)
    path = tmp_path / f"converted.{extension}"
    run("convert", source, path)
    found = probed(path)
    assert (found.caption, found.keywords) == ("Über dem Pass & weiter", ("alps", "Nebel"))
    assert found.location is not None
    assert found.taken_at == datetime(1985, 7, 5, 10, 11, 12, tzinfo=UTC)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_iptc_alone_is_read_in_what_imagemagick_makes_of_a_file(
    extension: str, corpus: Mapping[str, Path], tmp_path: Path
) -> None:
    source = annotated(corpus["progressive.jpg"], tmp_path, *_IPTC)
    path = tmp_path / f"converted.{extension}"
    run("convert", source, path)
    found = probed(path)
    assert (found.caption, found.keywords) == ("By IPTC: Höhe", ("iptc", "Höhe"))


@pytest.mark.parametrize("name", _FORMATS)
async def test_no_copy_without_places_tells_what_these_files_tell(
    name: str, corpus: Mapping[str, Path], tmp_path: Path
) -> None:
    path = annotated(corpus[name], tmp_path, *_TAGS[_FORMATS[name][-1]])
    copied = path.with_stem("copy")
    copied.write_bytes(await without_place(path.read_bytes()))
    (seen,) = json.loads(run("exiftool", "-j", "-a", "-G1", "-n", copied))
    assert not [tag for tag in seen if tag != "SourceFile" and tells_place(tag)]
    assert not {"Description", "Subject", "Keywords", "Caption-Abstract"} & {
        tag.partition(":")[2] for tag in seen
    }
