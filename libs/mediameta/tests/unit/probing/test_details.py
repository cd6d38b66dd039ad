"""Exposure, lens, rating and title, and the values that no device can mean."""

from __future__ import annotations

import struct

import pytest
from kappi_mediameta.probing import BytesSource, Details, Exposure, probe, sniff
from kappi_mediameta.probing.details import clean_lens, details_of_film
from kappi_mediameta.probing.exif import exif_tags, facts_of
from kappi_mediameta.probing.movie_tags import keyed_tags
from kappi_testkit.media.containers import box, full_box, grown
from kappi_testkit.media.metadata_blocks import (
    Entry,
    exif_block,
    jpeg,
    photoshop,
    records,
    xmp_packet,
)
from kappi_testkit.media.samples import MovieShape, movie

SHORT, LONG, RATIONAL, SRATIONAL = 3, 4, 5, 10
_LENS_KEY = "com.apple.quicktime.camera.lens_model"
_FOCAL_LENGTH_KEY = "com.apple.quicktime.camera.focal_length.35mm_equivalent"


def rational(tag: int, above: int, below: int) -> Entry:
    return tag, RATIONAL, struct.pack(">II", above, below)


def short(tag: int, *values: int) -> Entry:
    return tag, SHORT, struct.pack(f">{len(values)}H", *values)


def text(tag: int, value: str) -> Entry:
    return tag, 2, value.encode() + b"\x00"


SHOT: tuple[Entry, ...] = (
    rational(0x829A, 10, 2500),
    rational(0x829D, 28, 10),
    short(0x8827, 640),
    rational(0x920A, 6860, 1000),
    short(0xA405, 24),
    text(0xA433, "Apple"),
    text(0xA434, "iPhone 15 Pro back triple camera 6.86mm f/1.78"),
)
EXPOSURE = Exposure(
    lens="iPhone 15 Pro back triple camera 6.86mm f/1.78",
    exposure_time_s=0.004,
    aperture=2.8,
    iso=640,
    focal_length_mm=6.86,
    focal_length_35mm=24.0,
)


def details_of(*details: Entry, main: tuple[Entry, ...] = ()) -> Details:
    return facts_of(exif_tags(exif_block(main, details=details))).details


def exposure_of(*details: Entry) -> Exposure:
    return details_of(*details).exposure or Exposure()


async def probed(body: bytes) -> Details:
    fmt = sniff(body[:4096])
    assert fmt is not None
    return (await probe(BytesSource(body), fmt)).details


def test_exif_tells_how_a_picture_was_taken() -> None:
    assert details_of(*SHOT) == Details(exposure=EXPOSURE)


def test_tags_may_all_be_in_the_first_directory() -> None:
    assert details_of(main=SHOT) == Details(exposure=EXPOSURE)


@pytest.mark.parametrize(
    "entry",
    [
        rational(0x829A, 1, 0),
        rational(0x829A, 0, 1),
        rational(0x829A, 4_000_000_000, 1),
        rational(0x829D, 0, 0),
        rational(0x829D, 1, 4_000_000_000),
        short(0x8827, 0),
        short(0x8827, 65_535),
        (0x8832, LONG, struct.pack(">I", 0xFFFFFFFF)),
        rational(0x920A, 0, 100),
        short(0xA405, 0),
        (0x9201, SRATIONAL, struct.pack(">ii", -2_000_000_000, 1)),
        (0x9202, RATIONAL, struct.pack(">II", 4_000_000_000, 1)),
        (0x829A, 2, b"1/250\x00"),
        (0x8827, 7, b"\x00\x00\x00"),
        text(0xA434, "----"),
        text(0xA434, "0.0 mm f/0.0"),
        text(0xA434, " \x07\x1b "),
    ],
)
def test_what_no_device_means_is_left_out(entry: Entry) -> None:
    assert details_of(entry) == Details()


def test_old_cameras_write_logarithms() -> None:
    found = exposure_of(
        (0x9201, SRATIONAL, struct.pack(">ii", 8, 1)), (0x9202, RATIONAL, struct.pack(">II", 3, 1))
    )
    assert (found.exposure_time_s, found.aperture) == (0.00390625, 2.8)


def test_a_speed_beyond_16_bits_is_in_another_tag() -> None:
    found = exposure_of(short(0x8827, 65_535), (0x8832, LONG, struct.pack(">I", 102_400)))
    assert found.iso == 102_400


def test_the_first_of_two_speeds_counts() -> None:
    assert exposure_of(short(0x8827, 200, 100)).iso == 200


