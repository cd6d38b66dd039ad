from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from kappi_mediameta.probing import (
    BytesSource,
    MediaFormat,
    Probe,
    ProbeLimits,
    ProbeRejected,
    RejectReason,
    probe,
    sniff,
)
from kappi_testkit.media.containers import Heif, box, clap, full_box, imir, irot, ispe
from kappi_testkit.media.samples import (
    QUADRANTS,
    CountingSource,
    MovieShape,
    Shot,
    encode,
    movie,
    quadrants,
    register_heif,
)
from PIL import Image

SHOT = Shot(orientation=6, make="Canon", model="R6", taken="2024:06:21 17:04:05", offset="+02:00")


async def probed(body: bytes, limits: ProbeLimits | None = None) -> Probe:
    fmt = sniff(body[:4096])
    assert fmt in (MediaFormat.HEIC, MediaFormat.AVIF)
    return await probe(BytesSource(body), fmt, limits or ProbeLimits())


async def reason_for(body: bytes, limits: ProbeLimits | None = None) -> RejectReason:
    with pytest.raises(ProbeRejected) as refused:
        await probed(body, limits)
    return refused.value.reason


@pytest.mark.parametrize("fmt", ["HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
async def test_the_orientation_is_the_one_decoders_apply(fmt: str, orientation: int) -> None:
    register_heif()
    body = encode(quadrants(120, 80), fmt, shot=Shot(orientation=orientation))
    found = await probed(body)
    assert (found.width, found.height, found.orientation) == (120, 80, orientation)
    if fmt == "HEIF":  # libheif turns the picture: it is upright and of the size in the header
        with Image.open(io.BytesIO(body)) as shown:
            assert shown.size == (found.width, found.height)
            corner = shown.convert("RGB").getpixel((10, 10))
        assert isinstance(corner, tuple)
        assert all(abs(a - b) < 24 for a, b in zip(corner, QUADRANTS[0], strict=True))


async def test_facts_of_a_camera() -> None:
    register_heif()
    found = await probed(encode(quadrants(120, 80), "HEIF", shot=SHOT))
    assert found.taken_at == datetime(2024, 6, 21, 15, 4, 5, tzinfo=UTC)
    assert (found.taken_offset_known, found.taken_offset_minutes) == (True, 120)
    assert found.camera is not None
    assert (found.kind, found.codec, found.content_type) == ("image", "hevc", "image/heic")


@pytest.mark.parametrize(
    ("properties", "size", "orientation"),
    [
        ((ispe(120, 80),), (80, 120), 6),
        # Some editors keep the EXIF orientation beside properties of turns, also of a turn by nothing.
        ((ispe(120, 80), irot(1)), (80, 120), 8),
        ((ispe(120, 80), irot(0)), (120, 80), 1),
        ((ispe(120, 80), imir(1)), (120, 80), 2),
    ],
)
async def test_what_exif_says_of_turns_counts_where_a_heic_says_nothing(
    properties: tuple[bytes, ...], size: tuple[int, int], orientation: int
) -> None:
    sideways = Shot(orientation=6).exif()[6:]
    found = await probed(Heif(exif=sideways, properties=properties).build())
    assert (found.width, found.height, found.orientation) == (*size, orientation)


async def test_what_exif_says_of_turns_never_counts_in_an_avif() -> None:
    """Browsers do the same."""
    body = Heif(exif=Shot(orientation=6).exif()[6:], kind=b"av01").build()
    found = await probe(BytesSource(body), MediaFormat.AVIF)
    assert (found.width, found.height, found.orientation) == (120, 80, 1)


@pytest.mark.parametrize(
    ("properties", "size", "orientation"),
    [
        ([ispe(120, 80)], (120, 80), 1),
        ([ispe(120, 80), irot(2)], (120, 80), 3),
        ([ispe(120, 80), irot(3)], (80, 120), 6),
        ([irot(3), ispe(120, 80)], (80, 120), 6),
        ([ispe(120, 80), imir(0)], (120, 80), 4),
        ([ispe(120, 80), imir(1)], (120, 80), 2),
        ([ispe(120, 80), irot(1), imir(1)], (80, 120), 7),
        ([ispe(120, 80), imir(1), irot(1)], (80, 120), 5),
        ([ispe(128, 96), clap(101, 67)], (101, 67), 1),
        ([ispe(128, 96), clap(101, 67), irot(1)], (67, 101), 8),
        ([ispe(128, 96), clap(500, 67)], (128, 96), 1),
        ([ispe(128, 96), clap(0, 0)], (128, 96), 1),
    ],
)
async def test_properties_apply_in_their_order(
    properties: list[bytes], size: tuple[int, int], orientation: int
) -> None:
    found = await probed(Heif(properties=properties).build())
    assert (found.width, found.height) == size
    assert found.orientation == orientation


async def test_a_grid_is_as_large_as_all_its_tiles() -> None:
    found = await probed(Heif(grid=(4032, 3024), properties=(ispe(4032, 3024), irot(1))).build())
    assert (found.width, found.height, found.codec) == (3024, 4032, "hevc")


async def test_a_grid_that_would_unfold_to_more_than_it_says_is_corrupt() -> None:
    assert await reason_for(Heif(grid=(60_000, 60_000)).build()) is RejectReason.CORRUPT


async def test_a_bomb_is_refused_by_its_header() -> None:
    huge = Heif(properties=(ispe(30_000, 30_000),))
    assert await reason_for(huge.build()) is RejectReason.TOO_MANY_PIXELS
    cut_down = replace(huge, properties=(ispe(30_000, 30_000), clap(10, 10)))
    assert await reason_for(cut_down.build()) is RejectReason.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    ("heif", "reason"),
    [
        (Heif(properties=(irot(1),)), RejectReason.CORRUPT),
        (Heif(properties=(ispe(0, 80),)), RejectReason.CORRUPT),
        (Heif(properties=(ispe(120, 80), *[irot(1)] * 17)), RejectReason.CORRUPT),
        (Heif(kind=b"vvc1"), RejectReason.UNSUPPORTED_TYPE),
        (Heif(data_bytes=100_000), RejectReason.TRUNCATED),
        (Heif(items=9_000), RejectReason.TOO_COMPLEX),
    ],
)
async def test_contradictions_have_their_reasons(heif: Heif, reason: RejectReason) -> None:
    assert await reason_for(heif.build()) is reason


async def test_a_file_without_picture_or_frames() -> None:
    body = Heif().build()
    assert await reason_for(body.replace(b"pict", b"meta", 1)) is RejectReason.NO_PICTURE
    assert await reason_for(body.replace(b"pitm", b"free", 1)) is RejectReason.NO_PICTURE
    start = box(b"ftyp", b"heic", bytes(4), b"mif1", b"heic")
    assert await reason_for(start + box(b"mdat", bytes(64))) is RejectReason.CORRUPT
    lying = start + full_box(b"meta", box(b"hdlr", b"\xff" * 3)) + box(b"mdat", bytes(64))
    assert await reason_for(lying) is RejectReason.CORRUPT


@pytest.mark.parametrize("table", [b"iinf", b"iloc", b"iref", b"ipma"])
async def test_tables_that_end_too_early(table: bytes) -> None:
    body = bytearray(Heif(grid=(120, 80)).build())
    at = body.index(table) - 4
    body[at + 4 : at + 8] = b"free"
    body += box(table, bytes(5))
    with pytest.raises(ProbeRejected):
        await probed(bytes(body))


async def test_a_photograph_of_megabytes_is_probed_from_little() -> None:
    body = Heif(data_bytes=20 << 20, stored_bytes=20 << 20).build()
    source = CountingSource(body)
    found = await probe(source, MediaFormat.HEIC)
    assert (found.width, found.height) == (120, 80)
    assert sum(source.reads) <= 256 << 10


async def test_the_frames_of_a_sequence() -> None:
    film = movie(MovieShape(width=64, height=48, seconds=1.0, faststart=True, rotation=90))
    start = film.index(b"moov") - 4
    sequence = box(b"ftyp", b"avis", bytes(4), b"msf1", b"avis") + film[start:]
    found = await probed(sequence)
    assert (found.kind, found.animated, found.frame_count) == ("image", True, 10)
    assert (found.width, found.height, found.orientation) == (48, 64, 8)
    assert found.duration_ms == 1000
    few = ProbeLimits(max_frames=9)
    assert await reason_for(sequence, few) is RejectReason.TOO_MANY_FRAMES
