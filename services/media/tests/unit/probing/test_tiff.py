from __future__ import annotations

import io
import struct

import pytest
from kappi_media.probing import (
    BytesSource,
    Coordinates,
    MediaFormat,
    Probe,
    ProbeRejected,
    RejectReason,
    probe,
)
from kappi_media.testing.containers import tiff
from kappi_media.testing.samples import CountingSource, Shot, encode, quadrants, stored

WIDTH, HEIGHT, STRIP, STRIP_BYTES = (256, 4, 1, 40), (257, 4, 1, 30), (273, 4, 1, 8), (279, 4, 1, 20)
PLAIN = (WIDTH, HEIGHT, STRIP, STRIP_BYTES)
SHOT = Shot(orientation=8, make="Leica", model="Q3", taken="2024:06:21 17:04:05", place=(48.1, 11.5, 520.0))


async def probed(body: bytes) -> Probe:
    return await probe(BytesSource(body), MediaFormat.TIFF)


async def reason_for(body: bytes) -> RejectReason:
    with pytest.raises(ProbeRejected) as refused:
        await probed(body)
    return refused.value.reason


@pytest.mark.parametrize("big", [False, True])
async def test_size_turn_and_camera(big: bool) -> None:
    out = io.BytesIO()
    stored(quadrants(120, 80), 8).save(out, "TIFF", exif=SHOT.exif(), big_tiff=big)
    found = await probed(out.getvalue())
    assert (found.width, found.height, found.orientation) == (120, 80, 8)
    assert (found.kind, found.codec) == ("image", "tiff")
    assert found.camera is not None
    assert found.camera.make == "Leica"
    if not big:  # Pillow leaves those directories out of a BigTIFF
        assert found.location == Coordinates(latitude=48.1, longitude=11.5, altitude=520.0)
        assert found.taken_at is not None


@pytest.mark.parametrize(
    ("compression", "codec"),
    [("tiff_lzw", "tiff-lzw"), ("jpeg", "tiff-jpeg"), ("packbits", "tiff-packbits")],
)
async def test_codings(compression: str, codec: str) -> None:
    found = await probed(encode(quadrants(60, 40), "TIFF", options={"compression": compression}))
    assert (found.width, found.height, found.codec) == (60, 40, codec)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ((), RejectReason.CORRUPT),
        ((WIDTH, STRIP, STRIP_BYTES), RejectReason.CORRUPT),
        ((WIDTH, HEIGHT), RejectReason.CORRUPT),
        ((WIDTH, (257, 4, 1, 0), STRIP, STRIP_BYTES), RejectReason.CORRUPT),
        (((256, 4, 1, 30_000), (257, 4, 1, 30_000), STRIP, STRIP_BYTES), RejectReason.TOO_MANY_PIXELS),
        ((WIDTH, HEIGHT, STRIP, (279, 4, 1, 1 << 20)), RejectReason.TRUNCATED),
        ((WIDTH, HEIGHT, (273, 4, 9, 1 << 30), STRIP_BYTES), RejectReason.TRUNCATED),
        ((WIDTH, HEIGHT, (273, 99, 1, 8), STRIP_BYTES), RejectReason.CORRUPT),
        ((*PLAIN, (259, 3, 1, 34712)), RejectReason.UNSUPPORTED_TYPE),
        ((*PLAIN, (259, 3, 1, 6)), RejectReason.UNSUPPORTED_TYPE),
        ((*PLAIN, (262, 3, 1, 32803)), RejectReason.UNSUPPORTED_TYPE),
        ((*PLAIN, (50706, 1, 4, 1)), RejectReason.UNSUPPORTED_TYPE),
        ((*PLAIN, (34665, 4, 1, 1 << 30)), RejectReason.TRUNCATED),
    ],
)
async def test_contradictions_have_their_reasons(
    entries: tuple[tuple[int, int, int, int], ...], reason: RejectReason
) -> None:
    assert await reason_for(tiff(entries, tail=bytes(64))) is reason


async def test_camera_raw_is_no_tiff() -> None:
    canon = b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(100)
    assert await reason_for(canon) is RejectReason.UNSUPPORTED_TYPE


async def test_directories_that_point_at_each_other_end() -> None:
    """EXIF and GPS directories that are the first one again, and a chain that leads back to itself."""
    body = tiff((*PLAIN, (34665, 4, 1, 8), (34853, 4, 1, 8)), next_at=8, tail=bytes(64))
    source = CountingSource(body)
    found = await probe(source, MediaFormat.TIFF)
    assert (found.width, found.height) == (40, 30)
    assert len(source.reads) == 1


async def test_values_that_lie_elsewhere_cost_only_themselves() -> None:
    nowhere = ((271, 2, 20, 1 << 20), (272, 2, 0xFFFFFFFF, 8), (306, 2, 20, 1 << 31))
    found = await probed(tiff((*PLAIN, *nowhere), tail=bytes(64)))
    assert (found.width, found.camera, found.taken_at) == (40, None, None)


async def test_a_directory_of_65535_fields_is_read_no_further_than_it_needs() -> None:
    body = bytearray(tiff(PLAIN, tail=bytes(1 << 20)))
    struct.pack_into("<H", body, 8, 0xFFFF)
    source = CountingSource(bytes(body))
    assert (await probe(source, MediaFormat.TIFF)).width == 40
    assert sum(source.reads) <= 256 << 10


@pytest.mark.parametrize("part", [0.2, 0.9])
async def test_a_file_that_was_cut_off(part: float) -> None:
    body = encode(quadrants(120, 80), "TIFF")
    assert await reason_for(body[: int(len(body) * part)]) is RejectReason.TRUNCATED
