"""For any bytes, a probe returns facts or raises a typed refusal, within its budget of reads."""

import json
import struct
from collections.abc import Callable
from dataclasses import asdict

import pytest
from kappi_mediameta.probing import MediaFormat, ProbeLimits, ProbeRejected, probe, sniff
from kappi_mediameta.probing.exif import exif_tags, facts_of
from kappi_testkit.media.metadata_blocks import exif_block
from kappi_testkit.media.motion_photos import film_of_photo, google_photo, samsung_photo
from kappi_testkit.media.samples import (
    CountingSource,
    MovieShape,
    Shot,
    animation,
    encode,
    movie,
    mutations,
    quadrants,
)

SHOT = Shot(orientation=6, make="Canon", model="R6", taken="2024:06:21 17:04:05", place=(48.1, 11.5, 520.0))
LOSSLESS = {"lossless": True}
METADATA = {"com.apple.quicktime.make": "Apple"}
SAMPLES: dict[str, tuple[MediaFormat, Callable[[], bytes]]] = {
    "jpeg": (MediaFormat.JPEG, lambda: encode(quadrants(60, 40), "JPEG", shot=SHOT)),
    "jpeg-motion": (MediaFormat.JPEG, lambda: google_photo(film_of_photo())),
    "jpeg-trailer": (MediaFormat.JPEG, lambda: samsung_photo(film_of_photo())),
    "png": (MediaFormat.PNG, lambda: encode(quadrants(60, 40), "PNG", shot=SHOT)),
    "apng": (MediaFormat.PNG, lambda: animation("PNG", 60, 40)),
    "gif": (MediaFormat.GIF, lambda: animation("GIF", 60, 40)),
    "webp": (MediaFormat.WEBP, lambda: encode(quadrants(60, 40), "WEBP", shot=SHOT)),
    "webp-lossless": (
        MediaFormat.WEBP,
        lambda: encode(quadrants(60, 40), "WEBP", options=LOSSLESS),
    ),
    "webp-animated": (MediaFormat.WEBP, lambda: animation("WEBP", 60, 40)),
    "bmp": (MediaFormat.BMP, lambda: encode(quadrants(60, 40), "BMP")),
    "mp4": (
        MediaFormat.MP4,
        lambda: index_only(MovieShape(seconds=0.5, rotation=90, metadata=METADATA)),
    ),
    "mov": (MediaFormat.MOV, lambda: index_only(MovieShape(seconds=0.5, container="mov"))),
}
LIMITS = ProbeLimits()
NUMBERS = (0x829A, 0x829D, 0x8827, 0x8832, 0x9201, 0x9202, 0x920A, 0xA405)


def index_only(shape: MovieShape) -> bytes:
    """Returns a movie without media data, so that the damage falls on the index."""
    body = movie(shape)
    media_at = body.index(b"mdat") - 4
    index_at = body.index(b"moov", media_at) - 4
    return body[:media_at] + b"\x00\x00\x00\x10mdat" + bytes(8) + body[index_at:]


@pytest.mark.parametrize("name", SAMPLES)
async def test_damaged_files_end_in_facts_or_in_a_refusal(name: str) -> None:
    fmt, make = SAMPLES[name]
    outcomes: set[str] = set()
    for damaged in mutations(make(), seed=len(name), count=600):
        sniff(damaged[:4096])
        source = CountingSource(damaged)
        try:
            found = await probe(source, fmt, LIMITS)
        except ProbeRejected as refused:
            outcomes.add(refused.reason)
        else:
            assert 0 < found.width <= LIMITS.max_side
            assert 0 < found.height <= LIMITS.max_side
            film = found.details.film
            assert film is None or 0 < film.start < film.start + film.size_bytes <= len(damaged)
            outcomes.add("facts")
        assert len(source.reads) <= LIMITS.max_reads
    assert "facts" in outcomes
    assert len(outcomes) > 1, "the damage damaged nothing"


def test_damaged_exif_never_raises() -> None:
    readable = 0
    for damaged in mutations(SHOT.exif(), seed=7, count=5_000):
        readable += facts_of(exif_tags(damaged)).camera is not None
    assert 0 < readable < 5_000


def test_damaged_exposures_are_left_out_or_can_be_stored() -> None:
    readable = 0
    block = exif_block(details=[(tag, 5, struct.pack(">II", 28, 10)) for tag in NUMBERS])
    for damaged in mutations(block, seed=7, count=5_000):
        exposure = facts_of(exif_tags(damaged)).details.exposure
        readable += exposure is not None
        json.dumps(None if exposure is None else asdict(exposure), allow_nan=False)
    assert 0 < readable < 5_000
