from __future__ import annotations

import io
import struct
from typing import Final

import pytest
from kappi_mediameta.probing import (
    BytesSource,
    Coordinates,
    MediaFormat,
    Probe,
    ProbeRejected,
    RejectReason,
    probe,
)
from kappi_testkit.media.containers import tiff
from kappi_testkit.media.samples import CountingSource, Shot, encode, quadrants, stored

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
    if not big:  # Pillow writes no such directories into a BigTIFF
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


def with_other(*, tag: int | None, photometric: int = 2, compression: int = 1) -> bytes:
    """Returns a TIFF with a second directory, which a tag of the first names or which follows the first."""
    named = ((tag, 4, 1, 512),) if tag else ()
    first = (*PLAIN, (262, 3, 1, 2), (277, 3, 1, 3), (258, 3, 1, 8), *named)
    other = struct.pack("<H", 2)
    other += struct.pack("<HHII", 259, 3, 1, compression) + struct.pack("<HHII", 262, 3, 1, photometric)
    body = tiff(first, next_at=0 if tag else 512, tail=bytes(4_000))
    return body[:512] + other + bytes(4) + body[512 + len(other) + 4 :]


@pytest.mark.parametrize("tag", [330, None])
@pytest.mark.parametrize(
    ("photometric", "compression"), [(32803, 1), (34892, 7), (2, 34713), (32803, 65535), (1, 65000)]
)
async def test_a_small_picture_before_what_the_sensor_saw_is_camera_raw(
    tag: int | None, photometric: int, compression: int
) -> None:
    body = with_other(tag=tag, photometric=photometric, compression=compression)
    assert await reason_for(body) is RejectReason.UNSUPPORTED_TYPE


@pytest.mark.parametrize("tag", [330, None])
async def test_a_tiff_may_have_other_pictures(tag: int | None) -> None:
    assert (await probed(with_other(tag=tag))).width == 40
    beyond = with_other(tag=tag).replace(struct.pack("<I", 512), struct.pack("<I", 1 << 30))
    assert (await probed(beyond)).width == 40


@pytest.mark.parametrize(("width", "is_raw"), [(20, False), (40, False), (400, True)])
async def test_a_larger_picture_below_the_first_is_camera_raw(width: int, is_raw: bool) -> None:
    """The coding does not matter. A smaller picture is a step of a pyramid."""
    other = struct.pack("<HHHIIHHII", 2, 256, 4, 1, width, 257, 4, 1, 30) + bytes(4)
    body = tiff((*PLAIN, (262, 3, 1, 1), (258, 3, 1, 8), (330, 4, 1, 512)), tail=bytes(4_000))
    body = body[:512] + other + body[512 + len(other) :]
    if is_raw:
        assert await reason_for(body) is RejectReason.UNSUPPORTED_TYPE
    else:
        assert (await probed(body)).width == 40


async def test_what_the_sensor_saw_may_hang_on_the_second_directory() -> None:
    second = struct.pack("<HHHII", 1, 330, 4, 1, 1024) + bytes(4)
    third = struct.pack("<HHHII", 1, 262, 3, 1, 32803) + bytes(4)
    body = tiff((*PLAIN, (262, 3, 1, 1), (258, 3, 1, 8)), next_at=512, tail=bytes(4_000))
    body = body[:512] + second + body[512 + len(second) : 1024] + third + body[1024 + len(third) :]
    assert await reason_for(body) is RejectReason.UNSUPPORTED_TYPE


async def test_a_first_directory_that_is_a_smaller_version_is_no_picture() -> None:
    """Camera RAW begins with such a directory."""
    body = tiff(((254, 4, 1, 1), *PLAIN, (262, 3, 1, 2), (277, 3, 1, 3), (258, 3, 1, 8)), tail=bytes(4_000))
    assert await reason_for(body) is RejectReason.UNSUPPORTED_TYPE


SAMPLES: Final = {
    "signed": ((258, 3, 1, 16), (339, 3, 1, 2)),
    "12 bits": ((258, 3, 1, 12),),
    "24 bits": ((258, 3, 1, 24),),
    "double": ((258, 3, 1, 64), (339, 3, 1, 3)),
    "complex": ((258, 3, 1, 64), (339, 3, 1, 6)),
    "long inks": ((258, 3, 1, 32), (262, 3, 1, 5), (277, 3, 1, 4)),
    "other inks": ((258, 3, 1, 8), (262, 3, 1, 5), (277, 3, 1, 4), (332, 3, 1, 2)),
    "deep palette": ((258, 3, 1, 16), (262, 3, 1, 3)),
    "palette and more": ((258, 3, 1, 8), (262, 3, 1, 3), (277, 3, 1, 2)),
    "mask": ((258, 3, 1, 1), (262, 3, 1, 4)),
    "ITU Lab": ((258, 3, 1, 8), (262, 3, 1, 10), (277, 3, 1, 3)),
    "LogLuv": ((258, 3, 1, 16), (262, 3, 1, 32845), (277, 3, 1, 3)),
    "LERC": ((258, 3, 1, 8), (259, 3, 1, 34887)),
    "old JPEG": ((258, 3, 1, 8), (259, 3, 1, 6)),
    "deep fax": ((258, 3, 1, 8), (259, 3, 1, 4)),
    "JPEG of 16 bits": ((258, 3, 1, 16), (259, 3, 1, 7)),
    "colours in one bit": ((258, 3, 1, 1), (262, 3, 1, 2), (277, 3, 1, 3)),
    "odd tiles": ((258, 3, 1, 8), (322, 3, 1, 100), (323, 3, 1, 100)),
    "plain YCbCr": ((258, 3, 1, 8), (262, 3, 1, 6), (277, 3, 1, 3), (530, 3, 2, 0x00010001)),
}


@pytest.mark.parametrize("name", SAMPLES)
async def test_samples_that_are_not_read_faithfully_are_refused_by_name(name: str) -> None:
    named = {entry[0] for entry in SAMPLES[name]}
    entries = [entry for entry in ((262, 3, 1, 1), (277, 3, 1, 1)) if entry[0] not in named]
    body = tiff((*PLAIN, *entries, *SAMPLES[name]), tail=bytes(4_000))
    assert await reason_for(body) is RejectReason.UNSUPPORTED_TYPE


async def test_directories_that_point_at_each_other_end() -> None:
    """The EXIF and GPS directories are the first one again, and a chain leads back to itself."""
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
