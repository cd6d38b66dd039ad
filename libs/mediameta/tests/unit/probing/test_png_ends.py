"""Bytes behind the pixels of a PNG: EXIF, the end, and appended bytes."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from kappi_mediameta.probing import (
    Camera,
    Coordinates,
    MediaFormat,
    Probe,
    ProbeLimits,
    ProbeRejected,
    RejectReason,
    probe,
)
from kappi_testkit.media.samples import CountingSource, Shot, encode, quadrants

LIMITS = ProbeLimits()
PNG = encode(quadrants(60, 40), "PNG")
END = PNG.rindex(b"IEND") - 4
EXIF = Shot(orientation=6, make="Canon", place=(48.1, 11.5, 520.0)).exif().removeprefix(b"Exif\0\0")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def large(*, chunk_bytes: int, chunks: int) -> bytes:
    """Returns a PNG with more pixel data than its size needs, which readers of headers ignore."""
    noise = random.Random(1).randbytes(chunk_bytes)
    return PNG[:33] + chunk(b"IDAT", noise) * chunks + chunk(b"IEND", b"")


async def probed(body: bytes) -> Probe:
    source = CountingSource(body)
    found = await probe(source, MediaFormat.PNG)
    assert len(source.reads) <= LIMITS.max_reads
    assert sum(source.reads) <= LIMITS.max_read_bytes
    return found


@pytest.mark.parametrize("appended", [b"", bytes(1_000), random.Random(2).randbytes(200_000)])
async def test_exif_behind_the_pixels_is_read_but_turns_nothing(appended: bytes) -> None:
    found = await probed(PNG[:END] + chunk(b"eXIf", EXIF) + chunk(b"tEXt", b"a\0b") + PNG[END:] + appended)
    assert (found.camera, found.location) == (Camera("Canon", None), Coordinates(48.1, 11.5, 520.0))
    assert (found.width, found.height, found.orientation) == (60, 40, 1)


async def test_exif_before_the_pixels_prevails() -> None:
    first = Shot(orientation=6, make="Nikon").exif().removeprefix(b"Exif\0\0")
    found = await probed(PNG[:33] + chunk(b"eXIf", first) + PNG[33:END] + chunk(b"eXIf", EXIF) + PNG[END:])
    assert (found.camera, found.location, found.orientation) == (Camera("Nikon", None), None, 6)


@pytest.mark.parametrize(
    "behind",
    [
        chunk(b"eXIf", EXIF)[:-1] + b"?",
        struct.pack(">I4s", 0xFFFFFFF0, b"eXIf") + EXIF,
        b"eXIf" * 10_000,
    ],
)
async def test_what_only_looks_like_exif_is_none(behind: bytes) -> None:
    found = await probed(PNG[:END] + chunk(b"prVt", behind) + PNG[END:])
    assert (found.camera, found.location) == (None, None)


async def test_exif_of_what_is_appended_is_not_the_pictures() -> None:
    assert (await probed(PNG + PNG[:END] + chunk(b"eXIf", EXIF) + PNG[END:])).camera is None


@pytest.mark.parametrize("appended_bytes", [70_000, 1_000_000])
@pytest.mark.parametrize(("chunk_bytes", "chunks"), [(100, 1), (8_192, 100), (8_192, 3_000), (9_000_000, 2)])
async def test_much_behind_the_end_is_no_missing_end(
    appended_bytes: int, chunk_bytes: int, chunks: int
) -> None:
    body = large(chunk_bytes=chunk_bytes, chunks=chunks) + bytes(appended_bytes)
    assert (await probed(body)).width == 60


@pytest.mark.parametrize(("chunk_bytes", "chunks"), [(100, 2), (8_192, 100), (8_192, 3_000), (9_000_000, 2)])
async def test_a_picture_that_was_cut_off(chunk_bytes: int, chunks: int) -> None:
    whole = large(chunk_bytes=chunk_bytes, chunks=chunks)
    for kept in (len(whole) - 12, len(whole) - 50, len(whole) * 2 // 3):
        with pytest.raises(ProbeRejected) as refused:
            await probed(whole[:kept])
        assert refused.value.reason is RejectReason.TRUNCATED