@pytest.mark.parametrize(
    ("written", "cleaned"),
    [
        (" RF24-105mm\x00F4  L IS USM\n", "RF24-105mm F4 L IS USM"),
        ("Unknown (-1)", None),
        ("N/A", None),
        ("None", None),
        ("x" * 500, "x" * 128),
        (None, None),
    ],
)
def test_names_of_lenses(written: str | None, cleaned: str | None) -> None:
    assert clean_lens(written) == cleaned


_XMP = xmp_packet(
    "<exif:ISOSpeedRatings><rdf:Seq><rdf:li>800</rdf:li></rdf:Seq></exif:ISOSpeedRatings>",
    '<dc:title><rdf:Alt><rdf:li xml:lang="de">Pass</rdf:li>'
    '<rdf:li xml:lang="x-default">The\n pass</rdf:li></rdf:Alt></dc:title>',
    attributes='exif:ExposureTime="1/30" exif:FNumber="56/10" exif:FocalLength="50/1" '
    'xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" aux:Lens="Summicron 50" xmp:Rating="4"',
)


async def test_xmp_tells_it_where_exif_does_not() -> None:
    of_xmp = Exposure(
        lens="Summicron 50", exposure_time_s=0.0333333, aperture=5.6, iso=800, focal_length_mm=50.0
    )
    assert await probed(jpeg(_XMP)) == Details(exposure=of_xmp, rating=4, title="The pass")
    both = await probed(jpeg(_XMP, exif=exif_block(details=SHOT)))
    assert both == Details(exposure=EXPOSURE, rating=4, title="The pass")
    partly = await probed(jpeg(_XMP, exif=exif_block(details=[short(0x8827, 100)])))
    assert partly.exposure is not None
    assert (partly.exposure.iso, partly.exposure.aperture) == (100, 5.6)


@pytest.mark.parametrize(
    ("written", "rating"),
    [("5", 5), ("-1", -1), ("0", 0), ("3.0", 3), ("6", None), ("-2", None), ("NaN", None), ("5/0", None)],
)
async def test_ratings_of_xmp(written: str, rating: int | None) -> None:
    assert (await probed(jpeg(xmp_packet(attributes=f'xmp:Rating="{written}"')))).rating == rating


async def test_the_rating_of_exif_counts_without_xmp() -> None:
    block = exif_block([short(0x4746, 3)])
    assert (await probed(jpeg(exif=block))).rating == 3
    assert (await probed(jpeg(_XMP, exif=block))).rating == 4
    assert (await probed(jpeg(exif=exif_block([short(0x4746, 99)])))).rating is None


async def test_titles_of_iptc_and_of_windows() -> None:
    iptc = photoshop(records([(5, b"By IPTC")]))
    windows = exif_block([(0x9C9B, 1, "By Windows".encode("utf-16-le"))])
    assert (await probed(jpeg(iptc=iptc, exif=windows))).title == "By IPTC"
    assert (await probed(jpeg(exif=windows))).title == "By Windows"


def keys(*entries: tuple[str, int, bytes]) -> bytes:
    """Returns the body of a `meta` box with keys, (name, well-known type, value) each."""
    names = b"".join(box(b"mdta", name.encode()) for name, *_ in entries)
    values = b"".join(
        box(struct.pack(">I", number), box(b"data", struct.pack(">II", kind, 0), value))
        for number, (_, kind, value) in enumerate(entries, 1)
    )
    handler = full_box(b"hdlr", bytes(4), b"mdta", bytes(13))
    return handler + full_box(b"keys", struct.pack(">I", len(entries)), names) + box(b"ilst", values)


LENS = keys((_LENS_KEY, 1, b"back camera 6.86mm f/1.78"), (_FOCAL_LENGTH_KEY, 22, b"\x00\x1a"))


def test_keys_of_films_tell_the_lens() -> None:
    found = details_of_film(keyed_tags(LENS))
    assert found.exposure == Exposure(lens="back camera 6.86mm f/1.78", focal_length_35mm=26.0)


@pytest.mark.parametrize(
    ("kind", "value"), [(22, b""), (22, bytes(9)), (23, b"\x7f\xc0\x00\x00"), (0, b"26")]
)
def test_numbers_of_keys_that_are_not_read(kind: int, value: bytes) -> None:
    assert details_of_film(keyed_tags(keys((_FOCAL_LENGTH_KEY, kind, value)))) == Details()


async def test_a_film_tells_its_lens_in_its_track() -> None:
    body = movie(MovieShape(seconds=0.3, container="mov"))
    found = await probed(grown(body, b"moov", b"trak", more=box(b"meta", LENS)))
    assert found.exposure == Exposure(lens="back camera 6.86mm f/1.78", focal_length_35mm=26.0)


async def test_a_film_tells_its_title() -> None:
    body = movie(MovieShape(seconds=0.3, container="mp4", metadata={"title": "Over the pass"}))
    assert (await probed(body)).title == "Over the pass"
