"""Headers of JPEG XL and JPEG 2000, as encoders write them and as no encoder does."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import imagecodecs
import numpy as np
import pytest
from kappi_mediameta.containers.jxl_codestream import HLG, P3, PQ, header_of
from kappi_mediameta.probing import (
    BytesSource,
    Camera,
    Coordinates,
    MediaFormat,
    Probe,
    ProbeLimits,
    ProbeRejected,
    RejectReason,
    probe,
)
from kappi_testkit.media.containers import box
from kappi_testkit.media.newer_jpegs import JXL_START, JxlBits, located_jp2, located_jxl
from kappi_testkit.media.samples import CountingSource, Shot, encode, quadrants
from PIL import Image

SHOT = Shot(
    make="Canon",
    model="EOS R6",
    taken="2024:06:21 17:04:05",
    offset="+02:00",
    place=(-33.8568, 151.2153, 6.0),
)
_SMALL = ((1, 1), (4, 5), (0, 3), (9, 5))  # 80 x 40 pixels
_SIDE_OF_64 = ((0, 2), (63, 9))


async def probed(body: bytes, fmt: MediaFormat) -> Probe:
    return await probe(BytesSource(body), fmt)


async def reason_for(body: bytes, fmt: MediaFormat) -> RejectReason:
    with pytest.raises(ProbeRejected) as refused:
        await probed(body, fmt)
    return refused.value.reason


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("make", "fmt"), [(located_jxl, MediaFormat.JXL), (located_jp2, MediaFormat.JP2)], ids=["jxl", "jp2"]
)
async def test_facts_are_those_of_a_camera(
    make: Callable[[Image.Image, Shot], bytes], fmt: MediaFormat, orientation: int
) -> None:
    shot = Shot(orientation, SHOT.make, SHOT.model, SHOT.taken, SHOT.offset, SHOT.place)
    found = await probed(make(quadrants(120, 80), shot), fmt)
    assert (found.width, found.height, found.orientation) == (120, 80, orientation)
    assert (found.kind, found.content_type, found.animated) == ("image", fmt.content_type, False)
    assert found.taken_at == datetime(2024, 6, 21, 15, 4, 5, tzinfo=UTC)
    assert found.camera == Camera(make="Canon", model="EOS R6")
    assert found.location == Coordinates(latitude=-33.8568, longitude=151.2153, altitude=6.0)


async def test_exif_does_not_turn_a_codestream_that_is_upright() -> None:
    bare = bytes(imagecodecs.jpegxl_encode(np.asarray(quadrants(120, 80))))
    exif = box(b"Exif", bytes(4), Shot(orientation=6).exif().removeprefix(b"Exif\0\0"))
    found = await probed(JXL_START + exif + box(b"jxlc", bare), MediaFormat.JXL)
    assert (found.width, found.height, found.orientation) == (120, 80, 1)


async def test_little_is_read_of_a_large_file() -> None:
    source = CountingSource(located_jxl(quadrants(120, 80), SHOT) + box(b"free", bytes(30 << 20)))
    assert (await probe(source, MediaFormat.JXL)).width == 120
    assert sum(source.reads) <= 256 << 10


# Codestreams of JPEG XL

SIZES: Final = {
    "small": (JxlBits().put((1, 1), (4, 5), (0, 3), (9, 5), (1, 1)), (80, 40)),
    "squares": (JxlBits().put((1, 1), (4, 5), (1, 3), (1, 1)), (40, 40)),
    "films": (JxlBits().put((0, 1), (1, 2), (1079, 13), (5, 3), (1, 1)), (1920, 1080)),
    "long": (JxlBits().put((0, 1), (1, 2), (4000, 13), (0, 3), (2, 2), (69_999, 18), (1, 1)), None),
    "two to one": (JxlBits().put((0, 1), (0, 2), (99, 9), (7, 3), (1, 1)), (200, 100)),
}


@pytest.mark.parametrize("name", SIZES)
async def test_every_way_to_write_a_size(name: str) -> None:
    bits, size = SIZES[name]
    if size is None:
        assert await reason_for(bits.codestream(), MediaFormat.JXL) is RejectReason.TOO_MANY_PIXELS
        return
    found = await probed(bits.codestream(), MediaFormat.JXL)
    assert (found.width, found.height) == size


def described(*extra: tuple[int, int], animated: int = 0, shown: bool = False) -> JxlBits:
    """Returns a header with an orientation, a size to be shown at and a preview, up to its extra channels."""
    bits = JxlBits().put(*_SMALL, (0, 1), (1, 1), (5, 3))
    if shown:
        bits.put((1, 1), *_SMALL, (1, 1), (1, 1), (2, 2), (3, 5), (0, 3), (0, 2))
    else:
        bits.put((0, 2))
    bits.put((animated, 1))
    return bits.put((0, 1), (1, 2), (1, 1), *extra)


_RGB_COLOURS = ((1, 1), (1, 1))


async def test_fields_before_the_colours_are_passed_over() -> None:
    for shown in (False, True):
        found = await probed(described((0, 2), *_RGB_COLOURS, shown=shown).codestream(), MediaFormat.JXL)
        assert (found.width, found.height, found.orientation) == (40, 80, 6)


def _colours(*fields: tuple[int, int]) -> bytes:
    """Returns a header with these colours."""
    return described((0, 2), (1, 1), (0, 1), (0, 1), *fields).codestream()


_WHITE_D65 = (1, 2)
_PRIMARIES_P3, _PRIMARIES_2100 = ((2, 2), (9, 4)), ((2, 2), (7, 4))
_CUSTOM_POINT = ((0, 2), (300_000, 19), (1, 2), (1, 19))


def test_colours_are_told_apart() -> None:
    pq = header_of(_colours((0, 2), _WHITE_D65, *_PRIMARIES_2100, (0, 1), (2, 2), (14, 4)))
    assert (pq.transfer, pq.primaries, pq.bits) == (PQ, 9, 10)
    hlg = header_of(_colours((0, 2), _WHITE_D65, *_PRIMARIES_P3, (0, 1), (3, 2), (0, 6)))
    assert (hlg.transfer, hlg.primaries) == (HLG, P3)
    grey = header_of(_colours((1, 2), (2, 2), (0, 4), *_CUSTOM_POINT, (1, 1), (4_545_454, 24)))
    assert (grey.colour_space, grey.transfer) == (1, 0)
    assert header_of(described((1, 2), (1, 1), *_RGB_COLOURS).codestream()).extra_channels == [0]


REFUSED: Final = {
    "an animation": described((0, 2), *_RGB_COLOURS, animated=1),
    "CMYK": described((1, 2), (0, 1), (2, 2), (2, 4), (0, 1), (0, 2), (0, 2), (0, 2), *_RGB_COLOURS),
    "a sensor": described((1, 2), (0, 1), (2, 2), (3, 4), (0, 1), (0, 2), (0, 2), (0, 2), (0, 2), (3, 2)),
    "unknown colours": described((0, 2), (1, 1), (0, 1), (0, 1), (2, 2), (1, 4)),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_codestreams_that_the_decoder_does_not_show_are_refused(name: str) -> None:
    assert await reason_for(REFUSED[name].codestream(), MediaFormat.JXL) is RejectReason.UNSUPPORTED_TYPE


async def test_a_header_that_never_ends() -> None:
    named = ((0, 1), (1, 2), (0, 1), (0, 2), (0, 2), (3, 2), (1_023, 10), (0, 8 * 1_071))
    endless = described((3, 2), (200, 12), *named * 5).codestream(behind=9_000)
    assert await reason_for(endless, MediaFormat.JXL) is RejectReason.CORRUPT
    assert await reason_for(endless[:60], MediaFormat.JXL) is RejectReason.TRUNCATED
    many = described((3, 2), (4_000, 12)).codestream()
    assert await reason_for(many, MediaFormat.JXL) is RejectReason.CORRUPT


BARE = JxlBits().put(*_SMALL, (1, 1)).codestream()
FIRST, LAST = bytes(4), b"\x80\x00\x00\x01"


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        ([], RejectReason.NO_PICTURE),
        ([box(b"jxlp", FIRST, BARE)], RejectReason.TRUNCATED),
        ([box(b"jxlp", LAST, BARE)], RejectReason.CORRUPT),
        ([box(b"jxlp", FIRST, BARE), box(b"jxlp", FIRST, BARE)], RejectReason.CORRUPT),
        ([box(b"jxlc", BARE), box(b"jxlc", BARE)], RejectReason.CORRUPT),
        ([box(b"jxlc", b"what is this?")], RejectReason.CORRUPT),
        ([box(b"jxlc", BARE)[:-20]], RejectReason.TRUNCATED),
    ],
)
async def test_boxes_that_hold_no_whole_codestream(boxes: list[bytes], reason: RejectReason) -> None:
    assert await reason_for(JXL_START + b"".join(boxes), MediaFormat.JXL) is reason


async def test_a_header_in_two_parts() -> None:
    parts = box(b"jxlp", FIRST, BARE[:3]) + box(b"jxlp", LAST, BARE[3:])
    found = await probed(JXL_START + parts, MediaFormat.JXL)
    assert (found.width, found.height) == (80, 40)


# JPEG 2000

PLAIN = encode(quadrants(60, 40), "JPEG2000")
CODESTREAM = encode(quadrants(60, 40), "JPEG2000", options={"no_jp2": True})
GREY = encode(quadrants(60, 40).convert("L"), "JPEG2000")


def changed(body: bytes, before: bytes, after: bytes) -> bytes:
    assert before in body
    return body.replace(before, after, 1)


IHDR = struct.pack(">IIHBB", 40, 60, 3, 7, 7)
SIZ = struct.pack(">HIIII", 0, 60, 40, 0, 0)
SAMPLES = struct.pack(">H9B", 3, 7, 1, 1, 7, 1, 1, 7, 1, 1)
UNSUPPORTED, CORRUPT = RejectReason.UNSUPPORTED_TYPE, RejectReason.CORRUPT
ODD: Final = {
    "CMYK": (changed(PLAIN, b"colr\x01\0\0\0\0\0\x10", b"colr\x01\0\0\0\0\0\x0c"), UNSUPPORTED),
    "a palette": (changed(PLAIN, b"colr", b"pclr"), UNSUPPORTED),
    "another compression": (changed(PLAIN, IHDR, IHDR[:-1] + b"\1"), CORRUPT),
    "two sizes": (changed(PLAIN, IHDR, struct.pack(">IIHBB", 40, 61, 3, 7, 7)), CORRUPT),
    "no header": (changed(PLAIN, b"jp2h", b"free"), CORRUPT),
    "no codestream": (changed(PLAIN, b"jp2c", b"free"), RejectReason.NO_PICTURE),
    "part 2": (changed(CODESTREAM, SIZ, b"\x80" + SIZ[1:]), UNSUPPORTED),
    "high throughput": (changed(CODESTREAM, SIZ, b"\x40" + SIZ[1:]), UNSUPPORTED),
    "five samples": (changed(CODESTREAM, SAMPLES, b"\0\5" + SAMPLES[2:]), UNSUPPORTED),
    "signed": (changed(CODESTREAM, SAMPLES, SAMPLES.replace(b"\7", b"\x87")), UNSUPPORTED),
    "of 24 bits": (changed(CODESTREAM, SAMPLES, SAMPLES.replace(b"\7", b"\x17")), UNSUPPORTED),
    "of different bits": (changed(CODESTREAM, SAMPLES, SAMPLES[:-3] + b"\x0f\1\1"), UNSUPPORTED),
    "a quarter": (changed(CODESTREAM, SAMPLES, SAMPLES.replace(b"\1", b"\4")), UNSUPPORTED),
    "halved RGB": (changed(PLAIN, SAMPLES, SAMPLES[:5] + b"\7\2\2\7\2\2"), UNSUPPORTED),
    "no area": (changed(CODESTREAM, SIZ, struct.pack(">HIIII", 0, 60, 40, 60, 0)), CORRUPT),
    "huge": (
        changed(CODESTREAM, SIZ, struct.pack(">HIIII", 0, 60_000, 40_000, 0, 0)),
        RejectReason.TOO_MANY_PIXELS,
    ),
    "cut off": (CODESTREAM[:-2], RejectReason.TRUNCATED),
    "cut off in a tile": (CODESTREAM[: len(CODESTREAM) // 2], RejectReason.TRUNCATED),
    "cut off in a box": (PLAIN[:-20], RejectReason.TRUNCATED),
    "a header alone": (CODESTREAM[: CODESTREAM.index(b"\xff\x90")], RejectReason.TRUNCATED),
}


@pytest.mark.parametrize("name", ODD)
async def test_a_jpeg_2000_that_is_refused(name: str) -> None:
    body, reason = ODD[name]
    assert await reason_for(body, MediaFormat.JP2) is reason


@pytest.mark.parametrize("body", [PLAIN, CODESTREAM, GREY, CODESTREAM + bytes(90_000)], ids=range(4))
async def test_a_jpeg_2000_that_is_read(body: bytes) -> None:
    found = await probed(body, MediaFormat.JP2)
    assert (found.width, found.height, found.codec) == (60, 40, "jpeg2000")


async def test_a_picture_of_many_tiles() -> None:
    """Its parts are in more blocks of the file than a prober reads."""
    noise = np.random.default_rng(4).integers(0, 255, (600, 4_000, 3), "u1")
    body = _tiled(noise)
    source = CountingSource(body)
    assert (await probe(source, MediaFormat.JP2)).width == 4_000
    assert len(source.reads) <= ProbeLimits().max_reads // 4
    assert await reason_for(body[: len(body) * 9 // 10], MediaFormat.JP2) is RejectReason.TRUNCATED


def _tiled(pixels: np.ndarray) -> bytes:
    return encode(Image.fromarray(pixels), "JPEG2000", options={"tile_size": (100, 100), "no_jp2": True})
